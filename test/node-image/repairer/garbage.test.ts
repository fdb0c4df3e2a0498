// What farmers have and what the logs name, compared on real farmers: orphans and missing pieces are found
// exactly, and nothing goes that a later cut names.
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { pieceId } from '#node/core/segments.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import { signCut } from '#node/wire/cuts.ts';
import { trashOrder } from '#node/wire/inventory.ts';
import {
  BUCKET,
  OTHER_BUCKET,
  RepairWorld,
  type RepairerHandle,
  type WrittenSegment,
} from '#test/node-image/repairer/support/repair-world.ts';
import { testKey } from '#test/support/memory-farmer.ts';

let world: RepairWorld;

const SMALL = 10;
const HOUR_MS = 3_600_000;
const ALL = { fromId: '', toId: '', limit: 10_000 };
const idOf = ({ placement }: WrittenSegment, number: number) => pieceId(placement.secret, number);
const idsOf = (written: WrittenSegment) => written.placement.farmers.map((_, number) => idOf(written, number));
const holderOf = (written: WrittenSegment, number: number) =>
  world.farm.farmers.find(({ keyPair }) => keyPair.publicKey === written.placement.farmers[number])!.farmer;
const heldBy = (farmer: RepairWorld['farm']['farmers'][number]) =>
  farmer.farmer.store.index.pieces.inRange({ owner: world.access.owner, ...ALL });
const held = () => world.farm.farmers.flatMap(heldBy);
const liveIds = () => held().flatMap(({ pieceId: id, trashedMs }) => (trashedMs === null ? [id] : []));
const trashedIds = () => held().flatMap(({ pieceId: id, trashedMs }) => (trashedMs === null ? [] : [id]));
const release = (written: WrittenSegment, bucketId = BUCKET) =>
  world.logs.get(bucketId)!.append([], { added: [], released: [written.placement.segmentId] });

/** Reads, compares, repairs what that showed, and reads what was repaired. */
async function settle(handle: RepairerHandle): Promise<void> {
  await handle.round();
  await handle.repair.compare();
  await handle.round();
  expect(handle.failures).toEqual([]);
}

/** Farmers have exactly what the index says, outside their trash. */
function expectExact(handle: RepairerHandle): void {
  for (const farmer of world.farm.farmers) {
    const named = handle.index.inventory.inRange(world.access.owner, farmer.keyPair.publicKey, {
      fromId: '0'.repeat(64),
      toId: '',
    });
    const there = heldBy(farmer).filter(({ trashedMs }) => trashedMs === null);
    expect(there.map(({ pieceId: id }) => id)).toEqual(
      named.filter(({ suspicion }) => suspicion !== 'Missing').map(({ pieceId: id }) => id),
    );
  }
}

describe('comparing farmers with the logs', () => {
  afterEach(async () => {
    await world.stop();
  });

  it('puts what a cut has dropped into the trash, at once and nothing else', async () => {
    world = await RepairWorld.start(6);
    const [gone, kept] = [await world.write(SMALL), await world.write(SMALL)];
    const handle = world.startRepairer();
    await release(gone);
    await settle(handle);
    expect(trashedIds()).toEqual([]);
    world.clock.shiftMs += 1000;
    await world.cut([gone]);
    await settle(handle);
    expect(trashedIds().sort()).toEqual(idsOf(gone).sort());
    expect(liveIds().sort()).toEqual(idsOf(kept).sort());
    expectExact(handle);
    expect(handle.failures).toEqual([]);
  });

  it('needs no logs of a deleted bucket: it counts for nothing, and cuts that name it go on', async () => {
    world = await RepairWorld.start(6);
    await world.openLog(OTHER_BUCKET);
    const [gone, kept] = [await world.write(SMALL, OTHER_BUCKET), await world.write(SMALL)];
    const handle = world.startRepairer();
    await settle(handle);
    const replicaSets = () => handle.repair.report().farmers.reduce((sum, one) => sum + one.replicaSets, 0);
    const before = replicaSets();
    // What the repairer hasn't read of it when it goes.
    await release(gone, OTHER_BUCKET);
    world.clock.shiftMs += 1000;
    await world.cut([gone]);
    await world.dissolve(OTHER_BUCKET);

    await settle(handle);
    expect(trashedIds().sort()).toEqual(idsOf(gone).sort());
    expect(liveIds().sort()).toEqual(idsOf(kept).sort());
    // There is the account's set instead.
    expect(replicaSets()).toBe(before);
    expect(handle.repair.report()).toMatchObject({ state: 'Healthy', segments: 1 });
  });

  it('leaves pieces of a broken upload for 48 hours', async () => {
    world = await RepairWorld.start(6);
    const [broken, kept] = [await world.store(SMALL), await world.write(SMALL)];
    const handle = world.startRepairer();
    world.clock.shiftMs += 47 * HOUR_MS;
    await world.cut([]);
    await settle(handle);
    expect(trashedIds()).toEqual([]);
    world.clock.shiftMs += 2 * HOUR_MS;
    // Time alone does nothing: it takes a cut.
    await settle(handle);
    expect(trashedIds()).toEqual([]);
    await world.cut([]);
    await settle(handle);
    expect(trashedIds().sort()).toEqual(idsOf(broken).sort());
    expect(liveIds().sort()).toEqual(idsOf(kept).sort());
  });

  it('brings back what a copy names that no cut had seen', async () => {
    world = await RepairWorld.start(6);
    await world.openLog(OTHER_BUCKET);
    const one = await world.write(SMALL);
    const handle = world.startRepairer();
    await release(one);
    world.clock.shiftMs += 1000;
    await world.cut([one]);
    await settle(handle);
    expect(trashedIds()).toHaveLength(6);
    await world.logs.get(OTHER_BUCKET)!.append([], { added: [one.placement], released: [] });
    await settle(handle);
    expect(trashedIds()).toEqual([]);
    expect(handle.repair.report()).toMatchObject({ segments: 1, state: 'Healthy', repairedPieces: 0 });
    // An older cut changes nothing, nor does a newer one that doesn't drop it.
    await world.cut([]);
    await settle(handle);
    expect(liveIds().sort()).toEqual(idsOf(one).sort());
  });

  it('finds pieces that a farmer has lost, and repairs them', async () => {
    world = await RepairWorld.start(7);
    const written = [await world.write(SMALL), await world.write(SMALL)];
    const handle = world.startRepairer();
    await settle(handle);
    expect(handle.repair.report().repairedPieces).toBe(0);
    // As after a snapshot was put back: the farmer doesn't know, and says what it has.
    const lost = idOf(written[0]!, 2);
    const { store } = holderOf(written[0]!, 2);
    const hide = (ids: { pieceId: string }[]) => ids.filter(({ pieceId: id }) => id !== lost);
    const { pieces } = store.index;
    const [inRange, digest, get] = [pieces.inRange, pieces.digest, pieces.get].map((call) => call.bind(pieces)) as [
      typeof pieces.inRange,
      typeof pieces.digest,
      typeof pieces.get,
    ];
    pieces.inRange = (asked) => hide(inRange(asked)) as ReturnType<typeof inRange>;
    pieces.digest = (asked) => ({ ...digest(asked), pieces: digest(asked).pieces - 1 });
    pieces.get = (owner, id) => (id === lost ? null : get(owner, id));
    await settle(handle);
    expect(handle.repair.report()).toMatchObject({ repairedPieces: 1, segmentsQueued: 0, state: 'Healthy' });
    // There after all: one more holder.
    Object.assign(pieces, { inRange, digest, get });
    await settle(handle);
    expectExact(handle);
    expect(liveIds().filter((id) => id === lost)).not.toEqual([]);
    expect(handle.failures).toEqual([]);
  });

  it('is refused to strangers, without a cut of the owner, and for pieces that came after it', async () => {
    world = await RepairWorld.start(6);
    const one = await world.write(SMALL);
    const { owner } = world.access;
    const target = one.placement.farmers[0]!;
    const order = async (from: string, signer: string, cutMs: number) => {
      const signers = { bridge: world.farm.bridge, stranger: testKey('stranger') };
      const cut = signCut(signers[signer as 'bridge'], owner, cutMs, { heads: [], dropped: [] });
      const network = world.farm.networkOf(from === 'repairer' ? world.farm.repairer : testKey('stranger'));
      const bytes = trashOrder.encode({ cut: cut.statement, pieceIds: [idOf(one, 0)] });
      async function* body() {
        yield bytes;
      }
      const call = { operation: 'piece.trash', head: encodeCallHead('piece.trash', { owner }), body: body() } as const;
      return await network.call({ farmer: target, url: `memory://${target}` }, call, world.ended.signal);
    };
    const later = world.clock.nowMs() + 1000;
    await expect(order('stranger', 'bridge', later)).rejects.toMatchObject({ code: 'Forbidden' });
    await expect(order('repairer', 'stranger', later)).rejects.toMatchObject({ code: 'BadRequest' });
    await order('repairer', 'bridge', 1000);
    expect(trashedIds()).toEqual([]);
    await order('repairer', 'bridge', later);
    expect(trashedIds()).toEqual([idOf(one, 0)]);
  });
});

describe('garbage collection', () => {
  it('ends with exactly what is named, whatever was written, copied, deleted, broken off, lost and cut in between', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('write', 'copy', 'delete', 'delete') },
      { weight: 3, arbitrary: fc.constantFrom('cut', 'settle', 'late copy', 'broken', 'hours') },
      { weight: 1, arbitrary: fc.constantFrom('lose') },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fc.nat(999)), { minLength: 8, maxLength: 16 }), async (steps) => {
        world = await RepairWorld.start(4);
        try {
          await world.openLog(OTHER_BUCKET);
          const handle = world.startRepairer();
          const segments: { written: WrittenSegment; names: string[]; dropped: boolean }[] = [];
          const brokenOff: WrittenSegment[] = [];
          let lost = 0;
          for (const [what, pick] of steps) {
            const one = segments[pick % Math.max(1, segments.length)];
            const other = pick % 2 === 0 ? BUCKET : OTHER_BUCKET;
            if (what === 'write') segments.push({ written: await world.write(SMALL, other), names: [other], dropped: false });
            else if (what === 'broken') brokenOff.push(await world.store(SMALL));
            else if (what === 'settle') await settle(handle);
            else if (what === 'hours') world.clock.shiftMs += 30 * HOUR_MS;
            else if (what === 'cut') {
              world.clock.shiftMs += 10;
              const free = segments.filter(({ names, dropped }) => names.length === 0 && !dropped);
              await world.cut(free.map(({ written }) => written));
              for (const segment of free) segment.dropped = true;
            } else if (what === 'lose' && lost === 0) {
              lost++;
              await world.farm.restart(pick % 4, { empty: true });
              await world.upkeep();
            } else if (one && (what === 'copy' ? one.names.length > 0 : what === 'late copy' && one.dropped)) {
              await world.logs.get(other)!.append([], { added: [one.written.placement], released: [] });
              one.names.push(other);
              one.dropped = false;
            } else if (one && what === 'delete' && one.names.length > 0) await release(one.written, one.names.pop());
          }
          await settle(handle);
          world.clock.shiftMs += 50 * HOUR_MS;
          await world.cut(segments.filter(({ names, dropped }) => names.length === 0 && !dropped).map(({ written }) => written));
          await settle(handle);
          await settle(handle);
          const living = segments.filter(({ names }) => names.length > 0).map(({ written }) => written.placement.segmentId);
          const indexed = handle.index.allSegments(0, 999).map((id) => handle.index.segment(id)!.segmentId);
          expect(indexed.sort()).toEqual(living.sort());
          expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, segmentsUnreadable: 0 });
          expectExact(handle);
          expect(handle.failures).toEqual([]);
        } finally {
          await world.stop();
        }
      }),
      { numRuns: 4, endOnFailure: true },
    );
  }, 60_000);
});
