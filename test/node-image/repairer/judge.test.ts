import { describe, expect, it } from 'vitest';
import type { FarmerState } from '#node/core/segment-health.ts';
import { segmentHealth } from '#node/core/segment-health.ts';
import { FarmerWatch } from '#node/repairer/farmer-watch.ts';
import { Judge, piecesToMove } from '#node/repairer/judge.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { farmConfig } from '#test/node-image/repairer/support/farm-config.ts';

const key = (index: number) => String(index).padStart(64, '0');
const never = new AbortController().signal;
const SCHEME = { required: 2, repair: 2, optimal: 3, total: 3 };

describe('pieces to move', () => {
  const of = (holders: string[][], some: Record<string, FarmerState>, activeFarmers = 9) => {
    const stateOf = (farmer: string) => some[farmer] ?? 'Online';
    const segment = { scheme: SCHEME, holders };
    const farm = { activeFarmers };
    return piecesToMove(segment, segmentHealth(segment, stateOf, farm), stateOf, farm);
  };

  it('names leaving and lost holders whose piece nobody else holds', () => {
    expect(of([['a'], ['b'], ['c']], {})).toEqual([]);
    expect(of([['a'], ['b'], ['c']], { b: 'Leaving' })).toEqual([{ pieceNumber: 1, farmer: 'b' }]);
    expect(of([['a'], ['b'], ['c']], { b: 'Leaving', c: 'Lost' })).toEqual([
      { pieceNumber: 2, farmer: 'c' },
      { pieceNumber: 1, farmer: 'b' },
    ]);
    expect(of([['a'], ['b', 'x'], ['c']], { b: 'Leaving' })).toEqual([]);
    expect(of([['a'], ['b', 'x'], ['c']], { b: 'Leaving', x: 'Leaving' })).toEqual([
      { pieceNumber: 1, farmer: 'b' },
      { pieceNumber: 1, farmer: 'x' },
    ]);
  });

  it('still names it where the farm has no place left: a drain has to wait', () => {
    expect(of([['a'], ['b'], ['c']], { b: 'Leaving' }, 2)).toEqual([{ pieceNumber: 1, farmer: 'b' }]);
  });
});

describe('judge', () => {
  function farm(states: ('Active' | 'Leaving' | 'Lost')[]) {
    const index = new SegmentIndex(':memory:');
    const watch = new FarmerWatch(60_000);
    watch.configure(farmConfig({ states }));
    const judge = new Judge(index, watch, systemRuntime);
    const add = (name: number, farmers: number[]) =>
      index.addSegment(
        'e'.repeat(64),
        '1'.repeat(32),
        {
          segmentId: key(name),
          secret: new Uint8Array(32),
          scheme: SCHEME,
          sizeBytes: 100,
          root: key(0),
          farmers: farmers.map(key),
          createdMs: 0,
        },
        { tag: 'ab'.repeat(16), pieceBytes: 64 },
        { logId: key(0), seq: 1 },
      );
    return { index, watch, judge, add };
  }

  it('judges again what a farmer’s change concerns, and only then says that something changed', async () => {
    const { index, watch, judge, add } = farm(['Active', 'Active', 'Active', 'Active', 'Active']);
    const [first, second] = [add(1, [0, 1, 2]), add(2, [1, 2, 3])];
    expect(await judge.followStates(never)).toBe(true);
    expect(await judge.followStates(never)).toBe(false);
    expect(index.figures.totals()).toMatchObject({ queued: 0, margin: 1 });
    watch.configure(farmConfig({ states: ['Lost', 'Active', 'Active', 'Leaving', 'Active'], generation: 2 }));
    expect(await judge.followStates(never)).toBe(true);
    expect(index.queue.due(0, 9)).toEqual([first, second]);
    expect(index.figures.totals()).toMatchObject({ queued: 2, margin: 0 });
    expect([0, 1, 2, 3].map((farmer) => index.figures.ofFarmer(key(farmer)).piecesToMove)).toEqual([1, 0, 0, 1]);
    // Cancelled, and come back: all is as before.
    watch.configure(farmConfig({ states: ['Active', 'Active', 'Active', 'Active', 'Active'], generation: 3 }));
    await judge.followStates(never);
    expect(index.figures.totals()).toMatchObject({ queued: 0, margin: 1 });
    expect([0, 3].map((farmer) => index.figures.ofFarmer(key(farmer)).piecesToMove)).toEqual([0, 0]);
  });

  it('goes through many segments a page at a time', async () => {
    const { index, watch, judge, add } = farm(['Active', 'Active', 'Active', 'Active']);
    index.transaction(() => Array.from({ length: 450 }, (_, name) => add(name + 1, [0, 1, 2])));
    await judge.followStates(never);
    expect(index.figures.totals()).toMatchObject({ segments: 450, queued: 0 });
    watch.silent(key(0), 20_000_000);
    await judge.followStates(never);
    expect(index.figures.totals().queued).toBe(450);
    expect(index.figures.ofFarmer(key(0))).toEqual({ pieces: 450, pieceBytes: 450 * 64, piecesToMove: 450 });
  });
});
