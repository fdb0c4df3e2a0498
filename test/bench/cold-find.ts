// From the 24 words and nothing else to an object's first byte, among many: each time a client that knows nothing,
// with connections of its own.
import { join } from 'node:path';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import { bucketKeys, writerKeys } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { openStorj } from '#node/device/open-storj.ts';
import { makeCheckpoint } from '#node/log/checkpoint-maker.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { startFleet, type FarmerFleet } from './support/farmer-fleet.ts';
import { quantile, type Benchmark, type Report } from './support/measure.ts';

const FINDS = 20;
/** Keys of one append. */
const AT_ONCE = 500;
const CHECKPOINT_EVERY = 100_000;
const BUCKET = 'bench';

export const coldFind: Benchmark = {
  name: 'cold-find',
  about: 'First byte of a get from the 24 words alone, 6 farmer processes (--objects N)',
  async run(report, { folder, objects }) {
    const fleet = await startFleet(folder, 6);
    const { words } = fleet;
    const farmers = fleet.config.roster.map(({ url, peerId }) => `${url}#${peerId}`);
    const first = await openStorj({ words, farmers });
    const { bucketId } = await first.createBucket(BUCKET);
    await first.close();
    await fill(fleet, { bucketId, folder, objects, report });
    const times: number[] = [];
    const listed: number[] = [];
    for (let i = 0; i < FINDS; i++) {
      const number = Math.floor(((i + 0.5) / FINDS) * objects);
      const startMs = performance.now();
      const storj = await openStorj({ words, farmers });
      const bucket = await storj.bucket(BUCKET);
      const { body } = await bucket.get(keyOf(number));
      for await (const bytes of body) if (bytes.length > 0) break;
      times.push(performance.now() - startMs);
      const prefix = keyOf(number).slice(0, -2);
      const againMs = performance.now();
      for await (const _ of bucket.list({ prefix }));
      listed.push(performance.now() - againMs);
      await storj.close();
    }
    const figure = `first byte among ${objects}`;
    report.value({ figure: `${figure}, p50`, unit: 'ms', values: [quantile(times, 0.5)], target: '< 2,000 ms' });
    report.value({ figure: `${figure}, slowest of ${FINDS}`, unit: 'ms', values: [Math.max(...times)] });
    report.value({ figure: 'a hundred keys listed behind it, p50', unit: 'ms', values: [quantile(listed, 0.5)] });
    report.value({ figure: "farmers' peak memory", unit: 'MiB', values: fleet.peakMib(), target: '< 220 MiB' });
    await fleet.stop();
  },
};

/** The keeper writes so many small objects, and makes checkpoints as it goes. */
async function fill(
  fleet: FarmerFleet,
  { bucketId, folder, objects, report }: { bucketId: string; folder: string; objects: number; report: Report },
): Promise<void> {
  const { keeper, access } = fleet;
  const { owner } = access;
  const client = await fleet.client();
  const { link, runtime } = client;
  const signal = AbortSignal.timeout(3_600_000);
  const { view } = await fetchRoots(link, owner, signal);
  const keys = writerKeys(access, view, bucketId);
  const saved = createSavedLogs({ folder: join(folder, 'logs'), secret: keeper.seed, random: runtime.random });
  const state = saved.of(owner, bucketId);
  const log = await openBucketLog({ link, owner, bucketId, writer: keeper, kind: 'entries', keys, state, signal });
  let checkpointMs = 0;
  const startMs = performance.now();
  for (let number = 0; number < objects;) {
    const entries: PutEntry[] = [];
    while (entries.length < AT_ONCE && number < objects) {
      const versionId = Buffer.from(runtime.random(16)).toString('hex');
      entries.push(smallObject(number, versionId, runtime.nowMs()));
      number++;
    }
    await log.append(entries, { added: [], released: [] }, signal);
    if (number % CHECKPOINT_EVERY !== 0 && number < objects) continue;
    const beganMs = performance.now();
    await makeCheckpoint({
      link,
      store: segmentStore(client, owner),
      owner,
      bucketId,
      keeper,
      readKeys: bucketKeys(access, view, bucketId),
      sealKeys: keys,
      record: async (entry, repair) =>
        void (await log.append([{ ...entry, clock: { wallMs: runtime.nowMs(), counter: 0 } }], repair, signal)),
      follow: async () => {},
      isLive: () => true,
      keepsMoves: () => true,
      signal,
    });
    checkpointMs += performance.now() - beganMs;
  }
  const seconds = (performance.now() - startMs - checkpointMs) / 1000;
  report.value({ figure: `objects of 100 bytes written, ${AT_ONCE} in an append`, unit: '/s', values: [objects / seconds] });
  report.value({ figure: 'checkpoints, for each object', unit: 'µs', values: [(checkpointMs * 1000) / objects] });
  await log.close();
  await saved.close();
}

function keyOf(number: number): string {
  return `folder-${number % 100}/object-${String(number).padStart(9, '0')}`;
}

function smallObject(number: number, versionId: string, nowMs: number): PutEntry {
  return {
    kind: 'put',
    key: keyOf(number),
    versionId,
    clock: { wallMs: nowMs, counter: number },
    replaces: [],
    sizeBytes: 100,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    modifiedMs: nowMs,
    headers: { 'content-type': 'application/octet-stream' },
    checksums: [],
    inline: new Uint8Array(100).fill(number),
  };
}
