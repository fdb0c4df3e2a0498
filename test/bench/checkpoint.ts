// What a bucket of many objects costs: bytes in checkpoints, in the bridge's catalog and in the repairer's index, how
// long it takes to build these anew, and what checkpoints upon it take. Half of the objects are small ones in packs, half
// have a segment of their own. Each step runs in a process of its own with the flags of its role, and everything that
// grows with the bucket lies on the disk: peaks of memory are those of the product's steps. Run it with different
// --objects to see what stays the same.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '#node/interface/node-flags.ts';
import type { StepTaken } from './support/checkpoint-step.ts';
import type { Benchmark, Report } from './support/measure.ts';

const SCRIPT = fileURLToPath(new URL('support/checkpoint-step.ts', import.meta.url));
const TEN_MILLION = 1e7;

export const checkpoint: Benchmark = {
  name: 'checkpoint',
  about: "Checkpoints, catalog and repairer's index of a bucket of --objects N",
  async run(report, { folder, objects }) {
    const step = (name: string, role: 'bridge' | 'repairer') => taken(name, role, folder, objects);
    const segments = objects / 2;
    const owner = await step('owner', 'bridge');
    const repair = await step('repair', 'bridge');
    const of = (figure: string, unit: string, value: number | undefined) =>
      report.value({ figure, unit, values: [value ?? NaN] });
    const [ownerBytes = NaN, repairBytes = NaN] = [owner, repair].map(({ figures }) => figures['bytes']);
    of('owner runs, for each object', 'bytes', ownerBytes / objects);
    of('repair runs, for each segment', 'bytes', repairBytes / segments);
    scaled(report, 'checkpoint', 'GB', (ownerBytes + repairBytes) / objects / 1e9);
    of('manifests', 'KiB', (owner.figures['manifestBytes']! + repair.figures['manifestBytes']!) / 1024);
    of('owner records made up and written', 'per CPU second', objects / owner.cpuS);
    of('repair records made up and written', 'per CPU second', segments / repair.cpuS);
    rebuilt(report, 'catalog', 'objects', objects, objects, await step('catalog', 'bridge'));
    rebuilt(report, "repairer's index", 'segments', segments, objects, await step('index', 'repairer'));
    const next = await step('next', 'bridge');
    const { newObjects = NaN, nextCpuS, nextBytes, dearestCpuS, dearestBytes, anewCpuS, anewBytes } = next.figures;
    of('checkpoints that follow, for each new object', 'CPU µs', (nextCpuS! * 1e6) / newObjects);
    of('checkpoints that follow, for each new object', 'bytes read and stored', nextBytes! / newObjects);
    of('the dearest of them', 'CPU seconds', dearestCpuS);
    of('the dearest of them', 'MiB read and stored', dearestBytes! / 2 ** 20);
    of('one that writes everything anew', 'objects per CPU second', (objects + newObjects) / anewCpuS!);
    of('one that writes everything anew, for each object', 'bytes read and stored', anewBytes! / (objects + newObjects));
    of("checkpoints: peak of the maker's memory", 'MiB', next.peakMib);
  },
};

function rebuilt(report: Report, what: string, unit: string, count: number, objects: number, step: StepTaken): void {
  const { wallS, cpuS, peakMib, tenthsCpuS, figures } = step;
  report.value({ figure: `${what} rebuilt`, unit: `${unit} per second`, values: [count / wallS] });
  report.value({ figure: `${what} rebuilt`, unit: `${unit} per CPU second`, values: [count / cpuS] });
  scaled(report, `${what} rebuilt`, 'minutes', wallS / 60 / objects);
  report.value({ figure: `${what}, for each of its ${unit}`, unit: 'bytes', values: [figures['bytes']! / count] });
  scaled(report, what, 'GB', figures['bytes']! / 1e9 / objects);
  const growth = tenthsCpuS.at(-1)! / tenthsCpuS[0]!;
  report.value({ figure: `${what} rebuilt: last tenth beside the first`, unit: 'times the CPU', values: [growth] });
  report.value({ figure: `${what} rebuilt: peak of memory`, unit: 'MiB', values: [peakMib] });
}

/** As the rates of this run have it. */
function scaled(report: Report, figure: string, unit: string, each: number): void {
  report.value({ figure: `${figure}, ten million objects`, unit, values: [each * TEN_MILLION] });
  report.value({ figure: `${figure}, a hundred million`, unit, values: [each * 10 * TEN_MILLION] });
}

async function taken(step: string, role: 'bridge' | 'repairer', folder: string, objects: number): Promise<StepTaken> {
  const child = fork(SCRIPT, [step, folder, String(objects)], { execArgv: nodeFlags(role) });
  const told: StepTaken[] = [];
  child.on('message', (message) => told.push(message as StepTaken));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0 || told[0] === undefined) throw new Error(`the step "${step}" failed`);
  return told[0];
}
