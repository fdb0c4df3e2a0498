// The libp2p side of a farmer: its identity on the network, identify and ping, and the control protocol,
// by which one farmer's multiaddr is enough to learn the whole farm. One kept stream for each peer,
// messages framed by their length; each call carries a number, so that answers may come in any order.
// Piece and log bytes don't go this way (https-pieces.ts is several times faster).
import { identify } from '@libp2p/identify';
import { noise } from '@libp2p/noise';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2p } from 'libp2p';
import { isIPv4 } from 'node:net';
import { publicKeyOf } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { bytesUpTo, decode, encode, oneOf, struct, text, uint, union, type Codec } from '#node/wire/codec.ts';
import { collect, frameAll, FrameReader } from '#node/wire/framing.ts';
import { MAX_HEAD_BYTES, type PublicKey } from '#node/wire/types.ts';
import { asCallError } from './http-errors.ts';
import { CallError, type Answer, type Call, type CallErrorCode, type Service } from './net.ts';

const CONTROL_PROTOCOL = '/storj/control/1';
/** What may be asked here: who the members are, and where an owner's root statements lie. */
const CONTROL_OPERATIONS = ['farm.members', 'roots.get', 'roots.owners'] as const;
type ControlOperation = (typeof CONTROL_OPERATIONS)[number];
/** A roster of 10,000 farmers, or the root statements of one owner. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_FRAME_BYTES = MAX_BODY_BYTES + 2 * MAX_HEAD_BYTES;
/** One message becomes frames of at most this, so that it doesn't hold up the connection's other streams. */
const SEND_CHUNK_BYTES = 64 * 1024;
const MAX_CALLS_IN_FLIGHT = 64;
const CALL_TIMEOUT_MS = 30_000;

interface Request {
  kind: 'call';
  id: number;
  operation: ControlOperation;
  head: Uint8Array;
}
interface Reply {
  kind: 'answer';
  id: number;
  head: Uint8Array;
  body: Uint8Array;
}
interface Refusal {
  kind: 'refusal';
  id: number;
  code: string;
  message: string;
}
type Message = Request | Reply | Refusal;

const message: Codec<Message> = union<Message>({
  call: struct<Omit<Request, 'kind'>>({ id: uint(), operation: oneOf(...CONTROL_OPERATIONS), head: bytesUpTo(MAX_HEAD_BYTES) }),
  answer: struct<Omit<Reply, 'kind'>>({ id: uint(), head: bytesUpTo(MAX_HEAD_BYTES), body: bytesUpTo(MAX_BODY_BYTES) }),
  refusal: struct<Omit<Refusal, 'kind'>>({ id: uint(), code: text(32), message: text(2048) }),
});

export interface Libp2pOptions {
  keyPair: KeyPair;
  /** Absent: dials only. Port 0 = a free one. */
  listen?: { host: string; port: number };
  /** Name or address for others; with the port that is listened on. */
  announceHost?: string;
  /** Who answers control calls. */
  service?: Service;
  maxConnections?: number;
}

export interface Libp2pNode {
  readonly peerId: string;
  /** With /p2p/<peer id>. */
  multiaddrs(): string[];
  /** A control call to whoever the multiaddr names. Rejects with CallError. */
  ask(address: string, call: Call, signal: AbortSignal): Promise<Answer>;
  close(): Promise<void>;
}

export async function startLibp2pNode(options: Libp2pOptions): Promise<Libp2pNode> {
  const { listen, service } = options;
  const privateKey = await generateKeyPairFromSeed('Ed25519', options.keyPair.seed);
  const node = await createLibp2p({
    privateKey,
    addresses: listen ? { listen: [`/ip4/${listen.host}/tcp/${listen.port}`] } : { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    // The receive buffer must hold what the window lets the other side send.
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1 << 20, maxReadBufferLength: 4 << 20 } })],
    connectionManager: {
      maxConnections: options.maxConnections ?? 1000,
      inboundConnectionThreshold: 100,
      maxIncomingPendingConnections: 100,
    },
    connectionMonitor: { pingInterval: 60_000 },
    services: { identify: identify(), ping: ping() },
  });
  if (service) {
    await node.handle(
      CONTROL_PROTOCOL,
      (stream, connection) => {
        const channel = openChannel(stream as unknown as RawStream);
        serve(channel, publicKeyOf(connection.remotePeer.toString()), service);
      },
      { maxInboundStreams: 8, maxOutboundStreams: 8 },
    );
  }
  const channels = new Map<string, Promise<Asking>>();
  return {
    peerId: node.peerId.toString(),
    multiaddrs: () => announced(node, options.announceHost),
    ask: async (address, call, signal) => {
      let asking = channels.get(address);
      if (!asking) {
        asking = dial(node, address, signal);
        channels.set(address, asking);
        asking.then(
          (one) => one.channel.onClose(() => channels.delete(address)),
          () => channels.delete(address),
        );
      }
      return await (await asking).ask(call, signal);
    },
    close: async () => await node.stop(),
  };
}

function announced(node: Libp2p, host: string | undefined): string[] {
  const own = node.getMultiaddrs().map((address) => address.toString());
  const port = /\/tcp\/(\d+)/.exec(own[0] ?? '')?.[1];
  if (host === undefined || port === undefined) return own;
  return [`/${isIPv4(host) ? 'ip4' : 'dns4'}/${host}/tcp/${port}/p2p/${node.peerId.toString()}`];
}

// ---- one stream -----------------------------------------------------------------------------

/** What we use of a libp2p stream; its own typings name far more. */
interface RawStream {
  status: string;
  send(data: Uint8Array): boolean;
  abort(error: Error): void;
  addEventListener(
    type: 'message' | 'drain' | 'close' | 'remoteCloseWrite',
    listener: (event: { data?: unknown; error?: Error }) => void,
  ): void;
  removeEventListener(type: 'drain' | 'close', listener: (event: { error?: Error }) => void): void;
}

interface Channel {
  send(value: Message): Promise<void>;
  onMessage(callback: (value: Message) => void): void;
  onClose(callback: () => void): void;
  abort(reason: Error): void;
}

function openChannel(stream: RawStream): Channel {
  const reader = new FrameReader(MAX_FRAME_BYTES);
  const listeners: ((value: Message) => void)[] = [];
  let sending: Promise<void> = Promise.resolve();
  stream.addEventListener('message', (event) => {
    try {
      const data = event.data as Uint8Array | Iterable<Uint8Array>;
      for (const chunk of data instanceof Uint8Array ? [data] : data) {
        for (const part of reader.push(chunk)) {
          const value = decode(message, part, MAX_FRAME_BYTES);
          for (const listener of listeners) listener(value);
        }
      }
    } catch (error) {
      stream.abort(error as Error);
    }
  });
  const write = async (value: Message) => {
    const bytes = frameAll([encode(message, value)]);
    for (let offset = 0; offset < bytes.length; offset += SEND_CHUNK_BYTES) {
      if (stream.status !== 'open') throw new CallError('Unreachable', 'the control stream is closed');
      if (!stream.send(bytes.subarray(offset, offset + SEND_CHUNK_BYTES))) await drained(stream);
    }
  };
  return {
    send: (value) => (sending = sending.catch(() => {}).then(() => write(value))),
    onMessage: (callback) => void listeners.push(callback),
    onClose: (callback) => {
      stream.addEventListener('close', callback);
      stream.addEventListener('remoteCloseWrite', callback);
    },
    abort: (reason) => stream.abort(reason),
  };
}

/** Waits for the event: the stream's own onDrain() returns at once after the first time. */
function drained(stream: RawStream): Promise<void> {
  return new Promise((resolve, reject) => {
    const off = () => {
      stream.removeEventListener('drain', onDrain);
      stream.removeEventListener('close', onClose);
    };
    const onDrain = () => (off(), resolve());
    const onClose = (event: { error?: Error }) => (
      off(),
      reject(event.error ?? new CallError('Unreachable', 'the control stream closed'))
    );
    stream.addEventListener('drain', onDrain);
    stream.addEventListener('close', onClose);
  });
}

// ---- answering ------------------------------------------------------------------------------

function serve(channel: Channel, from: PublicKey, service: Service): void {
  let inFlight = 0;
  const closed = new AbortController();
  channel.onClose(() => closed.abort());
  channel.onMessage((value) => {
    if (value.kind !== 'call') return;
    if (inFlight >= MAX_CALLS_IN_FLIGHT) return channel.abort(new CallError('Busy', 'too many control calls at once'));
    inFlight += 1;
    const signal = AbortSignal.any([closed.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    void answer(from, service, value, signal)
      .then((reply) => channel.send(reply))
      .catch(() => {}) // the stream went: nobody is left to tell
      .finally(() => (inFlight -= 1));
  });
}

async function answer(from: PublicKey, service: Service, call: Request, signal: AbortSignal): Promise<Reply | Refusal> {
  try {
    const { head, body } = await service.handle(from, { operation: call.operation, head: call.head }, signal);
    return { kind: 'answer', id: call.id, head, body: await collect(body, MAX_BODY_BYTES) };
  } catch (error) {
    const { code, message: why } = asCallError(error);
    return { kind: 'refusal', id: call.id, code, message: why.slice(0, 500) };
  }
}

// ---- asking ---------------------------------------------------------------------------------

interface Asking {
  channel: Channel;
  ask(call: Call, signal: AbortSignal): Promise<Answer>;
}

async function dial(node: Libp2p, address: string, signal: AbortSignal): Promise<Asking> {
  try {
    const connection = await node.dial(multiaddr(address), { signal });
    const stream = await connection.newStream(CONTROL_PROTOCOL, { signal, maxOutboundStreams: 8 });
    return asker(openChannel(stream as unknown as RawStream));
  } catch (cause) {
    throw new CallError(signal.aborted ? 'Aborted' : 'Unreachable', `nobody answers at ${address}`, { cause });
  }
}

function asker(channel: Channel): Asking {
  const waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  channel.onMessage((value) => {
    if (value.kind === 'call') return;
    const one = waiting.get(value.id);
    waiting.delete(value.id);
    if (value.kind === 'refusal') one?.reject(new CallError(value.code as CallErrorCode, value.message));
    else one?.resolve({ head: value.head, body: once(value.body) });
  });
  channel.onClose(() => {
    for (const one of waiting.values()) one.reject(new CallError('Unreachable', 'the control stream closed'));
    waiting.clear();
  });
  return {
    channel,
    ask: async ({ operation, head }, signal) => {
      if (!isControl(operation)) throw new CallError('BadRequest', `${operation} goes over HTTPS, not over libp2p`);
      if (waiting.size >= MAX_CALLS_IN_FLIGHT) throw new CallError('Busy', 'too many control calls at once');
      const id = ++lastId;
      const both = AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
      return await new Promise<Answer>((resolve, reject) => {
        const fail = (error: Error) => (waiting.delete(id), reject(error));
        both.addEventListener(
          'abort',
          () => fail(new CallError(signal.aborted ? 'Aborted' : 'Unreachable', 'no answer in time')),
          { once: true },
        );
        waiting.set(id, { resolve, reject });
        channel.send({ kind: 'call', id, operation, head }).catch(fail);
      });
    },
  };
}

function isControl(operation: string): operation is ControlOperation {
  return (CONTROL_OPERATIONS as readonly string[]).includes(operation);
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
