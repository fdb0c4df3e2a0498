// The trash: in and out of it, what counts meanwhile, and that all of it is written down in the segment files.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { PieceStore } from '#node/farmer/piece-store.ts';
import type { Store } from '#node/farmer/store.ts';
import { bodyOf, got, idOf, never, OWNER, pieceOf, put, testStore, type TestStore } from '#test/support/test-store.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
let world: TestStore;
beforeEach(() => {
  world = testStore();
});
afterEach(() => world.end());

const ids = (...numbers: number[]) => numbers.map(idOf);
const all = { owner: OWNER, fromId: '', toId: '', limit: 1000 } as const;
/** Everything that the index says, but where things lie. */
const said = async (store: Store) => {
  const { freeBytes: _, trashBytes: __, ...numbers } = await store.numbers();
  return { numbers, pieces: store.index.pieces.inRange(all), holdings: store.index.owners.holdings() };
};

describe('a piece in the trash', () => {
  it('is not counted and not held, but can still be read', async () => {
    const store = await world.open();
    for (const n of [1, 2, 3]) await put(store, n, 1000 + n);
    const before = await store.numbers();

    expect(await new PieceStore(store).trash(OWNER, ids(2, 3, 9), world.nowMs)).toEqual(ids(2, 3));

    expect(await new PieceStore(store).trash(OWNER, ids(2), world.nowMs)).toEqual([]);
    expect(new PieceStore(store).stat(OWNER, ids(1, 2, 3)).map(({ pieceId }) => pieceId)).toEqual(ids(1));
    expect(Buffer.compare(await got(store, 2), pieceOf(2, 1002))).toBe(0);
    const after = await store.numbers();
    expect(after).toMatchObject({ pieces: 1 });
    expect(after.liveBytes).toBeLessThan(before.liveBytes / 2);
    expect(after.liveBytes + after.trashBytes).toBe(store.log.files.usedBytes());
    expect(store.index.owners.holdings()).toEqual([{ owner: OWNER, pieces: 1, bytes: 1001 }]);
    expect(store.index.pieces.inRange(all).map(({ trashedMs }) => trashedMs)).toEqual([null, world.nowMs, world.nowMs]);
    await store.close();
  });

  it('comes out of it again with the time it had', async () => {
    const store = await world.open();
    await put(store, 1, 1000);
    const before = await said(store);
    const pieces = new PieceStore(store);
    world.nowMs += DAY_MS;
    await pieces.trash(OWNER, ids(1), world.nowMs);

    expect(await pieces.restore(OWNER, ids(1, 2))).toEqual(ids(1));

    const after = await said(store);
    expect(after.pieces).toEqual(before.pieces);
    expect(after.holdings).toEqual(before.holdings);
    await store.close();
  });

  it('comes out of it when it is sent again, and counts as stored then', async () => {
    const store = await world.open();
    await put(store, 1, 1000);
    const used = store.log.files.usedBytes();
    await new PieceStore(store).trash(OWNER, ids(1), world.nowMs);
    world.nowMs += DAY_MS;

    const stored = await new PieceStore(store).put(OWNER, idOf(1), bodyOf(pieceOf(1, 1000)), never);

    expect(stored.storedMs).toBe(world.nowMs);
    expect(store.index.pieces.inRange(all)).toMatchObject([{ storedMs: world.nowMs, trashedMs: null }]);
    expect(store.log.files.usedBytes()).toBeLessThan(used + 500);
    await store.close();
  });
});

it('a piece that is sent again counts as stored anew, but not within the hour', async () => {
  const store = await world.open();
  const first = world.nowMs;
  for (const laterMs of [0, 60_000, DAY_MS]) {
    world.nowMs = first + laterMs;
    await put(store, 1, 1000);
    expect(store.index.pieces.get(OWNER, idOf(1))?.storedMs).toBe(laterMs === DAY_MS ? first + DAY_MS : first);
  }
  await store.close();
});

describe('a range of pieces', () => {
  it('is listed in the order of ids, page by page', async () => {
    const store = await world.open();
    for (const n of [7, 3, 9, 1, 5]) await put(store, n, 100 + n);
    const list = (fromId: string, toId: string, limit: number) =>
      store.index.pieces.inRange({ owner: OWNER, fromId, toId, limit }).map(({ sizeBytes }) => sizeBytes - 100);

    expect(list('', '', 10)).toEqual([1, 3, 5, 7, 9]);
    expect(list(idOf(3), idOf(9), 10)).toEqual([3, 5, 7]);
    expect(list(idOf(4), '', 2)).toEqual([5, 7]);
    expect(store.index.pieces.inRange({ ...all, owner: 'bb'.repeat(32) })).toEqual([]);
    await store.close();
  });

  it('has a digest that is that of its ids, however it is cut up', async () => {
    const store = await world.open();
    const numbers = Array.from({ length: 25 }, (_, i) => (i * 7919) % 10_007);
    for (const n of numbers) await put(store, n, 10);
    const trashed = numbers.slice(0, 5);
    await new PieceStore(store).trash(OWNER, trashed.map(idOf), world.nowMs);
    const kept = numbers.slice(5);

    for (const limit of [1, 4, 25, 26, 1000]) {
      let [pieces, xor, fromId] = [0, 0n, ''];
      do {
        const part = store.index.pieces.digest({ ...all, fromId, limit });
        pieces += part.pieces;
        xor ^= BigInt(`0x${part.xor}`);
        fromId = part.nextId;
      } while (fromId !== '');
      expect([pieces, xor]).toEqual([20, kept.reduce((sum, n) => sum ^ BigInt(n), 0n)]);
    }
    expect(store.index.pieces.digest({ ...all, fromId: idOf(20_000) })).toEqual({ pieces: 0, xor: '00'.repeat(32), nextId: '' });
    await store.close();
  });
});

describe('an index that is made anew', () => {
  const step = fc.tuple(
    fc.constantFrom('put', 'trash', 'restore', 'restart', 'compact'),
    fc.uniqueArray(fc.nat(5), { minLength: 1 }),
  );

  it('says what the lost one said, whatever happened in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        world.clear();
        let store = await world.open();
        for (const [what, numbers] of steps) {
          world.nowMs += 2 * DAY_MS;
          const pieces = new PieceStore(store);
          if (what === 'put') await Promise.all(numbers.map((n) => put(store, n, n % 3 === 0 ? 1_100_000 : 600)));
          if (what === 'trash') await pieces.trash(OWNER, numbers.map(idOf), world.nowMs);
          if (what === 'restore') await pieces.restore(OWNER, numbers.map(idOf));
          if (what === 'compact') await world.compact(store);
          if (what === 'restart') {
            await store.close();
            store = await world.open();
          }
        }
        const before = await said(store);
        await store.close();
        world.loseIndex();

        store = await world.open();

        expect(await said(store)).toEqual(before);
        await store.close();
      }),
      { numRuns: 20, endOnFailure: true },
    );
  }, 60_000);
});
