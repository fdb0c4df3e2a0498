import { describe, expect, it } from 'vitest';
import { diskProbe } from '#node/farmer/disk-probe.ts';
import { duty } from '#node/farmer/duty.ts';
import { keyedQueue, slots } from '#node/farmer/limits.ts';
import { spaceGauge } from '#node/farmer/space-gauge.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { faultyDisk } from '#test/support/faulty-disk.ts';

const roster = (state: string) => ({ roster: [{ farmer: 'me', state }] }) as unknown as FarmConfig;

describe('duty', () => {
  it('follows the roster into leaving and back, and remembers since when', () => {
    let nowMs = 10;
    const mine = duty('me', () => nowMs);
    mine.follow(roster('Leaving'));
    nowMs = 20;
    mine.follow(roster('Leaving'));

    expect(mine.cordonedMs).toBe(10);
    expect(() => mine.checkTakesNew()).toThrow(expect.objectContaining({ code: 'Leaving' }));
    mine.follow(roster('Active'));
    expect(mine.cordonedMs).toBeNull();
    mine.checkTakesNew();
  });

  it('does not come back from the end of the process', () => {
    const mine = duty('me', () => 1);
    mine.cordonForGood();
    mine.follow(roster('Active'));
    expect(mine.cordonedMs).toBe(1);
  });

  it('is idle when the last transfer has ended', async () => {
    let nowMs = 5;
    const mine = duty('me', () => nowMs);
    const [first, second] = [mine.begin(), mine.begin()];
    let isIdle = false;
    const idle = mine.idle(new AbortController().signal).then(() => (isIdle = true));
    first();
    first();
    await Promise.resolve();
    expect({ isIdle, inFlight: mine.transfersInFlight }).toEqual({ isIdle: false, inFlight: 1 });
    nowMs = 9;
    second();
    await idle;
    expect(mine.lastTransferMs).toBe(9);
  });

  it('does not wait longer than it may', async () => {
    const mine = duty('me', () => 1);
    mine.begin();
    await mine.idle(AbortSignal.timeout(5));
    expect(mine.transfersInFlight).toBe(1);
  });
});

describe('the disk probe', () => {
  const setUp = (deadlineMs = 1000) => {
    const disk = faultyDisk();
    const reasons: string[] = [];
    return {
      disk,
      reasons,
      probe: diskProbe({ disk, runtime: systemRuntime, deadlineMs, onChange: (reason) => reasons.push(reason) }),
    };
  };

  it('tells of a disk that fails, and of its recovery, once each', async () => {
    const { disk, reasons, probe } = setUp();
    await probe.probe();
    disk.failNext.datasync = 2;
    await probe.probe();
    await probe.probe();
    await probe.probe();
    expect(reasons).toEqual(['EIO', '']);
  });

  it('tells of a disk that hangs, tries no second time meanwhile, and takes it back', async () => {
    const { disk, reasons, probe } = setUp(10);
    await probe.probe();
    const hang = Promise.withResolvers<void>();
    disk.beforeSync = () => hang.promise;
    await probe.probe();
    await probe.probe();
    expect(probe.reason).toContain('no answer');
    hang.resolve();
    await expect.poll(() => probe.reason, { timeout: 15_000 }).toBe('');
    expect(reasons).toHaveLength(2);
  });

  it('takes a full disk for a fit one', async () => {
    const { disk, probe } = setUp();
    disk.freeBytes = 0;
    await probe.probe();
    expect(probe.reason).toBe('');
  });
});

describe('limits', () => {
  it('let so many in, so many wait, in order, and refuse the rest', async () => {
    const gate = slots(1, 2, () => new Error('busy'));
    const order: number[] = [];
    const leave = await gate.take();
    const waiting = [1, 2].map(async (n) => {
      const give = await gate.take();
      order.push(n);
      give();
    });
    await expect(gate.take()).rejects.toThrow('busy');
    leave();
    leave();
    await Promise.all(waiting);
    expect({ order, inUse: gate.inUse }).toEqual({ order: [1, 2], inUse: 0 });
  });

  it('lets go of who gives up waiting', async () => {
    const gate = slots(1, 5, () => new Error('busy'));
    const leave = await gate.take();
    const stop = new AbortController();
    const given = gate.take(stop.signal);
    stop.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    leave();
    (await gate.take())();
    expect(gate.inUse).toBe(0);
  });

  it('does one thing at a time for each key, also after failures', async () => {
    const queue = keyedQueue();
    const log: string[] = [];
    const work =
      (name: string, fails = false) =>
      async () => {
        log.push(`${name} begins`);
        await new Promise(setImmediate);
        log.push(`${name} ends`);
        if (fails) throw new Error(name);
      };
    const results = await Promise.allSettled([queue('a', work('1', true)), queue('a', work('2')), queue('b', work('3'))]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(log.indexOf('2 begins')).toBeGreaterThan(log.indexOf('1 ends'));
    expect(log.indexOf('3 begins')).toBeLessThan(log.indexOf('1 ends'));
  });
});

describe('the space gauge', () => {
  it('counts what was written between two looks, and keeps a reserve', async () => {
    let nowMs = 0;
    const disk = faultyDisk(1000);
    const gauge = spaceGauge(
      { ...disk, space: async () => ({ freeBytes: disk.freeBytes, totalBytes: 5000 }) },
      () => nowMs,
      () => 0,
    );
    expect(await gauge.freeBytes()).toBe(900);
    gauge.wrote(250);
    expect(await gauge.freeBytes()).toBe(650);
    gauge.wrote(5000);
    expect(await gauge.freeBytes()).toBe(0);
    nowMs = 1000;
    disk.freeBytes = 600;
    expect(await gauge.freeBytes()).toBe(500);
  });
});
