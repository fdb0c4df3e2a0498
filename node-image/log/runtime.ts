// Clock and dice of those who ask farmers for something: handed in, so that the same seed gives the same run.
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

export interface Runtime {
  nowMs(): number;
  /** Fresh random bytes. */
  random(sizeBytes: number): Uint8Array;
  /** Rejects when the signal aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemRuntime: Runtime = {
  nowMs: () => Date.now(),
  random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
  sleep: (delayMs, signal) => wait(delayMs, undefined, signal ? { signal } : {}),
};

/** Delay before attempt n (from 0): doubles from `firstMs` to `maxMs`, the upper half of it by chance. */
export function backoffMs(runtime: Runtime, attempt: number, firstMs = 100, maxMs = 10_000): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 20));
  return full / 2 + ((full / 2) * runtime.random(1)[0]!) / 255;
}
