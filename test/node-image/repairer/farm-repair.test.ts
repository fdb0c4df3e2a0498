// A repairer on real farmers and real logs, over the memory network.
import { afterEach, describe, expect, it } from 'vitest';
import { boxPublicKey } from '#node/core/keys.ts';
import { farmReportSchema } from '#node/interface/status.ts';
import {
  BUCKET,
  OTHER_BUCKET,
  RepairWorld,
  type RepairerHandle,
  type WrittenSegment,
} from '#test/node-image/repairer/support/repair-world.ts';
import { testKey } from '#test/support/memory-farmer.ts';

let world: RepairWorld;
afterEach(async () => {
  await world.stop();
});

const OBJECT = 700_000;

/** Every piece is on a farmer that stays, by the logs and in truth. */
async function expectWhole(handle: RepairerHandle, written: WrittenSegment[]) {
  const lost = new Set(
    world.farm
      .current()
      .roster.filter(({ state }) => state !== 'Active')
      .map(({ farmer }) => farmer),
  );
  const known = new Set(world.farm.current().roster.map(({ farmer }) => farmer));
  for (const one of written) {
    const [id] = handle.index
      .allSegments(0, 1000)
      .filter((number) => handle.index.segment(number)?.segmentId === one.placement.segmentId);
    const holders = handle.index
      .segment(id!)!
      .holders.map((some) => some.filter((farmer) => known.has(farmer) && !lost.has(farmer)));
    const used = new Set<string>();
    for (const [pieceNumber, some] of holders.entries()) {
      const holder = some.find((farmer) => !used.has(farmer));
      expect(holder, `piece ${pieceNumber}`).toBeDefined();
      used.add(holder!);
      const piece = await world.readPiece(one, pieceNumber, holder!);
      expect(piece && Buffer.compare(piece, one.segment.pieces[pieceNumber]!)).toBe(0);
    }
  }
}

const farmerAt = (i: number) => world.farm.farmers[i]!.keyPair.publicKey;

describe('repair on a farm', () => {
  it('finds owners and their segments, and reports a whole farm as healthy', async () => {
    world = await RepairWorld.start(6);
    for (const size of [10, OBJECT, 3_000_000]) await world.write(size);
    const handle = world.startRepairer();
    expect(handle.repair.report()).toMatchObject({ state: 'Unknown', readThroughMs: 0 });
    const before = world.clock.nowMs();
    expect(await handle.round()).toBe(true);
    const report = farmReportSchema.parse(handle.repair.report());
    expect(report).toMatchObject({
      state: 'Healthy',
      margin: 2,
      segments: 3,
      segmentsQueued: 0,
      segmentsByScheme: { '4/5/6/6': 3 },
      ownersWithoutWarrant: 0,
      repairedPieces: 0,
    });
    expect(report.readThroughMs).toBeGreaterThanOrEqual(before);
    expect(
      report.farmers.map(({ state, pieces, piecesToMove, unwarrantedPieces }) => [
        state,
        pieces,
        piecesToMove,
        unwarrantedPieces,
      ]),
    ).toEqual(Array.from({ length: 6 }, () => ['Online', 3, 0, 0]));
    expect(report.farmers.reduce((sum, { replicaSets }) => sum + replicaSets, 0)).toBe(5);
    expect(handle.failures).toEqual([]);
  });

  it('rebuilds what a farmer held whose volume is gone, on the one that took its slot', async () => {
    world = await RepairWorld.start(6);
    const written = [await world.write(10), await world.write(OBJECT), await world.write(3_000_000)];
    const handle = world.startRepairer();
    await handle.round();
    await world.farm.restart(2, { empty: true });
    await world.farm.restart(4, { empty: true });
    await handle.round();
    expect(handle.failures).toEqual([]);
    // Two of five replicas are gone as well: the bridge's part, and the report says so until it is done.
    expect(handle.repair.report()).toMatchObject({ margin: 0, state: 'AtRisk', segmentsQueued: 0, repairedPieces: 6 });
    await world.upkeep();
    await handle.round();
    expect(handle.repair.report()).toMatchObject({
      margin: 2,
      state: 'Healthy',
      segmentsQueued: 0,
      segmentsAtRisk: 0,
      repairedPieces: 6,
    });
    expect(handle.repaired.every(({ copied, pieces }) => !copied && pieces === 2)).toBe(true);
    await expectWhole(handle, written);
  });

  it('spreads over failure domains what has come to stand too close together', async () => {
    world = await RepairWorld.start(9);
    const one = await world.write(OBJECT);
    const handle = world.startRepairer();
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsCrowded: 0, segmentsQueued: 0 });
    // Zone a has four pieces, b two, and c none: two pieces must get a holder in c.
    const zoneOf = (farmer: string) => 'aaaabb'[one.placement.farmers.indexOf(farmer)] ?? 'c';
    world.farm.change({ roster: world.farm.current().roster.map((member) => ({ ...member, domain: zoneOf(member.farmer) })) });
    await handle.repair.askFarmers();
    expect(handle.repair.report()).toMatchObject({ state: 'Healthy', segmentsCrowded: 1, segmentsQueued: 1 });
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ state: 'Healthy', segmentsCrowded: 0, segmentsQueued: 0, repairedPieces: 2 });
    expect(handle.repaired.every(({ copied }) => copied)).toBe(true);
    // The whole zone a may go now.
    for (const { farmer, state } of world.farm.current().roster)
      if (state === 'Active' && zoneOf(farmer) === 'a') world.farm.setState(farmer, 'Lost');
    await handle.repair.askFarmers();
    expect(handle.repair.report()).toMatchObject({ segmentsUnreadable: 0 });
  });

  it('counts a silent farmer as healthy until lostAfter, then rebuilds elsewhere; back again, it is one more holder', async () => {
    world = await RepairWorld.start(7);
    const one = await world.write(OBJECT);
    const gone = one.placement.farmers[0]!;
    const handle = world.startRepairer();
    await handle.round();
    const address = world.farm.farmers.find(({ keyPair }) => keyPair.publicKey === gone)!;
    world.farm.net.detach(gone);
    const askAfter = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 15_000) {
        world.clock.shiftMs += 15_000;
        await handle.repair.askFarmers();
      }
    };
    await askAfter(75_000);
    expect(handle.repair.report().farmers.find(({ farmer }) => farmer === gone)?.state).toBe('Offline');
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: 0, margin: 2 });
    world.farm.change({ lostAfterMs: 60_000 });
    await handle.round();
    expect(handle.repair.report().farmers.find(({ farmer }) => farmer === gone)?.state).toBe('Lost');
    expect(handle.repair.report()).toMatchObject({ repairedPieces: 1, segmentsQueued: 0 });
    world.farm.net.attach(gone, address.farmer.service);
    await handle.round();
    expect(handle.repair.report().farmers.find(({ farmer }) => farmer === gone)?.state).toBe('Online');
    expect(handle.repair.report().repairedPieces).toBe(1);
  });

  it('drains: copies pieces from a leaving farmer and says exactly when it may go', async () => {
    world = await RepairWorld.start(7);
    const written: WrittenSegment[] = [];
    for (let i = 0; i < 5; i++) written.push(await world.write(OBJECT));
    const handle = world.startRepairer();
    await handle.round();
    const leaving = written[0]!.placement.farmers[3]!;
    const held = written.filter(({ placement }) => placement.farmers.includes(leaving)).length;
    const of = () => handle.repair.report().farmers.find(({ farmer }) => farmer === leaving)!;
    const replicas = () => handle.repair.report().farmers.flatMap((one) => (one.replicaSets > 0 ? [one.farmer] : []));
    const before = replicas();
    world.farm.setState(leaving, 'Leaving');
    // From the first moment on, also before its segments are judged anew: nobody may take it for drained.
    expect(of()).toMatchObject({ state: 'Leaving', pieces: held, piecesToMove: held });
    await handle.repair.askFarmers();
    expect(of()).toMatchObject({ state: 'Leaving', pieces: held, piecesToMove: held, unwarrantedPieces: 0 });
    expect(of().cordonedMs).not.toBeNull();
    await handle.round();
    expect(of()).toMatchObject({ piecesToMove: 0 });
    await world.upkeep();
    const others = world.farm.farmers.filter(({ keyPair }) => !before.includes(keyPair.publicKey));
    expect(before).toContain(leaving);
    // As long as the new replica doesn't answer, the one that leaves may know what nobody else does.
    for (const { keyPair } of others) world.farm.net.detach(keyPair.publicKey);
    await handle.round();
    expect(of()).toMatchObject({ replicaSets: 1 });
    for (const { keyPair, farmer } of others) world.farm.net.attach(keyPair.publicKey, farmer.service);
    await handle.round();
    expect(of()).toMatchObject({ piecesToMove: 0, replicaSets: 0 });
    expect(handle.repaired).toEqual(Array.from({ length: held }, () => ({ pieces: 1, copied: true })));
    expect(handle.failures).toEqual([]);
    world.farm.net.detach(leaving);
    await expectWhole(handle, written);
  });

  it('keeps a drain waiting where the farm would get too small for its segments', async () => {
    world = await RepairWorld.start(6);
    await world.write(OBJECT);
    const handle = world.startRepairer();
    await handle.round();
    world.farm.setState(farmerAt(1), 'Leaving');
    await handle.round();
    expect(handle.repair.report().farmers[1]).toMatchObject({ piecesToMove: 1 });
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 1, repairedPieces: 0, margin: 2, state: 'Healthy' });
    // Cancelled: nothing was moved, nothing is to be moved.
    world.farm.setState(farmerAt(1), 'Active');
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: 0 });
  });

  it('counts pieces of owners who gave no warrant, and reads nothing of theirs', async () => {
    world = await RepairWorld.start(6);
    await world.write(OBJECT);
    const stranger = world.startRepairer();
    await stranger.round();
    await world.warrant(testKey('another repairer'), 2);
    world.clock.shiftMs += 1000;
    await stranger.round();
    expect(stranger.repair.report()).toMatchObject({ segments: 0, ownersWithoutWarrant: 1, state: 'Healthy' });
    expect(stranger.repair.report().farmers.map(({ unwarrantedPieces }) => unwarrantedPieces)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('started again with an empty disk, it knows everything and repairs nothing twice', async () => {
    world = await RepairWorld.start(6);
    const written = [await world.write(OBJECT), await world.write(10)];
    const first = world.startRepairer();
    await first.round();
    await world.farm.restart(0, { empty: true });
    await first.round();
    expect(first.repair.report().repairedPieces).toBe(2);
    await first.stop();
    const second = world.startRepairer();
    expect(await second.round()).toBe(true);
    expect(second.repair.report()).toMatchObject({ repairedPieces: 0, segments: 2, segmentsQueued: 0 });
    await expectWhole(second, written);
    await world.upkeep();
    await world.farm.restart(3, { empty: true });
    await second.round();
    expect(second.failures).toEqual([]);
    expect(second.repair.report()).toMatchObject({ repairedPieces: 2, segmentsQueued: 0 });
    await expectWhole(second, written);
  });

  it('started again with its folder, it goes on where it was', async () => {
    world = await RepairWorld.start(6);
    const folder = world.repairerFolder();
    const written = [await world.write(OBJECT)];
    const first = world.startRepairer({ folder });
    await first.round();
    await world.farm.restart(0, { empty: true });
    await first.round();
    await first.stop();
    await world.upkeep();
    written.push(await world.write(OBJECT));
    await world.farm.restart(1, { empty: true });
    const second = world.startRepairer({ folder });
    // What its index remembers isn't enough to act: somebody may have moved pieces meanwhile.
    await second.repair.askFarmers();
    await second.repair.repairAllDue();
    expect(second.repair.report()).toMatchObject({ repairedPieces: 0, segmentsQueued: 1, state: 'Unknown' });
    world.clock.shiftMs += 1000;
    await second.round();
    expect(second.failures).toEqual([]);
    expect(second.repair.report()).toMatchObject({ repairedPieces: 2, segments: 2, segmentsQueued: 0 });
    await expectWhole(second, written);
  });

  it('forgets deleted segments, and keeps one that a copy still names', async () => {
    world = await RepairWorld.start(6);
    await world.openLog(OTHER_BUCKET);
    const [gone, kept] = [await world.write(OBJECT), await world.write(OBJECT)];
    await world.logs.get(OTHER_BUCKET)!.append([], { added: [kept.placement], released: [] });
    await world.logs.get(BUCKET)!.append([], { added: [], released: [gone, kept].map(({ placement }) => placement.segmentId) });
    const handle = world.startRepairer();
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segments: 1, state: 'Healthy' });
    expect(handle.repair.report().farmers.map(({ pieces }) => pieces)).toEqual([1, 1, 1, 1, 1, 1]);
    // Written by two writers at once, a release may be told twice: it is only a hint, the cut decides.
    await world.logs.get(BUCKET)!.append([], { added: [], released: [kept.placement.segmentId] });
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segments: 0 });
    await world.cut([gone]);
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segments: 1, state: 'Healthy' });
    const [left] = handle.index.allSegments(0, 9);
    expect(handle.index.segment(left!)?.segmentId).toBe(kept.placement.segmentId);
    await world.farm.restart(0, { empty: true });
    await handle.round();
    await expectWhole(handle, [kept]);
    expect(handle.repair.report().repairedPieces).toBe(1);
  });

  /** A segment of which one piece has moved; another bucket is there that doesn't name it yet. */
  async function movedOnce() {
    world = await RepairWorld.start(6);
    await world.openLog(OTHER_BUCKET);
    const one = await world.write(OBJECT);
    const handle = world.startRepairer();
    await handle.round();
    await world.farm.restart(0, { empty: true });
    await handle.round();
    return { one, handle };
  }

  it('tells moves to every bucket that names the segment, also one that comes to name it later', async () => {
    const { one, handle } = await movedOnce();
    expect(handle.repair.report().repairedPieces).toBe(1);
    expect(await Promise.all([BUCKET, OTHER_BUCKET].map((bucket) => world.placementsIn(bucket)))).toEqual([1, 0]);
    await world.logs.get(OTHER_BUCKET)!.append([], { added: [one.placement], released: [] });
    await handle.round();
    await handle.round();
    expect(await Promise.all([BUCKET, OTHER_BUCKET].map((bucket) => world.placementsIn(bucket)))).toEqual([1, 1]);
    await world.farm.restart(1, { empty: true });
    await handle.round();
    expect(await Promise.all([BUCKET, OTHER_BUCKET].map((bucket) => world.placementsIn(bucket)))).toEqual([2, 2]);
    await world.logs.get(BUCKET)!.append([], { added: [], released: [one.placement.segmentId] });
    await handle.stop();
    const fresh = world.startRepairer();
    await fresh.round();
    expect(fresh.repair.report()).toMatchObject({ segments: 1, segmentsQueued: 0, repairedPieces: 0 });
    await expectWhole(fresh, [one]);
  });

  it('counts no new holder of which the readers of one bucket have not heard', async () => {
    const { one, handle } = await movedOnce();
    await world.logs.get(OTHER_BUCKET)!.append([], { added: [one.placement], released: [] });
    // In the first bucket the repairer has a log; in the other one it can open none.
    world.farm.net.faultOf = ({ operation }) => (operation === 'roots.put' ? { kind: 'refuse' } : undefined);
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 1 });
    await world.farm.restart(1, { empty: true });
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 1 });
    expect(await world.placementsIn(OTHER_BUCKET)).toBe(0);

    world.farm.net.faultOf = () => undefined;
    world.clock.shiftMs += 10_000;
    await handle.round();
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0 });
    expect(await Promise.all([BUCKET, OTHER_BUCKET].map((bucket) => world.placementsIn(bucket)))).toEqual([2, 2]);
    await expectWhole(handle, [one]);
  });

  it('notices a piece that its farmer has lost or spoiled, when it needs it, and rebuilds that too', async () => {
    world = await RepairWorld.start(8);
    const one = await world.write(OBJECT);
    const handle = world.startRepairer();
    await handle.round();
    const [lost, spoiled] = [one.placement.farmers[0]!, one.placement.farmers[1]!];
    world.farm.net.faultOf = ({ to, operation }) =>
      to === spoiled && operation === 'piece.get' ? { kind: 'flip-answer', atByte: 50_000 } : undefined;
    world.farm.change({
      roster: world.farm
        .current()
        .roster.map((member) => (member.farmer === lost ? { ...member, state: 'Lost' as const } : member)),
    });
    await handle.round();
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ repairedPieces: 2, segmentsQueued: 0 });
    world.farm.net.faultOf = () => undefined;
    await expectWhole(handle, [one]);
  });

  it('gets along with new holders that fail: others take the pieces, nothing counts that isn’t stored', async () => {
    world = await RepairWorld.start(9);
    const written = [await world.write(OBJECT), await world.write(OBJECT), await world.write(OBJECT)];
    const handle = world.startRepairer();
    await handle.round();
    const roster = world.farm.current().roster;
    const gone = written[0]!.placement.farmers[2]!;
    const deaf = roster
      .map(({ farmer }) => farmer)
      .filter((farmer) => farmer !== gone)
      .slice(0, 3);
    world.farm.net.faultOf = ({ to, operation }) =>
      deaf.includes(to) && operation === 'piece.put' ? { kind: 'cut-request', afterBytes: 70_000 } : undefined;
    world.farm.setState(gone, 'Lost');
    for (let round = 0; round < 4; round++) await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0 });
    await expectWhole(handle, written);
  });

  it('keeps domains apart', async () => {
    world = await RepairWorld.start(9, (i) => `zone-${i % 3}`);
    const one = await world.write(OBJECT);
    const handle = world.startRepairer();
    await handle.round();
    world.farm.setState(one.placement.farmers[0]!, 'Lost');
    world.farm.setState(one.placement.farmers[3]!, 'Lost');
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: 2 });
    const domainOf = new Map(world.farm.current().roster.map(({ farmer, domain }) => [farmer, domain]));
    const lost = [one.placement.farmers[0], one.placement.farmers[3]];
    const [id] = handle.index.allSegments(0, 9);
    const zones = handle.index.segment(id!)!.holders.map((some) => domainOf.get(some.find((farmer) => !lost.includes(farmer))!));
    expect(zones.sort()).toEqual(['zone-0', 'zone-0', 'zone-1', 'zone-1', 'zone-2', 'zone-2']);
  });

  it('shares the work with other repairers of the warrant set, and takes over from one that is silent', async () => {
    world = await RepairWorld.start(8);
    const second = testKey('a second repairer');
    const { repairers } = world.farm.current();
    world.farm.change({ repairers: [...repairers, { repairer: second.publicKey, box: boxPublicKey(second.seed) }] });
    await world.warrant(second);
    const written: WrittenSegment[] = [];
    for (let i = 0; i < 8; i++) written.push(await world.write(10));
    const handles = [world.startRepairer(), world.startRepairer({ key: second })] as const;
    for (const handle of handles) await handle.round();
    const lose = async (farmer: string) => {
      const held = handles[0].index.figures.ofFarmer(farmer).pieces;
      world.farm.setState(farmer, 'Lost');
      for (const { repair } of handles) await repair.askFarmers();
      return held;
    };
    const moved = () => handles.map(({ repaired }) => repaired.splice(0).reduce((sum, { pieces }) => sum + pieces, 0));
    let held = await lose(written[0]!.placement.farmers[0]!);
    for (const handle of handles) await handle.round();
    const both = moved();
    expect(both[0]! + both[1]!).toBe(held);
    expect(Math.min(...both)).toBeGreaterThan(0);
    for (const handle of handles) {
      await handle.round();
      expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0 });
    }
    // The second one has stopped: its segments wait for a minute, and then go on.
    held = await lose(written[0]!.placement.farmers[1]!);
    await handles[0].round();
    const [own] = moved();
    expect(own).toBeLessThan(held);
    expect(handles[0].repair.report()).toMatchObject({ segmentsQueued: held - own! });
    world.clock.shiftMs += 61_000;
    await handles[0].round();
    expect(moved()).toEqual([held - own!, 0]);
    expect(handles[0].repair.report()).toMatchObject({ segmentsQueued: 0 });
    await expectWhole(handles[0], written);
    expect(handles.flatMap(({ failures }) => failures)).toEqual([]);
  });
});
