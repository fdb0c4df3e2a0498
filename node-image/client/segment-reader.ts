// Segments in, a range of bytes out: from the fastest farmers, around slow, dead and lying ones.
import type { PublicKey, SegmentKey, SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';

export interface ReadableSegment {
  key: SegmentKey;
  placement: SegmentPlacement;
  /** Further holders by piece number, from placement entries. */
  moved?: ReadonlyMap<number, readonly PublicKey[]>;
}
export interface GetOrder {
  owner: PublicKey;
  /** All of the object, in order. */
  segments: readonly ReadableSegment[];
  offset: number;
  length: number;
  signal: AbortSignal;
  /** Asked once for a segment of which too few holders answer: holders named by placement entries. */
  findMoves?: (placement: SegmentPlacement, signal: AbortSignal) => Promise<ReadonlyMap<number, readonly PublicKey[]>>;
}

export type GetErrorCode = 'TooFewPieces' | 'OutOfRange' | 'Damaged';
export class GetError extends Error {
  readonly code: GetErrorCode;
  constructor(code: GetErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'GetError';
    this.code = code;
  }
}

/** Chunks in order, each in memory of its own. Throws GetError. Ending it early frees everything. */
export declare function getRange(client: Client, order: GetOrder): AsyncGenerator<Uint8Array, void, undefined>;
