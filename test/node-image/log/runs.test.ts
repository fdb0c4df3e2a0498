// Runs and their merging: whatever was written by whom, in whatever pieces it was merged, it says the same.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyView, liveVersions, mergeEntries, type MergedView } from '#node/core/log-merge.ts';
import { mergeRuns, runsToMerge } from '#node/core/merge-runs.ts';
import { keyPosition, objectsFrom, ownerRecords, ownerSieve } from '#node/core/run-records.ts';
import { Delta } from '#node/log/delta.ts';
import type { ReadBatch } from '#node/log/log-reader.ts';
import { OWNER_RUNS } from '#node/log/run-families.ts';
import { BlockCache, readRun } from '#node/log/run-reader.ts';
import { writeRun } from '#node/log/run-writer.ts';
import type { OwnerRecord, Run } from '#node/wire/checkpoints.ts';
import type { OwnerEntry, PutEntry } from '#node/wire/types.ts';
import { memorySegments } from '#test/support/memory-segments.ts';

const signal = new AbortController().signal;
const id = (number: number) => number.toString(16).padStart(32, '0');
const logOf = (writer: number) => `${writer}`.padStart(64, 'a');

function put(key: string, version: number, wallMs: number, replaces: number[] = []): PutEntry {
  return {
    kind: 'put',
    key,
    versionId: id(version),
    clock: { wallMs, counter: 0 },
    replaces: replaces.map(id),
    sizeBytes: 1,
    etag: `${version}`,
    modifiedMs: 1,
    headers: {},
    checksums: [],
    inline: new Uint8Array([version % 256]),
  };
}
const batchOf = (writer: number, entries: OwnerEntry[]): ReadBatch =>
  ({ log: { logId: logOf(writer) }, entries, placements: [], repair: null, bytes: new Uint8Array(0) }) as unknown as ReadBatch;

/** Everything that a reader could tell apart. */
function stateOf(view: MergedView): unknown {
  const keys = [...view.keys].map(([key, state]) => [
    key,
    liveVersions(state).map(({ entry, logId }) => [entry.versionId, logId]),
  ]);
  const uploads = [...view.uploads].map(([name, { upload, parts }]) => [
    name,
    upload?.entry.state,
    // Parts of a closed upload are nothing to anybody.
    upload?.entry.state === 'closed' ? [] : [...parts].map(([number, part]) => [number, part.entry.etag]).sort(),
  ]);
  return {
    keys: keys.filter(([, live]) => live!.length > 0).sort(),
    uploads: uploads.filter(([, state]) => state !== 'closed').sort(),
  };
}
function viewOf(records: readonly OwnerRecord[]): MergedView {
  const view = emptyView();
  for (const record of records) {
    if (record.kind === 'entry') mergeEntries(view, record.logId, [record.entry]);
    else
      mergeEntries(view, '', [{ kind: 'delete', key: record.key, clock: { wallMs: 0, counter: 0 }, names: [record.versionId] }]);
  }
  return view;
}

type Step = { writer: number; entry: OwnerEntry };
/** Several writers who know different things: names of versions before and after they are seen, uploads, parts. */
const history = fc.array(
  fc.record({
    writer: fc.nat(2),
    kind: fc.nat(9),
    key: fc.nat(4),
    names: fc.array(fc.nat(30), { maxLength: 2 }),
    wall: fc.nat(20),
  }),
  { maxLength: 40 },
);
function stepsOf(draws: { writer: number; kind: number; key: number; names: number[]; wall: number }[]): Step[] {
  return draws.map(({ writer, kind, key, names, wall }, i): Step => {
    const name = ['a', 'a\0b', 'aa', 'b', 'ü🚢'][key]!;
    // A version has one key: names of others name nothing there.
    const named = names.filter((number) => number < draws.length && draws[number]!.key === key);
    const clock = { wallMs: wall, counter: i };
    const uploadId = `u${key}`;
    const upload = { kind: 'upload' as const, uploadId, key: name, clock, createdMs: 1, headers: {} };
    if (kind < 5)
      return {
        writer,
        entry: put(
          name,
          i,
          wall,
          named.filter((number) => number !== i),
        ),
      };
    if (kind < 7) return { writer, entry: { kind: 'delete', key: name, clock, names: named.map(id) } };
    if (kind < 8) return { writer, entry: { ...upload, state: names.length > 1 ? 'closed' : 'open' } };
    const part = { sizeBytes: 1, etag: `${i}`, modifiedMs: 1, checksums: [], inline: new Uint8Array(1) };
    return { writer, entry: { kind: 'part', uploadId, partNumber: names.length + 1, clock, ...part } };
  });
}

async function* listed<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

describe('runs', () => {
  it('say what the entries said, at any cut and after any merges', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.array(fc.nat(40), { maxLength: 4 }), fc.nat(40), async (draws, flushes, tailFrom) => {
        const steps = stepsOf(draws);
        const store = memorySegments();
        let runs: Run[] = [];
        let delta = new Delta();
        const flush = async () => {
          const fresh = [...delta.ownerRecords()];
          delta = new Delta();
          const count = runsToMerge(
            fresh.length * 20,
            runs.map(({ recordBytes }) => recordBytes),
          );
          const isBottom = count === runs.length;
          const keeps = ownerSieve({ horizonMs: 0, isBottom, keepsCheckpoint: () => false });
          const older = runs.slice(0, count).map((run) => readRun({ store, family: OWNER_RUNS, run, from: null, signal }));
          const merged = await Array.fromAsync(mergeRuns(OWNER_RUNS, [listed(fresh), ...older]));
          const run = await writeRun(store, OWNER_RUNS, listed(merged.filter(keeps)), signal);
          runs = [...(run ? [run] : []), ...runs.slice(count)];
        };
        const cut = Math.min(tailFrom, steps.length);
        for (const [i, { writer, entry }] of steps.entries()) {
          if (i === cut) await flush();
          delta.add(batchOf(writer, [entry]));
          if (i < cut && flushes.includes(i)) await flush();
        }
        const sources = [
          listed([...delta.ownerRecords()]),
          ...runs.map((run) => readRun({ store, family: OWNER_RUNS, run, from: null, signal })),
        ];
        const all = emptyView();
        for (const { writer, entry } of steps) mergeEntries(all, logOf(writer), [entry]);
        expect(stateOf(viewOf(await Array.fromAsync(mergeRuns(OWNER_RUNS, sources))))).toEqual(stateOf(all));
      }),
      { numRuns: 150 },
    );
  });

  it('drop names below the horizon with the oldest run, and keep those above it', () => {
    const sieve = (isBottom: boolean) => ownerSieve({ horizonMs: 10, isBottom, keepsCheckpoint: () => true });
    const records = [...ownerRecords('', put('a', 2, 9, [1])), ...ownerRecords('', put('a', 4, 10, [3]))];
    expect(records.filter(sieve(true)).map(({ kind }) => kind)).toEqual(['entry', 'entry', 'gone']);
    expect(records.filter(sieve(false))).toHaveLength(4);
  });

  it('keep few sizes: each at least four times all newer ones', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 200 }), (sizes) => {
        let runs: number[] = [];
        for (const size of sizes) {
          const count = runsToMerge(size, runs);
          runs = [runs.slice(0, count).reduce((sum, one) => sum + one, size), ...runs.slice(count)];
          runs.forEach((bytes, i) => {
            const newer = runs.slice(0, i).reduce((sum, one) => sum + one, 0);
            expect(bytes).toBeGreaterThanOrEqual(4 * newer);
          });
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('a run of 30,000 records', () => {
  const total = 30_000;
  // Long ones, so that the index has levels.
  const pad = '-'.repeat(300);
  const keyOf = (i: number) => `folder ${i % 100}/${String(i).padStart(8, '0')}${pad}`;
  const sorted = Array.from({ length: total }, (_, i) => keyOf(i)).sort();

  it('is written and read with a few blocks in memory, and one key is found with a handful of reads', async () => {
    const store = memorySegments(1 << 15);
    let live = 0;
    let most = 0;
    async function* records(): AsyncGenerator<OwnerRecord> {
      for (const [i, key] of sorted.entries()) {
        live++;
        yield { kind: 'entry', logId: logOf(1), entry: put(key, i, 1) };
      }
    }
    // What the writer has taken and not yet stored is one block.
    const counting: typeof store = {
      ...store,
      put: async (source, wait) =>
        store.put(
          (async function* () {
            for await (const block of source) {
              most = Math.max(most, live);
              live = 0;
              yield block;
            }
          })(),
          wait,
        ),
    };
    const run = (await writeRun(counting, OWNER_RUNS, records(), signal))!;
    expect(most).toBeLessThan(1000);
    expect(run).toMatchObject({ records: total, depth: 2 });
    expect(run.segments.length).toBeGreaterThan(3);

    const cache = new BlockCache(8);
    for (const key of [sorted[0]!, sorted[21_415]!, sorted.at(-1)!]) {
      store.reads = 0;
      const found = readRun({ store, family: OWNER_RUNS, run, from: keyPosition(key), cache, signal });
      expect((await found.next()).value).toMatchObject({ entry: { key } });
      await found.return();
      expect(store.reads).toBeLessThanOrEqual(3);
      expect(cache.size).toBeLessThanOrEqual(8);
    }
    const behind = readRun({ store, family: OWNER_RUNS, run, from: Buffer.of(3), cache, signal });
    expect((await behind.next()).done).toBe(true);

    store.reads = 0;
    let at = 0;
    for await (const record of readRun({ store, family: OWNER_RUNS, run, from: null, signal })) {
      if (record.kind !== 'entry' || record.entry.kind !== 'put' || record.entry.key !== sorted[at++])
        throw new Error(`record ${at} is out of order`);
    }
    expect(at).toBe(total);
    // Large reads, and one for each index node.
    expect(store.reads).toBeLessThan(30);
    const page = readRun({ store, family: OWNER_RUNS, run, from: objectsFrom('folder 42/'), cache, signal });
    expect((await page.next()).value).toMatchObject({ entry: { key: `folder 42/00000042${pad}` } });
    await page.return();
  });
});
