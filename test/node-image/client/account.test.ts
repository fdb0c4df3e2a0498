// The empty laptop: words and one farmer's address find everything; and who has neither finds nothing.
import { afterEach, describe, expect, it } from 'vitest';
import { accessOf, connectFarm, keeperStatement, listBuckets, openBucket, writerKeys } from '#node/client/account.ts';
import { holdersOf } from '#node/client/bucket-reader.ts';
import { createClient } from '#node/client/client.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { boxPublicKey, entropyFromWords, ownerFromEntropy, repairKey, openSealed, wordsFromEntropy } from '#node/core/keys.ts';
import { pieceId } from '#node/core/segments.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { getStatements } from '#node/log/log-calls.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { encodeCallHead, pieceRange, type PieceRange } from '#node/wire/calls.ts';
import { readFirstPart } from '#node/wire/framing.ts';
import { sealPlacement } from '#node/wire/placements.ts';
import { signStatement } from '#node/wire/statements.ts';
import { ACCOUNT_BUCKET_ID, type BucketEntry, type SegmentPlacement, type WarrantStatement } from '#node/wire/types.ts';
import { BUCKET, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from '../log/support/log-world.ts';
import { chunked, readAll, seededBytes } from './support/test-farm.ts';
import { testKey } from '#test/support/memory-farmer.ts';

let world: LogWorld;
afterEach(() => world.stop());

const bucketEntry = (bucketId: string, name: string, deleted = false): BucketEntry => ({
  kind: 'bucket',
  bucketId,
  name,
  clock: { wallMs: 5 + Number(deleted), counter: 0 },
  createdMs: 5,
  deleted,
});

/** What a bridge does for an account: two buckets, of which one goes again, and two objects. */
async function fill(w: LogWorld) {
  const link = w.link();
  const { view } = await fetchRoots(link, w.access.owner, within());
  const common = { link, owner: w.access.owner, writer: w.farm.bridge, kind: 'entries' as const, signal: within() };
  const account = await openBucketLog({
    ...common,
    bucketId: ACCOUNT_BUCKET_ID,
    keys: writerKeys(w.access, view, ACCOUNT_BUCKET_ID),
    state: memoryState(),
  });
  const other = '2'.repeat(32);
  await account.append([bucketEntry(BUCKET, 'photos'), bucketEntry(other, 'old')], NOTHING);
  await account.append([bucketEntry(other, 'old', true)], NOTHING);
  const log = await w.open();
  const bytes = seededBytes(700_000, 3);
  const { segments } = await putSegments(w.client(), { owner: w.access.owner, source: chunked(bytes), signal: within() });
  const small = putEntry('small');
  const { inline: _, ...large } = { ...putEntry('large'), sizeBytes: bytes.length, segments: segments.map(({ key }) => key) };
  const gone = putEntry('gone');
  await log.append([small, large, gone], { added: segments.map(({ placement }) => placement), released: [] });
  await log.append([{ kind: 'delete', key: 'gone', clock: { wallMs: 1, counter: 0 }, names: [gone.versionId] }], NOTHING);
  await Promise.all([log.close(), account.close()]);
  return { bytes, placement: segments[0]!.placement };
}

describe('an empty laptop', () => {
  it('reads everything with the words and one farmer’s address, with f farmers gone', async () => {
    world = await startLogWorld({ farmers: 6 });
    const { bytes } = await fill(world);
    const words = wordsFromEntropy(new Uint8Array(32).fill(7));
    const owner = ownerFromEntropy(entropyFromWords(words));
    const access = { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret };
    for (const i of [1, 4]) world.kill(world.name(i));
    // Its own key: no bridge, no configuration, nothing but the words.
    const network = world.farm.networkOf(owner.keyPair);
    const farm = await connectFarm(network, world.farm.farmers[0]!.address, within());
    expect(farm.members).toHaveLength(6);
    const client = createClient({ network, farm: settableFarmView(farm), limits: { threads: 0, stallMs: 2000, hedgeMs: 100 } });
    const [bucket, ...more] = await listBuckets(client, access, within());
    expect([bucket!.name, more]).toEqual(['photos', []]);
    const reader = await openBucket(client, access, bucket!.bucketId, within());
    expect((await Array.fromAsync(reader.list())).map(({ key }) => key)).toEqual(['large', 'small']);
    expect(await reader.find('gone')).toBeNull();
    const read = async (key: string) => readAll(reader.read((await reader.find(key))!));
    expect(Buffer.compare(await read('large'), bytes)).toBe(0);
    expect(await read('small')).toEqual(new Uint8Array([1]));
    await client.close();
  });

  it('with other words finds nothing, and a stranger is not let in', async () => {
    world = await startLogWorld({ farmers: 3 });
    await fill(world);
    const other = ownerFromEntropy(new Uint8Array(32).fill(8));
    const access = { owner: other.keyPair.publicKey, accountSecret: other.accountSecret };
    expect(await listBuckets(world.client({}, other.keyPair.publicKey), access, within())).toEqual([]);
    const stranger = world.client({}, testKey('stranger').publicKey);
    await expect(openBucket(stranger, world.access, BUCKET, within())).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
  });

  it('leaves out members that the farm’s control key did not sign', async () => {
    world = await startLogWorld({ farmers: 3 });
    const roster = world.farm.current().roster.map((member, i) => {
      if (i !== 1) return member;
      const forged = signStatement(testKey('other farm'), {
        kind: 'membership',
        farm: testKey('other farm').publicKey,
        farmer: member.farmer,
        issuedMs: 1,
      });
      return { ...member, membership: Buffer.from(forged.bytes).toString('base64') };
    });
    world.farm.change({ roster });
    const farm = await connectFarm(world.farm.networkOf(testKey('laptop')), world.farm.farmers[0]!.address, within());
    expect(farm.members.map(({ farmer }) => farmer)).toEqual([world.name(0), world.name(2)]);
  });
});

describe('statements', () => {
  it('give a bridge that lost its disk the account secret, and a repairer its key, and nobody else', async () => {
    world = await startLogWorld({ farmers: 3 });
    await world.warrant();
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    expect(accessOf(view, world.farm.bridge)).toEqual(world.access);
    expect(accessOf(view, world.farm.repairer)).toBeNull();
    const [warrant] = view.warrantSet;
    // Its own epoch's and, for what was written before it, that of writers without a warrant.
    const keys = [1, 0].map((epoch) => repairKey(world.access.accountSecret, epoch));
    expect(Buffer.from(openSealed(world.farm.repairer.seed, warrant!.sealedRepairKey))).toEqual(Buffer.concat(keys));
    expect(() => openSealed(world.farm.bridge.seed, warrant!.sealedRepairKey)).toThrow();
  });

  it('reach farmers that know nothing of the owner yet, and survive f losses', async () => {
    world = await startLogWorld({ farmers: 6 });
    const owner = ownerFromEntropy(new Uint8Array(32).fill(9));
    const { bridge } = world.farm;
    const role = keeperStatement({
      owner,
      keeper: { publicKey: bridge.publicKey, box: boxPublicKey(bridge.seed) },
      random32: systemRuntime.random(32),
      issuedMs: 1,
    });
    for (const i of [0, 5]) world.kill(world.name(i));
    const name = owner.keyPair.publicKey;
    const took = await publishRoots(world.link(), { owner: name, statements: [role], known: [], signal: within() });
    expect(took.size).toBeGreaterThanOrEqual(4);
    for (const i of [0, 5]) world.revive(world.name(i));
    // Each takes from the others what it lacks before it answers for the first time.
    for (const { farmer } of world.link().farmers()) {
      await getStatements(world.link(), world.link().addressOf(farmer)!, name, within());
    }
    for (const i of [1, 2]) world.kill(world.name(i));
    expect((await fetchRoots(world.link(), name, within())).view.roles).toHaveLength(1);
    for (const i of [3, 4]) world.kill(world.name(i));
    await expect(fetchRoots(world.link(), name, within())).rejects.toMatchObject({ code: 'NotEnoughRoots' });
    const more = publishRoots(world.link(), { owner: name, statements: [role], known: [], signal: within() });
    await expect(more).rejects.toMatchObject({ code: 'NotEnoughRoots' });
  });
});

describe('moves', () => {
  it('count only with the receipt of a farmer whom a warrant admits', async () => {
    world = await startLogWorld({ farmers: 4 });
    await world.warrant();
    const { placement } = await fill(world);
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    const proof = await proofOf(placement);
    const good = moveTo(placement, proof, world.farm.farmers[0]!.keyPair, world.farm.current().roster[0]!.membership);
    const stranger = moveTo(placement, proof, testKey('stranger'), null);
    const holders = (of: SegmentPlacement, warrants: readonly WarrantStatement[]) => [
      ...holdersOf(world.access.owner, of, [stranger, good], warrants),
    ];
    expect(holders(placement, view.warrants)).toEqual([[1, [world.name(0)]]]);
    expect(holders(placement, [])).toEqual([]);
    expect(holders({ ...placement, secret: new Uint8Array(32) }, view.warrants)).toEqual([]);
  });

  /** Root of piece 1 and its path to the segment's root, as its holder has them. */
  async function proofOf(placement: SegmentPlacement): Promise<PieceRange> {
    const link = world.link();
    const head = encodeCallHead('piece.get', {
      owner: world.access.owner,
      pieceId: pieceId(placement.secret, 1),
      firstLeaf: 0,
      leafCount: 1,
    });
    const answer = await link.network.call(link.addressOf(placement.farmers[1]!)!, { operation: 'piece.get', head }, within());
    const { part, rest } = await readFirstPart(answer.body!, pieceRange.maxBytes);
    await rest.return?.();
    return pieceRange.decode(part);
  }

  function moveTo(
    placement: SegmentPlacement,
    { pieceRoot, path, sizeBytes }: PieceRange,
    holder: ReturnType<typeof testKey>,
    membership: string | null,
  ) {
    const receipt = signStatement(holder, {
      kind: 'receipt',
      farmer: holder.publicKey,
      owner: world.access.owner,
      pieceId: pieceId(placement.secret, 1),
      pieceRoot,
      sizeBytes,
      durability: 'fsynced',
      storedMs: 1,
      membership: membership === null ? null : new Uint8Array(Buffer.from(membership, 'base64')),
    });
    const entry = { pieceNumber: 1, farmer: holder.publicKey, receipt: receipt.bytes, path };
    return sealPlacement(placement.secret, entry, systemRuntime.random(12));
  }
});
