// How long farmers take for a leaf, by what was measured last: what is usual, what nearly all stay below, and
// who is slow again and again.
import type { PublicKey } from '#node/wire/types.ts';

/** A time so old says nothing: a slow farmer gets another chance. */
const HOLDS_MS = 30_000;
/** Newest times kept for each farmer. */
const MAX_SAMPLES = 32;
/** Fewer are an accident. */
const MIN_SAMPLES = 5;
/** So many times slower than the middle one … */
const SLOW_FACTOR = 4;
/** … and slower than 16 MiB a second: below that nobody is held up. */
const SLOW_MS = 4;
const TAIL = 0.95;

export interface FarmerSpeeds {
  add(farmer: PublicKey, msPerLeaf: number): void;
  /** Half of its times were shorter; null where it isn't known (any more). */
  typicalMs(farmer: PublicKey): number | null;
  isSlow(farmer: PublicKey): boolean;
  /** By the farmer in the middle: one that is slow doesn't change it. Null where too little is known. */
  tailMs(): number | null;
  forget(farmer: PublicKey): void;
}

export function farmerSpeeds(nowMs: () => number): FarmerSpeeds {
  const samples = new Map<PublicKey, { msPerLeaf: number; atMs: number }[]>();
  const recent = (farmer: PublicKey): number[] =>
    (samples.get(farmer) ?? []).flatMap(({ msPerLeaf, atMs }) => (nowMs() - atMs < HOLDS_MS ? [msPerLeaf] : []));
  const typicalMs = (farmer: PublicKey) => quantile(recent(farmer), 0.5);
  /** Of all farmers of which enough is known. */
  const middle = (share: number) => {
    const known = [...samples.keys()].map(recent).filter(({ length }) => length >= MIN_SAMPLES);
    return quantile(
      known.map((times) => quantile(times, share)!),
      0.5,
    );
  };
  return {
    typicalMs,
    add(farmer, msPerLeaf) {
      const times = samples.get(farmer) ?? [];
      times.push({ msPerLeaf, atMs: nowMs() });
      if (times.length > MAX_SAMPLES) times.shift();
      samples.set(farmer, times);
    },
    isSlow(farmer) {
      const times = recent(farmer);
      if (times.length < MIN_SAMPLES) return false;
      const own = quantile(times, 0.5)!;
      return own > SLOW_MS && own > SLOW_FACTOR * middle(0.5)!;
    },
    tailMs: () => middle(TAIL),
    forget: (farmer) => void samples.delete(farmer),
  };
}

/** The lower one of two in the middle; null of nothing. */
function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? null;
}
