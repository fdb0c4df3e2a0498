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
    health.good('a', 'read', 1);
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
    health.good('a', 'read', 1);
    expect(health.answers('a')).toBe(false);
    nowMs += 10 * 60_000;
    expect(health.answers('a')).toBe(true);
    expect(health.snapshot()).toEqual([{ farmer: 'a', answers: true, failures: 0, lies: 1, isSlow: false, typicalMs: null }]);
  });

  it('puts fast ones first and failing ones last, and forgets old speeds', () => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    health.good('slow', 'read', 500);
    health.good('fast', 'read', 5);
    health.bad('broken');
    expect(health.ranked(['broken', 'slow', 'fast', 'unknown'])).toEqual(['unknown', 'fast', 'slow', 'broken']);
    nowMs += 31_000;
    expect(health.typicalMs('slow')).toBeNull();
    health.forget('broken');
    expect(health.snapshot().map(({ farmer }) => farmer)).toEqual(['slow', 'fast']);
  });
});

describe('who is slow', () => {
  const farmers = ['a', 'b', 'c', 'd'];
  const measured = (of: 'read' | 'write', times: Record<string, number>, rounds = 8) => {
    let nowMs = 0;
    const health = farmerHealth(() => nowMs);
    for (let i = 0; i < rounds; i++) for (const [farmer, ms] of Object.entries(times)) health.good(farmer, of, ms);
    return { health, later: (ms: number) => (nowMs += ms) };
  };

  it.each(['read', 'write'] as const)('is so by the others, again and again, at a %s', (of) => {
    const { health, later } = measured(of, { a: 2, b: 3, c: 2, d: 40 });
    expect(farmers.filter(health.isSlow)).toEqual(['d']);
    expect(health.snapshot().filter(({ isSlow }) => isSlow)).toHaveLength(1);
    later(31_000);
    expect(health.isSlow('d')).toBe(false);
  });

  it('is nobody after one bad moment, on a slow line, or where all are fast', () => {
    const { health } = measured('read', { a: 2, b: 3, c: 2, d: 3 });
    health.good('d', 'read', 5000);
    expect(farmers.filter(health.isSlow)).toEqual([]);
    expect(farmers.filter(measured('read', { a: 200, b: 300, c: 250, d: 400 }).health.isSlow)).toEqual([]);
    expect(farmers.filter(measured('read', { a: 0.1, b: 0.1, c: 0.1, d: 2 }).health.isSlow)).toEqual([]);
    expect(farmers.filter(measured('read', { a: 2, b: 3, c: 2, d: 40 }, 4).health.isSlow)).toEqual([]);
  });

  it('does not change what counts as late', () => {
    expect(measured('read', { a: 2 }, 4).health.tailMs()).toBeNull();
    expect(measured('read', { a: 2, b: 3, c: 2, d: 4000 }).health.tailMs()).toBeLessThanOrEqual(3);
  });
});
