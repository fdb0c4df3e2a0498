// The store on a disk that fails: whatever was acknowledged is there afterwards, and whatever is there is whole.
import { cpSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as fc from 'fast-check';
import { folderDisk } from '#node/farmer/disk.ts';
import { diskProbe } from '#node/farmer/disk-probe.ts';
import { encodeMeta } from '#node/farmer/record-meta.ts';
import { Store } from '#node/farmer/store.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { seededRandom } from '#test/support/faulty-disk.ts';
import { got, idOf, MIB, never, OWNER, pieceOf, put, testStore, type TestStore } from '#test/support/test-store.ts';

let world: TestStore;
beforeEach(() => {
  world = testStore();
});
afterEach(() => world.end());

async function expectWhole(store: Store, pieces: Map<number, number>): Promise<void> {
  for (const [n, sizeBytes] of pieces) expect(Buffer.compare(await got(store, n), pieceOf(n, sizeBytes)), `piece ${n}`).toBe(0);
  const { liveBytes, trashBytes } = await store.numbers();
  expect(trashBytes).toBeGreaterThanOrEqual(0);
  expect(liveBytes + trashBytes).toBe(store.log.files.usedBytes());
}

const sizes = fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(65_536, MIB - 1, MIB + 600, 2 * MIB + 77));

describe('a crash', () => {
  it('takes nothing that was acknowledged, and what else is there is whole', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(sizes, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.constantFrom('kept', 'lost', 'set back'),
        async (rounds, seed, indexFate) => {
          world.clear();
          const { folder } = world;
          const random = seededRandom(seed);
          const acknowledged = new Map<number, number>();
          let n = 0;
          for (const round of rounds) {
            const store = await world.open();
            await expectWhole(store, acknowledged);
            const backup = `${folder}-index`;
            cpSync(folder, backup, { recursive: true });
            // Some of these are still under way when the power goes.
            const syncsLeft = Math.floor(random() * 12);
            let done = 0;
            let isCrashed = false;
            const crash = () => {
              if (isCrashed) return;
              isCrashed = true;
              world.disk.crash(random);
            };
            world.disk.beforeSync = async () => {
              if (++done > syncsLeft) crash();
            };
            await Promise.all(
              round.map(async (sizeBytes) => {
                const mine = n++;
                if ((await put(store, mine, sizeBytes)) === 'Ok') acknowledged.set(mine, sizeBytes);
              }),
            );
            crash();
            world.disk.beforeSync = async () => {};
            await store.close();
            if (indexFate === 'lost') world.loseIndex();
            if (indexFate === 'set back') {
              rmSync(folder, { recursive: true });
              cpSync(backup, folder, { recursive: true });
            }
            rmSync(backup, { recursive: true });
          }
          const store = await world.open();
          await expectWhole(store, acknowledged);
          expect(await put(store, 9999, 5)).toBe('Ok');
          await store.close();
        },
      ),
      { numRuns: 15, timeout: 15_000 },
    );
  }, 60_000);

  it('leaves unacknowledged pieces whole or away', async () => {
    let torn = 0;
    for (let seed = 1; seed <= 24; seed++) {
      world.clear();
      const store = await world.open();
      await Promise.all([put(store, 1, 10), put(store, 2, MIB + 10)]);
      const random = seededRandom(seed);
      // The power goes at the first to fourth sync: of the small one, of a new file, of the large one.
      let syncs = 0;
      world.disk.beforeSync = async () => {
        if (++syncs > seed % 4) world.disk.crash(random);
      };
      await Promise.all([put(store, 3, 3000), put(store, 4, 2 * MIB + 5000)]);
      world.disk.beforeSync = async () => {};
      await store.close();

      const again = await world.open();

      const sizes = new Map([
        [1, 10],
        [2, MIB + 10],
        [3, 3000],
        [4, 2 * MIB + 5000],
      ]);
      const here = [...sizes].filter(([n]) => again.index.pieces.get(OWNER, idOf(n)));
      torn += 4 - here.length;
      expect(here.length).toBeGreaterThanOrEqual(2);
      await expectWhole(again, new Map(here));
      await again.close();
    }
    expect(torn).toBeGreaterThan(3);
  }, 60_000);
});

describe('a full disk', () => {
  it('refuses with Full, keeps what it has, and takes more once there is space', async () => {
    const store = await world.open();
    const held = new Map<number, number>();
    world.disk.freeBytes = 3 * MIB;
    for (let n = 0; n < 40; n++) {
      const sizeBytes = n % 3 === 0 ? MIB + 1234 : 40_000;
      const result = await put(store, n, sizeBytes);
      expect(['Ok', 'Full']).toContain(result);
      if (result === 'Ok') held.set(n, sizeBytes);
    }
    expect(held.size).toBeGreaterThan(2);
    expect(held.size).toBeLessThan(40);
    await expectWhole(store, held);

    world.disk.freeBytes = 50 * MIB;
    await store.close();
    const again = await world.open();
    await expectWhole(again, held);
    expect(await put(again, 100, 2 * MIB)).toBe('Ok');
    await again.close();
  });

  it('that runs out in the middle of a write loses nothing', async () => {
    const store = await world.open();
    await put(store, 1, 1000);
    // The gauge is asked once a second; what is written behind its back fails on the disk itself.
    await store.space.freeBytes();
    world.disk.freeBytes = 500;

    const meta = encodeMeta('seal', { owner: OWNER, bucketId: '00'.repeat(16), logId: OWNER });
    const result = await store.log.append('seal', [new Uint8Array(2000)], meta).catch((error: { code: string }) => error.code);

    expect(result).toBe('Full');
    world.disk.freeBytes = MIB;
    await store.log.append('seal', [new Uint8Array(2000)], meta);
    await expectWhole(store, new Map([[1, 1000]]));
    await store.close();
    await expectWhole(await world.open(), new Map([[1, 1000]]));
  });
});

describe('a failing disk', () => {
  it.each(['write', 'datasync'] as const)('whose %s fails acknowledges nothing, and goes on elsewhere', async (what) => {
    const store = await world.open();
    await put(store, 1, 1000);
    for (const sizeBytes of [500, 2 * MIB]) {
      world.disk.failNext[what] = 1;
      expect(await put(store, 2, sizeBytes)).toBe('Broken');
    }

    expect(await put(store, 3, 700)).toBe('Ok');
    expect(await put(store, 4, MIB + 700)).toBe('Ok');

    const held = new Map([
      [1, 1000],
      [3, 700],
      [4, MIB + 700],
    ]);
    await expectWhole(store, held);
    await store.close();
    const again = await world.open();
    await expectWhole(again, held);
    await again.close();
  });

  it('whose reads fail says so and does not take it for a missing piece', async () => {
    const store = await world.open();
    await put(store, 1, 1000);
    world.disk.failNext.read = 1;

    await expect(got(store, 1)).rejects.toMatchObject({ code: 'Broken' });
    await expectWhole(store, new Map([[1, 1000]]));
    await store.close();
  });
});

describe('a volume that is gone', () => {
  it('is told from missing pieces, puts the farmer out of service, and is taken back with all that it had', async () => {
    const store = await world.open();
    const reasons: string[] = [];
    const { disk } = world;
    const probe = diskProbe({ disk, runtime: systemRuntime, deadlineMs: 5000, onChange: (reason) => reasons.push(reason) });
    await probe.probe();
    await put(store, 1, 1000);
    await put(store, 2, MIB + 1000);
    disk.isGone = true;

    await probe.probe();

    expect(probe.reason).not.toBe('');
    for (const sizeBytes of [500, 2 * MIB]) expect(await put(store, 3, sizeBytes)).toBe('Broken');
    await expect(got(store, 1)).rejects.toMatchObject({ code: 'Broken' });
    disk.isGone = false;
    await probe.probe();
    expect(reasons).toHaveLength(2);
    expect(probe.reason).toBe('');
    expect(await put(store, 3, 2 * MIB)).toBe('Ok');
    const held = new Map([
      [1, 1000],
      [2, MIB + 1000],
      [3, 2 * MIB],
    ]);
    await expectWhole(store, held);
    await store.close();
    const again = await world.open();
    await expectWhole(again, held);
    await again.close();
  });

  it('leaves a folder behind in which nothing is begun', async () => {
    const mounted = join(world.folder, 'volume');
    const disk = await folderDisk(mounted);
    await (await disk.open('one', 'create')).close();
    renameSync(mounted, `${mounted}-away`);
    mkdirSync(mounted);

    await expect(disk.open('two', 'create')).rejects.toMatchObject({ code: 'ENODEV' });

    expect(readdirSync(mounted)).toEqual([]);
    rmdirSync(mounted);
    renameSync(`${mounted}-away`, mounted);
    await (await disk.open('two', 'create')).close();
  });
});

describe('a disk that hangs', () => {
  it('holds up who waits for it, nobody else, and loses nothing of theirs', async () => {
    const store = await world.open();
    await put(store, 1, 1000);
    let goOn = () => {};
    const stuck = new Promise<void>((resolve) => (goOn = resolve));
    world.disk.beforeSync = () => stuck;

    const waiting = [put(store, 2, 2000), put(store, 3, MIB + 5)];

    await expectWhole(store, new Map([[1, 1000]]));
    goOn();
    expect(await Promise.all(waiting)).toEqual(['Ok', 'Ok']);
    await expectWhole(store, new Map([1, 2, 3].map((n) => [n, [1000, 2000, MIB + 5][n - 1]!])));
    await store.close();
  });
});

describe('a group that is written while another one is made durable', () => {
  /** Puts 1, and 2 to 4 behind it while its fdatasync hangs; then `before` happens, and the fdatasync goes on. */
  async function behindEachOther(store: Store, before: () => void): Promise<string[]> {
    await put(store, 0, 1000);
    let goOn = () => {};
    let writes = 0;
    world.disk.beforeSync = () => new Promise((resolve) => (goOn = resolve));
    world.disk.beforeChange = () => (writes += 1);
    const first = put(store, 1, 600_000);
    await vi.waitFor(() => expect(writes).toBe(2));
    const others = [2, 3, 4].map((n) => put(store, n, 600_000));
    await vi.waitFor(() => expect(writes).toBe(3));
    world.disk.beforeSync = async () => {};
    before();
    goOn();
    return await Promise.all([first, ...others]);
  }
  const expectAfter = async (store: Store, held: readonly number[]) => {
    const pieces = new Map(held.map((n) => [n, n === 0 ? 1000 : 600_000]));
    await expectWhole(store, pieces);
    expect((await store.numbers()).pieces).toBe(held.length);
    await store.close();
    const again = await world.open();
    await expectWhole(again, pieces);
    expect((await again.numbers()).pieces).toBe(held.length);
    await again.close();
  };

  it('is acknowledged like any other', async () => {
    const store = await world.open();
    expect(await behindEachOther(store, () => {})).toEqual(['Ok', 'Ok', 'Ok', 'Ok']);
    await expectAfter(store, [0, 1, 2, 3, 4]);
  });

  it('goes to another file where that fails', async () => {
    const store = await world.open();
    const results = await behindEachOther(store, () => (world.disk.failNext.datasync = 1));
    expect(results).toEqual(['Broken', 'Ok', 'Ok', 'Ok']);
    const held = new Map([[0, 1000], ...[2, 3, 4].map((n) => [n, 600_000] as const)] as const);
    await expectWhole(store, held);
    await store.close();
    await expectWhole(await world.open(), held);
  });

  it('is all that is refused where its own write fails', async () => {
    const store = await world.open();
    await put(store, 0, 1000);
    let goOn = () => {};
    world.disk.beforeSync = () => new Promise((resolve) => (goOn = resolve));
    const first = put(store, 1, 600_000);
    await vi.waitFor(() => expect(world.disk.failNext.write).toBe(0));
    await new Promise((resolve) => setTimeout(resolve, 50));
    world.disk.failNext.write = 1;
    const second = put(store, 2, 600_000);
    await vi.waitFor(() => expect(world.disk.failNext.write).toBe(0));
    world.disk.beforeSync = async () => {};
    goOn();

    expect(await Promise.all([first, second])).toEqual(['Ok', 'Broken']);
    expect(await put(store, 3, 600_000)).toBe('Ok');
    await expectAfter(store, [0, 1, 3]);
  });

  it('is whole or away after a crash, like those before it', async () => {
    let here = 0;
    for (let seed = 1; seed <= 12; seed++) {
      world.clear();
      const store = await world.open();
      expect(await behindEachOther(store, () => world.disk.crash(seededRandom(seed)))).not.toContain('Ok');
      await store.close();
      const again = await world.open();
      const left = [1, 2, 3, 4].filter((n) => again.index.pieces.get(OWNER, idOf(n)));
      here += left.length;
      await expectWhole(again, new Map([[0, 1000], ...left.map((n): [number, number] => [n, 600_000])]));
      await again.close();
    }
    expect(here).toBeGreaterThan(2);
  });
});

describe('the store', () => {
  it('shares one fdatasync among puts that come together', async () => {
    const store = await world.open();
    const held = new Promise<void>((resolve) => setTimeout(resolve, 100));
    world.disk.beforeSync = () => held;
    const before = world.disk.syncs;

    const results = await Promise.all(Array.from({ length: 30 }, (_, n) => put(store, n, 2000)));

    expect(new Set(results)).toEqual(new Set(['Ok']));
    expect(world.disk.syncs - before).toBeLessThan(8);
    await store.close();
  });

  it('does not read its segments again when the index is there', async () => {
    const store = await world.open();
    for (let n = 0; n < 12; n++) await put(store, n, MIB);
    await store.close();
    let readBytes = 0;
    const watched = {
      ...world.disk,
      open: async (...args: Parameters<typeof world.disk.open>) => {
        const file = await world.disk.open(...args);
        const read = async (into: Uint8Array, position: number) => {
          readBytes += into.length;
          return await file.read(into, position);
        };
        return { ...file, read };
      },
    };

    const again = await Store.open({
      folder: world.folder,
      disk: watched,
      nowMs: () => 0,
      randomLife: () => 1n,
      segmentBytes: 4 * MIB,
    });

    expect(readBytes).toBeLessThan(1000);
    expect((await again.numbers()).pieces).toBe(12);
    await again.close();
  });

  it('is not fooled by a piece that looks like records', async () => {
    const store = await world.open();
    const forged = Buffer.alloc(4096);
    // A record header as one would forge it, without knowing the file's life.
    for (let at = 0; at + 32 <= forged.length; at += 32) forged.writeUInt32LE(0x31434552, at);
    await put(store, 1, 8);
    const stream = await store.log.stream(never);
    await stream.write(forged);
    world.disk.crash(() => 0.5);
    await store.close();

    const again = await world.open();

    expect((await again.numbers()).pieces).toBe(1);
    expect(await put(again, 2, 100)).toBe('Ok');
    await again.close();
    const third = await world.open();
    await expectWhole(
      third,
      new Map([
        [1, 8],
        [2, 100],
      ]),
    );
    await third.close();
  });

  it('begins new files and finds everything in all of them', async () => {
    const store = await world.open();
    const held = new Map(Array.from({ length: 9 }, (_, n) => [n, MIB + n] as const));
    for (const [n, sizeBytes] of held) expect(await put(store, n, sizeBytes)).toBe('Ok');
    expect((await world.disk.list()).length).toBeGreaterThan(1);
    await store.close();
    const again = await world.open();
    await expectWhole(again, held);
    await again.close();
  });
});
