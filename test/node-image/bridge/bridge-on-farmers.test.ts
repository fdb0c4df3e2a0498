// The whole bridge on real farmers over the memory network: accounts, claims, upkeep, restarts.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Bridge } from '#node/bridge/assembly.ts';
import { bridgeStatus } from '#node/bridge/bridge-status.ts';
import { createUpkeep } from '#node/bridge/upkeep.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import { createClient } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { boxPublicKey, ownerFromEntropy } from '#node/core/keys.ts';
import { passingState } from '#node/device/device-state.ts';
import { storjOn } from '#node/device/storj.ts';
import { LogError } from '#node/log/log-link.ts';
import type { BridgeDesired } from '#node/interface/config.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { accountOf, introduceOwner, startFarmBridge, type FarmBridge } from './farm-bridge.ts';
import { bodyOf, never, textOf } from './memory-bridge.ts';

const root = mkdtempSync(join(tmpdir(), 'bridge-on-farmers-'));
let farm: MemoryFarm;
const running: FarmBridge[] = [];

/** The bridge on its folder: a new folder is an empty disk. */
async function start(folder: string): Promise<Bridge> {
  const catalog = await openSqliteCatalog({ path: join(root, `${folder}.sqlite`), secret: farm.bridge.seed });
  const started = startFarmBridge({
    farm,
    catalog,
    folder: join(root, folder),
    running: (bridge) => [bridge.upkeep.run(), bridge.rewriter.run(), bridge.followers.run()],
  });
  running.push(started);
  return started.bridge;
}
async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map(({ stop }) => stop()));
}

const desired = (generation: number, more: Partial<BridgeDesired>): BridgeDesired => ({
  farmUid: 'test-farm',
  epoch: 1,
  generation,
  buckets: [],
  accessKeys: [],
  ...more,
});
const claim = (owner: string, bucketName: string, name = bucketName) => ({
  claim: `default/${name}`,
  owner,
  bucketName,
  maxBytes: null,
  maxObjects: null,
});
const keyOf = (owner: string, id: string) => ({ accessKeyId: id, secretAccessKey: `${id}-secret`, owner, bucketName: null });
const statusOf = (bridge: Bridge) =>
  bridgeStatus({ bridge: farm.bridge.publicKey, version: 'test', startedMs: 0, s3Port: 1 }, farm.current(), bridge);

/** Objects of the first claim, once it is ready. */
function readyWith(bridge: Bridge): number | undefined {
  const [first] = statusOf(bridge).buckets;
  return first?.state === 'Ready' ? first.objects : undefined;
}

async function put(bridge: Bridge, owner: string, bucketName: string, key: string, bytes: string | Uint8Array): Promise<void> {
  const bucket = bridge.objects.bucket(accountOf(owner), bucketName);
  await bridge.objects.put(bucket, { key, headers: {}, body: bodyOf(bytes), conditions: {} }, never);
}
async function get(bridge: Bridge, owner: string, bucketName: string, key: string): Promise<string> {
  const bucket = bridge.objects.bucket(accountOf(owner), bucketName);
  const version = bridge.objects.head(bucket, key);
  return textOf(bridge.objects.read(bucket, version, { offset: 0, length: version.sizeBytes }, never));
}
const setOf = async (bridge: Bridge, owner: string, bucketId: string) =>
  (await bridge.accounts.refresh(owner, never)).sets.get(bucketId);
const large = randomBytes(400_000);

beforeAll(async () => void (farm = await memoryFarm({ farmers: 6 })));
afterEach(stopAll);
afterAll(async () => {
  await farm.stop();
  rmSync(root, { recursive: true, force: true });
});

describe('accounts and claims', () => {
  it('come from words once, with a warrant for the repairer, and outlive the disk', async () => {
    const bridge = await start('words');
    const owner = await introduceOwner(bridge, 1);
    await expect(bridge.accounts.introduce('abandon ability', never)).rejects.toMatchObject({ code: 'BadWords' });
    await bridge.desired.apply(desired(1, { buckets: [claim(owner, 'first')], accessKeys: [keyOf(owner, 'KEY1')] }));
    await expect.poll(() => statusOf(bridge).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    expect(bridge.keys.find('KEY1')?.owner).toBe(owner);
    await expect
      .poll(() => bridge.accounts.view(owner)?.warrantSet[0]?.repairer, { timeout: 10_000 })
      .toBe(farm.repairer.publicKey);
    await put(bridge, owner, 'first', 'small', 'hello');
    await put(bridge, owner, 'first', 'large', large);
    expect(statusOf(bridge)).toMatchObject({ ready: true, writable: true, bucketsGeneration: 1, owners: [owner] });
    expect(statusOf(bridge).buckets[0]).toMatchObject({ usedBytes: 400_005, objects: 2 });
    await stopAll();

    const next = await start('words-empty-disk');
    await next.desired.apply(desired(1, { buckets: [claim(owner, 'first')], accessKeys: [keyOf(owner, 'KEY1')] }));
    await expect.poll(() => statusOf(next).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    expect(await get(next, owner, 'first', 'small')).toBe('hello');
    expect(await get(next, owner, 'first', 'large')).toBe(large.toString('latin1'));
    await put(next, owner, 'first', 'third', 'x');
    await stopAll();

    // The first disk comes back, behind what happened since: it reads that and goes on.
    const again = await start('words');
    await expect.poll(() => readyWith(again), { timeout: 10_000 }).toBe(3);
    await put(again, owner, 'first', 'fourth', 'y');
    expect(await get(again, owner, 'first', 'third')).toBe('x');
  });

  it('are told apart: taken names, unknown owners, keys that died, older orders', async () => {
    const bridge = await start('apart');
    const [one, two] = [await introduceOwner(bridge, 2), await introduceOwner(bridge, 3)];
    const stranger = 'ee'.repeat(32);
    const buckets = [claim(one, 'shared'), claim(stranger, 'strange')];
    await bridge.desired.apply(desired(5, { buckets, accessKeys: [keyOf(one, 'OLD')] }));
    await expect
      .poll(() => statusOf(bridge).buckets.map(({ state }) => state), { timeout: 10_000 })
      .toEqual(['Ready', 'OwnerUnknown']);
    await bridge.desired.apply(
      desired(6, { buckets: [...buckets, claim(two, 'shared', 'other')], accessKeys: [keyOf(two, 'NEW')] }),
    );
    await expect
      .poll(() => statusOf(bridge).buckets.map(({ state }) => state), { timeout: 10_000 })
      .toEqual(['Ready', 'OwnerUnknown', 'NameTaken']);
    expect([bridge.keys.find('OLD'), bridge.keys.find('NEW')?.owner]).toEqual([null, two]);
    await expect(bridge.desired.apply(desired(5, {}))).rejects.toMatchObject({ status: 409 });
    await put(bridge, one, 'shared', 'a', 'b');
    await bridge.desired.deleteBucket(one, 'shared');
    await expect(bridge.desired.deleteBucket(one, 'shared')).rejects.toMatchObject({ status: 404 });
    await bridge.desired.apply(desired(7, { buckets: [claim(two, 'shared', 'other')] }));
    await expect.poll(() => statusOf(bridge).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    expect(statusOf(bridge).buckets[0]?.objects).toBe(0);
  });
});

describe('others who write directly', () => {
  /** The owner's own machine. */
  const laptop = async (number: number) => {
    const { keyPair, accountSecret } = ownerFromEntropy(new Uint8Array(32).fill(number));
    const network = farm.networkOf(keyPair);
    const client = createClient({ network, farm: settableFarmView(farmSnapshot(farm.current())), limits: { threads: 0 } });
    return storjOn({ client, access: { owner: keyPair.publicKey, accountSecret }, writer: keyPair, ...passingState() });
  };
  const listed = (bridge: Bridge, owner: string, name: string) => {
    const query = { prefix: '', delimiter: '', after: '', limit: 100 };
    const { items } = bridge.objects.list(bridge.objects.bucket(accountOf(owner), name), query);
    return items.map((item) => (item.kind === 'object' ? item.object.key : ''));
  };

  it('are seen by the bridge, with usage, and go on beside it', async () => {
    const bridge = await start('followed');
    const owner = await introduceOwner(bridge, 8);
    await bridge.desired.apply(desired(1, { buckets: [claim(owner, 'together')] }));
    await expect.poll(() => statusOf(bridge).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    await put(bridge, owner, 'together', 'a', 'from the bridge');
    const device = await laptop(8);
    const bucket = await device.bucket('together');
    await bucket.put('b', new Uint8Array(7));
    await bucket.put('a', new Uint8Array(3));
    await bucket.put('large', new Uint8Array(large));
    await expect.poll(() => listed(bridge, owner, 'together'), { timeout: 5_000 }).toEqual(['a', 'b', 'large']);
    await expect.poll(() => statusOf(bridge).buckets[0], { timeout: 5_000 }).toMatchObject({ usedBytes: 400_010, objects: 3 });
    expect(await get(bridge, owner, 'together', 'large')).toBe(large.toString('latin1'));
    await put(bridge, owner, 'together', 'b', 'the bridge again');
    await bucket.remove('large');
    expect((await bucket.head('b')).sizeBytes).toBe(16);
    await expect.poll(() => listed(bridge, owner, 'together'), { timeout: 5_000 }).toEqual(['a', 'b']);
    await device.close();
  });

  it('make buckets and take them away', async () => {
    const bridge = await start('followed-buckets');
    const owner = await introduceOwner(bridge, 9);
    await bridge.desired.apply(desired(1, { accessKeys: [keyOf(owner, 'KEY9')] }));
    await expect.poll(() => bridge.desired.served(), { timeout: 10_000 }).toContain(owner);
    const device = await laptop(9);
    const bucket = await device.createBucket('made-elsewhere');
    await bucket.put('x', new Uint8Array(5));
    const names = () => bridge.objects.listBuckets(accountOf(owner)).map(({ name }) => name);
    await expect.poll(names, { timeout: 5_000 }).toEqual(['made-elsewhere']);
    await expect.poll(() => listed(bridge, owner, 'made-elsewhere'), { timeout: 5_000 }).toEqual(['x']);
    await put(bridge, owner, 'made-elsewhere', 'y', 'z');
    for (const key of ['x', 'y']) await bucket.remove(key);
    await device.removeBucket('made-elsewhere');
    await expect.poll(names, { timeout: 5_000 }).toEqual([]);
    await device.close();
  });
});

describe('warrants', () => {
  it('are one set for all repairers of the farm, and a new one when they change', async () => {
    const bridge = await start('warrants');
    const owner = await introduceOwner(bridge, 7);
    const warranted = () =>
      bridge.accounts
        .view(owner)
        ?.warrantSet.map(({ repairer, repairEpoch }) => `${repairEpoch} ${repairer}`)
        .sort();
    await expect.poll(warranted, { timeout: 10_000 }).toEqual([`1 ${farm.repairer.publicKey}`]);
    const { repairers } = farm.current();
    const second = testKey('a second repairer');
    farm.change({ repairers: [...repairers, { repairer: second.publicKey, box: boxPublicKey(second.seed) }] });
    await expect.poll(warranted, { timeout: 10_000 }).toEqual([`2 ${farm.repairer.publicKey}`, `2 ${second.publicKey}`].sort());
    farm.change({ repairers });
    await expect.poll(warranted, { timeout: 10_000 }).toEqual([`3 ${farm.repairer.publicKey}`]);
  });
});

describe('upkeep', () => {
  it.each(['Leaving', 'Lost'] as const)(
    'takes a farmer that is %s out of every replica set, while writing goes on',
    async (state) => {
      const bridge = await start(`upkeep-${state}`);
      const owner = await introduceOwner(bridge, state === 'Lost' ? 4 : 5);
      const name = `kept-${state.toLowerCase()}`;
      await bridge.desired.apply(desired(1, { buckets: [claim(owner, name)], accessKeys: [] }));
      await expect.poll(() => statusOf(bridge).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
      await put(bridge, owner, name, 'before', 'one');
      const { bucketId } = bridge.objects.bucket(accountOf(owner), name);
      const before = await setOf(bridge, owner, bucketId);
      const leaving = before?.members[0] ?? '';
      const index = farm.farmers.findIndex(({ keyPair }) => keyPair.publicKey === leaving);
      if (state === 'Lost') farm.net.detach(leaving);
      farm.setState(leaving, state);
      const writes = Promise.all(Array.from({ length: 20 }, (_, number) => put(bridge, owner, name, `during-${number}`, 'x')));
      await expect
        .poll(async () => (await setOf(bridge, owner, bucketId))?.members.includes(leaving), { timeout: 15_000 })
        .toBe(false);
      await writes;
      const after = await setOf(bridge, owner, bucketId);
      expect(after?.members).toHaveLength(before?.members.length ?? 0);
      expect(after?.epoch).toBeGreaterThan(before?.epoch ?? 0);
      await put(bridge, owner, name, 'after', 'two');
      await stopAll();
      const next = await start(`upkeep-${state}-empty-disk`);
      await next.desired.apply(desired(1, { buckets: [claim(owner, name)], accessKeys: [] }));
      await expect.poll(() => readyWith(next), { timeout: 10_000 }).toBe(22);
      expect(await get(next, owner, name, 'before')).toBe('one');
      await farm.restart(index, { empty: state === 'Lost' });
      if (state === 'Leaving') farm.setState(leaving, 'Active');
    },
  );
});

describe('upkeep of a log that doesn’t open', () => {
  it('changes its replica set all the same: what is pending may wait for just that', async () => {
    const started = startFarmBridge({ farm, catalog: createMemoryCatalog(), folder: join(root, 'pending') });
    running.push(started);
    const { bridge } = started;
    const owner = await introduceOwner(bridge, 8);
    await bridge.objects.createBucket(accountOf(owner), 'pending', never);
    await put(bridge, owner, 'pending', 'before', 'one');
    const { bucketId } = bridge.objects.bucket(accountOf(owner), 'pending');
    const lost = (await setOf(bridge, owner, bucketId))!.members[0]!;
    const writer = bridge.writers.ready(owner, bucketId);
    const closed = Object.create(writer, {
      current: { value: () => null },
      open: { value: () => Promise.reject(new LogError('NotEnoughReplicas', 'Its pending batch finds no f + 1.')) },
    }) as typeof writer;
    const stop = new AbortController();
    const upkeep = createUpkeep({
      link: bridge.client.link,
      bridge: farm.bridge,
      accounts: { ...bridge.accounts, owners: () => [] },
      writers: { ...bridge.writers, all: () => [closed] },
      shares: { keep: async () => {} },
      cuts: bridge.cuts,
      warrant: () => ({ repairers: [], controlKey: farm.controlKey.publicKey }),
      rosterGeneration: () => farm.current().generation,
      signal: stop.signal,
      onTrouble: () => {},
      onChange: () => {},
    });
    farm.setState(lost, 'Lost');
    const round = upkeep.run();
    await expect
      .poll(async () => (await setOf(bridge, owner, bucketId))?.members.includes(lost), { timeout: 15_000 })
      .toBe(false);
    stop.abort();
    await round;
    farm.setState(lost, 'Active');
    expect(await get(bridge, owner, 'pending', 'before')).toBe('one');
  });
});

describe('rewriting', () => {
  it('brings segments to the scheme that the farm wants, whatever they were written with', { timeout: 90_000 }, async () => {
    const bridge = await start('rewriting');
    const owner = await introduceOwner(bridge, 7);
    await bridge.desired.apply(desired(1, { buckets: [claim(owner, 'moved')] }));
    await expect.poll(() => statusOf(bridge).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    const { bucketId } = bridge.objects.bucket(accountOf(owner), 'moved');
    const schemes = () => bridge.catalog.schemes(bucketId).map(({ required, optimal }) => `${required}/${optimal}`);
    const soon = () => {
      bridge.rewriter.nudge();
      return schemes();
    };
    await put(bridge, owner, 'moved', 'whole', large);
    // One farmer is away: fewer pieces, the same promise.
    const away = farm.farmers[0]!;
    farm.net.detach(away.keyPair.publicKey);
    await put(bridge, owner, 'moved', 'lesser', large);
    expect(schemes()).toEqual(['3/5', '4/6']);
    await farm.restart(0);
    farm.change({ rewrite: true });
    await expect.poll(soon, { timeout: 30_000, interval: 100 }).toEqual(['4/6']);
    farm.change({ redundancy: defaultScheme(4) });
    await expect.poll(soon, { timeout: 30_000, interval: 100 }).toEqual(['2/4']);
    expect(await get(bridge, owner, 'moved', 'whole')).toBe(large.toString('latin1'));
    await stopAll();
    const next = await start('rewriting-empty-disk');
    await next.desired.apply(desired(1, { buckets: [claim(owner, 'moved')] }));
    await expect.poll(() => readyWith(next), { timeout: 10_000 }).toBe(2);
    for (const key of ['whole', 'lesser']) expect(await get(next, owner, 'moved', key)).toBe(large.toString('latin1'));
    farm.change({ redundancy: defaultScheme(6), rewrite: false });
  });
});

describe('two bridges with one key', () => {
  it('lose nothing that either acknowledged', async () => {
    const first = await start('zombie-first');
    const owner = await introduceOwner(first, 6);
    await first.desired.apply(desired(1, { buckets: [claim(owner, 'fought')] }));
    await expect.poll(() => statusOf(first).buckets[0]?.state, { timeout: 10_000 }).toBe('Ready');
    await put(first, owner, 'fought', 'a', 'first');
    const second = await start('zombie-second');
    await second.desired.apply(desired(1, { buckets: [claim(owner, 'fought')] }));
    await expect.poll(() => readyWith(second), { timeout: 10_000 }).toBe(1);
    await put(second, owner, 'fought', 'b', 'second');
    await put(first, owner, 'fought', 'c', 'first again');
    await put(second, owner, 'fought', 'a', 'second over first');
    await stopAll();
    const third = await start('zombie-third');
    await third.desired.apply(desired(1, { buckets: [claim(owner, 'fought')] }));
    await expect.poll(() => readyWith(third), { timeout: 10_000 }).toBe(3);
    expect(await Promise.all(['a', 'b', 'c'].map((key) => get(third, owner, 'fought', key)))).toEqual([
      'second over first',
      'second',
      'first again',
    ]);
  });
});
