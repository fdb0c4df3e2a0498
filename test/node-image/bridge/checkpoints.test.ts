// A bridge that makes checkpoints on real farmers, and bridges with an empty disk that start from them.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Bridge } from '#node/bridge/assembly.ts';
import { writerKeys } from '#node/client/account.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { logLink, settableFarmView } from '#node/client/farm-view.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { CallError, type Network } from '#node/net/net.ts';
import { FarmRepair } from '#node/repairer/farm-repair.ts';
import { WriterStates } from '#node/repairer/placement-logs.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import { ACCOUNT_BUCKET_ID } from '#node/wire/types.ts';
import { memoryFarm, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { putEntry } from '#test/node-image/log/support/log-world.ts';
import { accountOf, introduceOwner, ownerOf, startFarmBridge } from './farm-bridge.ts';
import { bodyOf, never, textOf } from './memory-bridge.ts';

const root = mkdtempSync(join(tmpdir(), 'bridge-checkpoints-'));
const text = (fill: string, length: number) => fill.repeat(length);

let farm: MemoryFarm;
const running: (() => Promise<void>)[] = [];
const stopAll = async () => void (await Promise.all(running.splice(0).map((stop) => stop())));
afterEach(async () => {
  await stopAll();
  await farm.stop();
  rmSync(root, { recursive: true, force: true });
});

/** Upkeep doesn't run: the test makes checkpoints. */
async function startBridge(
  folder = randomBytes(8).toString('hex'),
  catalog: Catalog = createMemoryCatalog(),
  headBytes = 12_000,
) {
  const { bridge, troubles, stop } = startFarmBridge({
    farm,
    catalog,
    folder: join(root, folder),
    checkpointLimits: { headBytes, inlineBytes: 60_000 },
  });
  running.push(stop);
  const owner = await introduceOwner(bridge, 9);
  const account = accountOf(owner);
  const bucketOf = (name: string) => bridge.objects.bucket(account, name);
  return {
    bridge,
    owner,
    troubles,
    bucketOf,
    create: (name: string) => bridge.objects.createBucket(account, name, never),
    put: (name: string, key: string, body: string) =>
      bridge.objects.put(bucketOf(name), { key, headers: {}, body: bodyOf(body), conditions: {} }, never),
    remove: (name: string, key: string) => bridge.objects.delete(bucketOf(name), key, {}, never),
    async copy(name: string, key: string, to: string) {
      const source = bridge.objects.head(bucketOf(name), key);
      await bridge.objects.copy(bucketOf(name), { from: bucketOf(name), source, key: to, headers: {}, conditions: {} }, never);
    },
  };
}

function startRepairer() {
  const stopping = new AbortController();
  const index = new SegmentIndex(':memory:');
  const states = new WriterStates(':memory:');
  const failures: string[] = [];
  const repair = new FarmRepair({
    network: farm.networkOf(farm.repairer),
    self: farm.repairer,
    index,
    states,
    config: farm.current(),
    runtime: systemRuntime,
    version: 'test',
    events: { ownerFailed: (_, error) => failures.push(String(error)) },
    signal: stopping.signal,
  });
  running.push(async () => {
    stopping.abort(new Error('the test stops this repairer'));
    await repair.close();
    index.close();
    states.close();
  });
  return { repair, index, failures };
}

async function everything({ bridge, bucketOf }: Awaited<ReturnType<typeof startBridge>>, name: string) {
  const bucket = bucketOf(name);
  const found: Record<string, string> = {};
  const { items } = bridge.objects.list(bucket, { prefix: '', delimiter: '', after: '', limit: 1000 });
  for (const item of items) {
    if (item.kind !== 'object') continue;
    const version = bridge.objects.head(bucket, item.object.key);
    found[version.key] = await textOf(bridge.objects.read(bucket, version, { offset: 0, length: version.sizeBytes }, never));
  }
  return found;
}
const keys = (bridge: Bridge, bucketId: string) => {
  const { items } = bridge.catalog.list(bucketId, { prefix: '', delimiter: '', after: '', limit: 1000 });
  return items.flatMap((item) => (item.kind === 'object' ? [item.object.key] : []));
};

/** Writes to one farmer only, and is gone for good then. */
async function dyingDevice(bucketId: string, key: string): Promise<void> {
  const { keyPair, accountSecret } = ownerOf(9);
  const access = { owner: keyPair.publicKey, accountSecret };
  const network = farm.networkOf(keyPair);
  const reached = farm.farmers[0]!.keyPair.publicKey;
  const onlyOne: Network = {
    self: network.self,
    close: () => network.close(),
    call: async (to, call, signal) => {
      if (call.operation === 'log.append' && to.farmer !== reached) throw new CallError('Unreachable', 'Not now.');
      return await network.call(to, call, signal);
    },
  };
  const farmView = settableFarmView(farmSnapshot(farm.current()));
  const link = logLink({ network: onlyOne, farm: farmView, runtime: systemRuntime, answerTimeoutMs: 3000 });
  const { view } = await fetchRoots(link, access.owner, never);
  const order = { link, owner: access.owner, bucketId, writer: keyPair, kind: 'entries', signal: never } as const;
  const state = { load: async () => null, save: async () => {} };
  const log = await openBucketLog({ ...order, keys: writerKeys(access, view, bucketId), state, patienceMs: 300 });
  await expect(log.append([putEntry(key)], { added: [], released: [] })).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
  await log.close();
}

const numbers = (bridge: Bridge, owner: string, bucketId: string) =>
  bridge.accounts.refresh(owner, never).then((view) => view.checkpoints.get(bucketId)?.map(({ number }) => number) ?? []);

describe('a bridge', () => {
  it('makes checkpoints as much is written, and one with an empty disk starts from the newest and the batches behind it', async () => {
    farm = await memoryFarm({ farmers: 3 });
    const first = await startBridge('first', createMemoryCatalog(), 4000);
    const { bridge, owner } = first;
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    expect(await bridge.checkpoints.makeDue()).toBe(0);
    const want: Record<string, string> = {};
    const put = async (key: string, body: string) => {
      await first.put('photos', key, body);
      want[key] = body;
    };
    for (let round = 0; round < 3; round++) {
      await put('large', text(`${round}`, 150_000));
      await Promise.all(Array.from({ length: 16 }, (_, i) => put(`small/${(i + round * 3) % 18}`, text('abc'[round]!, 500 + i))));
      await first.remove('photos', `small/${round}`);
      delete want[`small/${round}`];
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      expect(bridge.catalog.uncovered(owner, bucketId).headBytes).toBeLessThan(2000);
    }
    expect(first.troubles).toEqual([]);
    expect(await numbers(bridge, owner, bucketId)).toEqual([3, 2]);
    // What was inline lies in packs now, here as well; a copy has its own bytes.
    const version = bridge.objects.head(first.bucketOf('photos'), 'small/9');
    expect(bridge.catalog.content(bucketId, 'small/9', version.versionId)?.packed).toBeDefined();
    await first.copy('photos', 'small/9', 'copied');
    want['copied'] = want['small/9']!;
    await put('after', 'the checkpoint');
    const upload = await bridge.objects.createUpload(
      first.bucketOf('photos'),
      { key: 'parts', headers: {}, checksumAlgorithm: null, checksumType: null },
      never,
    );
    await bridge.objects.putPart(first.bucketOf('photos'), upload, 1, bodyOf(text('p', 70_000)), never);
    expect(await everything(first, 'photos')).toEqual(want);
    const usage = bridge.catalog.usage(bucketId);
    // Nothing that anything names is let go by a cut, and what older checkpoints were made of is.
    expect(await bridge.cuts.state(owner, never)).toBeGreaterThan(0);
    await stopAll();

    const next = await startBridge(
      'an empty disk',
      await openSqliteCatalog({ path: join(root, 'x.sqlite'), secret: farm.bridge.seed }),
      4000,
    );
    await next.bridge.writers.serve(next.bridge.accounts.access(owner)!, bucketId, never);
    expect(await everything(next, 'photos')).toEqual(want);
    expect(next.bridge.catalog.usage(bucketId)).toEqual(usage);
    expect(next.bridge.catalog.parts(bucketId, upload.uploadId, 0, 10)).toHaveLength(1);
    const again = next.bridge.objects.head(next.bucketOf('photos'), 'small/9');
    expect(next.bridge.catalog.content(bucketId, 'small/9', again.versionId)?.packed).toBeDefined();
    // It goes on where the other was: writes, and the next checkpoint.
    for (let i = 0; i < 30; i++) want[`more/${i}`] = 'x';
    await Promise.all(Array.from({ length: 30 }, (_, i) => next.put('photos', `more/${i}`, 'x')));
    expect(await next.bridge.checkpoints.makeDue()).toBe(1);
    expect(next.troubles).toEqual([]);
    expect(await everything(next, 'photos')).toEqual(want);
    expect(await next.bridge.cuts.state(owner, never)).toBeGreaterThan(0);
    await stopAll();
    const third = await startBridge();
    await third.bridge.writers.serve(third.bridge.accounts.access(owner)!, bucketId, never);
    expect(await everything(third, 'photos')).toEqual(want);
  });

  it('lets a repairer with an empty index start from there, with what one has that read every batch', async () => {
    farm = await memoryFarm({ farmers: 3 });
    const { bridge, owner, ...first } = await startBridge('repaired', createMemoryCatalog(), 4000);
    await bridge.accounts.ensureWarrant(owner, farm.current(), never);
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    const always = startRepairer();
    expect(await always.repair.scan()).toBe(true);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 4; i++) await first.put('photos', `large/${i + round}`, text(`${round}`, 70_000));
      await Promise.all(Array.from({ length: 12 }, (_, i) => first.put('photos', `small/${i}`, text('s', 400))));
      await first.copy('photos', 'large/2', `copy/${round}`);
      await first.remove('photos', `large/${round}`);
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      await bridge.cuts.state(owner, never);
      expect(await always.repair.scan()).toBe(true);
    }
    await first.put('photos', 'after', text('a', 70_000));
    expect(await always.repair.scan()).toBe(true);
    const late = startRepairer();
    expect(await late.repair.scan()).toBe(true);
    expect([...always.failures, ...late.failures]).toEqual([]);
    const seen = ({ index }: ReturnType<typeof startRepairer>) => {
      const segments = index.allSegments(0, 10_000).map((id) => index.segment(id)!);
      return segments.map(({ segmentId, holders }) => `${segmentId} ${JSON.stringify(holders)}`).sort();
    };
    expect(seen(late)).toEqual(seen(always));
    expect(seen(late).length).toBeGreaterThan(8);
    expect(late.index.positions(owner, bucketId)).toEqual(always.index.positions(owner, bucketId));
  });

  it("lets a repairer that starts from the account's know what the cuts below it dropped", async () => {
    farm = await memoryFarm({ farmers: 3 });
    const { bridge, owner, ...first } = await startBridge('hidden cuts', createMemoryCatalog(), 3000);
    await bridge.accounts.ensureWarrant(owner, farm.current(), never);
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    for (const key of ['goes', 'stays']) await first.put('photos', key, text(key, 30_000));
    await first.remove('photos', 'goes');
    expect(await bridge.cuts.state(owner, never)).toBe(1);
    for (let i = 0; i < 8; i++) await first.create(`bucket-${i}`);
    expect(bridge.catalog.uncovered(owner, bucketId).headBytes).toBeLessThan(3000);
    expect(await bridge.checkpoints.makeDue()).toBe(1);
    expect(await numbers(bridge, owner, ACCOUNT_BUCKET_ID)).toEqual([1]);
    await bridge.cuts.state(owner, never);
    const late = startRepairer();
    expect(await late.repair.scan()).toBe(true);
    const seen = late.index.allSegments(0, 10_000).map((id) => late.index.segment(id)!.segmentId);
    const version = bridge.objects.head(first.bucketOf('photos'), 'stays');
    const stays = bridge.catalog.content(bucketId, 'stays', version.versionId)!.segments!.map(({ segmentId }) => segmentId);
    const live = seen.filter((id) => bridge.catalog.references(bucketId, id) > 0);
    expect(live).toEqual(expect.arrayContaining(stays));
    expect(seen.filter((id) => bridge.catalog.references(ACCOUNT_BUCKET_ID, id) === 0)).toEqual(live);
  });

  it("makes those of the buckets before the account's also for what came while the last ones were made, and not again for nothing", async () => {
    farm = await memoryFarm({ farmers: 3 });
    const real = createMemoryCatalog();
    let isHidden = false;
    // The entry of a checkpoint says that nothing is uncovered.
    const uncovered: Catalog['uncovered'] = (owner, id) =>
      isHidden && id !== ACCOUNT_BUCKET_ID ? { headBytes: 0, inlineBytes: 0 } : real.uncovered(owner, id);
    const { bridge, owner, bucketOf, create, put } = await startBridge(undefined, { ...real, uncovered }, 3000);
    await create('photos');
    const { bucketId } = bucketOf('photos');
    for (let i = 0; i < 40; i++) await put('photos', `key ${i}`, text('a', 100));
    expect(await bridge.checkpoints.makeDue()).toBe(1);
    await put('photos', 'late', text('b', 100));
    isHidden = true;
    for (const round of [1, 2]) {
      for (let i = 0; i < 12; i++) await create(`bucket-${round}-${i}`);
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      expect(await numbers(bridge, owner, ACCOUNT_BUCKET_ID)).toHaveLength(round);
      expect(await numbers(bridge, owner, bucketId)).toEqual([2, 1]);
    }
  });

  it("lets the account's wait for batches that are on too few replicas for a checkpoint, and brings them to the others", async () => {
    farm = await memoryFarm({ farmers: 3 });
    const another = () => startBridge(undefined, createMemoryCatalog(), 3000);
    const first = await another();
    await first.create('photos');
    await first.put('photos', 'key', text('key', 30_000));
    for (let i = 0; i < 12; i++) await first.create(`bucket-${i}`);
    const { bucketId } = first.bucketOf('photos');
    await dyingDevice(bucketId, 'half done');
    const { bridge, owner, troubles } = await another();
    expect(keys(bridge, bucketId)).toEqual(['half done', 'key']);
    expect(await bridge.checkpoints.makeDue()).toBe(0);
    expect(JSON.stringify(troubles)).toContain('had batches on too few replicas to be in a checkpoint');
    expect(await numbers(bridge, owner, ACCOUNT_BUCKET_ID)).toEqual([]);
    // One that hasn't failed yet doesn't wait for its next try.
    expect(await (await another()).bridge.checkpoints.makeDue()).toBe(1);
    expect(await numbers(bridge, owner, ACCOUNT_BUCKET_ID)).toEqual([1]);
    await farm.restart(0, { empty: true });
    expect(keys((await another()).bridge, bucketId)).toEqual(['half done', 'key']);
  });

  it('reads a bucket anew of which it took a batch that never counted', async () => {
    farm = await memoryFarm({ farmers: 3 });
    const first = await startBridge();
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    for (const key of ['a', 'b']) await first.put('photos', key, text(key, 500));
    const real = createMemoryCatalog();
    let lies = 0;
    /** As if another batch had been read in the place of the last but one. */
    const positions: Catalog['positions'] = (owner, id) => {
      const isLie = id === bucketId && lies-- > 0;
      return real.positions(owner, id).map((one) => (isLie ? { ...one, seq: one.seq - 1 } : one));
    };
    const { bridge, owner, bucketOf } = await startBridge(undefined, { ...real, positions });
    expect(keys(bridge, bucketId)).toEqual(['a', 'b']);
    await bridge.objects.delete(bucketOf('photos'), 'a', {}, never);
    lies = 2;
    await bridge.cuts.state(owner, never);
    expect(lies).toBeLessThan(1);
    expect(keys(bridge, bucketId)).toEqual(['b']);
  });

  it('makes them anew under another scheme, packs and all', async () => {
    farm = await memoryFarm({ farmers: 6 });
    const first = await startBridge('renewed');
    const { bridge, owner } = first;
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 50; i++) await first.put('photos', `small/${i + round * 30}`, text('abc'[round]!, 500 + i));
      expect(await bridge.checkpoints.makeDue()).toBe(1);
    }
    const before = await everything(first, 'photos');
    const schemes = () => bridge.catalog.schemes(bucketId).map(({ required, optimal }) => `${required}/${optimal}`);
    expect(schemes()).toEqual(['4/6']);
    const change = { redundancy: defaultScheme(4), rewrite: true };
    farm.change(change);
    // The new one; and one more, after which the last old one is nobody's.
    for (const left of [['2/4', '4/6'], ['2/4']]) {
      bridge.checkpoints.renew(owner, bucketId);
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      expect(schemes()).toEqual(left);
      expect(await everything(first, 'photos')).toEqual(before);
    }
    const made = await numbers(bridge, owner, bucketId);
    bridge.checkpoints.renew(owner, bucketId);
    await bridge.checkpoints.makeDue();
    expect(await numbers(bridge, owner, bucketId)).toEqual(made);
    expect(first.troubles).toEqual([]);
    await stopAll();
    const next = await startBridge();
    await next.bridge.writers.serve(next.bridge.accounts.access(owner)!, bucketId, never);
    expect(await everything(next, 'photos')).toEqual(before);
  });

  it('moves what is alive out of packs of which most was deleted, and lets them go', async () => {
    farm = await memoryFarm({ farmers: 4 });
    const first = await startBridge('sparse');
    const { bridge, owner } = first;
    await first.create('photos');
    const { bucketId } = first.bucketOf('photos');
    const packsOf = () => {
      const keys = bridge.catalog.list(bucketId, { prefix: '', delimiter: '', after: '', limit: 1000 }).items;
      const packs = keys.flatMap((item) => {
        if (item.kind !== 'object') return [];
        const { versionId } = bridge.objects.head(first.bucketOf('photos'), item.object.key);
        const { packed } = bridge.catalog.content(bucketId, item.object.key, versionId)!;
        return packed ? [packed.segment.segmentId] : [];
      });
      return new Set(packs);
    };
    for (let i = 0; i < 60; i++) await first.put('photos', `small/${i}`, text('a', 2000 + i));
    expect(await bridge.checkpoints.makeDue()).toBe(1);
    const full = packsOf();
    expect(full.size).toBeGreaterThan(0);
    let round = 0;
    const remove = async (which: (i: number) => boolean) => {
      for (let i = 0; i < 60; i++) if (which(i)) await first.remove('photos', `small/${i}`);
      for (let i = 0; i < 60; i++) await first.put('photos', `more/${round}/${i}`, text('b', 1000 + i));
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      round++;
    };
    // A third goes: the rest isn't worth moving. Then nearly all.
    await remove((i) => i % 3 === 0);
    expect(packsOf().intersection(full)).toEqual(full);
    await remove((i) => i % 3 !== 0 && i < 56);
    const before = await everything(first, 'photos');
    expect(packsOf().intersection(full).size).toBe(0);
    // The checkpoint before the last one still names them, the next one's no more.
    await remove((i) => i === 56);
    for (const segmentId of full) expect(bridge.catalog.references(bucketId, segmentId)).toBe(0);
    expect(first.troubles).toEqual([]);
    await first.remove('photos', 'more/2/0');
    await stopAll();

    const next = await startBridge();
    await next.bridge.writers.serve(next.bridge.accounts.access(owner)!, bucketId, never);
    const after = await everything(next, 'photos');
    expect(Object.keys(after).filter((key) => key.startsWith('small/'))).toEqual(['small/58', 'small/59']);
    for (const key of Object.keys(after).filter((one) => one in before)) expect(after[key]).toBe(before[key]);
  });

  it("checkpoints the account's own log too", async () => {
    farm = await memoryFarm({ farmers: 3 });
    const first = await startBridge('account', createMemoryCatalog(), 3000);
    for (let i = 0; i < 8; i++) await first.create(`bucket-${i}`);
    expect(await first.bridge.checkpoints.makeDue()).toBe(1);
    expect(await numbers(first.bridge, first.owner, ACCOUNT_BUCKET_ID)).toEqual([1]);
    await first.create('one-more');
    await stopAll();
    const next = await startBridge();
    expect(next.bridge.catalog.buckets(first.owner)).toHaveLength(9);
  });

  it('reads the root statements as often for an account of many buckets as for one of few', async () => {
    const asked = async (buckets: number): Promise<number> => {
      farm = await memoryFarm({ farmers: 3 });
      const { bridge, owner, create, put, bucketOf } = await startBridge(`of ${buckets}`, createMemoryCatalog(), 1500);
      for (let i = 0; i < buckets; i++) {
        await create(`bucket-${i}`);
        await put(`bucket-${i}`, 'key', 'a small one');
      }
      let calls = 0;
      farm.net.faultOf = ({ operation }) => {
        if (operation === 'roots.get') calls++;
        return undefined;
      };
      expect(await bridge.checkpoints.makeDue()).toBe(1);
      const made = calls;
      const ids = [ACCOUNT_BUCKET_ID, ...Array.from({ length: buckets }, (_, i) => bucketOf(`bucket-${i}`).bucketId)];
      for (const bucketId of ids) expect(await numbers(bridge, owner, bucketId)).toEqual([1]);
      await stopAll();
      if (buckets > 4) return made;
      await farm.stop();
      return made;
    };
    const ofFew = await asked(4);
    expect(ofFew).toBeGreaterThan(0);
    expect(await asked(12)).toBe(ofFew);
  });
});
