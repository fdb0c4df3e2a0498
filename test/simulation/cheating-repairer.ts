// A repairer that has a warrant and lies: its log says that pieces are where they aren't. Nobody may believe it.
import { openBucket } from '#node/client/account.ts';
import { createClient } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { pieceId, segmentGeometry } from '#node/core/segments.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { encodeCallHead, pieceRange } from '#node/wire/calls.ts';
import { readFirstPart } from '#node/wire/framing.ts';
import { sealPlacement } from '#node/wire/placements.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { SegmentPlacement } from '#node/wire/types.ts';
import { Process } from './virtual-time.ts';
import { BUCKET_NAME, simKey, SimWriterStates, type World } from './world.ts';

/** What the entry says, and who signed the receipt for it. */
interface Lie {
  farmer: KeyPair;
  signer: KeyPair;
  farm: KeyPair;
  pieceRoot: string;
  path: Uint8Array[];
}

/** One try; whatever fails, fails. */
export async function cheat(world: World): Promise<void> {
  const process = new Process('cheat', world.time, world.dice);
  const { runtime } = process;
  const { dice, owner } = world;
  const network = world.net.of(process, world.repairerKey.publicKey);
  const client = createClient({
    network,
    farm: settableFarmView(farmSnapshot(world.current())),
    runtime,
    limits: { threads: 0 },
  });
  const access = { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret };
  const bucketId = world.bridge?.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]?.bucketId;
  if (!bucketId) return;
  try {
    // It knows more than a repairer would: all the better for the test.
    const reader = await openBucket(client, access, bucketId, runtime.deadline(20_000));
    const segments = [];
    for await (const entry of reader.list()) segments.push(...(entry.segments ?? []));
    if (segments.length === 0) return;
    const { placement } = (await reader.locate([dice.pick(segments)]))[0]!;
    const pieceNumber = dice.between(0, placement.scheme.total - 1);
    const lies = await liesAbout(world, process, placement, pieceNumber);
    const [name, lie] = dice.pick(Object.entries(lies));
    world.note(`a repairer cheats: ${name}, about piece ${pieceNumber} of ${placement.segmentId.slice(0, 8)}`);
    const log = await openBucketLog({
      link: client.link,
      owner: access.owner,
      bucketId,
      writer: world.repairerKey,
      kind: 'placements',
      state: new SimWriterStates(world).of(access.owner, bucketId),
      signal: runtime.deadline(20_000),
    });
    const entry = {
      pieceNumber,
      farmer: lie.farmer.publicKey,
      receipt: receiptOf(world, placement, pieceNumber, lie),
      path: lie.path,
    };
    await log.appendPlacements([sealPlacement(placement.secret, entry, runtime.random(12))], runtime.deadline(20_000));
    await log.close();
  } catch (error) {
    world.note(`the cheat failed: ${String(error)}`);
  } finally {
    process.kill();
  }
}

async function liesAbout(
  world: World,
  process: Process,
  placement: SegmentPlacement,
  pieceNumber: number,
): Promise<Record<string, Lie>> {
  const { dice, control } = world;
  const strangers = { farmer: simKey('stranger'), signer: simKey('stranger'), farm: simKey('another farm') };
  const range = await trueRange(world, process, placement, pieceNumber);
  const proof = { pieceRoot: range.pieceRoot, path: range.path };
  const without = world.farmers.filter(({ keyPair }) => keyPair.publicKey !== placement.farmers[pieceNumber]);
  const victim = dice.pick(without.length > 0 ? without : world.farmers).keyPair;
  return {
    'a farmer that never signed': { farmer: victim, signer: world.repairerKey, farm: control, ...proof },
    'a farmer of nowhere': { ...strangers, ...proof },
    // A farmer may well sign what it likes for bytes of its own.
    'other bytes': { farmer: victim, signer: victim, farm: control, pieceRoot: 'cd'.repeat(32), path: range.path },
  };
}

/** Root and path of the piece, as its holder tells everybody. */
async function trueRange(world: World, process: Process, placement: SegmentPlacement, pieceNumber: number) {
  const farmer = placement.farmers[pieceNumber] ?? '';
  const network = world.net.of(process, world.repairerKey.publicKey);
  const head = encodeCallHead('piece.get', {
    owner: world.owner.keyPair.publicKey,
    pieceId: pieceId(placement.secret, pieceNumber),
    firstLeaf: 0,
    leafCount: 1,
  });
  const to = { farmer, url: `memory://${farmer}` };
  const answer = await network.call(to, { operation: 'piece.get', head }, process.runtime.deadline(10_000));
  const { part, rest } = await readFirstPart(answer.body!, pieceRange.maxBytes);
  await rest.return?.();
  return pieceRange.decode(part);
}

function receiptOf(world: World, placement: SegmentPlacement, pieceNumber: number, lie: Lie): Uint8Array {
  const { farmer, signer, farm, pieceRoot } = lie;
  const membership = { kind: 'membership', farm: farm.publicKey, farmer: farmer.publicKey, issuedMs: 1 } as const;
  const receipt = {
    kind: 'receipt',
    farmer: farmer.publicKey,
    owner: world.owner.keyPair.publicKey,
    pieceId: pieceId(placement.secret, pieceNumber),
    pieceRoot,
    sizeBytes: segmentGeometry(placement.sizeBytes, placement.scheme.required).pieceBytes,
    durability: 'fsynced',
    storedMs: 1,
    membership: signStatement(farm, membership).bytes,
  } as const;
  // In the farmer's name: its key stands where the signer's was.
  const bytes = Buffer.from(signStatement(signer, receipt).bytes);
  const at = bytes.lastIndexOf(Buffer.from(signer.publicKey, 'hex'));
  bytes.set(Buffer.from(farmer.publicKey, 'hex'), at);
  return new Uint8Array(bytes);
}
