// From the start of a farmer's process to its first answer, beside the start of Node alone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startFleet } from './support/farmer-fleet.ts';
import { interleaved, type Benchmark } from './support/measure.ts';

export const startUp: Benchmark = {
  name: 'start-up',
  about: 'From the start of a farmer process to its first answer, beside Node with an empty program',
  async run(report, { rounds, folder }) {
    let turn = 0;
    const timed = async (work: () => Promise<void>) => {
      const startMs = performance.now();
      await work();
      return performance.now() - startMs;
    };
    const stops: (() => Promise<void>)[] = [];
    const seen = await interleaved(rounds, {
      node: () => timed(async () => void (await once(spawn(process.execPath, ['-e', '0']), 'exit'))),
      farmer: async () => {
        await Promise.all(stops.splice(0).map((stop) => stop()));
        return await timed(async () => {
          const fleet = await startFleet(`${folder}/${turn++}`, 1);
          stops.push(fleet.stop);
        });
      },
    });
    await Promise.all(stops.map((stop) => stop()));
    report.value({ figure: 'Node alone', unit: 'ms', values: seen.node });
    report.value({ figure: 'farmer answers and has taken its first statement', unit: 'ms', values: seen.farmer });
  },
};
