// The same farm by S3 through the bridge and straight through the client: many small objects and large ones.
import { randomBytes } from 'node:crypto';
import { startLocalFarm } from '#node/cli/local-farm.ts';
import { peakMib } from './support/farmer-fleet.ts';
import { interleaved, MIB, quantile, rateOf, type Benchmark } from './support/measure.ts';
import { startRawPeers } from './support/raw-peers.ts';
import { s3Client } from './support/s3-client.ts';
import { many } from './store.ts';

const FARMERS = 6;
const SMALL_BYTES = 4096;
const SMALL = 4000;
const IN_FLIGHT = 64;
const LARGE_BYTES = 64 * MIB;

export const bridge: Benchmark = {
  name: 'bridge',
  about: `S3 through the bridge, ${FARMERS} farmer processes: 4 KiB with ${IN_FLIGHT} in flight, and 64 MiB`,
  async run(report, { rounds, folder }) {
    const stopping = new AbortController();
    const farm = await startLocalFarm({
      dataDir: `${folder}/farm`,
      farmers: FARMERS,
      zones: 0,
      accounts: 1,
      s3Port: 0,
      say: () => {},
      signal: stopping.signal,
    });
    const raw = await startRawPeers(folder, 1);
    const { endpoint, region, accounts } = farm;
    const s3 = s3Client({ endpoint, region, ...accounts[0]!, connections: IN_FLIGHT });
    await s3('PUT', '/bench');
    const small = randomBytes(SMALL_BYTES);
    const large = Buffer.alloc(LARGE_BYTES, 3);
    const latencies: number[] = [];
    let written = 0;
    const timed = async (work: Promise<unknown>) => {
      const startMs = performance.now();
      await work;
      latencies.push(performance.now() - startMs);
    };
    const smallRate = (work: (i: number) => Promise<unknown>) => rateOf(SMALL, () => many(SMALL, IN_FLIGHT, work));
    const seen = await interleaved(rounds, {
      putSmall: () => smallRate(() => timed(s3('PUT', `/bench/small/${written++}`, { body: small }))),
      getSmall: () => smallRate((i) => s3('GET', `/bench/small/${i}`)),
      putLarge: () => rateOf(LARGE_BYTES / MIB, () => s3('PUT', '/bench/large', { body: large })),
      send: () => rateOf(LARGE_BYTES / MIB, () => raw.send(1, LARGE_BYTES)),
      getLarge: () => rateOf(LARGE_BYTES / MIB, () => s3('GET', '/bench/large')),
      receive: () => rateOf(LARGE_BYTES / MIB, () => raw.receive(1, LARGE_BYTES)),
    });
    report.value({ figure: 'puts of 4 KiB', unit: '/s', values: seen.putSmall });
    report.value({ figure: 'p99', unit: 'ms', values: [quantile(latencies, 0.99)] });
    report.value({ figure: 'gets of 4 KiB', unit: '/s', values: seen.getSmall });
    const unit = 'MiB/s';
    report.ratio({ figure: 'put of 64 MiB', unit, values: seen.putLarge, bound: seen.send, boundName: 'HTTPS once' });
    report.ratio({ figure: 'get of 64 MiB', unit, values: seen.getLarge, bound: seen.receive, boundName: 'HTTPS once' });
    for (const name of ['bridge', 'repairer', 'farmer-0']) {
      report.value({ figure: `${name}: peak memory`, unit: 'MiB', values: [peakMib(farm.children.get(name)?.pid)] });
    }
    await raw.stop();
    stopping.abort();
    await farm.ended;
  },
};
