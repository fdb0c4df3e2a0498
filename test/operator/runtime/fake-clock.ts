// A clock that stands still until a test moves it.
import type { Clock } from '#operator/runtime/clock.ts';

export interface FakeClock extends Clock {
  /** Moves on, runs what is due in its order, and lets everything that follows from it happen. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly timers: number;
  /** Sets the wall clock alone. */
  jumpWall(ms: number): void;
}

/** Lets all promises that can go on do so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let nowMs = 0;
  let wallMs = startMs;
  let ids = 0;
  const timers = new Map<number, { atMs: number; run: () => void }>();
  return {
    nowMs: () => wallMs + nowMs,
    monotonicMs: () => nowMs,
    schedule(afterMs, run) {
      ids += 1;
      const id = ids;
      timers.set(id, { atMs: nowMs + Math.max(0, afterMs), run });
      return () => void timers.delete(id);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(([, { atMs }]) => atMs <= untilMs).sort(([a, x], [b, y]) => x.atMs - y.atMs || a - b)[0];
        if (due === undefined) break;
        const [id, { atMs, run }] = due;
        timers.delete(id);
        nowMs = Math.max(nowMs, atMs);
        run();
        await settle();
      }
      nowMs = untilMs;
    },
    get timers() {
      return timers.size;
    },
    jumpWall: (ms) => void (wallMs += ms),
  };
}
