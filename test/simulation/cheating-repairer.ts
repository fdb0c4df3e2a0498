// A repairer that has a warrant and lies: its log says that pieces are where they aren't. Nobody may believe it.
import { readBucketContent } from '#node/client/account.ts';
import { logLink, farmSnapshot, settableFarmView } from '#node/client/farm-view.ts';
import { pieceId, segmentGeometry } from '#node/core/segments.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { sealPlacement } from '#node/wire/placements.ts';
import { signStatement } from '#node/wire/statements.ts';
import { Process } from './virtual-time.ts';
import { BUCKET_NAME, simKey, SimWriterStates, type World } from './world.ts';

/** One try; whatever fails, fails. */
export async function cheat(world: World): Promise<void> {
  world.note('a repairer begins to cheat');
  const process = new Process('cheat', world.time, world.dice);
  const { runtime } = process;
  const { dice, owner } = world;
  const access = { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret };
  const bucketId = world.bridge?.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]?.bucketId;
  if (!bucketId) return;
  const link = logLink({
    network: world.net.of(process, world.repairerKey.publicKey),
    farm: settableFarmView(farmSnapshot(world.current())),
    runtime,
  });
  try {
    const { placements } = await readBucketContent(link, { access, bucketId, signal: runtime.deadline(20_000) });
    if (placements.size === 0) return;
    const placement = dice.pick([...placements.values()]);
    const pieceNumber = dice.between(0, placement.scheme.total - 1);
    const { pieceBytes } = segmentGeometry(placement.sizeBytes, placement.scheme.required);
    const victim = dice.pick(world.farmers).keyPair;
    const stranger = simKey('stranger');
    const farm = simKey('another farm');
    const membership = (of: typeof farm, farmer: string) =>
      signStatement(of, { kind: 'membership', farm: of.publicKey, farmer, issuedMs: 1 }).bytes;
    const isStranger = dice.chance(0.5);
    const farmer = isStranger ? stranger.publicKey : victim.publicKey;
    const receipt = {
      kind: 'receipt',
      farmer,
      owner: access.owner,
      pieceId: pieceId(placement.secret, pieceNumber),
      pieceRoot: placement.scheme.total === 1 ? placement.root : 'cd'.repeat(32),
      sizeBytes: pieceBytes,
      durability: 'fsynced',
      storedMs: runtime.nowMs(),
      membership: isStranger ? membership(farm, farmer) : membership(world.control, farmer),
    } as const;
    // A stranger signs for itself; for a farmer of the farm the cheat has no key.
    const { bytes } = signStatement(isStranger ? stranger : world.repairerKey, receipt);
    const entry = { pieceNumber, farmer, receipt: bytes, path: [] };
    const log = await openBucketLog({
      link,
      owner: access.owner,
      bucketId,
      writer: world.repairerKey,
      kind: 'placements',
      state: new SimWriterStates(world).of(access.owner, bucketId),
      signal: runtime.deadline(20_000),
    });
    await log.appendPlacements([sealPlacement(placement.secret, entry, runtime.random(12))], runtime.deadline(20_000));
    await log.close();
  } catch (error) {
    world.note(`the cheat failed: ${String(error)}`);
  }
}
