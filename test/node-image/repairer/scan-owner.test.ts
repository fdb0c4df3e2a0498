import { describe, expect, it } from 'vitest';
import { stillAsked } from '#node/repairer/scan-owner.ts';

const set = (...members: string[]) => ({ members });

describe('who has left a replica set', () => {
  it('is asked until every new member has answered', () => {
    const [before, now] = [set('a', 'b', 'c', 'd'), set('a', 'b', 'x', 'y')];
    expect(stillAsked(now, before, new Set(['a', 'b', 'x']))).toEqual(['c', 'd']);
    expect(stillAsked(now, before, new Set(['x', 'y']))).toEqual([]);
  });

  it('is asked by all where nobody is new', () => {
    expect(stillAsked(set('a', 'b'), set('a', 'b', 'c'), new Set(['a']))).toEqual(['c']);
    expect(stillAsked(set('a', 'b'), set('a', 'b', 'c'), new Set(['a', 'b']))).toEqual([]);
  });

  it('is nobody under the first set', () => {
    expect(stillAsked(set('a', 'b'), null, new Set())).toEqual([]);
  });
});
