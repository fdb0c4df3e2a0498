// Segment files are used again: nothing that is needed goes, whenever the power does; what isn't needed goes.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { LogStore } from '#node/farmer/log-store.ts';
import { PieceStore } from '#node/farmer/piece-store.ts';
import type { Store } from '#node/farmer/store.ts';
import { decodeBatchHeader, encodeBatch, NO_HASH, type EncodedBatch } from '#node/wire/batch.ts';
import { pieceRange } from '#node/wire/calls.ts';
import { readFirstPart, unframeAll } from '#node/wire/framing.ts';
import { seededRandom } from '#test/support/faulty-disk.ts';
import { testKey } from '#test/support/memory-farmer.ts';
import { got, idOf, MIB, OWNER, pieceOf, put, testStore, type TestStore } from '#test/support/test-store.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
let world: TestStore;
beforeEach(() => {
  world = testStore();
});
afterEach(() => world.end());

const trash = (store: Store, ...numbers: number[]) => new PieceStore(store).trash(OWNER, numbers.map(idOf), world.nowMs);
const restore = (store: Store, ...numbers: number[]) => new PieceStore(store).restore(OWNER, numbers.map(idOf));
const isHere = (store: Store, n: number) => store.index.pieces.get(OWNER, idOf(n)) !== null;
async function expectWhole(store: Store, n: number, sizeBytes: number): Promise<void> {
  expect(Buffer.compare(await got(store, n), pieceOf(n, sizeBytes)), `piece ${n}`).toBe(0);
}
async function expectExact(store: Store): Promise<void> {
  const { liveBytes, trashBytes } = await store.numbers();
  expect(liveBytes + trashBytes).toBe(store.log.files.usedBytes());
  expect(trashBytes).toBeGreaterThanOrEqual(0);
}
/** Files with ten pieces each that are full at the end of it. */
async function fill(store: Store, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) expect(await put(store, n, MIB / 2)).toBe('Ok');
}

describe('compaction', () => {
  it('takes pieces out of the trash after a week, keeps the others, and writes into the same file again', async () => {
    const store = await world.open();
    await fill(store, 0, 16);
    await trash(store, 0, 1, 2, 3, 5, 12, 13);
    world.nowMs += 6 * DAY_MS;
    expect(await world.compact(store)).toEqual([]);
    world.nowMs += 3 * DAY_MS;
    const [used, files] = [store.log.files.usedBytes(), (await world.disk.list()).length];

    const seen = await world.compact(store);

    expect(seen.reduce((sum, { purgedPieces }) => sum + purgedPieces, 0)).toBe(7);
    for (const n of [0, 1, 2, 3, 5, 12, 13]) expect(isHere(store, n)).toBe(false);
    for (const n of [4, 6, 7, 9, 10, 15]) await expectWhole(store, n, MIB / 2);
    expect(store.log.files.usedBytes()).toBeLessThan(used - 2 * MIB);
    expect(store.log.files.spareBytes()).toBeGreaterThan(2 * MIB);
    await expectExact(store);
    await fill(store, 20, 28);
    expect((await world.disk.list()).length).toBeLessThanOrEqual(files + 1);
    await store.close();
    const again = await world.open();
    for (const n of [4, 6, 7, 9, 15, 20, 27]) await expectWhole(again, n, MIB / 2);
    await again.close();
  });

  it('proves no piece by what lay at its place before', async () => {
    const store = await world.open();
    const pieces = new PieceStore(store);
    const placesOf = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => store.index.pieces.get(OWNER, idOf(from + i))!.ref).map(
        ({ segment, offset }) => `${segment} ${offset}`,
      );
    await fill(store, 0, 8);
    const before = placesOf(0, 8);
    for (let n = 0; n < 8; n++) await got(store, n, pieces);
    await trash(store, 0, 1, 2, 3, 4, 5, 6, 7);
    world.nowMs += 9 * DAY_MS;
    await world.compact(store);

    await fill(store, 20, 36);

    expect(placesOf(20, 36).some((place) => before.includes(place))).toBe(true);
    for (let n = 20; n < 36; n++) expect(Buffer.compare(await got(store, n, pieces), pieceOf(n, MIB / 2))).toBe(0);
    await store.close();
  });

  it('leaves a file alone that is needed for the most part, but not for ever', async () => {
    const store = await world.open();
    await fill(store, 0, 9);
    await trash(store, 0);
    world.nowMs += 9 * DAY_MS;
    expect(await world.compact(store)).toEqual([]);
    expect(isHere(store, 0)).toBe(true);
    world.nowMs += 7 * DAY_MS;

    expect(await world.compact(store)).toMatchObject([{ purgedPieces: 1 }]);

    expect(isHere(store, 0)).toBe(false);
    await store.close();
  });

  it('moves what is in the trash for less than a week, and it can still come back', async () => {
    const store = await world.open();
    await fill(store, 0, 9);
    await trash(store, 0, 1, 2, 3);
    world.nowMs += 9 * DAY_MS;
    await trash(store, 4);

    expect(await world.compact(store)).toMatchObject([{ purgedPieces: 4 }]);

    await expectWhole(store, 4, MIB / 2);
    expect(store.index.pieces.get(OWNER, idOf(4))?.trashedMs).toBe(world.nowMs);
    await store.close();
    world.loseIndex();
    const again = await world.open();
    expect(again.index.pieces.get(OWNER, idOf(4))?.trashedMs).toBe(world.nowMs);
    expect(await restore(again, 4)).toEqual([idOf(4)]);
    expect(isHere(again, 0)).toBe(false);
    await again.close();
  });

  it('knows where the trash lies that it has moved', async () => {
    const store = await world.open();
    await fill(store, 0, 9);
    await trash(store, 0, 1, 2, 3);
    world.nowMs += 9 * DAY_MS;
    await trash(store, 4, 5);
    await world.compact(store);
    world.nowMs += 9 * DAY_MS;

    expect(await world.compact(store)).toMatchObject([{ purgedPieces: 2 }]);

    for (const n of [6, 7, 8]) await expectWhole(store, n, MIB / 2);
    expect(await world.compact(store)).toEqual([]);
    await store.close();
  });

  it('goes on with an answer whose piece is moved meanwhile', async () => {
    const store = await world.open();
    for (let n = 0; n < 3; n++) await put(store, n, 3 * MIB);
    await put(store, 9, 3 * MIB);
    const answer = await new PieceStore(store).get(OWNER, idOf(1), { firstLeaf: 0, leafCount: 0 });
    const { rest } = await readFirstPart(answer.body, pieceRange.maxBytes);
    const parts: Uint8Array[] = [];
    let isFirst = true;
    for await (const part of rest) {
      parts.push(Uint8Array.from(part));
      if (!isFirst) continue;
      isFirst = false;
      await trash(store, 0, 2);
      world.nowMs += 9 * DAY_MS;
      await world.compact(store);
      // Over what was there.
      for (let n = 20; n < 24; n++) await put(store, n, 3 * MIB);
    }

    expect(Buffer.compare(Buffer.concat(parts), pieceOf(1, 3 * MIB))).toBe(0);
    await store.close();
  });

  it('frees what dropped batches took', async () => {
    const store = await world.open();
    const logKey = testKey('log');
    const name = { owner: OWNER, bucketId: '12'.repeat(16), logId: logKey.publicKey };
    const logs = new LogStore(store);
    const batches = chainOf(logKey, 30, 200_000);
    for (const batch of batches)
      await logs.append({ ...name, epoch: 1, firstSeq: 0, kind: 'entries', closing: undefined }, [batch.bytes]);
    const used = store.log.files.usedBytes();
    await logs.dropBatches({ ...name, belowSeq: 25 });

    await world.compact(store);

    expect(store.log.files.usedBytes()).toBeLessThan(used / 2);
    for (const fate of ['kept', 'lost']) {
      if (fate === 'lost') await store.close();
      if (fate === 'lost') world.loseIndex();
      const now = fate === 'lost' ? await world.open() : store;
      const held = new LogStore(now).held(OWNER, name.logId)!;
      expect(held).toMatchObject({ seq: 30, hash: batches[29]!.hash, firstSeq: 25 });
      const read: Uint8Array[] = [];
      for await (const part of new LogStore(now).read(held, 1, 1 << 30)) read.push(part);
      expect(unframeAll(Buffer.concat(read), 1 << 30).map((bytes) => decodeBatchHeader(bytes).seq)).toEqual([
        25, 26, 27, 28, 29, 30,
      ]);
      await expectExact(now);
      if (fate === 'lost') await now.close();
    }
  });

  it('does without a file whose records it cannot read, and loses nothing by it', async () => {
    const store = await world.open();
    await fill(store, 0, 9);
    await trash(store, 0, 1, 2, 3);
    world.nowMs += 9 * DAY_MS;
    world.disk.failNext.read = 1;
    await expect(world.compact(store)).rejects.toThrow();
    for (const n of [4, 5, 8]) await expectWhole(store, n, MIB / 2);

    expect(await world.compact(store)).toMatchObject([{ purgedPieces: 4 }]);

    for (const n of [4, 5, 8]) await expectWhole(store, n, MIB / 2);
    await expectExact(store);
    await store.close();
  });

  it.each(['kept', 'lost', 'set back'])('keeps a few empty files and removes the rest (index %s)', async (indexFate) => {
    world.segmentBytes = MIB / 4;
    const store = await world.open();
    for (let n = 0; n < 30; n++) await put(store, n, MIB / 4);
    await trash(store, ...Array.from({ length: 29 }, (_, n) => n));
    world.nowMs += 9 * DAY_MS;

    await world.compact(store);

    expect((await world.disk.list()).length).toBeLessThanOrEqual(10);
    expect(store.log.files.usedBytes()).toBeLessThan(MIB);
    world.disk.crash(() => 0.1);
    await store.close();
    if (indexFate === 'lost') world.loseIndex();
    if (indexFate === 'set back') world.setIndexBack();
    const again = await world.open();
    expect((await again.numbers()).pieces).toBe(1);
    await expectWhole(again, 29, MIB / 4);
    expect(await put(again, 100, MIB / 4)).toBe('Ok');
    await expectExact(again);
    await again.close();
  });

  it.each(['write', 'datasync'] as const)('survives a %s that fails, and is done by the next one', async (what) => {
    const store = await world.open();
    await fill(store, 0, 9);
    await trash(store, 0, 1, 2, 3);
    world.nowMs += 9 * DAY_MS;
    world.disk.failNext[what] = 1;
    await expect(world.compact(store)).rejects.toMatchObject({ code: 'Broken' });
    for (const n of [4, 5, 8]) await expectWhole(store, n, MIB / 2);
    await expectExact(store);

    expect(await world.compact(store)).toMatchObject([{ purgedPieces: expect.any(Number) as number }]);

    expect([0, 1, 2, 3].some((n) => isHere(store, n))).toBe(false);
    await store.close();
    const again = await world.open();
    for (const n of [4, 5, 8]) await expectWhole(again, n, MIB / 2);
    await expectExact(again);
    await again.close();
  });

  it('works on a full disk, and makes room', async () => {
    const store = await world.open();
    await fill(store, 0, 18);
    await trash(store, ...Array.from({ length: 12 }, (_, n) => n));
    world.nowMs += 9 * DAY_MS;
    world.disk.freeBytes = 0;
    expect(await put(store, 100, MIB)).toBe('Full');

    await world.compact(store).catch(() => {});
    world.nowMs += 2000;

    expect((await store.numbers()).freeBytes).toBeGreaterThan(MIB);
    for (let n = 12; n < 18; n++) await expectWhole(store, n, MIB / 2);
    expect(await put(store, 100, MIB)).toBe('Ok');
    await expectExact(store);
    await store.close();
  });
});

function chainOf(logKey: ReturnType<typeof testKey>, length: number, sizeBytes: number): EncodedBatch[] {
  const batches: EncodedBatch[] = [];
  const keys = { ownerPartKey: new Uint8Array(32), repairPartKey: new Uint8Array(32) };
  for (let seq = 1; seq <= length; seq++) {
    const position = { seq, prevHash: batches.at(-1)?.hash ?? NO_HASH, timeMs: 1, salt: new Uint8Array(32).fill(seq) };
    const released = Array.from({ length: sizeBytes / 34 }, (_, i) => i.toString(16).padStart(64, '0'));
    batches.push(encodeBatch({ logKey, position, entries: [], repair: { added: [], released }, ...keys }));
  }
  return batches;
}

describe('a power cut in the middle of anything', () => {
  interface Model {
    sizeBytes: number;
    inTrash: boolean | 'unknown';
    /** It may have been long enough in the trash. */
    mayBeGone: boolean;
    trashedMs: number;
  }
  const sizes = [700, 40_000, MIB / 4, MIB + 600];
  const step = fc.record({
    what: fc.constantFrom('put', 'put', 'trash', 'restore', 'compact', 'later'),
    n: fc.nat(14),
  });

  async function play(store: Store, model: Map<number, Model>, { what, n }: { what: string; n: number }): Promise<void> {
    const known = model.get(n);
    if (what === 'later') world.nowMs += 4 * DAY_MS;
    if (what === 'compact') {
      for (const one of model.values()) {
        if (one.inTrash !== false && world.nowMs - one.trashedMs > 6 * DAY_MS) one.mayBeGone = true;
      }
      await world.compact(store).catch(() => {});
    }
    if (what === 'put') {
      const sizeBytes = sizes[n % sizes.length]!;
      const isOk = (await put(store, n, sizeBytes)) === 'Ok';
      if (isOk) model.set(n, { sizeBytes, inTrash: false, mayBeGone: false, trashedMs: 0 });
      else if (known?.inTrash) known.inTrash = 'unknown';
    }
    if (what === 'trash' && known?.inTrash === false) {
      const isOk = await trash(store, n).then(
        () => true,
        () => false,
      );
      model.set(n, { ...known, inTrash: isOk || 'unknown', trashedMs: world.nowMs });
    }
    if (what === 'restore' && known?.inTrash) {
      const restored = await restore(store, n).catch(() => null);
      if (restored === null) known.inTrash = 'unknown';
      else if (restored.length > 0) model.set(n, { ...known, inTrash: false, mayBeGone: false });
    }
  }

  async function expectModel(store: Store, model: Map<number, Model>): Promise<void> {
    for (const [n, { sizeBytes, inTrash, mayBeGone }] of model) {
      if (mayBeGone && !isHere(store, n)) continue;
      await expectWhole(store, n, sizeBytes);
      const { trashedMs } = store.index.pieces.get(OWNER, idOf(n))!;
      if (inTrash !== 'unknown' && !mayBeGone) expect(trashedMs !== null, `piece ${n} in the trash`).toBe(inTrash);
    }
    await expectExact(store);
  }

  it('loses nothing, and leaves in the trash what was there', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.array(step, { minLength: 4, maxLength: 25 }), fc.nat(60)), { minLength: 2, maxLength: 4 }),
        fc.nat(),
        fc.constantFrom('kept', 'lost', 'set back'),
        async (rounds, seed, indexFate) => {
          world.clear();
          const random = seededRandom(seed);
          const model = new Map<number, Model>();
          for (const [steps, changes] of rounds) {
            const store = await world.open();
            await expectModel(store, model);
            let left = changes;
            world.disk.beforeChange = () => {
              if (left-- === 0) world.disk.crash(random);
            };
            for (const one of steps) await play(store, model, one);
            world.disk.beforeChange = () => {};
            world.disk.crash(random);
            await store.close();
            if (indexFate === 'lost') world.loseIndex();
            if (indexFate === 'set back') world.setIndexBack();
          }
          const store = await world.open();
          await expectModel(store, model);
          await play(store, model, { what: 'compact', n: 0 });
          await expectModel(store, model);
          await store.close();
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  }, 120_000);
});
