// Checkpoints on real farmers: made from the logs, read without them, and nothing more or less in them.
import { afterEach, describe, expect, it } from 'vitest';
import { bucketKeys, openBucket, writerKeys } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { makeCheckpoint, type CheckpointLimits } from '#node/log/checkpoint-maker.ts';
import type { BucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { BUCKET, NOTHING, putEntry, startLogWorld, within, type LogWorld } from './support/log-world.ts';
import { readAll, seededBytes } from '../client/support/test-farm.ts';

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

async function checkpoint(log: BucketLog, limits?: CheckpointLimits) {
  const { view } = await fetchRoots(world.link(), world.access.owner, within());
  return await makeCheckpoint({
    link: world.link(),
    store: segmentStore(world.client(), world.access.owner),
    owner: world.access.owner,
    bucketId: BUCKET,
    keeper: world.farm.bridge,
    readKeys: bucketKeys(world.access, view, BUCKET),
    sealKeys: writerKeys(world.access, view, BUCKET),
    record: async (entry, repair) => void (await log.append([{ ...entry, clock: { wallMs: Date.now(), counter: 0 } }], repair)),
    follow: async () => {},
    isLive: () => true,
    keepsMoves: () => true,
    ...(limits ? { limits } : {}),
    signal: within(),
  });
}
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
