// The store on a disk that fails: whatever was acknowledged is there afterwards, and whatever is there is whole.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { toHex } from '#node/core/ids.ts';
import { leafHashes, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { PieceStore } from '#node/farmer/piece-store.ts';
import { encodeMeta } from '#node/farmer/record-meta.ts';
import { Store } from '#node/farmer/store.ts';
import { pieceFooter, pieceRange } from '#node/wire/calls.ts';
import { collect, footerBytes, readFirstPart } from '#node/wire/framing.ts';
import { faultyDisk, seededRandom, type FaultyDisk } from '#test/support/faulty-disk.ts';

const MIB = 1024 * 1024;
const owner = 'aa'.repeat(32);
const never = new AbortController().signal;
let folder: string;
let disk: FaultyDisk;
let lives = 0n;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-faults-'));
  disk = faultyDisk();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = () => Store.open({ folder, disk, nowMs: () => 1_000_000, randomLife: () => ++lives, segmentBytes: 4 * MIB });
const idOf = (n: number) => n.toString(16).padStart(64, '0');
/** Different bytes for each number, the same each time. */
function pieceOf(n: number, sizeBytes: number): Uint8Array {
  const piece = new Uint8Array(sizeBytes).fill(n + 1);
  for (let at = 0; at < sizeBytes; at += 61) piece[at] = at / 61 + n;
  return piece;
}
function bodyOf(piece: Uint8Array): AsyncIterable<Uint8Array> {
  const root = pieceRoot(leafHashes(piece));
  const footer = { segmentRoot: toHex(segmentRoot([root])), index: 0, total: 1, path: rootPath([root], 0) };
  return (async function* () {
    for (let at = 0; at < piece.length; at += 200_000) yield piece.subarray(at, at + 200_000);
    yield footerBytes(pieceFooter.encode(footer));
  })();
}
async function put(store: Store, n: number, sizeBytes: number): Promise<string> {
  return await new PieceStore(store).put(owner, idOf(n), bodyOf(pieceOf(n, sizeBytes)), never).then(
    () => 'Ok',
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
}
async function got(store: Store, n: number): Promise<Uint8Array> {
  const answer = await new PieceStore(store).get(owner, idOf(n), { firstLeaf: 0, leafCount: 0 });
  const { rest } = await readFirstPart(answer, pieceRange.maxBytes);
  return await collect(rest, 64 * MIB);
}
async function expectWhole(store: Store, pieces: Map<number, number>): Promise<void> {
  for (const [n, sizeBytes] of pieces) expect(Buffer.compare(await got(store, n), pieceOf(n, sizeBytes)), `piece ${n}`).toBe(0);
  const { liveBytes, trashBytes } = await store.numbers();
  expect(trashBytes).toBeGreaterThanOrEqual(0);
  expect(liveBytes + trashBytes).toBe(store.log.usedBytes());
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
          rmSync(folder, { recursive: true, force: true });
          folder = mkdtempSync(join(tmpdir(), 'store-faults-'));
          disk = faultyDisk();
          const random = seededRandom(seed);
          const acknowledged = new Map<number, number>();
          let n = 0;
          for (const round of rounds) {
            const store = await open();
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
              disk.crash(random);
            };
            disk.beforeSync = async () => {
              if (++done > syncsLeft) crash();
            };
            await Promise.all(
              round.map(async (sizeBytes) => {
                const mine = n++;
                if ((await put(store, mine, sizeBytes)) === 'Ok') acknowledged.set(mine, sizeBytes);
              }),
            );
            crash();
            disk.beforeSync = async () => {};
            await store.close();
            if (indexFate === 'lost')
              for (const suffix of ['', '-wal', '-shm']) rmSync(join(folder, `index.sqlite${suffix}`), { force: true });
            if (indexFate === 'set back') {
              rmSync(folder, { recursive: true });
              cpSync(backup, folder, { recursive: true });
            }
            rmSync(backup, { recursive: true });
          }
          const store = await open();
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
    for (let seed = 1; seed <= 100; seed++) {
      disk = faultyDisk();
      rmSync(folder, { recursive: true });
      folder = mkdtempSync(join(tmpdir(), 'store-faults-'));
      const store = await open();
      await Promise.all([put(store, 1, 10), put(store, 2, MIB + 10)]);
      const random = seededRandom(seed);
      // The power goes at the first to fourth sync: of the small one, of a new file, of the large one.
      let syncs = 0;
      disk.beforeSync = async () => {
        if (++syncs > seed % 4) disk.crash(random);
      };
      await Promise.all([put(store, 3, 3000), put(store, 4, 2 * MIB + 5000)]);
      disk.beforeSync = async () => {};
      await store.close();

      const again = await open();

      const sizes = new Map([
        [1, 10],
        [2, MIB + 10],
        [3, 3000],
        [4, 2 * MIB + 5000],
      ]);
      const here = [...sizes].filter(([n]) => again.index.piece(owner, idOf(n)));
      torn += 4 - here.length;
      expect(here.length).toBeGreaterThanOrEqual(2);
      await expectWhole(again, new Map(here));
      await again.close();
    }
    expect(torn).toBeGreaterThan(10);
  }, 60_000);
});

describe('a full disk', () => {
  it('refuses with Full, keeps what it has, and takes more once there is space', async () => {
    const store = await open();
    const held = new Map<number, number>();
    disk.freeBytes = 3 * MIB;
    for (let n = 0; n < 40; n++) {
      const sizeBytes = n % 3 === 0 ? MIB + 1234 : 40_000;
      const result = await put(store, n, sizeBytes);
      expect(['Ok', 'Full']).toContain(result);
      if (result === 'Ok') held.set(n, sizeBytes);
    }
    expect(held.size).toBeGreaterThan(2);
    expect(held.size).toBeLessThan(40);
    await expectWhole(store, held);

    disk.freeBytes = 50 * MIB;
    await store.close();
    const again = await open();
    await expectWhole(again, held);
    expect(await put(again, 100, 2 * MIB)).toBe('Ok');
    await again.close();
  });

  it('that runs out in the middle of a write loses nothing', async () => {
    const store = await open();
    await put(store, 1, 1000);
    // The gauge is asked once a second; what is written behind its back fails on the disk itself.
    await store.space.freeBytes();
    disk.freeBytes = 500;

    const meta = encodeMeta('seal', { owner, bucketId: '00'.repeat(16), logId: owner });
    const result = await store.log.append('seal', [new Uint8Array(2000)], meta).catch((error: { code: string }) => error.code);

    expect(result).toBe('Full');
    disk.freeBytes = MIB;
    await store.log.append('seal', [new Uint8Array(2000)], meta);
    await expectWhole(store, new Map([[1, 1000]]));
    await store.close();
    await expectWhole(await open(), new Map([[1, 1000]]));
  });
});

describe('a failing disk', () => {
  it.each(['write', 'datasync'] as const)('whose %s fails acknowledges nothing, and goes on elsewhere', async (what) => {
    const store = await open();
    await put(store, 1, 1000);
    for (const sizeBytes of [500, 2 * MIB]) {
      disk.failNext[what] = 1;
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
    const again = await open();
    await expectWhole(again, held);
    await again.close();
  });

  it('whose reads fail says so and does not take it for a missing piece', async () => {
    const store = await open();
    await put(store, 1, 1000);
    disk.failNext.read = 1;

    await expect(got(store, 1)).rejects.toMatchObject({ code: 'Broken' });
    await expectWhole(store, new Map([[1, 1000]]));
    await store.close();
  });
});

describe('the store', () => {
  it('shares one fdatasync among puts that come together', async () => {
    const store = await open();
    const held = new Promise<void>((resolve) => setTimeout(resolve, 100));
    disk.beforeSync = () => held;
    const before = disk.syncs;

    const results = await Promise.all(Array.from({ length: 30 }, (_, n) => put(store, n, 2000)));

    expect(new Set(results)).toEqual(new Set(['Ok']));
    expect(disk.syncs - before).toBeLessThan(8);
    await store.close();
  });

  it('does not read its segments again when the index is there', async () => {
    const store = await open();
    for (let n = 0; n < 12; n++) await put(store, n, MIB);
    await store.close();
    let readBytes = 0;
    const watched = {
      ...disk,
      open: async (...args: Parameters<typeof disk.open>) => {
        const file = await disk.open(...args);
        const read = async (into: Uint8Array, position: number) => {
          readBytes += into.length;
          return await file.read(into, position);
        };
        return { ...file, read };
      },
    };

    const again = await Store.open({ folder, disk: watched, nowMs: () => 0, randomLife: () => 1n, segmentBytes: 4 * MIB });

    expect(readBytes).toBeLessThan(1000);
    expect((await again.numbers()).pieces).toBe(12);
    await again.close();
  });

  it('is not fooled by a piece that looks like records', async () => {
    const store = await open();
    const forged = Buffer.alloc(4096);
    // A record header as one would forge it, without knowing the file's life.
    for (let at = 0; at + 32 <= forged.length; at += 32) forged.writeUInt32LE(0x31434552, at);
    await put(store, 1, 8);
    const stream = await store.log.stream(never);
    await stream.write(forged);
    disk.crash(() => 0.5);
    await store.close();

    const again = await open();

    expect((await again.numbers()).pieces).toBe(1);
    expect(await put(again, 2, 100)).toBe('Ok');
    await again.close();
    const third = await open();
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
    const store = await open();
    const held = new Map(Array.from({ length: 9 }, (_, n) => [n, MIB + n] as const));
    for (const [n, sizeBytes] of held) expect(await put(store, n, sizeBytes)).toBe('Ok');
    expect((await disk.list()).length).toBeGreaterThan(1);
    await store.close();
    const again = await open();
    await expectWhole(again, held);
    await again.close();
  });
});
