// What ten million objects cost: bytes in checkpoints, in the bridge's catalog and in the repairer's index, and
// how long it takes to build these anew. Measured on OBJECTS, half of them small ones in packs, half with a
// segment of their own; figures for each object, times for ten and a hundred million follow from the rates.
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { restoreSteps } from '#node/bridge/restore-steps.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { mergeRuns } from '#node/core/merge-runs.ts';
import { pieceBytes, plainToCipherBytes, segmentId } from '#node/core/segments.ts';
import type { Checkpoint } from '#node/log/checkpoint-reader.ts';
import { OWNER_RUNS, REPAIR_RUNS } from '#node/log/run-families.ts';
import { readRun } from '#node/log/run-reader.ts';
import { writeRun } from '#node/log/run-writer.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { FarmerWatch } from '#node/repairer/farmer-watch.ts';
import { Judge } from '#node/repairer/judge.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import type { OwnerRecord, RepairRecord, Run } from '#node/wire/checkpoints.ts';
import { placementTag } from '#node/wire/placements.ts';
import type { PutEntry, SegmentKey, SegmentPlacement } from '#node/wire/types.ts';
import { farmConfig } from '#test/node-image/repairer/support/farm-config.ts';
import { memorySegments } from '#test/support/memory-segments.ts';
import type { Benchmark, Report } from './support/measure.ts';

const OBJECTS = 50_000;
const PER_PACK = 16_000;
const OWNER = 'aa'.repeat(32);
const BUCKET = 'b0'.repeat(16);
const LOG = 'c1'.repeat(32);
const SCHEME = { required: 4, repair: 5, optimal: 6, total: 6 };
const SIZE_BYTES = plainToCipherBytes(8_000_000);
const FARMERS = Array.from({ length: 6 }, (_, i) => String(i).padStart(64, '0'));
const never = new AbortController().signal;

/** Bytes that nothing compresses. */
const hash = (text: string) => createHash('sha256').update(text).digest();
const isSmall = (i: number) => i % 2 === 0;
const keyOf = (i: number) => `photos/2026/${String(i % 365).padStart(3, '0')}/IMG_${String(i).padStart(9, '0')}.jpg`;
const ORDER = Array.from({ length: OBJECTS }, (_, i) => i).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

function placementOf(name: string): SegmentPlacement {
  const root = hash(`root ${name}`).toString('hex');
  const id = segmentId(root, SCHEME, SIZE_BYTES);
  return {
    segmentId: id,
    secret: hash(`secret ${name}`),
    scheme: SCHEME,
    sizeBytes: SIZE_BYTES,
    root,
    farmers: FARMERS,
    createdMs: 1,
  };
}
function keyFor(name: string): SegmentKey {
  return {
    segmentId: placementOf(name).segmentId,
    key: hash(`key ${name}`),
    commitment: hash(`commitment ${name}`).subarray(0, 16),
    plainBytes: 8_000_000,
  };
}

async function* ownerStream(): AsyncGenerator<OwnerRecord> {
  for (const [at, i] of ORDER.entries()) {
    const entry: PutEntry = {
      kind: 'put',
      key: keyOf(i),
      versionId: hash(`version ${i}`).subarray(0, 16).toString('hex'),
      clock: { wallMs: 1_790_000_000_000 + i * 37, counter: 0 },
      replaces: [],
      sizeBytes: isSmall(i) ? 4096 : 8_000_000,
      etag: hash(`etag ${i}`).subarray(0, 16).toString('hex'),
      modifiedMs: 1_790_000_000_000 + i * 37,
      headers: { 'content-type': 'image/jpeg', 'x-amz-meta-device': 'phone' },
      checksums: [],
      ...(isSmall(i)
        ? {
            packed: {
              segment: keyFor(`pack ${Math.floor(at / PER_PACK)}`),
              offset: (at % PER_PACK) * 4112,
              key: hash(`own ${i}`),
            },
          }
        : { segments: [keyFor(`segment ${i}`)] }),
    };
    yield { kind: 'entry', logId: LOG, entry };
  }
}
async function* repairStream(): AsyncGenerator<RepairRecord> {
  const placements = ORDER.filter((i) => !isSmall(i)).map((i) => placementOf(`segment ${i}`));
  placements.sort((a, b) => (a.segmentId < b.segmentId ? -1 : 1));
  for (const placement of placements) yield { kind: 'segment', segmentId: placement.segmentId, live: true, placement };
}

/** Of all threads: what a core of its own would take. Others' work on this machine doesn't count. */
async function cpuSeconds(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

export const checkpoint: Benchmark = {
  name: 'checkpoint',
  about: `Checkpoints, catalog and repairer's index at ${OBJECTS} objects, by the object`,
  async run(report, { folder }) {
    const store = memorySegments(64 * 1024 * 1024);
    let owner: Run | null = null;
    let repair: Run | null = null;
    const ownerS = await cpuSeconds(async () => void (owner = await writeRun(store, OWNER_RUNS, ownerStream(), never)));
    const ownerBytes = store.storedBytes;
    await cpuSeconds(async () => void (repair = await writeRun(store, REPAIR_RUNS, repairStream(), never)));
    const repairBytes = store.storedBytes - ownerBytes;
    const of = (figure: string, unit: string, value: number) => report.value({ figure, unit, values: [value] });
    of('owner run, for each object', 'bytes', ownerBytes / OBJECTS);
    of('repair run, for each segment', 'bytes', repairBytes / (OBJECTS / 2));
    of('owner records written (with making them up)', 'per CPU second', OBJECTS / ownerS);
    const mergeS = await cpuSeconds(async () => {
      const source = readRun({ store, family: OWNER_RUNS, run: owner!, from: null, signal: never });
      await writeRun(memorySegments(64 * 1024 * 1024), OWNER_RUNS, mergeRuns(OWNER_RUNS, [source]), never);
    });
    of('owner records read, merged and written', 'per CPU second', OBJECTS / mergeS);
    await catalogFigures(report, folder, { owner: owner!, repair: repair! }, store);
    await indexFigures(report, folder, repair!, store);
    of('memory of this process at the end', 'MiB', process.memoryUsage().rss / 2 ** 20);
  },
};

async function catalogFigures(
  report: Report,
  folder: string,
  runs: { owner: Run; repair: Run },
  store: ReturnType<typeof memorySegments>,
): Promise<void> {
  const path = join(folder, 'catalog.sqlite');
  const catalog = await openSqliteCatalog({ path, secret: new Uint8Array(32) });
  const common = { number: 1, horizonMs: 0, vector: [] };
  const made: Checkpoint = {
    ...common,
    vector: new Map([[LOG, { seq: 1, hash: LOG }]]),
    owner: { ...common, runs: [runs.owner], packs: [] },
    repair: { ...common, runs: [runs.repair] },
  };
  const tookS = await cpuSeconds(async () => {
    for await (const step of restoreSteps(made, { store, from: null, signal: never }))
      await catalog.restore({ owner: OWNER, bucketId: BUCKET, step });
  });
  await catalog.close();
  report.value({ figure: 'catalog rebuilt', unit: 'objects per CPU second', values: [OBJECTS / tookS] });
  report.value({ figure: 'catalog rebuilt, ten million', unit: 'CPU minutes', values: [((tookS / OBJECTS) * 1e7) / 60] });
  report.value({ figure: 'catalog, for each object', unit: 'bytes', values: [statSync(path).size / OBJECTS] });
}

/** As scan-owner.ts takes a checkpoint in. */
async function indexFigures(report: Report, folder: string, run: Run, store: ReturnType<typeof memorySegments>): Promise<void> {
  const path = join(folder, 'index.sqlite');
  const index = new SegmentIndex(path);
  const watch = new FarmerWatch(60_000);
  watch.configure({ ...farmConfig({ states: FARMERS.map(() => 'Active') }) });
  const judge = new Judge(index, watch, systemRuntime);
  const segments = OBJECTS / 2;
  const take = (records: readonly RepairRecord[]) =>
    index.transaction(() => {
      const touched = new Set<number>();
      for (const record of records) {
        if (record.kind !== 'segment' || !record.placement) continue;
        const { placement } = record;
        const derived = { tag: placementTag(placement.secret), pieceBytes: pieceBytes(placement.sizeBytes, SCHEME.required) };
        touched.add(index.addSegment(OWNER, BUCKET, placement, derived, { logId: LOG, seq: 1 }));
        index.takeWaiting(OWNER, derived.tag);
      }
      judge.judgeAll(touched);
    });
  const tookS = await cpuSeconds(async () => {
    let records: RepairRecord[] = [];
    for await (const record of readRun({ store, family: REPAIR_RUNS, run, from: null, signal: never })) {
      if (records.push(record) < 500) continue;
      take(records);
      records = [];
    }
    take(records);
  });
  index.close();
  report.value({ figure: "repairer's index rebuilt", unit: 'segments per CPU second', values: [segments / tookS] });
  report.value({
    figure: "repairer's index rebuilt, ten million",
    unit: 'CPU minutes',
    values: [((tookS / segments) * 1e7) / 60],
  });
  report.value({
    figure: "repairer's index, for each segment of six pieces",
    unit: 'bytes',
    values: [statSync(path).size / segments],
  });
}
