import { describe, expect, it } from 'vitest';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import { Bandwidth } from '#node/repairer/bandwidth.ts';

const never = new AbortController().signal;

/** A clock that jumps to the end of each sleep. */
function jumpingPace(): Runtime & { atMs: number } {
  const pace = {
    ...systemRuntime,
    atMs: 1_000_000,
    elapsedMs: () => pace.atMs,
    sleep: (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      pace.atMs += ms;
      return Promise.resolve();
    },
  };
  return pace;
}

describe('bandwidth', () => {
  it('holds the limit over time', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    bandwidth.setLimit(1000, 1);
    const start = pace.atMs;
    for (let sent = 0; sent < 100; sent++) await bandwidth.take(500, never);
    // 50,000 bytes at 1,000 a second, less one second of burst and the last share.
    expect(pace.atMs - start).toBeGreaterThanOrEqual(48_000);
    expect(pace.atMs - start).toBeLessThanOrEqual(50_000);
  });

  it('is shared by the farm’s repairers', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    bandwidth.setLimit(3000, 3);
    const start = pace.atMs;
    for (let sent = 0; sent < 50; sent++) await bandwidth.take(1000, never);
    expect(pace.atMs - start).toBeGreaterThanOrEqual(48_000);
  });

  it('saves up no more than a second', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    bandwidth.setLimit(1000, 1);
    pace.atMs += 3_600_000;
    const start = pace.atMs;
    for (let sent = 0; sent < 10; sent++) await bandwidth.take(1000, never);
    expect(pace.atMs - start).toBeGreaterThanOrEqual(8000);
  });

  it('without a limit nobody waits, and lifting it forgives', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    const start = pace.atMs;
    await bandwidth.take(1e12, never);
    bandwidth.setLimit(1, 1);
    await bandwidth.take(1e6, never);
    bandwidth.setLimit(0, 1);
    await bandwidth.take(1e12, never);
    expect(pace.atMs).toBe(start);
  });
});
