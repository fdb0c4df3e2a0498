// Growing, bounded, jittered pauses.
import type { Random } from './clock.ts';

export interface Backoff {
  /** Pause after the first failure. */
  baseMs: number;
  maxMs: number;
}

/** Share of the pause that is left to chance, so that what failed together doesn't come back together. */
const jitter = 0.25;

/** Pause before the next attempt after `failures` ≥ 1 failures: doubling, within ± 25 %, never above `maxMs`. */
export function backoffMs(backoff: Backoff, failures: number, random: Random): number {
  const exact = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(failures - 1, 52));
  return Math.min(backoff.maxMs, exact * (1 - jitter + 2 * jitter * random()));
}
