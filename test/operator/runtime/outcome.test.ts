import { describe, expect, test } from 'vitest';
import { backoffMs } from '#operator/runtime/backoff.ts';
import { sleep } from '#operator/runtime/clock.ts';
import {
  DeadlineError,
  done,
  judgeError,
  judgeOutcome,
  requeueAfter,
  StalledError,
  WaitingError,
} from '#operator/runtime/outcome.ts';
import { createRateBucket } from '#operator/runtime/rate-bucket.ts';
import { createFakeClock } from './fake-clock.ts';

describe('what becomes of a key', () => {
  test.each([
    ['nothing to do', judgeOutcome(done), 'success', 'done', { type: 'forget' }],
    ['look again', judgeOutcome(requeueAfter(500)), 'requeue_after', 'done', { type: 'after', afterMs: 500 }],
    ['stalled', judgeError(new StalledError('Bad', 'fix it')), 'error', 'stalled', { type: 'forget' }],
    [
      'stalled on what can’t be watched',
      judgeError(new StalledError('Bad', 'fix it', { recheckAfterMs: 9 })),
      'error',
      'stalled',
      { type: 'after', afterMs: 9 },
    ],
    [
      'waiting',
      judgeError(new WaitingError('NotYet', 'soon', { requeueAfterMs: 3 })),
      'requeue_after',
      'waiting',
      { type: 'after', afterMs: 3 },
    ],
    ['late', judgeError(new DeadlineError(1)), 'error', 'deadline', { type: 'backoff' }],
    ['a bug', judgeError(new TypeError('x is undefined')), 'error', 'panic', { type: 'backoff' }],
    ['not even an error', judgeError('text'), 'error', 'panic', { type: 'backoff' }],
    ['anything else', judgeError(new Error('no route')), 'error', 'error', { type: 'backoff' }],
  ])('%s', (_name, verdict, result, kind, next) => {
    expect(verdict).toEqual({ result, kind, next });
  });
});

describe('backoff', () => {
  test('jitter stays within a quarter, and never above the bound', () => {
    const backoff = { baseMs: 100, maxMs: 1000 };
    expect([backoffMs(backoff, 1, () => 0), backoffMs(backoff, 1, () => 0.999999)]).toEqual([75, expect.closeTo(125, 3)]);
    expect(backoffMs(backoff, 5000, () => 0.999999)).toBe(1000);
    expect(backoffMs(backoff, 5000, () => 0)).toBe(750);
  });
});

describe('rate bucket', () => {
  test('gives its burst at once and its rate later, not more than its burst after a rest', async () => {
    const clock = createFakeClock();
    const bucket = createRateBucket({ burst: 2, perSecond: 10 }, clock);
    const takeAll = (): number => {
      let taken = 0;
      while (bucket.take()) taken += 1;
      return taken;
    };
    expect(takeAll()).toBe(2);
    expect(bucket.full()).toBe(false);
    await clock.advance(100);
    expect(takeAll()).toBe(1);
    await clock.advance(60_000);
    expect(bucket.full()).toBe(true);
    expect(takeAll()).toBe(2);
  });
});

describe('sleep', () => {
  test('ends at its time, or at once with the reason of its signal, and leaves no timer', async () => {
    const clock = createFakeClock();
    const stop = new AbortController();
    const slept = sleep(clock, 100, stop.signal);
    const cut = sleep(clock, 200, stop.signal).catch((error: unknown) => error);
    await clock.advance(100);
    await slept;
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await cut).toBe(reason);
    await expect(sleep(clock, 1, stop.signal)).rejects.toBe(reason);
    expect(clock.timers).toBe(0);
  });
});
