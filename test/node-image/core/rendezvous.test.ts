import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { nearest } from '#node/core/rendezvous.ts';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex);
const farmers = fc.uniqueArray(key, { minLength: 1, maxLength: 30 });

describe('nearest', () => {
  it('is the same for everybody, whatever the order they know farmers in', () => {
    fc.assert(
      fc.property(key, farmers, (owner, all) => {
        expect(nearest(owner, [...all, ...all].toReversed())).toEqual(nearest(owner, all));
        expect(nearest(owner, all)).toHaveLength(Math.min(9, all.length));
      }),
    );
  });

  it('a newcomer takes at most one place, one who goes frees only his own', () => {
    fc.assert(
      fc.property(key, farmers, key, (owner, all, newcomer) => {
        const before = nearest(owner, all);
        const after = nearest(owner, [...all, newcomer]);
        expect(after.filter((farmer) => !before.includes(farmer) && farmer !== newcomer)).toEqual([]);
      }),
    );
  });

  it('spreads owners over farmers', () => {
    const all = Array.from({ length: 40 }, (_, i) => toHex(new Uint8Array(32).fill(i)));
    const used = new Set(Array.from({ length: 40 }, (_, i) => nearest(toHex(new Uint8Array(32).fill(100 + i)), all)).flat());
    expect(used.size).toBe(40);
  });
});
