// Checkpoints on real farmers: made from the logs, read without them, and nothing more or less in them.
import { afterEach, describe, expect, it } from 'vitest';
import { bucketKeys, openBucket } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { dropCovered } from '#node/farmer/covered-batches.ts';
import { LogStore } from '#node/farmer/log-store.ts';
import { RootsStore } from '#node/farmer/roots-store.ts';
import { readSince } from '#node/log/checkpoint-reader.ts';
import { readHeads } from '#node/log/log-reader.ts';
import { changeMember, nextMemberChange } from '#node/log/replica-set.ts';
import type { CheckpointLimits, CheckpointOrder } from '#node/log/checkpoint-maker.ts';
import type { BucketLog } from '#node/log/log-writer.ts';
import { leftOfBucket, resetBucket } from '#node/log/reset-bucket.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { checkpointOf } from './support/checkpoint-of.ts';
import { BUCKET, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from './support/log-world.ts';
import { readAll, seededBytes } from '../client/support/test-farm.ts';

const WEEK_MS = 7 * 24 * 3_600_000;

let world: LogWorld;
const logs: BucketLog[] = [];
afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.close()));
  await world.stop();
});
async function start(farmers = 6) {
  world = await startLogWorld({ farmers });
  const log = await world.open();
  logs.push(log);
  return log;
}

const checkpoint = (log: BucketLog, limits?: CheckpointLimits, more: Partial<CheckpointOrder> = {}) =>
  checkpointOf(world, log, { ...(limits ? { limits } : {}), ...more });
const object = (key: string, bytes: Uint8Array, replaces: string[] = []): PutEntry => ({
  ...putEntry(key),
  replaces,
  sizeBytes: bytes.length,
  inline: bytes,
});
const reader = () => openBucket(world.client(), world.access, BUCKET, within(30_000));
const contentOf = async () => {
  const bucket = await reader();
  const found: Record<string, string> = {};
  for await (const entry of bucket.list()) found[entry.key] = Buffer.from(await readAll(bucket.read(entry))).toString('latin1');
  return found;
};

describe('a checkpoint', () => {
  it('holds what the logs said, and readers need none of what it covers', async () => {
    const log = await start();
    const [a, b, gone] = [object('a', seededBytes(3000, 1)), object('b', seededBytes(50, 2)), object('gone', seededBytes(9, 3))];
    await log.append([a, b, gone], NOTHING);
    const second = object('a', seededBytes(5000, 4), [a.versionId]);
    await log.append([second, { kind: 'delete', key: 'gone', clock: gone.clock, names: [gone.versionId] }], NOTHING);
    const before = await contentOf();
    expect(Object.keys(before)).toEqual(['a', 'b']);
    const made = await checkpoint(log);
    expect(made).toMatchObject({ number: 1, covers: [{ logId: log.logId, seq: 2 }] });
    await log.append([object('c', seededBytes(2000, 5))], NOTHING);
    world.calls.length = 0;
    const bucket = await reader();
    expect((await bucket.find('a'))?.packed).toBeDefined();
    expect(await contentOf()).toEqual({ ...before, c: Buffer.from(seededBytes(2000, 5)).toString('latin1') });
    expect(await bucket.find('gone')).toBeNull();
    for (const prefix of ['', 'a', 'b', 'bb', 'zz']) {
      const keys = (await Array.fromAsync(bucket.list({ prefix }))).map(({ key }) => key);
      expect(keys).toEqual(['a', 'b', 'c'].filter((key) => key.startsWith(prefix)));
    }
    expect((await Array.fromAsync(bucket.list({ after: 'a' }))).map(({ key }) => key)).toEqual(['b', 'c']);
  });

  it('brings nothing back that was deleted long ago, in whatever order and pieces its logs are merged', async () => {
    const first = await start(3);
    const clock = { wallMs: Date.now() - 2 * WEEK_MS, counter: 0 };
    const old = (key: string): PutEntry => ({ ...object(key, seededBytes(300, 1)), clock });
    const [a, b] = [old('a'), old('b')];
    const gone = ({ key, versionId }: PutEntry) => ({ kind: 'delete' as const, key, clock, names: [versionId] });
    await first.append([gone(a), b], NOTHING);
    const second = await world.open({ state: memoryState() });
    logs.push(second);
    await second.append([a, gone(b), old('c')], NOTHING);
    await checkpoint(second, { headBytes: 1, inlineBytes: 1 });
    expect(Object.keys(await contentOf())).toEqual(['c']);
  });

  it('takes a pack apart of which little is alive, in the making that finds it so', async () => {
    const log = await start();
    const objects = Array.from({ length: 40 }, (_, i) => object(`key ${i}`, seededBytes(3000, i)));
    await log.append(objects, NOTHING);
    await checkpoint(log);
    const packs = async () =>
      new Set((await Array.fromAsync((await reader()).list())).map((one) => one.packed?.segment.segmentId));
    const [pack] = await packs();
    const inPlace = new Map<number, Uint8Array>();
    for await (const { packed, key } of (await reader()).list())
      inPlace.set(packed!.offset, seededBytes(3000, Number(key.slice(4))));
    await log.append(
      objects.slice(3).map(({ key, clock, versionId }) => ({ kind: 'delete', key, clock, names: [versionId] })),
      NOTHING,
    );
    const before = await contentOf();
    await checkpoint(log, undefined, {
      packBytes: (segmentId) => (segmentId === pack ? 40 * 3016 : null),
      readPacked: async ({ offset }) => inPlace.get(offset)!,
    });
    expect(await packs()).not.toContain(pack);
    expect(Object.keys(before)).toEqual(['key 0', 'key 1', 'key 2']);
    expect(await contentOf()).toEqual(before);
  });

  it('is made of many runs where much has come, and of few after each', async () => {
    const log = await start();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 5; i++) {
        const entries = Array.from({ length: 10 }, (_, j) => object(`${j}/${round}/${i}`, seededBytes(300, i)));
        await log.append(entries, NOTHING);
      }
      expect(await checkpoint(log, { headBytes: 8000, inlineBytes: 100_000 })).toMatchObject({ number: round + 1 });
    }
    const bucket = await reader();
    expect(await Array.fromAsync(bucket.list())).toHaveLength(200);
    expect((await Array.fromAsync(bucket.list({ prefix: '3/' }))).length).toBe(20);
    expect(await checkpoint(log)).toBeNull();
    const { view, statements } = await fetchRoots(world.link(), world.access.owner, within());
    expect(view.checkpoints.get(BUCKET)?.map(({ number }) => number)).toEqual([4, 3]);
    expect(statements.filter(({ body }) => body.kind === 'checkpoint')).toHaveLength(2);
  });
});

describe('batches that checkpoints cover', () => {
  const drop = async (laterMs: number) => {
    for (const { farmer } of world.farm.farmers) {
      const { store } = farmer;
      await dropCovered({ store, logs: new LogStore(store), roots: new RootsStore(store), nowMs: Date.now() + laterMs });
    }
  };
  const firstSeqs = async () => {
    const state = await readHeads(world.link(), { owner: world.access.owner, bucketId: BUCKET, signal: within(), all: true });
    return [...state.answers.values()].map(({ logs: [log] }) => log?.firstSeq);
  };
  const readFrom = async (seq: number, log: BucketLog) => {
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    const state = await readHeads(world.link(), { owner: world.access.owner, bucketId: BUCKET, view, signal: within() });
    const keys = bucketKeys(world.access, view, BUCKET);
    const store = segmentStore(world.client(), world.access.owner);
    const since = new Map([[log.logId, seq]]);
    const { checkpoint: taken, batches } = await readSince(world.link(), { state, since, keys, store, signal: within() });
    return { number: taken?.number ?? null, seqs: (await Array.fromAsync(batches)).map(({ header }) => header.seq) };
  };

  it('go after a week, when both checkpoints cover them; whoever lacks them takes the checkpoint', async () => {
    const log = await start();
    for (const key of ['a', 'b', 'c']) await log.append([object(key, seededBytes(400, 1))], NOTHING);
    await checkpoint(log);
    await expect.poll(() => log.upToDate().length).toBe(5);
    await drop(WEEK_MS / 2);
    expect(await firstSeqs()).toEqual([1, 1, 1, 1, 1]);
    for (const key of ['d', 'e']) await log.append([object(key, seededBytes(400, 1))], NOTHING);
    await checkpoint(log);
    await expect.poll(() => log.upToDate().length).toBe(5);
    await drop(WEEK_MS / 2);
    expect(await firstSeqs()).toEqual([1, 1, 1, 1, 1]);
    // The older one covers three batches.
    await drop(WEEK_MS + 60_000);
    expect(await firstSeqs()).toEqual([4, 4, 4, 4, 4]);
    expect(await readFrom(1, log)).toEqual({ number: 2, seqs: [7] });
    expect(await readFrom(3, log)).toEqual({ number: null, seqs: [4, 5, 6, 7] });
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c', 'd', 'e']);

    // A new member of the set takes what is left, and the log goes on.
    const gone = log.set().members[0]!;
    world.farm.setState(gone, 'Leaving');
    const change = nextMemberChange({ set: log.set(), farmers: world.view.current().members, bucketId: BUCKET, promise: 2 })!;
    const order = { owner: world.access.owner, bucketId: BUCKET, keeper: world.farm.bridge, signal: within() };
    const set = await changeMember(world.link(), { ...order, wanted: () => change, logs: [log] });
    world.kill(gone);
    world.kill(set.members[1]!);
    await log.append([object('f', seededBytes(400, 1))], NOTHING);
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('all go but the newest, of a log that nobody writes any more', async () => {
    const log = await start(3);
    for (const key of ['a', 'b', 'c']) await log.append([object(key, seededBytes(400, 1))], NOTHING);
    await expect.poll(() => log.upToDate().length).toBe(3);
    await checkpoint(log);
    await expect.poll(() => log.upToDate().length).toBe(3);
    await log.close();
    // The checkpoint's statement reaches the third farmer a moment later.
    const dropped = async () => {
      await drop(3 * WEEK_MS);
      return await firstSeqs();
    };
    await expect.poll(dropped, { timeout: 15_000 }).toEqual([4, 4, 4]);
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c']);
    // Another life of the writer seals it and goes on.
    logs.push(await world.open());
    await logs.at(-1)!.append([object('d', seededBytes(400, 1))], NOTHING);
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('entries that came late', () => {
  it('count if the checkpoint covers them, and not if they are from before its horizon', async () => {
    const log = await start(3);
    const old = { ...object('old', seededBytes(400, 1)), clock: { wallMs: 5, counter: 0 } };
    await log.append([old], NOTHING);
    await checkpoint(log);
    await log.append(
      [{ ...object('late', seededBytes(400, 1)), clock: { wallMs: 6, counter: 0 } }, object('new', seededBytes(400, 1))],
      NOTHING,
    );
    expect(Object.keys(await contentOf())).toEqual(['new', 'old']);
    await checkpoint(log);
    expect(Object.keys(await contentOf())).toEqual(['new', 'old']);
  });
});

describe('a farm that was restored whole', () => {
  it('is written and read again only when the owner has accepted what there is', async () => {
    world = await startLogWorld({ farmers: 3 });
    const state = memoryState();
    const log = await world.open({ state });
    logs.push(log);
    for (const key of ['a', 'b', 'c']) await log.append([object(key, seededBytes(400, 1))], NOTHING);
    await checkpoint(log);
    await expect.poll(() => log.upToDate().length).toBe(3);
    await log.close();
    // The writer remembers that six were acknowledged; the replicas have four.
    const { seed } = state.saved!;
    const ahead = memoryState({ seed, seq: 6, hash: 'f'.repeat(64), pending: null });
    await expect(world.open({ state: ahead })).rejects.toMatchObject({ code: 'RolledBack' });
    const publish = async (seq: number) => {
      const { statements: known } = await fetchRoots(world.link(), world.access.owner, within());
      const heads = [{ logId: log.logId, seq }];
      const body = { kind: 'reset' as const, owner: world.access.owner, bucketId: BUCKET, heads, issuedMs: Date.now() };
      const statement = signRootStatement(world.owner.keyPair, body);
      await publishRoots(world.link(), { owner: world.access.owner, statements: [statement], known, signal: within() });
    };
    const state4 = await readHeads(world.link(), { owner: world.access.owner, bucketId: BUCKET, signal: within(), all: true });
    const left = await leftOfBucket(world.link(), state4, new Map([[log.logId, 6]]), within());
    expect(left).toMatchObject({ replicas: { members: 3, answering: 3 }, logs: [{ logId: log.logId, seq: 4, lostBatches: 2 }] });
    await resetBucket(world.link(), { owner: world.owner.keyPair, bucketId: BUCKET, signal: within() });
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c']);
    logs.push(await world.open({ state: ahead }));
    await logs.at(-1)!.append([object('d', seededBytes(400, 1))], NOTHING);
    expect(Object.keys(await contentOf())).toEqual(['a', 'b', 'c', 'd']);
    // Who had read the fifth and sixth reads all anew, from the checkpoint that is still true.
    const read = async () => {
      const { view } = await fetchRoots(world.link(), world.access.owner, within());
      const heads = await readHeads(world.link(), { owner: world.access.owner, bucketId: BUCKET, view, signal: within() });
      const store = segmentStore(world.client(), world.access.owner);
      const keys = bucketKeys(world.access, view, BUCKET);
      const since = new Map([[log.logId, 6]]);
      const {
        checkpoint: taken,
        isAnew,
        batches,
      } = await readSince(world.link(), { state: heads, since, keys, store, signal: within() });
      return { number: taken?.number, isAnew, seqs: (await Array.fromAsync(batches)).map(({ header }) => header.seq) };
    };
    expect(await read()).toEqual({ number: 1, isAnew: true, seqs: [4, 1] });
    // Restored once more, from before the checkpoint: its segments are lost too.
    await publish(2);
    expect(await read()).toMatchObject({ isAnew: true, seqs: [1, 2, 3, 4, 1] });
    expect((await read()).number).toBeUndefined();
  });
});

describe('a reader that has seen a batch which never counted', () => {
  it('forgets the bucket and reads all of it again', async () => {
    world = await startLogWorld({ farmers: 3 });
    const first = await world.open({ state: memoryState() });
    logs.push(first);
    for (const key of ['a', 'b']) await first.append([object(key, seededBytes(400, 1))], NOTHING);
    // Without that state: the log ends behind batch 2.
    logs.push(await world.open({ state: memoryState() }));
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    const state = await readHeads(world.link(), { owner: world.access.owner, bucketId: BUCKET, view, signal: within() });
    const keys = bucketKeys(world.access, view, BUCKET);
    const read = async (seq: number) => {
      const since = new Map([[first.logId, seq]]);
      const store = segmentStore(world.client(), world.access.owner);
      const { isAnew, batches } = await readSince(world.link(), { state, since, keys, store, signal: within() });
      return { isAnew, seqs: (await Array.fromAsync(batches)).map(({ header }) => header.seq) };
    };
    expect(await read(2)).toEqual({ isAnew: false, seqs: [] });
    expect(await read(3)).toEqual({ isAnew: true, seqs: [1, 2] });
  });
});
