// From asking for an object to its first byte, one read at a time: with connections open and placement known,
// and for the holder of a grant, who first asks whether anything newer was written.
import { randomBytes } from 'node:crypto';
import { holderOf } from '#node/client/grants.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { openStorj } from '#node/device/open-storj.ts';
import { startFleet } from './support/farmer-fleet.ts';
import { quantile, type Benchmark, type Report } from './support/measure.ts';
import { putObject } from './transfer.ts';

const READS = 200;
const OBJECT_BYTES = 256 * 65_520;
const KEY = 'large';

export const firstByte: Benchmark = {
  name: 'first-byte',
  about: 'First byte of a get with open connections, 6 farmer processes, one read at a time',
  async run(report, { folder }) {
    const fleet = await startFleet(folder, 6);
    const bytes = new Uint8Array(OBJECT_BYTES).fill(1);
    const client = await fleet.client();
    const { owner } = fleet.access;
    const { segments } = await putObject(client, owner, bytes);
    const placed = (offset: number) => {
      const signal = AbortSignal.timeout(10_000);
      return getRange(client, { owner, segments, offset, length: OBJECT_BYTES - offset, signal });
    };
    await measured(report, 'placement known', async (offset) => placed(offset));

    const farmers = fleet.config.roster.map(({ url, peerId }) => `${url}#${peerId}`);
    const writer = await openStorj({ words: fleet.words, farmers });
    const { name, bucketId } = await writer.createBucket('bench');
    await (await writer.bucket(name)).put(KEY, bytes);
    const seed = new Uint8Array(randomBytes(32));
    const grant = await writer.permissions.issue({
      bucketId,
      bucketName: name,
      to: holderOf(seed),
      allow: [{ verbs: ['read', 'list'], prefix: '' }],
      forMs: 3_600_000,
      seed,
    });
    const reader = await openStorj({ grant, farmers });
    const bucket = await reader.bucket(name);
    await measured(report, 'warm grant', async (offset) => (await bucket.get(KEY, { offset })).body);
    await reader.close();
    await writer.close();
    await fleet.stop();
  },
};

async function measured(
  report: Report,
  what: string,
  read: (offset: number) => Promise<AsyncIterable<Uint8Array>>,
): Promise<void> {
  const times: number[] = [];
  const cpuMs: number[] = [];
  for (let i = -20; i < READS; i++) {
    const startMs = performance.now();
    const before = process.cpuUsage();
    for await (const chunk of await read((Math.abs(i) * 99_991) % (OBJECT_BYTES / 2))) if (chunk.length > 0) break;
    if (i < 0) continue;
    times.push(performance.now() - startMs);
    const { user, system } = process.cpuUsage(before);
    cpuMs.push((user + system) / 1000);
  }
  report.value({ figure: `${what}: first byte, p50`, unit: 'ms', values: [quantile(times, 0.5)], target: '< 20 ms' });
  report.value({ figure: `${what}: first byte, p99`, unit: 'ms', values: [quantile(times, 0.99)] });
  report.value({ figure: `${what}: CPU of the reader, p50`, unit: 'ms', values: [quantile(cpuMs, 0.5)] });
}
