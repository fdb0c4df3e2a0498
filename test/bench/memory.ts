// Whether memory stays flat whatever the object's size: a put to farmers that keep nothing, a get of one
// segment named again and again, each in a process of its own that reports how it grew.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { residentMib } from './support/farmer-fleet.ts';
import { quantile, type Benchmark } from './support/measure.ts';

const SCRIPT = fileURLToPath(new URL('support/endless-client.ts', import.meta.url));
const GIB = 8;
/** Fractions of the transfer behind which memory is compared: by then pools and heap are filled. */
const WARM = 0.2;

export const memory: Benchmark = {
  name: 'memory',
  about: `Client memory over one object of ${GIB} GiB: put to farmers that keep nothing, and get`,
  async run(report) {
    for (const kind of ['put', 'get']) {
      const child = fork(SCRIPT, [kind, String(GIB)]);
      const samples: number[] = [];
      const timer = setInterval(() => samples.push(residentMib(child.pid)), 100);
      const [code] = (await once(child, 'exit')) as [number];
      clearInterval(timer);
      if (code !== 0) throw new Error(`the ${kind} failed`);
      const seen = samples.filter((mib) => mib > 0);
      const warm = seen.slice(Math.floor(WARM * seen.length));
      const early = warm.slice(0, warm.length / 2);
      const late = warm.slice(warm.length / 2);
      report.value({ figure: `${kind}: peak of the first half`, unit: 'MiB', values: [Math.max(...early)] });
      report.value({ figure: `${kind}: peak of the second half`, unit: 'MiB', values: [Math.max(...late)], target: 'the same' });
      report.value({ figure: `${kind}: median`, unit: 'MiB', values: [quantile(warm, 0.5)] });
    }
  },
};
