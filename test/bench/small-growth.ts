// Whether puts of small objects cost the same as a bucket grows: ten parts of a log, one after the other, with
// all its batches on the farmers (nothing is dropped, as if no checkpoint were made).
import { statfsSync } from 'node:fs';
import { startFleet } from './support/farmer-fleet.ts';
import { MIB, quantile, rateOf, type Benchmark } from './support/measure.ts';
import { appendAll, openSmallLog } from './support/small-log.ts';

const FARMERS = 6;
const PARTS = 10;
/** Until V8 has compiled what is hot. */
const WARM_UP = 6400;
/** No part begins after that. */
const MAX_MS = 15 * 60_000;
/** What an object takes in a batch and its records, beside its own bytes. */
const OVERHEAD_BYTES = 256;

export const smallGrowth: Benchmark = {
  name: 'small-growth',
  about: `Objects of 4 KiB, 64 in flight, as a bucket grows to --objects N, ${FARMERS} farmer processes`,
  async run(report, { folder, objects, profileFolder }) {
    const fleet = await startFleet(folder, FARMERS, profileFolder);
    const client = await fleet.client({ threads: 0 });
    const { log, close } = await openSmallLog(fleet, client, { folder });
    const objectBytes = fitting(folder, objects, log.set().members.length);
    if (objectBytes < 4096) console.log(`The disk has no room for ${objects} objects of 4 KiB: ${objectBytes} bytes each.`);
    let next = 0;
    const append = async (count: number) => {
      const latencies: number[] = [];
      const before = process.cpuUsage();
      const farmersBefore = fleet.cpuSeconds();
      const rate = await rateOf(count, () => appendAll({ log, client, number: () => next++, count, objectBytes, latencies }));
      const { user, system } = process.cpuUsage(before);
      const cpuMs = ((user + system) / 1000 + 1000 * (fleet.cpuSeconds() - farmersBefore)) / (count / 1000);
      const clientMib = process.memoryUsage.rss() / MIB;
      return { rate, p99: quantile(latencies, 0.99), cpuMs, clientMib, farmersMib: Math.max(...fleet.residentMib()) };
    };
    await append(WARM_UP);
    const startMs = performance.now();
    const parts: Awaited<ReturnType<typeof append>>[] = [];
    while (parts.length < PARTS && performance.now() - startMs < MAX_MS) {
      const part = await append(Math.ceil(objects / PARTS));
      const { rate, p99, cpuMs, clientMib, farmersMib } = part;
      const memory = `client ${clientMib.toFixed(0)} MiB, farmers up to ${farmersMib.toFixed(0)} MiB`;
      console.log(
        `  to ${next}: ${rate.toFixed(0)} puts/s, p99 ${p99.toFixed(0)} ms, ${cpuMs.toFixed(0)} ms CPU per 1,000, ${memory}`,
      );
      parts.push(part);
    }
    const all = (name: keyof (typeof parts)[number]) => parts.map((part) => part[name]);
    const ofLast = (name: keyof (typeof parts)[number]) => [parts.at(-1)![name] / parts[0]![name]];
    report.value({ figure: `puts of ${objectBytes} bytes up to ${next}`, unit: '/s', values: all('rate') });
    report.value({ figure: 'p99', unit: 'ms', values: all('p99') });
    report.value({ figure: 'CPU of client and farmers', unit: 'ms per 1,000 puts', values: all('cpuMs') });
    report.value({ figure: 'last part beside the first', unit: 'times the puts/s', values: ofLast('rate') });
    report.value({ figure: 'last part beside the first', unit: 'times the CPU', values: ofLast('cpuMs') });
    report.value({ figure: 'memory of the client', unit: 'MiB', values: all('clientMib') });
    report.value({ figure: "farmers' peak memory", unit: 'MiB', values: fleet.peakMib(), target: '< 220 MiB' });
    await close();
    await fleet.stop();
  },
};

/** 4 KiB, or what half of the free disk has room for on all replicas. */
function fitting(folder: string, objects: number, replicas: number): number {
  const { bavail, bsize } = statfsSync(folder);
  const room = (bavail * bsize) / 2 / objects / replicas - OVERHEAD_BYTES;
  return Math.max(16, Math.min(4096, Math.floor(room)));
}
