// Objects of 4 KiB, durable on f + 1 farmers each, 64 in flight: group commit of a bucket's log, beside the
// same bytes sent to as many processes that write and sync them.
import { startFleet } from './support/farmer-fleet.ts';
import { interleaved, quantile, rateOf, type Benchmark } from './support/measure.ts';
import { startRawPeers } from './support/raw-peers.ts';
import { appendAll, IN_FLIGHT, openSmallLog } from './support/small-log.ts';

const FARMERS = 6;
const OBJECT_BYTES = 4096;
const OBJECTS = 12_000;

export const smallObjects: Benchmark = {
  name: 'small-objects',
  about: `Objects of 4 KiB, ${IN_FLIGHT} in flight, durable on 3 of ${FARMERS} farmer processes`,
  async run(report, { rounds, folder, profileFolder }) {
    const fleet = await startFleet(folder, FARMERS, profileFolder);
    const raw = await startRawPeers(folder, FARMERS);
    const client = await fleet.client({ threads: 0 });
    const { log, close } = await openSmallLog(fleet, client, { folder });
    const { members, f } = log.set();
    const latencies: number[] = [];
    let next = 0;
    const append = (count: number) =>
      appendAll({ log, client, number: () => next++, count, objectBytes: OBJECT_BYTES, latencies });
    const cpuMs = { client: [] as number[], farmers: [] as number[] };
    const seen = await interleaved(rounds, {
      puts: async () => {
        const before = { own: process.cpuUsage(), farmers: fleet.cpuSeconds() };
        const rate = await rateOf(OBJECTS, () => append(OBJECTS));
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
    await close();
    await raw.stop();
    await fleet.stop();
  },
};
