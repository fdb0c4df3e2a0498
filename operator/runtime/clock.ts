// Time and dice as they are handed to the runtime, so that tests run on their own.

export interface Clock {
  /** Wall clock, milliseconds since 1970; may jump. For what people and other machines read. */
  nowMs(): number;
  /** Never goes back; for all measuring and waiting. */
  monotonicMs(): number;
  /** Runs once, later; returns what cancels it. */
  schedule(afterMs: number, run: () => void): () => void;
}

/** Even in [0, 1). */
export type Random = () => number;

/** Longer times would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  schedule(afterMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, afterMs), longestTimerMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `afterMs`; rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, afterMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.schedule(afterMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
