import { describe, expect, it } from 'vitest';
import { Bandwidth, ByteBudget, type Pace } from '#node/repairer/limits.ts';

const never = new AbortController().signal;

/** A clock that jumps to the end of each sleep. */
function jumpingPace(): Pace & { atMs: number } {
  const pace = {
    atMs: 1_000_000,
    nowMs: () => pace.atMs,
    sleep: (ms: number, signal: AbortSignal) => {
      signal.throwIfAborted();
      pace.atMs += ms;
      return Promise.resolve();
    },
  };
  return pace;
}

describe('byte budget', () => {
  it('grants in order and never more than there is', async () => {
    const budget = new ByteBudget(100);
    const done: string[] = [];
    const first = await budget.take(60, never);
    const second = budget.take(60, never).then((giveBack) => {
      done.push('second');
      return giveBack;
    });
    const small = budget.take(10, never).then((giveBack) => {
      done.push('small');
      return giveBack;
    });
    await Promise.resolve();
    expect(done).toEqual([]);
    first();
    first();
    (await second)();
    (await small)();
    expect(done).toEqual(['second', 'small']);
    await budget.take(100, never);
  });

  it('grants a share above the whole budget alone', async () => {
    const budget = new ByteBudget(100);
    const giveBack = await budget.take(1000, never);
    const next = budget.take(1, never);
    giveBack();
    await next;
  });

  it('lets an aborted one go, and the next one in', async () => {
    const budget = new ByteBudget(100);
    const first = await budget.take(80, never);
    const abort = new AbortController();
    const waiting = budget.take(90, abort.signal);
    const behind = budget.take(20, never);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await behind;
    first();
    await expect(budget.take(1, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  });
});

describe('bandwidth', () => {
  it('holds the limit over time', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    bandwidth.setLimit(1000);
    const start = pace.atMs;
    for (let sent = 0; sent < 100; sent++) await bandwidth.take(500, never);
    // 50,000 bytes at 1,000 a second, less one second of burst and the last share.
    expect(pace.atMs - start).toBeGreaterThanOrEqual(48_000);
    expect(pace.atMs - start).toBeLessThanOrEqual(50_000);
  });

  it('saves up no more than a second', async () => {
    const pace = jumpingPace();
    const bandwidth = new Bandwidth(pace);
    bandwidth.setLimit(1000);
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
    bandwidth.setLimit(1);
    await bandwidth.take(1e6, never);
    bandwidth.setLimit(0);
    await bandwidth.take(1e12, never);
    expect(pace.atMs).toBe(start);
  });
});
