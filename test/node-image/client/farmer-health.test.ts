import { describe, expect, it } from 'vitest';
import { farmerHealth } from '#node/client/farmer-health.ts';

describe('who answers', () => {
  it('pauses a farmer that fails, longer each time, and forgets it when it does well', () => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    expect(health.answers('a')).toBe(true);
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      health.bad('a');
      const from = nowMs;
      while (!health.answers('a')) nowMs += 500;
      pauses.push(nowMs - from);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    health.bad('a');
    health.good('a', 1);
    expect(health.answers('a')).toBe(true);
    health.bad('a');
    nowMs += 1000;
    expect(health.answers('a')).toBe(true);
  });

  it('gives no piece for a while to who refused one, but reads from it', () => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    health.refused('a');
    expect([health.answers('a'), health.takes('a'), health.takes('b')]).toEqual([true, false, true]);
    nowMs += 15_000;
    expect(health.takes('a')).toBe(true);
    health.bad('a');
    expect(health.takes('a')).toBe(false);
  });

  it('keeps a liar out though it answers', () => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    health.lied('a');
    health.good('a', 1);
    expect(health.answers('a')).toBe(false);
    nowMs += 10 * 60_000;
    expect(health.answers('a')).toBe(true);
    expect(health.snapshot()).toEqual([{ farmer: 'a', answers: true, failures: 0, lies: 1, typicalMs: null }]);
  });

  it('puts fast ones first and failing ones last, and forgets old speeds', () => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    health.good('slow', 500);
    health.good('fast', 5);
    health.bad('broken');
    expect(health.ranked(['broken', 'slow', 'fast', 'unknown'])).toEqual(['unknown', 'fast', 'slow', 'broken']);
    nowMs += 31_000;
    expect(health.typicalMs('slow')).toBeNull();
    health.forget('broken');
    expect(health.snapshot().map(({ farmer }) => farmer)).toEqual(['slow', 'fast']);
  });
});
