import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portionSize, restMs, sparsePacks } from '#node/core/rewriting.ts';
import { defaultScheme, isUnder, schemeForAnswering } from '#node/core/schemes.ts';

describe('rewriting', () => {
  it('is for segments of other numbers, not for a spare piece or another moment of repair', () => {
    expect(isUnder(defaultScheme(6), defaultScheme(30))).toBe(true);
    expect(isUnder(defaultScheme(6), defaultScheme(4))).toBe(false);
    expect(isUnder(schemeForAnswering(defaultScheme(6), 5)!, defaultScheme(6))).toBe(false);
    expect(isUnder({ required: 6, optimal: 9 }, defaultScheme(31))).toBe(true);
  });

  it('records a version at most 16 times over, and no portion is small', () => {
    expect([1, 16, 256, 257, 100_000].map(portionSize)).toEqual([16, 16, 16, 17, 6250]);
    fc.assert(fc.property(fc.integer({ min: 1, max: 100_000 }), (n) => Math.ceil(n / portionSize(n)) <= 16));
  });

  it('moves what is alive out of packs where that frees more than it writes', () => {
    const pack = (segmentId: string, aliveBytes: number) => ({ segmentId, sizeBytes: 1000, aliveBytes });
    expect(sparsePacks([pack('a', 499), pack('b', 500), pack('c', 0)], 0)).toEqual(['a', 'c']);
    expect(sparsePacks([pack('a', 100)], 799)).toEqual(['a']);
    expect(sparsePacks([pack('a', 100)], 800)).toEqual([]);
    expect(sparsePacks([pack('a', 100), pack('c', 100)], 1599)).toEqual(['a', 'c']);
    expect(sparsePacks([{ segmentId: 'unknown', sizeBytes: 0, aliveBytes: 5 }], 0)).toEqual([]);
  });

  it('rests half of the time, longer where a limit says so', () => {
    expect(restMs({ tookMs: 300, bytes: 1000, bytesPerSecond: 0 })).toBe(300);
    expect(restMs({ tookMs: 300, bytes: 1000, bytesPerSecond: 1000 })).toBe(700);
    expect(restMs({ tookMs: 300, bytes: 1000, bytesPerSecond: 1_000_000 })).toBe(300);
  });
});
