// A bucket as its newest checkpoint has it, and what has been written since: the one way in which client,
// bridge and repairer read a bucket.
import { writtenAt } from '#node/core/log-merge.ts';
import { mergeRuns } from '#node/core/merge-runs.ts';
import {
  decodeOwnerManifest,
  decodeRepairManifest,
  MAX_MANIFEST_BYTES,
  openReference,
  type KeptSegment,
  type Manifest,
  type OwnerManifest,
  type OwnerRecord,
  type RepairRecord,
} from '#node/wire/checkpoints.ts';
import { WireError } from '#node/wire/codec.ts';
import type { CheckpointStatement, OwnerEntry, PublicKey } from '#node/wire/types.ts';
import { LogError, type LogLink } from './log-link.ts';
import { readBatches, type BucketState, type PartKeys, type ReadBatch, type SeenHead } from './log-reader.ts';
import { OWNER_RUNS, REPAIR_RUNS, type RunFamily } from './run-families.ts';
import { BlockCache, readRun } from './run-reader.ts';
import type { SegmentStore } from './segment-store.ts';

/** What opens parts of batches and manifests; what has no key stays closed. */
export interface ReadKeys extends PartKeys {
  ownerManifestKey?: Uint8Array;
  /** All that may fit, newest epoch first. */
  repairManifestKeys: readonly Uint8Array[];
}

export interface Checkpoint {
  number: number;
  horizonMs: number;
  /** How far it covers each log. */
  vector: ReadonlyMap<PublicKey, SeenHead>;
  /** Null without the key. */
  owner: OwnerManifest | null;
  /** Null where no key fits. */
  repair: Manifest | null;
}

/** Its manifests. Throws LogError Damaged, or what the store throws. */
export async function openCheckpoint(
  store: SegmentStore,
  statement: CheckpointStatement,
  keys: ReadKeys,
  signal: AbortSignal,
): Promise<Checkpoint> {
  const read = async <M extends Manifest>(
    sealed: Uint8Array,
    candidates: readonly Uint8Array[],
    decode: (bytes: Uint8Array) => M,
  ) => {
    const segments = candidates.map((key) => openReference(key, statement, sealed)).find((found) => found !== null);
    return segments ? decode(await readWhole(store, segments, signal)) : null;
  };
  try {
    const ownerKeys = keys.ownerManifestKey ? [keys.ownerManifestKey] : [];
    const [owner, repair] = await Promise.all([
      read(statement.ownerManifest, ownerKeys, decodeOwnerManifest),
      read(statement.repairManifest, keys.repairManifestKeys, decodeRepairManifest),
    ]);
    const manifest = owner ?? repair;
    if (!manifest) throw new LogError('Damaged', `No key opens checkpoint ${statement.number} of bucket ${statement.bucketId}.`);
    const vector = new Map(manifest.vector.map(({ logId, seq, hash }) => [logId, { seq, hash }]));
    return { number: statement.number, horizonMs: statement.horizonMs, vector, owner, repair };
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new LogError('Damaged', `Checkpoint ${statement.number} of bucket ${statement.bucketId}: ${cause.message}`, { cause });
  }
}

async function readWhole(store: SegmentStore, segments: readonly KeptSegment[], signal: AbortSignal): Promise<Uint8Array> {
  const sizeBytes = segments.reduce((sum, { key }) => sum + key.plainBytes, 0);
  if (sizeBytes > MAX_MANIFEST_BYTES) throw new WireError(`A manifest of ${sizeBytes} bytes.`);
  return await store.read(segments, 0, sizeBytes, signal);
}

export interface ReadRecords {
  store: SegmentStore;
  /** Start at or behind it; null = at the first. */
  from: Uint8Array | null;
  /** For look-ups. */
  cache?: BlockCache;
  signal: AbortSignal;
}

/** All owner records in order. What an entry named is there as `gone`, and nothing else of that version. */
export function ownerRecordsOf(
  checkpoint: Pick<Checkpoint, 'owner'>,
  input: ReadRecords,
): AsyncGenerator<OwnerRecord, void, undefined> {
  return recordsOf(OWNER_RUNS, checkpoint.owner, input);
}
export function repairRecordsOf(
  checkpoint: Pick<Checkpoint, 'repair'>,
  input: ReadRecords,
): AsyncGenerator<RepairRecord, void, undefined> {
  return recordsOf(REPAIR_RUNS, checkpoint.repair, input);
}

function recordsOf<Rec>(family: RunFamily<Rec>, manifest: Manifest | null, input: ReadRecords) {
  const runs = manifest?.runs ?? [];
  return mergeRuns(
    family,
    runs.map((run) => readRun({ ...input, family, run })),
  );
}

export interface BucketSince {
  /** To be taken first, instead of all that was there before; null = go on from where the reader is. */
  checkpoint: Checkpoint | null;
  /** Something that was seen doesn't count (any more): forget all of it, with or without a checkpoint. */
  isAnew: boolean;
  /** What isn't in it: every batch once, entries that don't count left out. */
  batches: AsyncGenerator<ReadBatch, void, undefined>;
}

/**
 * What a reader at `since` has to read. It takes the checkpoint where it has nothing yet, or where replicas
 * dropped batches that it lacks. Throws LogError.
 */
export async function readSince(
  link: LogLink,
  input: {
    state: BucketState;
    since: ReadonlyMap<PublicKey, SeenHead | number>;
    keys: ReadKeys;
    store: SegmentStore;
    signal: AbortSignal;
  },
): Promise<BucketSince> {
  const { state, since, keys, store, signal } = input;
  const statement = newestCheckpoint(state);
  const isAnew = wasCutBack(state, since);
  if (!statement) {
    return { checkpoint: null, isAnew, batches: readBatches(link, { state, since: isAnew ? new Map() : since, keys, signal }) };
  }
  let opened: Promise<Checkpoint> | null = null;
  const open = () => (opened ??= openCheckpoint(store, statement, keys, signal));
  const checkpoint = isAnew || lacksBatches(state, since) ? await open() : null;
  const batches = readBatches(link, { state, since: checkpoint?.vector ?? since, keys, signal });
  return { checkpoint, isAnew, batches: counting(batches, statement, open) };
}

export function newestCheckpoint({ view, bucketId }: Pick<BucketState, 'view' | 'bucketId'>): CheckpointStatement | null {
  return view.checkpoints.get(bucketId)?.[0] ?? null;
}

/** What was read of some log doesn't count: its closing, or the owner's reset, leaves less; or its newest batch is another one. */
function wasCutBack({ view, bucketId, logs, set }: BucketState, since: ReadonlyMap<PublicKey, SeenHead | number>): boolean {
  const resets = view.resets.get(bucketId);
  return logs.some(({ log: { logId, closed }, seq, hash, holders }) => {
    const seen = since.get(logId) ?? 0;
    const end = Math.min(resets?.get(logId)?.seq ?? Infinity, closed?.lastSeq ?? Infinity);
    if (typeof seen === 'number') return seen > end;
    const isSure = closed !== undefined || holders.length > set.f;
    return seen.seq > end || (isSure && seen.seq === seq && seen.hash !== hash);
  });
}

/** Nothing read yet, or something is missing that no replica has any more. */
function lacksBatches({ logs }: BucketState, since: ReadonlyMap<PublicKey, SeenHead | number>): boolean {
  if (since.size === 0) return true;
  return logs.some(({ log, seq, firstSeq }) => {
    const seen = since.get(log.logId) ?? 0;
    const next = (typeof seen === 'number' ? seen : seen.seq) + 1;
    return next <= seq && next < firstSeq;
  });
}

/** Leaves out entries that came too late: not covered, and stamped before the horizon. */
async function* counting(
  batches: AsyncGenerator<ReadBatch, void, undefined>,
  { horizonMs }: CheckpointStatement,
  open: () => Promise<Checkpoint>,
): AsyncGenerator<ReadBatch, void, undefined> {
  const isLate = (entry: OwnerEntry) => writtenAt(entry).wallMs < horizonMs;
  for await (const batch of batches) {
    const isCovered = async () => batch.header.seq <= ((await open()).vector.get(batch.log.logId)?.seq ?? 0);
    if (!batch.entries?.some(isLate) || (await isCovered())) yield batch;
    else yield { ...batch, entries: batch.entries.filter((entry) => !isLate(entry)) };
  }
}
