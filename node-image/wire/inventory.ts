// Bodies of the calls by which a repairer compares what a farmer has with what the logs name.
import type { HeldId, RangeDigest } from '#node/core/id-ranges.ts';
import { body, MAX_PIECE_IDS, type Body } from './calls.ts';
import { bytesUpTo, hex32, list, nullable, struct, uint } from './codec.ts';
import { MAX_CUT_STATEMENT_BYTES } from './statements.ts';
import type { PieceId } from './types.ts';

/** Ranges in one answer. */
export const MAX_RANGES = 1000;
/** Pieces in one answer. */
export const MAX_LISTED = 1000;

/** As many of the ranges that were asked for as the farmer wanted to look at, the first at least. */
export interface RangeDigests {
  digests: RangeDigest[];
}
export const rangeDigests: Body<RangeDigests> = body(
  64 * 1024,
  struct<RangeDigests>({ digests: list(struct<RangeDigest>({ pieces: uint(), xor: hex32 }), MAX_RANGES) }),
);

/** In the order of ids; fewer than MAX_LISTED = the range is at its end. */
export interface PieceList {
  pieces: HeldId[];
}
export const pieceList: Body<PieceList> = body(
  128 * 1024,
  struct<PieceList>({
    pieces: list(struct<HeldId>({ pieceId: hex32, storedMs: uint(), trashedMs: nullable(uint()) }), MAX_LISTED),
  }),
);

/** Only pieces received before the cut go. */
export interface TrashOrder {
  /** Signed<CutStatement> bytes. */
  cut: Uint8Array;
  pieceIds: PieceId[];
}
export const trashOrder: Body<TrashOrder> = body(
  64 * 1024,
  struct<TrashOrder>({ cut: bytesUpTo(MAX_CUT_STATEMENT_BYTES), pieceIds: list(hex32, MAX_PIECE_IDS) }),
);
