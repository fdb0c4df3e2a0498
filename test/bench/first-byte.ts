// From asking for a range to its first byte, with connections open and placement known.
import { getRange } from '#node/client/segment-reader.ts';
import { startFleet } from './support/farmer-fleet.ts';
import { quantile, type Benchmark } from './support/measure.ts';
import { putObject } from './transfer.ts';

const READS = 200;
const OBJECT_BYTES = 256 * 65_520;

export const firstByte: Benchmark = {
  name: 'first-byte',
  about: 'First byte of a get with open connections, 6 farmer processes, one read at a time',
  async run(report, { folder }) {
    const fleet = await startFleet(folder, 6);
    const client = await fleet.client();
    const { owner } = fleet.access;
    const { segments } = await putObject(client, owner, new Uint8Array(OBJECT_BYTES).fill(1));
    const firstByteMs = async (offset: number) => {
      const startMs = performance.now();
      const signal = AbortSignal.timeout(10_000);
      const order = { owner, segments, offset, length: OBJECT_BYTES - offset, signal };
      for await (const _ of getRange(client, order)) break;
      return performance.now() - startMs;
    };
    for (let i = 0; i < 20; i++) await firstByteMs(0);
    const times: number[] = [];
    for (let i = 0; i < READS; i++) times.push(await firstByteMs((i * 99_991) % (OBJECT_BYTES / 2)));
    report.value({ figure: 'first byte, p50', unit: 'ms', values: [quantile(times, 0.5)], target: '< 20 ms' });
    report.value({ figure: 'first byte, p99', unit: 'ms', values: [quantile(times, 0.99)] });
    await fleet.stop();
  },
};
