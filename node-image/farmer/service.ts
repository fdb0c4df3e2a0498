// The answering side of a farmer, whatever the transport: each operation of net.ts, admitted, bounded and
// counted. What the calls themselves do is in piece-calls, log-calls and farm-calls.
import type { FarmConfig } from '#node/interface/config.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { CallError, type Answer, type Operation, type Service } from '#node/net/net.ts';
import { WireError } from '#node/wire/codec.ts';
import type { RootView } from '#node/wire/root-view.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { farmPeers, type Asker, type FarmPeers } from './admission.ts';
import type { Duty } from './duty.ts';
import { farmCalls } from './farm-calls.ts';
import { inventoryCalls } from './inventory-calls.ts';
import type { CatchUp } from './log-catch-up.ts';
import { logCalls } from './log-calls.ts';
import type { LogStore } from './log-store.ts';
import type { OwnerLookup } from './owner-lookup.ts';
import { pieceCalls } from './piece-calls.ts';
import type { PieceStore } from './piece-store.ts';
import type { PresentedGrants } from './presented-grants.ts';
import type { RootsStore } from './roots-store.ts';
import { diskError, StoreError } from './store-error.ts';
import type { Store } from './store.ts';

/** Everything that calls work with. */
export interface FarmerParts {
  keyPair: KeyPair;
  store: Store;
  pieces: PieceStore;
  logs: LogStore;
  roots: RootsStore;
  duty: Duty;
  owners: OwnerLookup;
  grants: PresentedGrants;
  config: () => FarmConfig | null;
  isCaughtUp: CatchUp['isCaughtUp'];
  isBehind: CatchUp['isBehind'];
  isSealedElsewhere: CatchUp['isSealedElsewhere'];
  nowMs: () => number;
  runtime: Runtime;
  observe?: CallObserver;
}
/** One call has ended. Bytes are those of the bodies. */
export type CallObserver = (seen: {
  operation: Operation;
  /** 'Ok' or the refusal's code. */
  code: string;
  startedMs: number;
  receivedBytes: number;
  sentBytes: number;
}) => void;

export interface CallContext extends FarmerParts {
  from: PublicKey;
  peers: FarmPeers;
  signal: AbortSignal;
}
/** The peer of this call, as admission sees it. */
export function askerOf({ peers, from, grants }: CallContext, view: RootView): Asker {
  return { peers, from, view, grants: grants.of(from, view) };
}

/** `body` is there always; without one it is empty. */
export type Handler = (context: CallContext, head: Uint8Array, body: AsyncIterable<Uint8Array>) => Promise<Answer>;

const HANDLERS: Record<Operation, Handler> = { ...pieceCalls, ...inventoryCalls, ...logCalls, ...farmCalls };

export function farmerService(parts: FarmerParts): Service {
  let known: { config: FarmConfig | null; peers: FarmPeers } = { config: null, peers: farmPeers(null) };
  const peersNow = () => {
    const config = parts.config();
    if (config !== known.config) known = { config, peers: farmPeers(config) };
    return known.peers;
  };
  return {
    async handle(from, call, signal) {
      const seen = { operation: call.operation, code: 'Ok', startedMs: parts.nowMs(), receivedBytes: 0, sentBytes: 0 };
      const report = () => parts.observe?.(seen);
      try {
        parts.duty.checkFit();
        const context = { ...parts, from, peers: peersNow(), signal };
        const body = counted(call.body ?? nothing(), (bytes) => (seen.receivedBytes += bytes));
        const answer = await HANDLERS[call.operation](context, call.head, body);
        if (!answer.body) {
          report();
          return answer;
        }
        return { ...answer, body: observed(answer.body, seen, report) };
      } catch (error) {
        const refusal = refusalOf(error, signal);
        seen.code = refusal instanceof CallError ? refusal.code : 'Failed';
        report();
        throw refusal;
      }
    },
  };
}

/** What callers may know of it; a bug stays what it is, for the log. */
function refusalOf(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof CallError) return error;
  if (error instanceof WireError) return new CallError('BadRequest', error.message, { cause: error });
  if (signal.aborted) return new CallError('Aborted', 'The caller has gone.', { cause: error });
  if (error instanceof StoreError) return storeRefusal(error);
  if (isOfIndex(error)) return storeRefusal(diskError(error));
  return error;
}

/** SQLite's own: the disk below it has failed, is full or has gone. */
function isOfIndex(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

function storeRefusal(error: StoreError): CallError {
  const code = {
    Full: 'Full',
    Busy: 'Busy',
    Corrupt: 'Corrupt',
    Broken: 'Unavailable',
    Moved: 'Unavailable',
    Closed: 'Unavailable',
    FolderInUse: 'Unavailable',
  };
  return new CallError(code[error.code] as CallError['code'], error.message, { cause: error });
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* counted(body: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    count(chunk.length);
    yield chunk;
  }
}

/** The call ends with its answer's last byte. */
function observed(
  body: AsyncIterable<Uint8Array>,
  seen: { code: string; sentBytes: number },
  report: () => void,
): AsyncIterableIterator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let isReported = false;
  const end = (code: string) => {
    if (isReported) return;
    isReported = true;
    seen.code = code;
    report();
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        const next = await iterator.next();
        if (next.done) end('Ok');
        else seen.sentBytes += next.value.length;
        return next;
      } catch (error) {
        const refusal = error instanceof StoreError ? storeRefusal(error) : error;
        end(refusal instanceof CallError ? refusal.code : 'Failed');
        throw refusal;
      }
    },
    async return() {
      end('Aborted');
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
