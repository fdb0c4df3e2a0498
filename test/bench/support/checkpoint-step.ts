// One step of the checkpoint benchmark in a process of its own, so that its peak of memory is that step's alone:
// `node checkpoint-step.ts STEP FOLDER OBJECTS`. Tells its parent what it took.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { restoreSteps } from '#node/bridge/restore-steps.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import type { Checkpoint } from '#node/log/checkpoint-reader.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { FarmerWatch } from '#node/repairer/farmer-watch.ts';
import { Judge } from '#node/repairer/judge.ts';
import { takeCheckpoint } from '#node/repairer/scan-owner.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import {
  decodeOwnerManifest,
  decodeRepairManifest,
  encodeOwnerManifest,
  encodeRepairManifest,
  type OwnerManifest,
} from '#node/wire/checkpoints.ts';
import { rootView } from '#node/wire/root-view.ts';
import { farmConfig } from '#test/node-image/repairer/support/farm-config.ts';
import { nextCheckpoints } from './next-checkpoints.ts';
import { peakMib, residentMib } from './farmer-fleet.ts';
import { folderSegments } from './folder-segments.ts';
import { FARMERS, LOG, packs, writeOwnerRuns, writeRepairRuns } from './scale-bucket.ts';

const OWNER = 'aa'.repeat(32);
const BUCKET = 'b0'.repeat(16);
const never = new AbortController().signal;

/** What a step tells. */
export interface StepTaken {
  wallS: number;
  /** Of all threads: what others do on this machine doesn't count. */
  cpuS: number;
  peakMib: number;
  /** CPU seconds of each tenth of the work. */
  tenthsCpuS: number[];
  /** Bytes of what it made, or others that are its own. */
  figures: Record<string, number>;
}

const [, , step = '', folder = '', count = ''] = process.argv;
const objects = Number(count);
const store = folderSegments(join(folder, 'segments'));
const manifests = { owner: join(folder, 'owner.manifest'), repair: join(folder, 'repair.manifest') };

const common = { number: 1, horizonMs: 0, vector: [{ logId: LOG, seq: 1, hash: LOG }] };

/** Each begins where the one before it ended. */
const steps: Record<string, () => Promise<Record<string, number>>> = {
  async owner() {
    const manifest = { ...common, runs: await writeOwnerRuns(store, objects), packs: packs(objects) };
    writeFileSync(manifests.owner, encodeOwnerManifest(manifest));
    return { bytes: store.storedBytes, manifestBytes: statSync(manifests.owner).size };
  },
  async repair() {
    writeFileSync(manifests.repair, encodeRepairManifest({ ...common, runs: await writeRepairRuns(store, objects) }));
    return { bytes: store.storedBytes, manifestBytes: statSync(manifests.repair).size };
  },
  async catalog() {
    const path = join(folder, 'catalog.sqlite');
    const catalog = await openSqliteCatalog({ path, secret: new Uint8Array(32) });
    for await (const taken of restoreSteps(written(), { store, from: null, signal: never })) {
      await catalog.restore({ owner: OWNER, bucketId: BUCKET, step: taken });
      if (taken.kind !== 'records') continue;
      if (done === 0) tenthAtS = cpuS();
      progress(taken.ownerRecords.length, objects);
    }
    await catalog.close();
    return { bytes: sizeOf(path) };
  },
  async index() {
    const path = join(folder, 'index.sqlite');
    const index = new SegmentIndex(path);
    const watch = new FarmerWatch(60_000);
    watch.configure(farmConfig({ states: FARMERS.map(() => 'Active') }));
    const judge = new Judge(index, watch, systemRuntime);
    const view = rootView(OWNER, []);
    const judgeAll = (ids: ReadonlySet<number>) => {
      judge.judgeAll(ids);
      progress(ids.size, objects / 2);
    };
    const input = { index, owner: OWNER, judge: (ids: Iterable<number>) => judgeAll(new Set(ids)), signal: never };
    await takeCheckpoint(input, { bucketId: BUCKET, view }, written(), store);
    index.close();
    return { bytes: sizeOf(path) };
  },
  next: () => nextCheckpoints({ checkpoint: written(), store, objects }),
};

/** Database and log: what is on the disk at the end. */
function sizeOf(path: string): number {
  return ['', '-wal'].reduce((sum, end) => sum + (existsSync(path + end) ? statSync(path + end).size : 0), 0);
}

function written(): Checkpoint & { owner: OwnerManifest } {
  const owner = decodeOwnerManifest(readFileSync(manifests.owner));
  const repair = decodeRepairManifest(readFileSync(manifests.repair));
  return { number: 1, horizonMs: 0, vector: new Map(owner.vector.map((head) => [head.logId, head])), owner, repair };
}

const cpuS = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const tenthsCpuS: number[] = [];
let done = 0;
let tenthAtS = cpuS();
/** So many more of all are done. */
function progress(more: number, all: number): void {
  done += more;
  if (done < ((tenthsCpuS.length + 1) * all) / 10) return;
  tenthsCpuS.push(cpuS() - tenthAtS);
  tenthAtS = cpuS();
  const each = (tenthsCpuS.at(-1)! * 1e7) / all;
  console.log(`  ${step} to ${done}: ${each.toFixed(0)} CPU µs for each, ${residentMib(process.pid).toFixed(0)} MiB`);
}

const startMs = performance.now();
const beforeS = cpuS();
const figures = await steps[step]!();
const taken: StepTaken = {
  wallS: (performance.now() - startMs) / 1000,
  cpuS: cpuS() - beforeS,
  peakMib: peakMib(process.pid),
  tenthsCpuS,
  figures,
};
process.send!(taken, () => process.exit(0));
