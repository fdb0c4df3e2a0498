import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countByDomain, domainLimit, domainSizes, mostCrowded } from '#node/core/spread.ts';

const farm = (...sizes: number[]) =>
  domainSizes(sizes.flatMap((size, i) => Array.from({ length: size }, () => ({ domain: `zone-${i}` }))));

describe('the limit of a domain', () => {
  it('is f where there are domains enough, else the least that leaves room for all', () => {
    expect(domainLimit(farm(2, 2, 2), 6, 2)).toBe(2);
    expect(domainLimit(farm(3, 3), 6, 2)).toBe(3);
    expect(domainLimit(farm(5, 1), 6, 2)).toBe(5);
    expect(domainLimit(farm(1, 1, 1), 2, 0)).toBe(1);
    expect(domainLimit(farm(), 3, 2)).toBe(2);
    // More than there are farmers: as much as there is.
    expect(domainLimit(farm(3, 1), 9, 1)).toBe(3);
  });

  it('can always be kept, and no lower one can', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 14 }), fc.nat(4), (all, wanted, f) => {
        const count = Math.min(
          wanted,
          all.reduce((sum, size) => sum + size, 0),
        );
        const room = (limit: number) => all.reduce((sum, size) => sum + Math.min(size, limit), 0);
        const limit = domainLimit(farm(...all), count, f);
        expect(room(limit)).toBeGreaterThanOrEqual(count);
        if (limit > Math.max(1, f)) expect(room(limit - 1)).toBeLessThan(count);
      }),
    );
  });

  it('is passed in the fullest domain first', () => {
    const of = (farmer: string) => (farmer === 'lone' ? undefined : farmer[0]);
    const counts = countByDomain(['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'b4', 'lone'], of);
    expect(Object.fromEntries(counts)).toEqual({ a: 3, b: 4, lone: 1 });
    expect([2, 3, 4].map((limit) => mostCrowded(counts, limit))).toEqual(['b', 'b', null]);
  });
});
