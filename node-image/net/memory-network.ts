// The network inside one process, for tests and simulation. Latency and faults are decided by functions
// that are handed in, so that the same seed gives the same run.
import { MAX_HEAD_BYTES, type PublicKey } from '#node/wire/types.ts';
import { asCallError, transportError } from './http-errors.ts';
import { CallError, type Answer, type Call, type FarmerAddress, type Network, type Operation, type Service } from './net.ts';

interface MemoryCall {
  from: PublicKey;
  to: PublicKey;
  operation: Operation;
}
/** What happens to one call. Bytes are counted in the body of that direction. */
export type MemoryFault =
  | { kind: 'refuse' }
  | { kind: 'hang' }
  | { kind: 'delay'; delayMs: number }
  | { kind: 'cut-request'; afterBytes: number }
  | { kind: 'cut-answer'; afterBytes: number }
  | { kind: 'flip-answer'; atByte: number };

export interface MemoryNetOptions {
  faultOf?: (call: MemoryCall) => MemoryFault | undefined;
  /** Needed for delays: resolves after this time on whatever clock the test has. */
  sleep?: (delayMs: number, signal: AbortSignal) => Promise<void>;
}

export interface MemoryNet {
  /** From now on this peer answers at its address, memory://<public key>. */
  attach(peer: PublicKey, service: Service): FarmerAddress;
  /** Gone at once: calls in flight break, new ones are refused. */
  detach(peer: PublicKey): void;
  /** The asking side of a peer. */
  network(self: PublicKey): Network;
  /** May be replaced while running. */
  faultOf: (call: MemoryCall) => MemoryFault | undefined;
}

interface Attached {
  service: Service;
  gone: AbortController;
}

export function memoryNet(options: MemoryNetOptions = {}): MemoryNet {
  const peers = new Map<PublicKey, Attached>();
  const sleep = options.sleep ?? (() => Promise.reject(new Error('memoryNet: a delay needs options.sleep')));
  const net: MemoryNet = {
    faultOf: options.faultOf ?? (() => undefined),
    attach(peer, service) {
      net.detach(peer);
      peers.set(peer, { service, gone: new AbortController() });
      return { farmer: peer, url: `memory://${peer}` };
    },
    detach(peer) {
      peers.get(peer)?.gone.abort(new CallError('Unreachable', 'The peer is gone.'));
      peers.delete(peer);
    },
    network(self) {
      const closed = new AbortController();
      return {
        self,
        async call(to, call, signal) {
          const at = peers.get(to.url.replace('memory://', ''));
          const ended = AbortSignal.any([signal, closed.signal, ...(at ? [at.gone.signal] : [])]);
          try {
            ended.throwIfAborted();
            if (call.head.length > MAX_HEAD_BYTES) throw new CallError('BadRequest', 'The head is too long.');
            if (!at) throw new CallError('Unreachable', `${to.url}: nobody there`);
            if (to.url !== `memory://${to.farmer}`) throw new CallError('WrongPeer', `${to.url} is another peer than expected.`);
            return await transfer({ from: self, to: to.farmer, call, service: at.service, ended, net, sleep });
          } catch (error) {
            throw transportError(error, ended, to.url);
          }
        },
        async close() {
          closed.abort(new CallError('Aborted', 'The network is closed.'));
        },
      };
    },
  };
  return net;
}

interface Transfer {
  from: PublicKey;
  to: PublicKey;
  call: Call;
  service: Service;
  ended: AbortSignal;
  net: MemoryNet;
  sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
}

async function transfer({ from, to, call, service, ended, net, sleep }: Transfer): Promise<Answer> {
  const fault = net.faultOf({ from, to, operation: call.operation });
  if (fault?.kind === 'refuse') throw new CallError('Unreachable', 'Connection refused.');
  if (fault?.kind === 'hang') return await orEnd(new Promise<never>(() => {}), ended);
  if (fault?.kind === 'delay') await orEnd(sleep(fault.delayMs, ended), ended);
  const cut = fault?.kind === 'cut-request' ? fault.afterBytes : Infinity;
  const received = { ...call, body: flow(call.body ?? nothing(), ended, { cutAfterBytes: cut }) };
  const answer = await orEnd(service.handle(from, received, ended), ended).catch((error: unknown) => {
    throw ended.aborted ? error : asCallError(error);
  });
  if (!answer.body) return answer;
  const back = {
    cutAfterBytes: fault?.kind === 'cut-answer' ? fault.afterBytes : Infinity,
    flipAtByte: fault?.kind === 'flip-answer' ? fault.atByte : -1,
  };
  return { head: answer.head, body: flow(answer.body, ended, back) };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function orEnd<T>(work: Promise<T>, ended: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(ended.reason as Error);
    if (ended.aborted) return stop();
    ended.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => ended.removeEventListener('abort', stop));
  });
}

/** A body on its way: copied, so that nobody shares memory with the other side, and broken where it should break. */
function flow(
  body: AsyncIterable<Uint8Array>,
  ended: AbortSignal,
  fault: { cutAfterBytes: number; flipAtByte?: number },
): AsyncIterableIterator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let passedBytes = 0;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        const next = await orEnd(iterator.next(), ended);
        if (next.done) return { done: true, value: undefined };
        const chunk = new Uint8Array(next.value);
        const flip = (fault.flipAtByte ?? -1) - passedBytes;
        if (flip >= 0 && flip < chunk.length) chunk[flip]! ^= 1;
        passedBytes += chunk.length;
        if (passedBytes > fault.cutAfterBytes) throw new CallError('Unreachable', 'The connection broke.');
        return { done: false, value: chunk };
      } catch (error) {
        iterator.return?.()?.catch(() => {});
        throw transportError(error, ended, 'memory');
      }
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
