// Cuts as a bridge states them, on real farmers over the memory network.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Bridge } from '#node/bridge/assembly.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { bucketKeys } from '#node/client/account.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { CallError, type Network } from '#node/net/net.ts';
import { decodeCallHead } from '#node/wire/calls.ts';
import { readCut } from '#node/wire/cuts.ts';
import { ACCOUNT_BUCKET_ID, type Cut } from '#node/wire/types.ts';
import { memoryFarm, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { accountOf, introduceOwner, startFarmBridge } from './farm-bridge.ts';
import { bodyOf, never } from './memory-bridge.ts';

const root = mkdtempSync(join(tmpdir(), 'cuts-'));
const large = (fill: number) => new Uint8Array(100_000).fill(fill);

let farm: MemoryFarm;
const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
  await farm.stop();
  rmSync(root, { recursive: true, force: true });
});

/** A bridge on an empty disk whose account has the bucket; upkeep doesn't run, the test states cuts. */
async function startBridge(parts: Pick<Parameters<typeof startFarmBridge>[0], 'network' | 'runtime'> = {}) {
  const { bridge, stop } = startFarmBridge({
    ...parts,
    farm,
    catalog: createMemoryCatalog(),
    folder: join(root, randomBytes(8).toString('hex')),
  });
  running.push(stop);
  const owner = await introduceOwner(bridge, 9);
  const account = accountOf(owner);
  const bucketOf = (name: string) => bridge.objects.bucket(account, name);
  return {
    bridge,
    owner,
    bucketOf,
    create: (name: string) => bridge.objects.createBucket(account, name, never),
    put: (name: string, key: string, fill: number) =>
      bridge.objects.put(bucketOf(name), { key, headers: {}, body: bodyOf(large(fill)), conditions: {} }, never),
    remove: (name: string, key: string) => bridge.objects.delete(bucketOf(name), key, {}, never),
    async copy(from: string, key: string, to: string) {
      const source = bridge.objects.head(bucketOf(from), key);
      await bridge.objects.copy(bucketOf(to), { from: bucketOf(from), source, key, headers: {}, conditions: {} }, never);
    },
    segmentsOf(name: string, key: string) {
      const { bucketId } = bucketOf(name);
      const version = bridge.objects.head(bucketOf(name), key);
      return bridge.catalog.content(bucketId, key, version.versionId)!.segments.map(({ segmentId }) => segmentId);
    },
  };
}

async function statedCuts(bridge: Bridge, owner: string): Promise<Cut[]> {
  const { link } = bridge.client;
  const state = await readHeads(link, { owner, bucketId: ACCOUNT_BUCKET_ID, signal: never });
  const keys = bucketKeys(bridge.accounts.access(owner)!, state.view, ACCOUNT_BUCKET_ID);
  const cuts: Cut[] = [];
  for await (const { repair } of readBatches(link, { state, since: new Map(), keys, signal: never }))
    cuts.push(...(repair?.cuts ?? []));
  return cuts;
}

describe('a cut', () => {
  it('lets go what a delete or a replacement let go, and nothing that a copy, a version or an open upload names', async () => {
    farm = await memoryFarm({ farmers: 5 });
    const { bridge, owner, ...world } = await startBridge();
    const [photos] = [await world.create('photos'), await world.create('copies')];
    for (const [i, key] of ['copied', 'deleted', 'replaced', 'kept'].entries()) await world.put('photos', key, i);
    const [copied, deleted, replaced] = ['copied', 'deleted', 'replaced'].flatMap((key) => world.segmentsOf('photos', key));
    await world.copy('photos', 'copied', 'copies');
    const order = { key: 'parts', headers: {}, checksumAlgorithm: null, checksumType: null };
    const upload = await bridge.objects.createUpload(photos, order, never);
    await bridge.objects.putPart(photos, upload, 1, bodyOf(large(8)), never);
    expect(await bridge.cuts.state(owner, never)).toBe(0);
    for (const key of ['copied', 'deleted']) await world.remove('photos', key);
    await world.put('photos', 'replaced', 9);
    expect(await bridge.cuts.state(owner, never)).toBe(2);
    expect(await bridge.cuts.state(owner, never)).toBe(0);
    await world.remove('copies', 'copied');
    await bridge.objects.abortUpload(photos, upload, never);
    expect(await bridge.cuts.state(owner, never)).toBe(2);

    const cuts = await statedCuts(bridge, owner);
    const view = bridge.accounts.view(owner)!;
    expect(cuts.map((cut) => readCut(view, cut)?.owner)).toEqual([owner, owner, owner, owner]);
    expect(cuts[1]!.dropped.sort()).toEqual([deleted, replaced].sort());
    expect(cuts[3]!.dropped).toContain(copied);
    // Its heads are those of all logs at that moment, and it can't be changed.
    expect(cuts[3]!.heads.map(({ logId, seq }) => `${logId} ${seq}`).sort()).toEqual(
      view.logs
        .map(({ logId, bucketId }) => {
          const position = bridge.catalog.positions(owner, bucketId).find((one) => one.logId === logId);
          return `${logId} ${(position?.seq ?? 0) - (bucketId === ACCOUNT_BUCKET_ID ? 1 : 0)}`;
        })
        .sort(),
    );
    expect(readCut(view, { ...cuts[1]!, dropped: [copied!] })).toBeNull();
    expect(readCut({ ...view, owner: 'ee'.repeat(32) }, cuts[1]!)).toBeNull();
    expect(readCut({ ...view, roles: [] }, cuts[1]!)).toBeNull();
  });

  it('leaves no replicas to a deleted bucket, once what it had let go is stated', async () => {
    farm = await memoryFarm({ farmers: 5 });
    const { bridge, owner, ...world } = await startBridge();
    const [gone, kept] = [await world.create('gone'), await world.create('kept')];
    for (const name of ['gone', 'kept']) await world.put(name, 'key', 1);
    await bridge.cuts.keep(owner, never);
    await world.remove('gone', 'key');
    await bridge.objects.deleteBucket(gone, never);
    const members = async () => {
      const { sets } = await bridge.accounts.refresh(owner, never);
      return [gone, kept].map(({ bucketId }) => sets.get(bucketId)?.members.length);
    };
    expect(await members()).toEqual([5, 5]);

    expect(await bridge.cuts.state(owner, never)).toBe(1);
    expect(await members()).toEqual([0, 5]);
    const heads = readHeads(bridge.client.link, { owner, bucketId: gone.bucketId, signal: never });
    await expect(heads).rejects.toMatchObject({ code: 'NoReplicaSet' });

    // Nobody needs its logs again, an empty bridge neither.
    await world.put('kept', 'key', 2);
    expect(await bridge.cuts.state(owner, never)).toBe(1);
    const next = await startBridge();
    // It can't know that this was stated before.
    expect(await next.bridge.cuts.state(owner, never)).toBe(1);
    expect((await statedCuts(next.bridge, owner)).at(-1)?.heads.map(({ bucketId }) => bucketId)).not.toContain(gone.bucketId);
    expect(await members()).toEqual([0, 5]);
  });

  it('is stated no more often for a deleted bucket that can’t be read to its end', async () => {
    farm = await memoryFarm({ farmers: 5 });
    let passedMs = 0;
    const later = (clock: () => number) => () => clock() + passedMs;
    const runtime = { ...systemRuntime, nowMs: later(systemRuntime.nowMs), elapsedMs: later(systemRuntime.elapsedMs) };
    const behind = farm.networkOf(farm.bridge);
    const unreadable = new Set<string>();
    const network: Network = {
      ...behind,
      async call(to, call, signal) {
        const isHidden = call.operation === 'log.heads' && unreadable.has(decodeCallHead('log.heads', call.head).bucketId);
        if (isHidden) throw new CallError('Unreachable', 'Its replicas are away.');
        return await behind.call(to, call, signal);
      },
    };
    const { bridge, owner, ...world } = await startBridge({ network, runtime });
    const gone = await world.create('gone');
    await world.put('gone', 'key', 1);
    await bridge.cuts.keep(owner, never);
    await world.remove('gone', 'key');
    await bridge.objects.deleteBucket(gone, never);
    unreadable.add(gone.bucketId);
    const stated = async () => (await statedCuts(bridge, owner)).length;
    const before = await stated();
    for (const ms of [70_000, 140_000, 210_000]) {
      passedMs = ms;
      await bridge.cuts.keep(owner, never);
    }
    expect(await stated()).toBe(before + 1);
  });

  it('counts what another bridge wrote meanwhile, and is stated only when it is time', async () => {
    farm = await memoryFarm({ farmers: 5 });
    const first = await startBridge();
    await first.create('shared');
    await first.put('shared', 'one', 1);
    await first.bridge.cuts.keep(first.owner, never);
    await first.remove('shared', 'one');
    // Too soon after the last one.
    await first.bridge.cuts.keep(first.owner, never);
    expect((await statedCuts(first.bridge, first.owner)).map(({ dropped }) => dropped.length)).toEqual([0]);
    const second = await startBridge();
    expect(await second.bridge.cuts.state(second.owner, never)).toBe(1);
    // The account's log was taken over; the first bridge learns it, and reads on.
    await expect(first.bridge.cuts.state(first.owner, never)).rejects.toMatchObject({ code: 'LogEnded' });
    expect(await first.bridge.cuts.state(first.owner, never)).toBe(0);
  });

  it('is not stated on the word of f replicas', async () => {
    farm = await memoryFarm({ farmers: 2 });
    const { bridge, owner, ...world } = await startBridge();
    await world.create('photos');
    await world.put('photos', 'one', 1);
    await world.remove('photos', 'one');
    farm.net.detach(farm.farmers[1]!.keyPair.publicKey);
    await expect(bridge.cuts.state(owner, never)).rejects.toMatchObject({ code: 'TooFewReplicas' });
    farm.net.attach(farm.farmers[1]!.keyPair.publicKey, farm.farmers[1]!.farmer.service);
    expect(await bridge.cuts.state(owner, never)).toBe(1);
  });
});
