// From the 24 words and nothing else to an object's first byte, among many: each time a client that knows nothing,
// with connections of its own.
import { bucketKeys, writerKeys } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { openStorj } from '#node/device/open-storj.ts';
import { makeCheckpoint } from '#node/log/checkpoint-maker.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { startFleet, type FarmerFleet } from './support/farmer-fleet.ts';
import { quantile, type Benchmark, type Report } from './support/measure.ts';
import { keyOf, openSmallLog, smallObject } from './support/small-log.ts';

const FINDS = 20;
/** Keys of one append. */
const AT_ONCE = 500;
const CHECKPOINT_EVERY = 100_000;
const OBJECT_BYTES = 100;
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
  const { log, close } = await openSmallLog(fleet, client, { folder, bucketId });
  let checkpointMs = 0;
  const startMs = performance.now();
  for (let number = 0; number < objects;) {
    const entries: PutEntry[] = [];
    while (entries.length < AT_ONCE && number < objects) entries.push(smallObject(client, number++, OBJECT_BYTES));
    await log.append(entries, { added: [], released: [] }, signal);
    if (number % CHECKPOINT_EVERY !== 0 && number < objects) continue;
    const beganMs = performance.now();
    const roots = await fetchRoots(link, owner, signal);
    await makeCheckpoint({
      roots,
      link,
      store: segmentStore(client, owner),
      owner,
      bucketId,
      keeper,
      readKeys: bucketKeys(access, view, bucketId),
      sealKeys: writerKeys(access, view, bucketId),
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
  report.value({
    figure: `objects of ${OBJECT_BYTES} bytes written, ${AT_ONCE} in an append`,
    unit: '/s',
    values: [objects / seconds],
  });
  report.value({ figure: 'checkpoints, for each object', unit: 'µs', values: [(checkpointMs * 1000) / objects] });
  await close();
}
