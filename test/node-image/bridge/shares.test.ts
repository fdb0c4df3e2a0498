// A share from the app's side: exactly the approved keys, kept up to date, with and without the bridge.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bridge } from '#node/bridge/assembly.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { bucketKeys, openBucket } from '#node/client/account.ts';
import type { BucketReader } from '#node/client/bucket-reader.ts';
import { createClient, type Client } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { connectGrant, holderOf, openGrant } from '#node/client/grants.ts';
import { shareFedTo } from '#node/client/shares.ts';
import { MAX_GRANT_MS } from '#node/core/grants.ts';
import { permissionsOf } from '#node/device/permissions.ts';
import type { BridgeDesired } from '#node/interface/config.ts';
import { fetchHeads } from '#node/log/log-calls.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { FarmRepair } from '#node/repairer/farm-repair.ts';
import { WriterStates } from '#node/repairer/placement-logs.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { readAll } from '../client/support/test-farm.ts';
import { accountOf, introduceOwner, ownerOf, startFarmBridge } from './farm-bridge.ts';
import { bodyOf, never } from './memory-bridge.ts';

const app = testKey('app');
const photo = randomBytes(400_000);
const within = (ms = 15_000) => AbortSignal.timeout(ms);
let root: string;
let farm: MemoryFarm;
let bridge: Bridge;
let stopBridge: () => Promise<void>;
/** Bucket of each account. */
const albums = new Map<string, string>();
const clients: Client[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'shares-'));
  farm = await memoryFarm({ farmers: 7 });
  await startBridge('first');
});
afterAll(async () => {
  await stopBridge();
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await farm.stop();
  rmSync(root, { recursive: true, force: true });
});

async function startBridge(folder: string): Promise<void> {
  const started = startFarmBridge({
    farm,
    catalog: await openSqliteCatalog({ path: join(root, `${folder}.sqlite`), secret: farm.bridge.seed }),
    folder: join(root, folder),
    running: (one) => [one.upkeep.run(), one.followers.run()],
  });
  ({ bridge } = started);
  stopBridge = async () => {
    stopBridge = async () => {};
    await started.stop();
  };
}

let accounts = 0;
async function startAccount() {
  const album = `album-${accounts++}`;
  const { keyPair, accountSecret } = ownerOf(accounts);
  const owner = await introduceOwner(bridge, accounts);
  await expect.poll(() => bridge.accounts.view(owner)?.warrantSet[0] !== undefined, { timeout: 10_000 }).toBe(true);
  const bucket = await bridge.objects.createBucket(accountOf(owner), album, never);
  albums.set(owner, album);
  await put(owner, 'photos/a', 'a');
  await put(owner, 'photos/big', photo);
  await put(owner, 'private/diary', 'secret');
  const { bucketId } = bucket;
  // What the owner does by himself, with the words.
  const client = createClient({
    network: farm.networkOf(keyPair),
    farm: settableFarmView(farmSnapshot(farm.current())),
    limits: { threads: 0 },
  });
  clients.push(client);
  const own = permissionsOf({ client, access: { owner, accountSecret }, signer: keyPair, limit: within });
  return {
    owner,
    bucketId,
    async share() {
      const order = { bucketId, name: 'holiday', prefix: 'photos/', to: holderOf(app.seed), forMs: 3_600_000 };
      const made = await own.share(order);
      bridge.upkeep.nudge();
      const feeds = () => bridge.shares.list(owner).find(({ shareId }) => shareId === made.shareId)?.fedTo.length ?? 0;
      await expect.poll(feeds, { timeout: 10_000 }).toBeGreaterThan(0);
      return made;
    },
    endShare: own.endShare,
  };
}
const put = (owner: string, key: string, bytes: string | Uint8Array) =>
  bridge.objects.put(
    bridge.objects.bucket(accountOf(owner), albums.get(owner)!),
    { key, headers: {}, body: bodyOf(bytes), conditions: {} },
    never,
  );
const remove = (owner: string, key: string) =>
  bridge.objects.delete(bridge.objects.bucket(accountOf(owner), albums.get(owner)!), key, {}, never);
async function connect(text: string, holder = app) {
  const grant = openGrant(text, holder.seed);
  const network = farm.networkOf(holder);
  const client = await connectGrant(grant, { network, limits: { threads: 0, stallMs: 2000, hedgeMs: 100 }, signal: within() });
  clients.push(client);
  return { grant, client };
}
type App = Awaited<ReturnType<typeof connect>>;
const readerOf = ({ grant, client }: App) => openBucket(client, grant.access, grant.bucketId, within());
async function entriesOf(reader: BucketReader) {
  const entries = [];
  for await (const entry of reader.list()) entries.push(entry);
  return entries;
}
const keysOf = async (one: App) => (await entriesOf(await readerOf(one))).map(({ key }) => key);
async function read(one: App, key: string): Promise<Buffer> {
  const reader = await readerOf(one);
  return Buffer.from(await readAll(reader.read((await reader.find(key))!)));
}
/** Where the photo's one segment lies. */
async function placed(one: App) {
  const reader = await readerOf(one);
  const [segment] = await reader.locate((await reader.find('photos/big'))!.segments!);
  return segment!.placement;
}
/** Every batch of the share as the app can open it. */
async function batchesOf({ grant, client }: App) {
  const state = await readHeads(client.link, { owner: grant.owner, bucketId: grant.bucketId, signal: within() });
  const keys = bucketKeys(grant.access, state.view, grant.bucketId);
  const batches = [];
  for await (const batch of readBatches(client.link, { state, since: new Map(), keys, signal: within() })) batches.push(batch);
  return batches;
}

describe('the grant of a bucket’s Secret', () => {
  it('opens the bucket, goes on under the same key when it is renewed, and ends when nobody claims the bucket', async () => {
    const { owner, bucketId } = await startAccount();
    const bucketName = albums.get(owner)!;
    const order = { owner, bucketName, endOlder: false };
    await expect(bridge.grants.issue({ ...order, bucketName: 'none' }, within())).rejects.toMatchObject({ status: 503 });
    const first = await bridge.grants.issue(order, within());
    const one = openGrant(first.grant);
    expect(one).toMatchObject({ owner, bucketId, bucketName, verbs: ['read', 'list', 'write', 'delete'], prefix: '' });
    expect([first.renewMs - first.issuedMs, one.expiresMs - first.issuedMs]).toEqual([MAX_GRANT_MS / 2, MAX_GRANT_MS]);
    const holder = await connect(first.grant, one.holder);
    expect(await keysOf(holder)).toEqual(['photos/a', 'photos/big', 'private/diary']);
    const second = await bridge.grants.issue(order, within());
    expect(openGrant(second.grant).holder.publicKey).toBe(one.holder.publicKey);
    expect(bridge.grants.fromMs(owner, bucketId)).toBeLessThanOrEqual(first.issuedMs);

    // The old Secret goes: what was in it ends, what comes in the new one doesn't.
    const third = await bridge.grants.issue({ ...order, endOlder: true }, within());
    expect(bridge.grants.fromMs(owner, bucketId)).toBeGreaterThan(second.issuedMs);
    expect(bridge.grants.fromMs(owner, bucketId)).toBeLessThanOrEqual(third.issuedMs);
    await expect(keysOf(holder)).rejects.toThrow('taken back');
    const newer = await connect(third.grant, one.holder);
    expect(await keysOf(newer)).toHaveLength(3);

    const desired = (generation: number, buckets: BridgeDesired['buckets']) =>
      bridge.desired.apply({ farmUid: 'test-farm', epoch: 1, generation, buckets, accessKeys: [] });
    await desired(1, [{ claim: 'default/x', owner, bucketName, maxBytes: null, maxObjects: null }]);
    await desired(2, []);
    await expect.poll(() => keysOf(newer).catch(String), { timeout: 10_000 }).toContain('taken back');
  });
});

describe('a share', () => {
  it('shows the approved keys, and of the rest not even names, nor that there are others', async () => {
    const { owner, bucketId, share } = await startAccount();
    await bridge.objects.createBucket(accountOf(owner), 'other', never);
    const { grant, shareId } = await share();
    const one = await connect(grant);
    expect(one.grant).toMatchObject({ bucketId: shareId, bucketName: 'holiday', verbs: ['read', 'list'] });
    expect(await keysOf(one)).toEqual(['photos/a', 'photos/big']);
    expect((await read(one, 'photos/big')).equals(photo)).toBe(true);

    await put(owner, 'private/more', 'secret');
    await put(owner, 'photos/b', 'b');
    await expect.poll(() => keysOf(one), { timeout: 10_000 }).toContain('photos/b');
    const batches = await batchesOf(one);
    const names = batches.flatMap(({ entries }) => (entries ?? []).map((entry) => ('key' in entry ? entry.key : entry.kind)));
    expect(names.filter((name) => !name.startsWith('photos/'))).toEqual([]);
    // Heads of the bucket's logs, and of no others.
    const logs = bridge.accounts.view(owner)!.logs.filter((log) => log.bucketId === bucketId);
    const told = new Set(batches.flatMap(({ heads }) => heads.map(({ logId }) => logId)));
    expect([...told].filter((logId) => !logs.some((log) => log.logId === logId))).toEqual([]);
    // Neither the farmers nor its secret let it near the bucket.
    const farmer = farm.farmers[0]!.address;
    await expect(fetchHeads(one.client.link, farmer, { owner, bucketId }, within())).rejects.toMatchObject({ code: 'Forbidden' });
    const log = bridge.writers.ready(owner, bucketId).current()!;
    const { view, access } = { view: bridge.accounts.view(owner)!, access: bridge.accounts.access(owner)! };
    const own = bucketKeys(access, view, bucketId).ownerPartKey!(log.logId);
    const asShare = bucketKeys({ ...one.grant.access, bucketId }, view, bucketId).ownerPartKey!(log.logId);
    expect(Buffer.compare(own, asShare)).not.toBe(0);
  });

  it('follows replacements and deletes, and says up to which heads', async () => {
    const { owner, bucketId, share } = await startAccount();
    const { grant, shareId } = await share();
    const one = await connect(grant);
    await put(owner, 'photos/a', 'another');
    await remove(owner, 'photos/big');
    await expect.poll(async () => (await read(one, 'photos/a')).toString(), { timeout: 10_000 }).toBe('another');
    await expect.poll(() => keysOf(one), { timeout: 10_000 }).toEqual(['photos/a']);
    const [position] = bridge.catalog.positions(owner, bucketId).map(({ logId, seq, hash }) => ({ logId, seq, hash }));
    const fedTo = () => shareFedTo(one.client.link, { access: one.grant.access, bucketId: shareId, signal: within() });
    await expect.poll(fedTo, { timeout: 10_000 }).toEqual([position]);
    expect(bridge.shares.list(owner)).toMatchObject([{ shareId, name: 'holiday', prefix: 'photos/', fedTo: [position] }]);
  });

  it('that was ended shows nothing more: the app is refused, and what came later was never in its log', async () => {
    const { owner, bucketId, share, endShare } = await startAccount();
    const { grant, shareId } = await share();
    const one = await connect(grant);
    const { segmentId } = await placed(one);
    expect(bridge.catalog.references(shareId, segmentId)).toBe(1);
    await endShare(shareId);
    bridge.upkeep.nudge();
    const logs = async () => {
      const view = await bridge.accounts.refresh(owner, within());
      return view.logs.filter((log) => log.bucketId === shareId && log.kind === 'entries');
    };
    await expect.poll(async () => (await logs()).map(({ closed }) => closed !== undefined), { timeout: 10_000 }).toEqual([true]);
    await put(owner, 'photos/later', 'x');
    await expect(keysOf(one)).rejects.toThrow('taken back');
    expect(bridge.shares.list(owner)).toEqual([]);
    const view = await bridge.accounts.refresh(owner, within());
    // It holds nothing alive, and the bucket is as it was.
    expect([bridge.catalog.references(shareId, segmentId), bridge.catalog.references(bucketId, segmentId)]).toEqual([0, 1]);
    const left = await openBucket(bridge.client, openGrant(grant, app.seed).access, shareId, within());
    expect(await entriesOf(left)).toEqual([]);
    // Once a cut covers its end its logs need no replicas.
    await bridge.cuts.state(owner, within());
    const { sets } = await bridge.accounts.refresh(owner, within());
    expect([shareId, bucketId].map((id) => sets.get(id)?.members.length)).toEqual([0, view.sets.get(bucketId)?.members.length]);
  });

  it('is found and fed by a bridge with an empty disk', async () => {
    const { owner, share } = await startAccount();
    const { grant } = await share();
    await stopBridge();
    await startBridge('empty');
    await bridge.accounts.recover(owner, within());
    await bridge.desired.serveAccount(owner);
    await put(owner, 'photos/new', 'new');
    bridge.upkeep.nudge();
    const one = await connect(grant);
    await expect.poll(() => keysOf(one), { timeout: 10_000 }).toEqual(['photos/a', 'photos/big', 'photos/new']);
    expect((await read(one, 'photos/big')).equals(photo)).toBe(true);
  });

  it('is read without the bridge, with f farmers gone, also where a repairer has moved the pieces since', async () => {
    const { share } = await startAccount();
    const { grant } = await share();
    const placement = await placed(await connect(grant));
    await stopBridge();
    // A holder is lost for good; the repairer rebuilds its piece elsewhere.
    const states = new WriterStates(join(root, 'repairer', 'states.sqlite'));
    const index = new SegmentIndex(':memory:');
    const network = farm.networkOf(farm.repairer);
    const repaired: string[] = [];
    const repair = new FarmRepair({
      network,
      self: farm.repairer,
      index,
      states,
      config: farm.current(),
      runtime: systemRuntime,
      version: 'test',
      events: { repaired: (segmentId) => void repaired.push(segmentId) },
      signal: within(60_000),
    });
    const holders = placement.farmers.filter((farmer) => farmer !== null);
    const round = async () => {
      await repair.askFarmers();
      await repair.scan();
      await repair.repairAllDue();
    };
    await round();
    farm.net.detach(holders[0]!);
    farm.setState(holders[0]!, 'Lost');
    repair.configure(farm.current());
    for (let i = 0; i < 5 && repaired.length === 0; i++) await round();
    await repair.close();
    index.close();
    states.close();

    const one = await connect(grant);
    const reader = await readerOf(one);
    const entry = (await reader.find('photos/big'))!;
    // Two more are away: without the moved piece that is one too many.
    for (const gone of holders.slice(1, 3)) farm.net.detach(gone);
    const bytes = await readAll(reader.read(entry));
    expect(Buffer.from(bytes).equals(photo)).toBe(true);
  });
});
