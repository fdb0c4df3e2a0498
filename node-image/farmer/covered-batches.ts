// Batches that checkpoints cover are dropped when they are a week old: until then whoever was away follows the
// log itself. Both checkpoints that are kept have to cover them (one alone must be a week old too), so that a
// bad one loses nothing. The newest batch of a log always stays: it is what the log goes on behind.
import { pause, type Runtime } from '#node/log/runtime.ts';
import { decodeBatchHeader } from '#node/wire/batch.ts';
import { collect, unframeAll } from '#node/wire/framing.ts';
import { MAX_BATCH_BYTES, type CheckpointStatement, type PublicKey } from '#node/wire/types.ts';
import type { LogStore } from './log-store.ts';
import type { RootsStore } from './roots-store.ts';
import type { HeldLog } from './index-logs.ts';
import type { Store } from './store.ts';

const KEEP_MS = 7 * 24 * 3_600_000;
export const DROP_EVERY_MS = 3_600_000;

export interface DropInput {
  store: Store;
  logs: LogStore;
  roots: RootsStore;
  nowMs: number;
}

/** Until the signal fires. */
export async function dropCoveredForEver(
  parts: Omit<DropInput, 'nowMs'>,
  {
    runtime,
    everyMs,
    onError,
    signal,
  }: { runtime: Runtime; everyMs: number; onError: (error: unknown) => void; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await pause(runtime, everyMs, signal);
    if (!signal.aborted) await dropCovered({ ...parts, nowMs: runtime.nowMs() }).catch(onError);
  }
}

/** One round over all logs. */
export async function dropCovered({ store, logs, roots, nowMs }: DropInput): Promise<void> {
  for (const { owner, bucketId } of store.index.logs.buckets()) {
    const kept = roots.view(owner).checkpoints.get(bucketId) ?? [];
    for (const log of logs.logs(owner, bucketId)) {
      const belowSeq = Math.min(coveredSeq(kept, log.logId, nowMs) + 1, log.seq);
      const oldSeq = await firstYoung(logs, log, belowSeq, nowMs - KEEP_MS);
      if (oldSeq > log.firstSeq) await logs.dropBatches({ owner, logId: log.logId, belowSeq: oldSeq });
    }
  }
}

/** Pure: how far these checkpoints, newest first, let the log go. */
function coveredSeq(kept: readonly CheckpointStatement[], logId: PublicKey, nowMs: number): number {
  const [newest] = kept;
  if (!newest || (kept.length === 1 && newest.issuedMs > nowMs - KEEP_MS)) return 0;
  return Math.min(...kept.map(({ covers }) => covers.find((one) => one.logId === logId)?.seq ?? 0));
}

/** The first batch below `belowSeq` that isn't from before `beforeMs`; times in a log never go back. */
async function firstYoung(logs: LogStore, log: HeldLog, belowSeq: number, beforeMs: number): Promise<number> {
  let [low, high] = [log.firstSeq, belowSeq];
  while (low < high) {
    // The first one decides most of the time.
    const middle = low === log.firstSeq ? low : (low + high) >>> 1;
    if ((await timeOf(logs, log, middle)) < beforeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function timeOf(logs: LogStore, log: HeldLog, seq: number): Promise<number> {
  const [batch] = unframeAll(await collect(logs.read(log, seq, 1), MAX_BATCH_BYTES + 4), MAX_BATCH_BYTES);
  return batch ? decodeBatchHeader(batch).timeMs : Infinity;
}
