import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  movesUpTo,
  replicaSetHealth,
  segmentHealth,
  worseState,
  type FarmerState,
  type SegmentHolders,
} from '#node/core/segment-health.ts';
import type { Scheme } from '#node/wire/types.ts';

const SIX: Scheme = { required: 4, repair: 5, optimal: 6, total: 6 };
const TEN: Scheme = { required: 6, repair: 8, optimal: 9, total: 10 };

/** One holder for each piece: 'a', 'b', 'c', … */
const letters = (count: number) => Array.from({ length: count }, (_, index) => [String.fromCharCode(97 + index)]);
const states = (some: Record<string, FarmerState>) => (farmer: string) => some[farmer] ?? 'Online';
const judge = (scheme: Scheme, holders: string[][], some: Record<string, FarmerState> = {}, activeFarmers = 20) =>
  segmentHealth({ scheme, holders }, states(some), { activeFarmers });

describe('segment health', () => {
  it('calls a whole segment healthy', () => {
    expect(judge(SIX, letters(6))).toEqual({
      counted: ['a', 'b', 'c', 'd', 'e', 'f'],
      healthy: 6,
      staying: 6,
      missing: [],
      leaving: [],
      crowded: [],
      margin: 2,
      state: 'Healthy',
      queued: false,
    });
  });

  it('counts an offline farmer as healthy and a lost one not', () => {
    expect(judge(SIX, letters(6), { b: 'Offline' })).toMatchObject({ healthy: 6, queued: false, state: 'Healthy' });
    expect(judge(SIX, letters(6), { b: 'Lost' })).toMatchObject({ healthy: 5, missing: [1], queued: true, state: 'Degraded' });
  });

  it.each([
    [0, 2, 'Healthy', false],
    [1, 1, 'Degraded', true],
    [2, 0, 'AtRisk', true],
    [3, -1, 'Unreadable', true],
  ])('with %i of six lost has margin %i, is %s', (lost, margin, state, queued) => {
    const gone = Object.fromEntries(['a', 'b', 'c', 'd'].slice(0, lost).map((name) => [name, 'Lost' as const]));
    expect(judge(SIX, letters(6), gone)).toMatchObject({ margin, state, queued });
  });

  it('does not queue above `repair`, nor at `optimal`', () => {
    expect(judge(TEN, letters(10), { a: 'Lost' })).toMatchObject({ healthy: 9, queued: false, state: 'Healthy' });
    expect(judge({ ...TEN, repair: 7 }, letters(10), { a: 'Lost', b: 'Lost' })).toMatchObject({ healthy: 8, queued: false });
    expect(judge(TEN, letters(10), { a: 'Lost', b: 'Lost' })).toMatchObject({ healthy: 8, queued: true });
    expect(judge({ required: 1, repair: 1, optimal: 1, total: 1 }, [['a']])).toMatchObject({ queued: false, state: 'Healthy' });
  });

  it('keeps a leaving farmer’s piece in the count and queues it to be moved', () => {
    expect(judge(SIX, letters(6), { c: 'Leaving' })).toMatchObject({
      healthy: 6,
      staying: 5,
      leaving: [2],
      missing: [],
      margin: 2,
      state: 'Healthy',
      queued: true,
    });
  });

  it('is done moving as soon as another farmer that stays holds the piece', () => {
    const moved = letters(6);
    moved[2] = ['c', 'x'];
    expect(judge(SIX, moved, { c: 'Leaving' })).toMatchObject({ staying: 6, leaving: [], queued: false });
    expect(judge(SIX, moved, { c: 'Leaving', x: 'Lost' })).toMatchObject({ staying: 5, leaving: [2], queued: true });
  });

  it('does not call it moved when the other holder already counts for another piece', () => {
    const doubled = letters(6);
    doubled[2] = ['c', 'd'];
    expect(judge(SIX, doubled, { c: 'Leaving' })).toMatchObject({ staying: 5, queued: true });
  });

  it('moves a spare piece only where there is a farmer for it', () => {
    expect(judge(TEN, letters(10), { a: 'Leaving' }, 9)).toMatchObject({ leaving: [0], queued: false });
    expect(judge(TEN, letters(10), { a: 'Leaving' }, 10)).toMatchObject({ leaving: [0], queued: true });
    // Below optimal it stays queued although there is no farmer: the drain has to wait.
    expect(judge(SIX, letters(6), { a: 'Leaving' }, 5)).toMatchObject({ leaving: [0], queued: true });
    expect(movesUpTo(TEN, { activeFarmers: 3 })).toBe(9);
    expect(movesUpTo(TEN, { activeFarmers: 30 })).toBe(10);
  });

  it('counts a farmer once, whatever it holds', () => {
    expect(judge(SIX, [['a'], ['a'], ['a'], ['b'], ['c'], ['d']])).toMatchObject({ healthy: 4, margin: 0, state: 'AtRisk' });
  });

  it('lets a piece step aside so that more count', () => {
    // Piece 1 is only on a; piece 0 is on a and on z.
    const holders = [['a', 'z'], ['a'], ['c'], ['d'], ['e'], ['f']];
    expect(judge(SIX, holders).counted).toEqual(['z', 'a', 'c', 'd', 'e', 'f']);
  });

  it('treats null places (a cut tail) as missing', () => {
    const cut = letters(10);
    cut[9] = [];
    expect(judge(TEN, cut)).toMatchObject({ healthy: 9, missing: [9], queued: false, state: 'Healthy' });
  });
});

describe('segment health, for any segment', () => {
  const farmer = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const state = fc.constantFrom<FarmerState>('Online', 'Offline', 'Leaving', 'Lost');
  const world = fc.record({
    holders: fc.array(fc.uniqueArray(farmer, { maxLength: 3 }), { minLength: 1, maxLength: 6 }),
    states: fc.dictionary(farmer, state),
  });
  const schemeOf = (total: number): Scheme => ({
    required: Math.ceil(total / 2),
    repair: Math.ceil(total / 2),
    optimal: total,
    total,
  });

  /** The slow and obvious way: try every choice. */
  const most = (holders: readonly (readonly string[])[], used: Set<string>, piece = 0): number => {
    if (piece === holders.length) return 0;
    const rest = most(holders, used, piece + 1);
    return Math.max(
      rest,
      ...holders[piece]!.filter((one) => !used.has(one)).map((one) => 1 + most(holders, new Set([...used, one]), piece + 1)),
    );
  };
  const only = (holders: string[][], keep: (farmer: string) => boolean) => holders.map((some) => some.filter(keep));

  it('finds the greatest number of pieces on distinct farmers', () => {
    fc.assert(
      fc.property(world, ({ holders, states: some }) => {
        const of = states(some);
        const health = segmentHealth({ scheme: schemeOf(holders.length), holders }, of, { activeFarmers: 6 });
        expect(health.healthy).toBe(
          most(
            only(holders, (one) => of(one) !== 'Lost'),
            new Set(),
          ),
        );
        expect(health.staying).toBe(
          most(
            only(holders, (one) => ['Online', 'Offline'].includes(of(one))),
            new Set(),
          ),
        );
      }),
    );
  });

  it('accounts for every piece, and names only real holders, each once', () => {
    fc.assert(
      fc.property(world, ({ holders, states: some }) => {
        const of = states(some);
        const segment: SegmentHolders = { scheme: schemeOf(holders.length), holders };
        const health = segmentHealth(segment, of, { activeFarmers: 6 });
        const named = health.counted.filter((one) => one !== null);
        expect(new Set(named).size).toBe(named.length);
        for (const [piece, one] of health.counted.entries()) if (one !== null) expect(holders[piece]).toContain(one);
        expect(health.missing.length + health.healthy).toBe(holders.length);
        expect(health.leaving.length).toBe(health.healthy - health.staying);
        expect(named.some((one) => of(one) === 'Lost')).toBe(false);
      }),
    );
  });

  it('one more holder never makes it worse, one more loss never better', () => {
    fc.assert(
      fc.property(world, farmer, fc.nat(5), ({ holders, states: some }, one, where) => {
        const scheme = schemeOf(holders.length);
        const judged = (h: string[][], s: Record<string, FarmerState>) =>
          segmentHealth({ scheme, holders: h }, states(s), { activeFarmers: 6 });
        const before = judged(holders, some);
        const more = holders.map((list, piece) => (piece === where % holders.length ? [...new Set([...list, one])] : list));
        expect(judged(more, some).healthy).toBeGreaterThanOrEqual(before.healthy);
        const after = judged(holders, { ...some, [one]: 'Lost' });
        expect(after.margin).toBeLessThanOrEqual(before.margin);
        // The margin's word: any `margin` farmers may go.
        expect(after.margin).toBeGreaterThanOrEqual(before.margin - 1);
      }),
    );
  });
});

describe('replica sets', () => {
  const set = { f: 2, members: ['a', 'b', 'c', 'd', 'e'] };
  it.each([
    [[], 2, 'Healthy'],
    [['a'], 1, 'Degraded'],
    [['a', 'b'], 0, 'AtRisk'],
    [['a', 'b', 'c'], -1, 'Unreadable'],
  ] as const)('with %j lost: margin %i, %s', (lost, margin, state) => {
    const of = (farmer: string): FarmerState => ((lost as readonly string[]).includes(farmer) ? 'Lost' : 'Online');
    expect(replicaSetHealth(set, of)).toEqual({ margin, state });
  });

  it('with f = 0 a whole set is healthy', () => {
    expect(replicaSetHealth({ f: 0, members: ['a'] }, () => 'Online')).toEqual({ margin: 0, state: 'Healthy' });
  });

  it('the worse of two states', () => {
    expect(worseState('Degraded', 'AtRisk')).toBe('AtRisk');
    expect(worseState('Unreadable', 'Healthy')).toBe('Unreadable');
  });
});
