// Which configuration is in force: a total order within a farm, and never back to a farm that was left.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFarmConfigStore, judgeConfig } from '#node/admin/farm-config-store.ts';
import type { FarmConfig } from '#node/interface/config.ts';

const CONTROL = 'c'.repeat(64);
const config = (farmUid: string, epoch: number, generation: number, controlKey = CONTROL): FarmConfig => ({
  farmUid,
  farmName: 'test',
  controlKey,
  epoch,
  generation,
  redundancy: { required: 1, repair: 1, optimal: 1, total: 1 },
  roster: [],
  bridges: [],
  repairers: [],
  lostAfterMs: 1000,
  repairBytesPerSecond: 0,
});

describe('judgeConfig', () => {
  it('takes a higher generation or a higher epoch, and nothing lower', () => {
    const judge = (epoch: number, generation: number) =>
      judgeConfig(config('a', 5, 10), config('a', epoch, generation), CONTROL, new Set());
    expect([judge(5, 11), judge(6, 1), judge(5, 10), judge(5, 9), judge(4, 99)]).toEqual([
      'applied',
      'applied',
      'same',
      'older',
      'older',
    ]);
  });

  it('takes only what names its control key', () => {
    expect(judgeConfig(null, config('a', 1, 1, 'd'.repeat(64)), CONTROL, new Set())).toBe('foreign');
  });

  it('starts anew with a new farm and never goes back', () => {
    const store = createFarmConfigStore(CONTROL);
    expect([
      store.offer(config('a', 9, 9)),
      store.offer(config('b', 1, 1)),
      store.offer(config('a', 99, 99)),
      store.offer(config('b', 1, 2)),
    ]).toEqual(['applied', 'applied', 'older', 'applied']);
  });
});

describe('the store', () => {
  it('ends at the same configuration in whatever order copies arrive', () => {
    const generation = fc.tuple(fc.nat(3), fc.nat(5));
    fc.assert(
      fc.property(fc.array(generation, { minLength: 1 }), (copies) => {
        const store = createFarmConfigStore(CONTROL);
        const seen: number[] = [];
        store.follow(null, (one) => seen.push(one.epoch * 10 + one.generation));
        for (const [epoch, number] of copies) store.offer(config('a', epoch, number));
        expect(seen).toEqual([...seen].sort((a, b) => a - b));
        expect(seen.at(-1)).toBe(Math.max(...copies.map(([epoch, number]) => epoch * 10 + number)));
      }),
    );
  });

  it('tells a follower that began late what came meanwhile, and nothing twice', () => {
    const store = createFarmConfigStore(CONTROL);
    const follower = (applied: FarmConfig | null) => {
      const seen: number[] = [];
      const stop = store.follow(applied, ({ generation }) => seen.push(generation));
      return { seen, stop };
    };
    const early = follower(null);
    store.offer(config('a', 1, 1));
    const first = store.current();
    store.offer(config('a', 1, 2));
    const [late, upToDate] = [follower(first), follower(store.current())];
    store.offer(config('a', 1, 3));
    expect([early, late, upToDate].map(({ seen }) => seen)).toEqual([[1, 2, 3], [2, 3], [3]]);
    late.stop();
    store.offer(config('a', 1, 4));
    expect(late.seen).toEqual([2, 3]);
  });
});
