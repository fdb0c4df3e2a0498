// Garbage: what nothing names any more goes from the farmers' disks, and nothing else does, whoever asks for it.
import { ORPHAN_AFTER_MS } from '#node/core/id-ranges.ts';
import { pieceId } from '#node/core/segments.ts';
import { decodeAnswerHead, encodeCallHead } from '#node/wire/calls.ts';
import { trashOrder } from '#node/wire/inventory.ts';
import type { BucketId, PieceId, SegmentPlacement } from '#node/wire/types.ts';
import { simAccount } from './clients.ts';
import { Process } from './virtual-time.ts';
import { BUCKET_NAME, Violation, type FarmerHome, type World } from './world.ts';

const DAY_MS = 24 * 3_600_000;
/** Of the trash, the most that a farmer may keep beside what it needs: a quarter, and files that aren't full. */
const MAX_UNNEEDED_BYTES = 1024 * 1024;

/** A repairer that has a warrant puts everything that it may into the trash of a farmer. */
export async function trashEverything(world: World, { keyPair, name, running }: FarmerHome): Promise<void> {
  const owner = world.owner.keyPair.publicKey;
  const cut = world.repairer?.index.cuts.applied(owner);
  if (!cut || !running) return;
  const process = new Process('cheat', world.time, world.dice);
  const to = { farmer: keyPair.publicKey, url: `memory://${keyPair.publicKey}` };
  const body = once(trashOrder.encode({ cut: cut.statement, pieceIds: piecesOn(world, running).map((one) => one.pieceId) }));
  try {
    const call = { operation: 'piece.trash', head: encodeCallHead('piece.trash', { owner }), body } as const;
    const network = world.net.of(process, world.repairerKey.publicKey);
    const { head } = await network.call(to, call, process.runtime.deadline(10_000));
    world.note(`a repairer cheats: ${decodeAnswerHead('piece.trash', head).moved} pieces of ${name} are in the trash`);
  } catch (error) {
    world.note(`the cheat failed: ${String(error)}`);
  }
}

/**
 * Two days after everything was named for the last time, and two weeks later. `again` switches the farm off for so
 * long and brings it back.
 */
export async function checkGarbage(world: World, again: (ms: number) => Promise<void>): Promise<void> {
  await insist(world, 'the uploads stay open', async () => {
    const { bridge } = world.bridge!;
    await bridge.objects.closeUploads(bridge.objects.bucket(simAccount(world), BUCKET_NAME));
  });
  if (!world.repairer) world.startRepairer();
  // What is on one farmer is put into the trash by a liar, to be found there two days later.
  await insist(world, 'the repairer reads no cut', async () => {
    await letGo(world);
    await trashEverything(world, world.dice.pick(world.farmers));
  });
  await again(3 * DAY_MS);
  await insist(world, 'garbage stays', async () => {
    await letGo(world);
    checkPieces(world);
  });
  await again(16 * DAY_MS);
  // Compaction, and the dropping of batches, have their turn.
  await world.sleep(15_000);
  await insist(world, 'the trash stays', async () => checkTrash(world));
}

/** A cut, and what follows from it. */
async function letGo(world: World): Promise<void> {
  const { bridge, process } = world.bridge!;
  const dropped = await bridge.cuts.state(world.owner.keyPair.publicKey, process.runtime.deadline(60_000));
  world.note(`the last cut lets ${dropped} segments go`);
  const { repair } = world.repairer!;
  await repair.askFarmers();
  if (!(await repair.scan())) throw new Error('the repairer could not read everything');
  await repair.compare();
}

function checkPieces(world: World): void {
  const placements = namedPlacements(world);
  const named = new Set(placements.flatMap(piecesOf));
  for (const { name, keyPair, running } of world.farmers) {
    // What repairers move is their affair: one may die between storing a piece and telling of it.
    const needed = new Set(placements.flatMap((one) => piecesOf(one).filter((_, n) => one.farmers[n] === keyPair.publicKey)));
    if (!running) throw new Error(`${name} is down`);
    for (const { pieceId: id, storedMs, trashedMs } of piecesOn(world, running)) {
      if (needed.has(id) && trashedMs !== null) throw new Error(`${name} has a piece in the trash that an object needs`);
      const isOld = storedMs < world.time.nowMs - ORPHAN_AFTER_MS;
      if (!named.has(id) && isOld && trashedMs === null) throw new Error(`${name} keeps a piece that nothing names`);
    }
  }
}

/** By the catalog: what it says is compared with what the words say elsewhere. */
function namedPlacements(world: World): SegmentPlacement[] {
  const { objects, catalog } = world.bridge!.bridge;
  const { bucketId } = objects.bucket(simAccount(world), BUCKET_NAME);
  const placements = catalog
    .segmented(bucketId, null, 10_000)
    .flatMap(({ key, versionId }) => catalog.content(bucketId, key, versionId)?.segments ?? [])
    .flatMap(({ segmentId }) => catalog.placement(bucketId, segmentId) ?? []);
  return [...placements, ...checkpointPlacements(world)];
}

/** Of each bucket the last checkpoint, and the one that it names as the one before. */
function checkpointPlacements({ bridge, checkpoints, share }: World): SegmentPlacement[] {
  const { catalog } = bridge!.bridge;
  // Of a share that was ended nothing is needed.
  const isOver = (bucketId: BucketId) => share?.isEnded === true && bucketId === share.shareId;
  const needed = [...checkpoints.values()].filter(({ bucketId }) => !isOver(bucketId));
  const byBucket = Map.groupBy(needed, ({ bucketId }) => bucketId);
  return [...byBucket.values()].flatMap((all) => {
    const last = Math.max(...all.map(({ entry }) => entry.number));
    const previous = Math.max(...all.map(({ entry }) => (entry.number === last ? entry.previous : 0)));
    return all
      .filter(({ entry: { number } }) => number === last || number === previous)
      .flatMap(({ bucketId, entry }) => entry.segments.flatMap((id) => catalog.placement(bucketId, id) ?? []));
  });
}

function piecesOf({ secret, scheme }: SegmentPlacement): PieceId[] {
  return Array.from({ length: scheme.total }, (_, number) => pieceId(secret, number));
}

async function checkTrash(world: World): Promise<void> {
  for (const { name, running } of world.farmers) {
    if (!running) throw new Error(`${name} is down`);
    const old = piecesOn(world, running).filter(
      ({ trashedMs }) => trashedMs !== null && trashedMs < world.time.nowMs - 15 * DAY_MS,
    );
    if (old.length > 0) throw new Error(`${name} keeps ${old.length} pieces in the trash for ever`);
    const { liveBytes, trashBytes } = await running.farmer.store.numbers();
    if (trashBytes > liveBytes / 3 + MAX_UNNEEDED_BYTES)
      throw new Error(`${name} has ${trashBytes} bytes that nobody needs beside ${liveBytes} that somebody does`);
  }
}

function piecesOn(world: World, { farmer }: NonNullable<FarmerHome['running']>) {
  const owner = world.owner.keyPair.publicKey;
  return farmer.store.index.pieces.inRange({ owner, fromId: '0'.repeat(64), toId: '', limit: 100_000 });
}

async function insist(world: World, what: string, work: () => Promise<void>): Promise<void> {
  for (let left = 8; ; left--) {
    try {
      return await work();
    } catch (error) {
      world.note(`${what}: ${String(error)}`);
      if (left === 1) throw new Violation(`${what}: ${String(error)}`, { cause: error });
      await world.sleep(10_000);
    }
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
