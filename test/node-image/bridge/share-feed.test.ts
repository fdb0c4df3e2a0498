// What a feed writes when its bucket changes under it, on a farm in memory.
import { expect, it } from 'vitest';
import { shareFeed } from '#node/bridge/share-feed.ts';
import { bodyOf, memoryBridge, never } from './memory-bridge.ts';

const SHARE_ID = '5a'.repeat(16);

async function start(before: { fetch?(): Promise<void>; commit?(): Promise<void> }) {
  const { objects, catalog, writers, runtime, account, bucket } = await memoryBridge();
  const { owner } = account;
  const photos = await bucket();
  const { bucketId } = photos;
  const to = await writers.serve({ owner, accountSecret: new Uint8Array(32) }, SHARE_ID, never);
  const once = async (what: 'fetch' | 'commit') => {
    const act = before[what];
    delete before[what];
    await act?.();
  };
  const commits: string[][] = [];
  /** `readings`: how many batches were written before each. */
  const behind = { is: false, stays: false, readings: [] as number[] };
  const feed = shareFeed({
    share: { shareId: SHARE_ID, bucketId, name: 'shown', prefix: 'a/', to: { publicKey: 'cc'.repeat(32), box: 'dd'.repeat(32) } },
    owner,
    to: {
      ...to,
      async commit(names, decide) {
        await once('commit');
        return to.commit(names, () => {
          const decision = decide();
          if (decision)
            commits.push(decision.entries.map((entry) => ('key' in entry ? `${entry.kind} ${entry.key}` : entry.kind)));
          return decision;
        });
      },
    },
    catalog,
    moves: { refreshed: () => expect.fail('nothing here has segments') },
    async read({ key }) {
      await once('fetch');
      return Buffer.from(`bytes of ${key}`);
    },
    isWhole: () => true,
    isBehind: () => behind.is,
    async catchUp() {
      behind.readings.push(commits.length);
      behind.is = behind.stays;
    },
    runtime,
  });
  const put = (key: string) => objects.put(photos, { key, headers: {}, body: bodyOf(`bytes of ${key}`), conditions: {} }, never);
  /** As a checkpoint does. */
  const pack = async (key: string) => {
    const { versionId } = catalog.current(bucketId, key)!;
    const segment = { segmentId: '11'.repeat(32), key: new Uint8Array(32), commitment: new Uint8Array(16), plainBytes: 99 };
    const packed = { segment, offset: 0, key: new Uint8Array(32) };
    await catalog.restore({ owner, bucketId, step: { kind: 'packed', versions: [{ key, versionId, packed }] } });
  };
  const shown = (key: string) => {
    const version = catalog.current(SHARE_ID, key);
    const inline = version && catalog.content(SHARE_ID, key, version.versionId)?.inline;
    return inline ? Buffer.from(inline).toString() : null;
  };
  return { feed, put, pack, shown, commits, behind };
}

it('a checkpoint that packs an object while the share’s log opens keeps it from no share', async () => {
  const world = await start({ commit: () => world.pack('a/1') });
  await world.put('a/1');
  await world.put('a/2');
  await world.feed.feed();
  expect([world.shown('a/1'), world.shown('a/2')]).toEqual(['bytes of a/1', 'bytes of a/2']);
  // No batch says that it has what it lacks.
  expect(world.commits).toEqual([['put a/1', 'put a/2']]);
});

it('… nor does one that packs it while the bytes of others are fetched', async () => {
  const world = await start({ fetch: () => world.pack('a/1') });
  await world.put('a/1');
  await world.put('a/2');
  await world.pack('a/2');
  await world.feed.feed();
  expect([world.shown('a/1'), world.shown('a/2')]).toEqual(['bytes of a/1', 'bytes of a/2']);
});

it('says that it has reached what it couldn’t write only once it is written', async () => {
  const before: { commit?(): Promise<void> } = {};
  const world = await start(before);
  await world.put('a/1');
  await world.feed.feed();
  const reached = world.feed.heads();
  await world.put('a/2');
  const entry = { kind: 'delete' as const, key: 'a/2', clock: { wallMs: 1, counter: 0 }, names: [] };
  const about = { owner: 'aa'.repeat(32), bucketId: 'bb'.repeat(16), logId: 'ee'.repeat(32), seq: 9, hash: 'ff'.repeat(32) };
  world.feed.take({ ...about, entries: [entry], repair: null, placements: [] });
  before.commit = () => Promise.reject(new Error('the log has ended'));
  await expect(world.feed.feed()).rejects.toThrow('the log has ended');
  expect(world.feed.heads()).toEqual(reached);
  await world.feed.feed();
  expect(world.shown('a/2')).toBe('bytes of a/2');
  expect(world.feed.heads()).not.toEqual(reached);
});

it('writes nothing as long as somebody has fed the share from more of the bucket than was read here', async () => {
  const before: { commit?(): Promise<void> } = {};
  const world = await start(before);
  await world.put('a/1');
  world.behind.is = true;
  // The share's own log brings in more of it when it opens.
  before.commit = async () => void (world.behind.is = true);
  await world.feed.feed();
  expect(world.behind.readings).toEqual([0, 0]);
  expect(world.commits).toEqual([['put a/1']]);
  world.behind.stays = world.behind.is = true;
  await world.put('a/2');
  const feedAnew = { owner: 'aa'.repeat(32), bucketId: 'bb'.repeat(16), step: { kind: 'begin' as const } };
  world.feed.take(feedAnew);
  await expect(world.feed.feed()).rejects.toMatchObject({ code: 'SlowDown' });
  expect(world.commits).toEqual([['put a/1']]);
});
