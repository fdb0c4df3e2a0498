// Clock and dice, handed in wherever time or chance matters, so that the same seed gives the same run.
import { randomBytes } from 'node:crypto';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';

export interface Runtime {
  /** What the date says. A clock may be set back: what is waited for, and what took how long, goes by `elapsedMs`. */
  nowMs(): number;
  /** Since some moment; never goes back. */
  elapsedMs(): number;
  /** Fresh random bytes. */
  random(sizeBytes: number): Uint8Array;
  /** Rejects when the signal aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Aborts when this time is over, or with one of `others`. */
  deadline(delayMs: number, ...others: AbortSignal[]): AbortSignal;
  /** Lets everything else that is due go first. */
  turn(): Promise<void>;
}

export const systemRuntime: Runtime = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
  sleep: (delayMs, signal) => wait(delayMs, undefined, signal ? { signal } : {}),
  deadline: (delayMs, ...others) => AbortSignal.any([AbortSignal.timeout(delayMs), ...others]),
  turn: () => turn(),
};

/** Resolves early when the signal aborts. */
export async function pause(runtime: Runtime, delayMs: number, signal: AbortSignal): Promise<void> {
  await runtime.sleep(delayMs, signal).catch(() => {});
}

/** Delay before attempt n (from 0): doubles from `firstMs` to `maxMs`, the upper half of it by chance. */
export function backoffMs(runtime: Runtime, attempt: number, firstMs = 100, maxMs = 10_000): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 20));
  return full / 2 + ((full / 2) * runtime.random(1)[0]!) / 255;
}
