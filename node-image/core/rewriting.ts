// In what portions segments are brought to the farm's scheme, and how fast; and which packs of small objects are worth
// being written anew. Pure.
import type { SegmentId } from '#node/wire/types.ts';

/** A version is recorded anew after so many segments, */
const MIN_PORTION = 16;
/** or after this share of them: each record names all of its segments. */
const PORTIONS = 16;

/** How many segments of a version with so many are recorded together. */
export function portionSize(segments: number): number {
  return Math.max(MIN_PORTION, Math.ceil(segments / PORTIONS));
}

/** A pack with less alive than this share of it is sparse. */
const SPARSE_BELOW = 0.5;

/**
 * Packs whose living objects should move into new ones: the sparse ones, if that frees more than it writes (what is
 * alive in them, and all records of the checkpoint, since these name the new places). Else none.
 */
export function sparsePacks(
  packs: readonly { segmentId: SegmentId; sizeBytes: number; aliveBytes: number }[],
  recordBytes: number,
): SegmentId[] {
  const sparse = packs.filter(({ sizeBytes, aliveBytes }) => aliveBytes < SPARSE_BELOW * sizeBytes);
  const freedBytes = sparse.reduce((sum, { sizeBytes, aliveBytes }) => sum + sizeBytes - aliveBytes, 0);
  const writtenBytes = sparse.reduce((sum, { aliveBytes }) => sum + aliveBytes, recordBytes);
  return freedBytes > writtenBytes ? sparse.map(({ segmentId }) => segmentId) : [];
}

/** How long to rest after a segment: half of the time, and by the limit where there is one (0 = none). */
export function restMs({ tookMs, bytes, bytesPerSecond }: { tookMs: number; bytes: number; bytesPerSecond: number }): number {
  const byLimit = bytesPerSecond > 0 ? (1000 * bytes) / bytesPerSecond - tookMs : 0;
  return Math.max(0, tookMs, byLimit);
}
