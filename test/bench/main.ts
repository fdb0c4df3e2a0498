// `npm run bench -- [--rounds N] [--data FOLDER] [--profile FOLDER] [--gib N] [--objects N] [NAME …]`: prints each figure beside the physical bound measured in the same
// run. Raw samples go to test/bench/results/results.jsonl. This process has the flags of a bridge (package.json): the
// client in it works as one does.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Report, type Benchmark } from './support/measure.ts';
import { bridge } from './bridge.ts';
import { checkpoint } from './checkpoint.ts';
import { coldFind } from './cold-find.ts';
import { firstByte } from './first-byte.ts';
import { manyPieces } from './many-pieces.ts';
import { memory } from './memory.ts';
import { pipeline } from './pipeline.ts';
import { repair } from './repair.ts';
import { smallGrowth } from './small-growth.ts';
import { smallObjects } from './small-objects.ts';
import { startUp } from './start-up.ts';
import { store } from './store.ts';
import { transfer } from './transfer.ts';

const ALL: Benchmark[] = [
  pipeline,
  store,
  transfer,
  repair,
  smallObjects,
  smallGrowth,
  bridge,
  firstByte,
  coldFind,
  startUp,
  manyPieces,
  memory,
  checkpoint,
];
const RESULTS = join(dirname(fileURLToPath(import.meta.url)), 'results');

const parsed = asked();
if (parsed === null) process.exit(1);
const { values, positionals } = parsed;

/** Null where it was said what can be asked for. */
function asked() {
  try {
    const order = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '5' },
        data: { type: 'string', default: tmpdir() },
        profile: { type: 'string' },
        gib: { type: 'string', default: '8' },
        objects: { type: 'string', default: '100000' },
      },
    });
    const unknown = order.positionals.find((name) => !ALL.some((one) => one.name === name));
    if (unknown !== undefined) throw new Error(`There is no benchmark "${unknown}".`);
    for (const name of ['rounds', 'gib', 'objects'] as const) {
      if (!(Number(order.values[name]) >= 1)) throw new Error(`--${name} takes a number from 1 on.`);
    }
    return order;
  } catch (error) {
    const list = ALL.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n');
    const usage = 'npm run bench -- [--rounds N] [--data FOLDER] [--profile FOLDER] [--gib N] [--objects N] [NAME …]';
    console.error(`${(error as Error).message}\n${usage}\n${list}`);
    return null;
  }
}

/** Of the farmers; the client's own: `node bootstrap.mjs --cpu-prof test/bench/main.ts`. */
const profile = values.profile === undefined ? {} : { profileFolder: values.profile };
for (const benchmark of ALL.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  console.log(benchmark.about);
  const folder = mkdtempSync(join(values.data, 'storj-bench-'));
  const report = new Report(RESULTS, benchmark.name);
  try {
    await benchmark.run(report, {
      rounds: Number(values.rounds),
      gib: Number(values.gib),
      objects: Number(values.objects),
      folder,
      ...profile,
    });
    report.print();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
process.exit(0);
