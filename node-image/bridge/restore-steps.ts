// A checkpoint as the catalog takes it: in steps of some hundred records, so that nothing is held but these.
import { PORTIONS, type RestoreStep } from '#node/catalog/catalog.ts';
import { ownerRecordsOf, repairRecordsOf, type Checkpoint, type ReadRecords } from '#node/log/checkpoint-reader.ts';

/** A bucket that is read from the start again. */
export const FORGET: readonly RestoreStep['step'][] = [{ kind: 'begin' }, { kind: 'end', positions: [] }];

/** In one transaction of the catalog. */
const STEP_RECORDS = 1000;
/** What so many records name is counted in one. */
const COUNTED_RECORDS = 20_000;

/** Repair records first: a segment's place is there before something names it. */
export async function* restoreSteps(
  checkpoint: Checkpoint,
  input: ReadRecords,
): AsyncGenerator<RestoreStep['step'], void, undefined> {
  yield { kind: 'begin' };
  for await (const repairRecords of chunked(repairRecordsOf(checkpoint, input)))
    yield { kind: 'records', ownerRecords: [], repairRecords };
  for await (const ownerRecords of chunked(ownerRecordsOf(checkpoint, input)))
    yield { kind: 'records', ownerRecords, repairRecords: [] };
  const records = checkpoint.owner?.runs.reduce((sum, run) => sum + run.records, 0) ?? 0;
  const atOnce = Math.max(1, Math.floor((PORTIONS * COUNTED_RECORDS) / Math.max(1, records)));
  for (let from = 0; from < PORTIONS; from += atOnce)
    yield { kind: 'references', fromPortion: from, toPortion: Math.min(PORTIONS, from + atOnce) };
  yield { kind: 'end', positions: [...checkpoint.vector].map(([logId, head]) => ({ logId, ...head })) };
}

async function* chunked<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let chunk: T[] = [];
  for await (const item of items) {
    chunk.push(item);
    if (chunk.length < STEP_RECORDS) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
