// In what portions segments are brought to the farm's scheme, and how fast. Pure.

/** A version is recorded anew after so many segments, */
const MIN_PORTION = 16;
/** or after this share of them: each record names all of its segments. */
const PORTIONS = 16;

/** How many segments of a version with so many are recorded together. */
export function portionSize(segments: number): number {
  return Math.max(MIN_PORTION, Math.ceil(segments / PORTIONS));
}

/** How long to rest after a segment: half of the time, and by the limit where there is one (0 = none). */
export function restMs({ tookMs, bytes, bytesPerSecond }: { tookMs: number; bytes: number; bytesPerSecond: number }): number {
  const byLimit = bytesPerSecond > 0 ? (1000 * bytes) / bytesPerSecond - tookMs : 0;
  return Math.max(0, tookMs, byLimit);
}
