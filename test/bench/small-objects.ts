// Objects of 4 KiB, durable on f + 1 farmers each, 64 in flight: group commit of a bucket's log, beside the
// same bytes sent to as many processes that write and sync them.
import { join } from 'node:path';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import { writerKeys } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { openBucketLog, type BucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { startFleet, type FarmerFleet } from './support/farmer-fleet.ts';
import { interleaved, quantile, rateOf, type Benchmark } from './support/measure.ts';
import { startRawPeers } from './support/raw-peers.ts';

const FARMERS = 6;
const IN_FLIGHT = 64;
const OBJECT_BYTES = 4096;
const OBJECTS = 12_000;

export const smallObjects: Benchmark = {
  name: 'small-objects',
  about: `Objects of 4 KiB, ${IN_FLIGHT} in flight, durable on 3 of ${FARMERS} farmer processes`,
  async run(report, { rounds, folder, profileFolder }) {
    const fleet = await startFleet(folder, FARMERS, profileFolder);
    const raw = await startRawPeers(folder, FARMERS);
    const client = await fleet.client({ threads: 0 });
    const bucketId = '1'.repeat(32);
    const log = await openLog(fleet, client, bucketId, folder);
    const { members, f } = log.set();
    const latencies: number[] = [];
    let next = 0;
    const cpuMs = { client: [] as number[], farmers: [] as number[] };
    const seen = await interleaved(rounds, {
      puts: async () => {
        const before = { own: process.cpuUsage(), farmers: fleet.cpuSeconds() };
        const rate = await rateOf(OBJECTS, () => appendAll(log, client, () => next++, OBJECTS, latencies));
        const own = process.cpuUsage(before.own);
        cpuMs.client.push((own.user + own.system) / OBJECTS);
        cpuMs.farmers.push(((fleet.cpuSeconds() - before.farmers) * 1e6) / OBJECTS);
        return rate;
      },
      bound: () =>
        rateOf(OBJECTS, async () => {
          for (let i = 0; i < OBJECTS; i += IN_FLIGHT) await raw.sendDurably(members.length, IN_FLIGHT * OBJECT_BYTES, f + 1);
        }),
    });
    report.ratio({
      figure: 'puts of 4 KiB',
      unit: '/s',
      values: seen.puts,
      bound: seen.bound,
      boundName: `write + fdatasync on ${f + 1} of ${members.length} over HTTPS`,
    });
    report.value({ figure: 'puts of 4 KiB', unit: '/s', values: seen.puts, target: '≥ 6,000 /s' });
    report.value({ figure: 'p50', unit: 'ms', values: [quantile(latencies, 0.5)] });
    report.value({ figure: 'p99', unit: 'ms', values: [quantile(latencies, 0.99)], target: '< 30 ms' });
    report.value({ figure: 'CPU of the client', unit: 'ms per 1,000 puts', values: cpuMs.client });
    report.value({ figure: 'CPU of all farmers', unit: 'ms per 1,000 puts', values: cpuMs.farmers });
    report.value({ figure: "farmers' peak memory", unit: 'MiB', values: fleet.peakMib(), target: '< 220 MiB' });
    await log.close();
    await raw.stop();
    await fleet.stop();
  },
};

/** A new log of the fleet's owner in this bucket. */
async function openLog(fleet: FarmerFleet, client: Client, bucketId: string, folder: string): Promise<BucketLog> {
  const { keeper, access } = fleet;
  const signal = AbortSignal.timeout(60_000);
  const { view } = await fetchRoots(client.link, access.owner, signal);
  const saved = createSavedLogs({ folder: join(folder, 'logs'), secret: keeper.seed, random: client.runtime.random });
  return await openBucketLog({
    link: client.link,
    owner: access.owner,
    bucketId,
    writer: keeper,
    kind: 'entries',
    keys: writerKeys(access, view, bucketId),
    state: saved.of(access.owner, bucketId),
    signal,
  });
}

/** `count` objects, 64 in flight; each one's milliseconds go into `latencies`. */
async function appendAll(
  log: BucketLog,
  client: Client,
  number: () => number,
  count: number,
  latencies: number[],
): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const startMs = performance.now();
      await log.append([smallObject(client, number())], { added: [], released: [] });
      latencies.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
}

function smallObject(client: Client, number: number): PutEntry {
  const inline = new Uint8Array(OBJECT_BYTES).fill(number);
  return {
    kind: 'put',
    key: `folder-${number % 100}/object-${String(number).padStart(9, '0')}`,
    versionId: Buffer.from(client.runtime.random(16)).toString('hex'),
    clock: { wallMs: client.runtime.nowMs(), counter: number },
    replaces: [],
    sizeBytes: OBJECT_BYTES,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    modifiedMs: client.runtime.nowMs(),
    headers: { 'content-type': 'application/octet-stream' },
    checksums: [],
    inline,
  };
}
