// Sorted runs merged as they stream by, and the rule that says which runs to merge. Nothing is held but one
// record of each run.
import type { RecordFamily } from './run-records.ts';

/** Records of several sorted sources in one order, those of one place merged. `sources`: newest first. */
export async function* mergeRuns<Rec>(
  family: RecordFamily<Rec>,
  sources: readonly AsyncIterable<Rec>[],
): AsyncGenerator<Rec, void, undefined> {
  const heads: Head<Rec>[] = [];
  try {
    for (const source of sources)
      heads.push(await advanced(family, { iterator: source[Symbol.asyncIterator](), record: null, at: null }));
    for (;;) {
      let least: Uint8Array | null = null;
      for (const { at } of heads) if (at && (!least || Buffer.compare(at, least) < 0)) least = at;
      if (!least) return;
      let merged: Rec | null = null;
      for (const head of heads) {
        if (!head.at || Buffer.compare(head.at, least) !== 0) continue;
        merged = merged === null ? head.record! : family.merge(head.record!, merged);
        await advanced(family, head);
      }
      yield merged!;
    }
  } finally {
    for (const { iterator } of heads) await iterator.return?.();
  }
}

interface Head<Rec> {
  iterator: AsyncIterator<Rec>;
  record: Rec | null;
  at: Uint8Array | null;
}

async function advanced<Rec>(family: RecordFamily<Rec>, head: Head<Rec>): Promise<Head<Rec>> {
  const next = await head.iterator.next();
  const at = next.done ? null : family.positionOf(next.value);
  if (at && head.at && Buffer.compare(at, head.at) <= 0) throw new RangeError('A run is not in order.');
  head.record = next.done ? null : next.value;
  head.at = at;
  return head;
}

/** Each older run has at least so many times the bytes of all newer ones together. */
const RUN_RATIO = 4;

/**
 * How many of the runs, newest first, a new run of that size has to be merged with so that the ratio holds
 * again. With it the number of runs grows by one as the bucket grows fivefold, and a record is written anew
 * about as often as the ratio says while that happens.
 */
export function runsToMerge(newBytes: number, olderBytes: readonly number[]): number {
  let count = 0;
  let sumBytes = newBytes;
  for (const [i, bytes] of olderBytes.entries()) {
    if (bytes < RUN_RATIO * sumBytes) count = i + 1;
    sumBytes += bytes;
  }
  return count;
}
