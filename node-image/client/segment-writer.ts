// Bytes in, segments out: cut, encrypted, encoded, hashed and sent to farmers as they come.
import type { PublicKey, SegmentKey, SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';

export interface PutOrder {
  owner: PublicKey;
  /** Read once, with backpressure. An error in it ends the put. */
  source: AsyncIterable<Uint8Array>;
  /** Checked where given. */
  sizeBytes?: number;
  signal: AbortSignal;
}
export interface StoredSegment {
  key: SegmentKey;
  placement: SegmentPlacement;
}
export interface PutResult {
  plainBytes: number;
  /** In order; empty for an empty source. */
  segments: StoredSegment[];
}

export type PutErrorCode =
  | 'NotEnoughFarmers' // fewer than f + 1 answer: nothing may be promised now
  | 'WrongLength'; // the source had fewer or more bytes than announced
export class PutError extends Error {
  readonly code: PutErrorCode;
  constructor(code: PutErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PutError';
    this.code = code;
  }
}

/** Resolves when each segment has `optimal` receipts of its scheme. Rejects with PutError, or with the source's error. */
export declare function putSegments(client: Client, order: PutOrder): Promise<PutResult>;
