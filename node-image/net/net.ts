// The port between those who store (farmers) and those who ask: clients, bridges, repairers, other
// farmers. One call = one operation with a small head and an optional streamed body each way. Adapters:
// https-pieces (mutual TLS with libp2p certificates, the real one) and memory-network (tests, simulation).
import type { PublicKey } from '#node/wire/types.ts';

/** How to reach a farmer. `url` is its piece plane (https://host:port). */
export interface FarmerAddress {
  farmer: PublicKey;
  url: string;
}

/** The operations a farmer serves. `node-image/wire/calls.ts` gives head and body of each. */
export type Operation =
  | 'piece.put'
  | 'piece.get'
  | 'piece.stat'
  | 'piece.audit'
  | 'piece.ranges'
  | 'piece.list'
  | 'piece.trash'
  | 'piece.restore'
  | 'log.append'
  | 'log.heads'
  | 'log.read'
  | 'log.seal'
  | 'roots.put'
  | 'roots.get'
  | 'roots.owners'
  | 'grant.present'
  | 'farm.members'
  | 'farmer.holdings';

export interface Call {
  operation: Operation;
  /** CBOR, at most MAX_HEAD_BYTES. */
  head: Uint8Array;
  /**
   * Sent as it comes; the sender waits when the receiver is slow. A chunk is its sender's again as soon as the
   * next one is asked for: who keeps it copies it. The same holds for answers.
   */
  body?: AsyncIterable<Uint8Array>;
}
/**
 * A body that is there as a whole, which is sent in one step; it mustn't change until the call ends. (A streamed one
 * is over only when its sender has been told that the last chunk has gone: where the answer is faster, HTTP's client
 * takes the connection for spoilt and opens another.)
 */
export class WholeBody implements AsyncIterable<Uint8Array> {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    yield this.bytes;
  }
}
export interface Answer {
  head: Uint8Array;
  /** Must be read to the end or returned (`.return()`), which frees the connection. */
  body?: AsyncIterable<Uint8Array>;
}

/** The asking side. Rejects with CallError; never hangs longer than the signal allows. */
export interface Network {
  /** Own identity, as the other side sees it. */
  readonly self: PublicKey;
  call(to: FarmerAddress, call: Call, signal: AbortSignal): Promise<Answer>;
  close(): Promise<void>;
}

/** The answering side, transport-free. `from` is proven by the transport. */
export interface Service {
  handle(from: PublicKey, call: Call, signal: AbortSignal): Promise<Answer>;
}

/** Codes that both sides know; the transport carries them unchanged. */
export type CallErrorCode =
  | 'Unreachable' // no connection, reset, or timeout before an answer
  | 'WrongPeer' // the other end proved another identity
  | 'Aborted' // our own signal
  | 'BadRequest' // malformed head or body
  | 'Forbidden' // not admitted for this owner or operation
  | 'NotFound' // no such piece, log or owner
  | 'Full' // no space left for this
  | 'Leaving' // cordoned: takes nothing new
  | 'Busy' // bounded queue is full; retry with backoff
  | 'WrongRoot' // body doesn't hash to what the footer says
  | 'Conflict' // log: another batch has that sequence, or a gap
  | 'Sealed' // log: sealed, accepts nothing more
  | 'WrongEpoch' // replica set: not (or no longer) a member under this epoch
  | 'Corrupt' // stored bytes fail their check
  | 'Unavailable'; // disk out of service or store closing

export class CallError extends Error {
  readonly code: CallErrorCode;
  /** Conflict, Sealed: CBOR of the replica's head; else empty. */
  readonly detail: Uint8Array;
  constructor(code: CallErrorCode, message: string, options: { detail?: Uint8Array; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CallError';
    this.code = code;
    this.detail = options.detail ?? new Uint8Array(0);
  }
}

/** Forbidden, and the caller's grants were shown just before: asking again changes nothing. */
export class GrantRefusedError extends CallError {
  constructor(cause: CallError) {
    super('Forbidden', cause.message, { cause });
  }
}
