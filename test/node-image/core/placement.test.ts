import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePlaces, chooseReplicas, type PlacementCandidate } from '#node/core/placement.ts';

const farm = (domains: readonly number[], extra: Partial<PlacementCandidate> = {}): PlacementCandidate[] =>
  domains.flatMap((size, domain) =>
    Array.from({ length: size }, (_, i) => ({ farmer: `${domain}-${i}`, domain: `zone-${domain}`, ...extra })),
  );
const domainCounts = (chosen: readonly string[]) => {
  const counts = new Map<string, number>();
  for (const farmer of chosen) counts.set(farmer.split('-')[0]!, (counts.get(farmer.split('-')[0]!) ?? 0) + 1);
  return [...counts.values()];
};

const question = fc.record({
  domains: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
  count: fc.integer({ min: 1, max: 14 }),
  f: fc.integer({ min: 0, max: 4 }),
  seed: fc.string({ maxLength: 8 }),
});

describe('places', () => {
  it('are distinct, as many as asked for or as there are, and the same each time', () => {
    fc.assert(
      fc.property(question, ({ domains, count, f, seed }) => {
        const farmers = farm(domains);
        const chosen = choosePlaces({ farmers, count, f, seed });
        expect(new Set(chosen).size).toBe(chosen.length);
        expect(chosen).toHaveLength(Math.min(count, farmers.length));
        expect(choosePlaces({ farmers: farmers.toReversed(), count, f, seed })).toEqual(chosen);
      }),
    );
  });

  it('no domain gets more than f where domains are enough, else no more than must be', () => {
    fc.assert(
      fc.property(question, ({ domains, count, f, seed }) => {
        const chosen = choosePlaces({ farmers: farm(domains), count, f, seed });
        const room = (limit: number) => domains.reduce((sum, size) => sum + Math.min(size, limit), 0);
        let least = Math.max(1, f);
        while (room(least) < chosen.length) least++;
        expect(Math.max(...domainCounts(chosen))).toBeLessThanOrEqual(least);
      }),
    );
  });

  it('leave out who is excluded, full, or holds already; what is held counts in its domain', () => {
    const farmers = [...farm([2, 2]), { farmer: 'full', domain: 'zone-9', freeBytes: 0 }];
    expect(choosePlaces({ farmers, count: 9, f: 2, seed: 's' }).toSorted()).toEqual(['0-0', '0-1', '1-0', '1-1']);
    const exclude = new Set(['0-0', '0-1', '1-0']);
    expect(choosePlaces({ farmers, count: 9, f: 2, seed: 's', exclude })).toEqual(['1-1']);
    const next = choosePlaces({ farmers, count: 1, f: 1, seed: 's', placed: ['0-0'] });
    expect(next[0]).toMatch(/^1-/);
  });

  it('follow the weights', () => {
    const farmers = [
      { farmer: 'big', domain: 'a', freeBytes: 3e12 },
      { farmer: 'small', domain: 'b', freeBytes: 1e12 },
    ];
    let big = 0;
    for (let i = 0; i < 2000; i++) if (choosePlaces({ farmers, count: 1, f: 1, seed: `${i}` })[0] === 'big') big++;
    expect(big / 2000).toBeGreaterThan(0.7);
    expect(big / 2000).toBeLessThan(0.8);
  });

  it('move little when a farmer goes', () => {
    const farmers = farm(Array.from({ length: 20 }, () => 1));
    const gone = farmers[3]!.farmer;
    for (let i = 0; i < 50; i++) {
      const before = choosePlaces({ farmers, count: 6, f: 2, seed: `${i}` });
      const after = choosePlaces({ farmers: farmers.filter(({ farmer }) => farmer !== gone), count: 6, f: 2, seed: `${i}` });
      const kept = before.filter((farmer) => farmer !== gone);
      expect(after.filter((farmer) => kept.includes(farmer))).toEqual(kept);
    }
  });
});

describe('replicas', () => {
  it('fill up a set', () => {
    const farmers = farm([3, 3, 3]);
    const set = chooseReplicas({ farmers, replicas: 5, f: 2, seed: 'bucket' });
    expect(set).toHaveLength(5);
    expect(Math.max(...domainCounts(set))).toBe(2);
    const [lost, ...placed] = set;
    const [added, ...none] = chooseReplicas({ farmers, replicas: 5, f: 2, seed: 'bucket', placed, exclude: new Set([lost!]) });
    expect(none).toEqual([]);
    expect(Math.max(...domainCounts([...placed, added!]))).toBe(2);
    expect(chooseReplicas({ farmers, replicas: 5, f: 2, seed: 'bucket', placed: set })).toEqual([]);
  });
});
