// Ranges of piece ids, by their first bits: two sides compare what they think is there range by range, and
// look closer only where count or xor differ. Ids are HMACs, so ranges come out about equally full.
import { fromHex, toHex } from './ids.ts';
import type { PieceId } from '#node/wire/types.ts';

export const MAX_RANGE_BITS = 24;
/** So many ids in a range on average: a difference costs one short list, a match 36 bytes. */
const IDS_PER_RANGE = 512;

export interface RangeDigest {
  pieces: number;
  /** All ids xor-ed, hex. */
  xor: string;
}

/** How many bits name ranges of a good size for so many ids. */
export function rangeBits(ids: number): number {
  return Math.min(MAX_RANGE_BITS, Math.max(0, Math.ceil(Math.log2(Math.max(1, ids) / IDS_PER_RANGE))));
}

/** From the first id that counts to the first that doesn't; '' = no such end. */
export function idRange(bits: number, range: number): { fromId: PieceId; toId: PieceId | '' } {
  const edge = (at: number): PieceId | '' => {
    if (at >= 2 ** bits) return '';
    const bytes = Buffer.alloc(32);
    bytes.writeUInt32BE(at * 2 ** (32 - bits));
    return toHex(bytes);
  };
  return { fromId: edge(range) || '0'.repeat(64), toId: edge(range + 1) };
}

export function digestOf(ids: Iterable<PieceId>): RangeDigest {
  const xor = new Uint8Array(32);
  let pieces = 0;
  for (const id of ids) {
    const bytes = fromHex(id);
    for (let i = 0; i < 32; i++) xor[i]! ^= bytes[i]!;
    pieces++;
  }
  return { pieces, xor: toHex(xor) };
}

/** What a farmer says that it has. */
export interface HeldId {
  pieceId: PieceId;
  storedMs: number;
  trashedMs: number | null;
}
export interface Differences {
  /** Nothing names them, and they are old enough: to the trash. */
  orphans: PieceId[];
  /** Named, and in the trash: back. */
  trashed: PieceId[];
  /** Named, and not there. */
  missing: PieceId[];
  /** There, of those that were believed to be missing. */
  found: PieceId[];
}

/** Received so long before a cut and never named since: no entry will name it without asking for it again. */
export const ORPHAN_AFTER_MS = 48 * 3_600_000;

/**
 * What is to be done about a range. `named` was read before the farmer was asked, so that a piece which comes in
 * between is in `held` at most. Without a cut nothing is an orphan.
 */
export function compareRange(input: {
  named: ReadonlySet<PieceId>;
  /** Those of them that the farmer didn't have last time. */
  believedMissing: ReadonlySet<PieceId>;
  held: readonly HeldId[];
  isDropped(pieceId: PieceId): boolean;
  /** Of the newest cut that counts. */
  cutMs: number | null;
}): Differences {
  const { named, believedMissing, held, isDropped, cutMs } = input;
  const there = new Set(held.map(({ pieceId }) => pieceId));
  const isOrphan = ({ pieceId, storedMs, trashedMs }: HeldId) =>
    trashedMs === null && cutMs !== null && !named.has(pieceId) && storedMs < cutMs - (isDropped(pieceId) ? 0 : ORPHAN_AFTER_MS);
  return {
    orphans: held.filter(isOrphan).map(({ pieceId }) => pieceId),
    trashed: held.filter(({ pieceId, trashedMs }) => trashedMs !== null && named.has(pieceId)).map(({ pieceId }) => pieceId),
    missing: [...named].filter((pieceId) => !there.has(pieceId) && !believedMissing.has(pieceId)),
    found: held
      .filter(({ pieceId, trashedMs }) => trashedMs === null && believedMissing.has(pieceId))
      .map(({ pieceId }) => pieceId),
  };
}
