// What a batch does to the catalog, once for all adapters. The rules are those of core/log-merge.ts kept
// incrementally: a version that any entry names never counts, whatever arrives first; among the others
// the highest (clock, log) is current. Everything else here is bookkeeping: usage, references, uploads.
import type {
  BucketEntry,
  BucketId,
  CheckpointEntry,
  Clock,
  OwnerEntry,
  PackedBytes,
  PartEntry,
  PublicKey,
  PutEntry,
  SealedPlacement,
  SegmentPlacement,
  UploadEntry,
} from '#node/wire/types.ts';
import { bothCheckpoints, compareClocks, writtenAt } from '#node/core/log-merge.ts';
import { CatalogError, type AppliedBatch, type LogPosition, type RestoreStep, type Uncovered } from './catalog.ts';
import type { RepairRecord } from '#node/wire/checkpoints.ts';

/** A live version as the rules need it. */
interface LiveVersion {
  versionId: string;
  clock: Clock;
  logId: PublicKey;
  /** When its bytes came to where they are. */
  writtenAt: Clock;
  sizeBytes: number;
  segmentIds: string[];
  isCurrent: boolean;
}
interface StoredPart {
  clock: Clock;
  sizeBytes: number;
  segmentIds: string[];
}

export type HeldCheckpoint = Pick<CheckpointEntry, 'number' | 'previous' | 'segments'>;

/** Storage of one adapter; called inside one transaction. */
export interface Tables {
  position(owner: PublicKey, bucketId: BucketId, logId: PublicKey): LogPosition | null;
  setPosition(owner: PublicKey, bucketId: BucketId, position: LogPosition): void;

  bucketClock(bucketId: BucketId): { clock: Clock; logId: PublicKey } | null;
  putBucket(owner: PublicKey, entry: BucketEntry, logId: PublicKey): void;

  liveVersions(bucketId: BucketId, key: string): LiveVersion[];
  /** False where the version is there already: a checkpoint may have brought it by its rewrite. */
  addVersion(bucketId: BucketId, entry: PutEntry, logId: PublicKey): boolean;
  removeVersion(bucketId: BucketId, key: string, versionId: string): void;
  /** Where the version is still there and inline. */
  packVersion(bucketId: BucketId, key: string, versionId: string, packed: PackedBytes): void;
  setCurrent(bucketId: BucketId, key: string, versionId: string, isCurrent: boolean): void;
  /** The same version with its bytes elsewhere. */
  rewriteVersion(bucketId: BucketId, entry: PutEntry, logId: PublicKey): void;
  /** A rewrite of a version that isn't there: not seen yet, or gone. Of several the newest is kept. */
  keepRewrite(bucketId: BucketId, entry: PutEntry, logId: PublicKey): void;
  /** Taking it removes it. */
  takeRewrite(bucketId: BucketId, key: string, versionId: string): { entry: PutEntry; logId: PublicKey } | null;
  /** Named before it was seen. True if it was there; taking it removes it. */
  takeTombstone(bucketId: BucketId, key: string, versionId: string): boolean;
  addTombstone(bucketId: BucketId, key: string, versionId: string): void;

  uploadState(bucketId: BucketId, uploadId: string): 'open' | 'closed' | null;
  putUpload(bucketId: BucketId, entry: UploadEntry): void;
  part(bucketId: BucketId, uploadId: string, partNumber: number): StoredPart | null;
  putPart(bucketId: BucketId, entry: PartEntry): void;
  /** Removes all parts of the upload and returns them. */
  removeParts(bucketId: BucketId, uploadId: string): StoredPart[];

  addPlacement(bucketId: BucketId, placement: SegmentPlacement): void;
  /**
   * Adds to the number of references; the row may not have its placement yet. Without references it stays
   * until a cut drops the segment, but for one that another bucket still names.
   */
  addReferences(bucketId: BucketId, segmentId: string, count: number): void;
  /** One more reference, of a restored version: its portion is counted later. */
  keepReference(bucketId: BucketId, segmentId: string): void;
  countReferences(bucketId: BucketId, fromPortion: number, toPortion: number): void;
  /** A cut has let it go: the rows without references go, in every bucket. */
  dropSegment(segmentId: string): void;
  addMove(move: SealedPlacement): void;

  addUsage(bucketId: BucketId, objects: number, bytes: number, uploadBytes: number): void;

  /** Checkpoints that still hold their segments. */
  checkpoints(owner: PublicKey, bucketId: BucketId): HeldCheckpoint[];
  addCheckpoint(owner: PublicKey, bucketId: BucketId, checkpoint: HeldCheckpoint): void;
  removeCheckpoint(owner: PublicKey, bucketId: BucketId, number: number): void;
  /** Bytes of entries since the newest checkpoint, without inline bytes, and of these; null = there is one now. */
  addUncovered(owner: PublicKey, bucketId: BucketId, bytes: Uncovered | null): void;
  /** Everything that came out of this bucket's logs, positions too. */
  clear(owner: PublicKey, bucketId: BucketId): void;
}

/** False = it was applied before. */
export function applyBatch(tables: Tables, batch: AppliedBatch): boolean {
  const { owner, bucketId, logId } = batch;
  const applied = tables.position(owner, bucketId, logId)?.seq ?? 0;
  if (batch.seq <= applied) return false;
  if (batch.seq !== applied + 1) {
    throw new CatalogError('Gap', `batch ${batch.seq} of log ${logId.slice(0, 16)} can't be applied after ${applied}`);
  }
  for (const placement of batch.repair?.added ?? []) tables.addPlacement(bucketId, placement);
  for (const move of batch.placements) tables.addMove(move);
  for (const entry of batch.entries) applyEntry(tables, owner, bucketId, logId, entry);
  for (const cut of batch.repair?.cuts ?? []) for (const segmentId of cut.dropped) tables.dropSegment(segmentId);
  tables.addUncovered(owner, bucketId, uncovered(batch));
  if (batch.entries.some(({ kind }) => kind === 'checkpoint')) tables.addUncovered(owner, bucketId, null);
  tables.setPosition(owner, bucketId, { logId, seq: batch.seq, hash: batch.hash });
  return true;
}

function applyEntry(tables: Tables, owner: PublicKey, bucketId: BucketId, logId: PublicKey, entry: OwnerEntry): void {
  switch (entry.kind) {
    case 'put':
      return applyPut(tables, bucketId, logId, entry);
    case 'delete':
      return changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, entry.names));
    case 'bucket':
      return applyBucket(tables, owner, logId, entry);
    case 'upload':
      return applyUpload(tables, bucketId, entry);
    case 'part':
      return applyPart(tables, bucketId, entry);
    case 'checkpoint':
      return applyCheckpoint(tables, owner, bucketId, entry);
  }
}

/** The last checkpoint and the one that it names as the one before hold their segments, no others. */
function applyCheckpoint(tables: Tables, owner: PublicKey, bucketId: BucketId, entry: HeldCheckpoint): void {
  const held = tables.checkpoints(owner, bucketId);
  const twin = held.find(({ number }) => number === entry.number);
  const known = new Set(twin?.segments);
  const now = twin ? bothCheckpoints(twin, entry) : entry;
  if (twin) tables.removeCheckpoint(owner, bucketId, twin.number);
  tables.addCheckpoint(owner, bucketId, now);
  for (const segmentId of now.segments) if (!known.has(segmentId)) tables.addReferences(bucketId, segmentId, 1);
  const all = [...held.filter((one) => one !== twin), now];
  const last = all.reduce((best, one) => (one.number > best.number ? one : best));
  for (const { number, segments } of all) {
    if (number === last.number || number === last.previous) continue;
    tables.removeCheckpoint(owner, bucketId, number);
    for (const segmentId of segments) tables.addReferences(bucketId, segmentId, -1);
  }
}

/** About what the batch has in it: enough to say when a checkpoint is due. */
function uncovered({ entries, repair, placements }: AppliedBatch): Uncovered {
  let [headBytes, inlineBytes] = [256, 0];
  for (const entry of entries) {
    headBytes += 250 + ('key' in entry ? entry.key.length : 0);
    if ('segments' in entry && entry.kind !== 'checkpoint') headBytes += 90 * (entry.segments?.length ?? 0);
    if ('inline' in entry) inlineBytes += entry.inline?.length ?? 0;
  }
  for (const { farmers } of repair?.added ?? []) headBytes += 140 + 34 * farmers.length;
  for (const { heads, dropped } of repair?.cuts ?? []) headBytes += 120 * heads.length + 34 * dropped.length;
  for (const { sealed } of placements) headBytes += sealed.length + 20;
  return { headBytes, inlineBytes };
}

/** One step of taking a bucket over from a checkpoint: see Catalog.restore. */
export function applyRestored(tables: Tables, { owner, bucketId, step }: RestoreStep): void {
  if (step.kind === 'begin') return tables.clear(owner, bucketId);
  if (step.kind === 'end') {
    for (const position of step.positions) tables.setPosition(owner, bucketId, position);
    return;
  }
  if (step.kind === 'references') return tables.countReferences(bucketId, step.fromPortion, step.toPortion);
  if (step.kind === 'packed') {
    for (const { key, versionId, packed } of step.versions) tables.packVersion(bucketId, key, versionId, packed);
    return;
  }
  for (const record of step.repairRecords) applyRepairRecord(tables, bucketId, record);
  for (const record of step.ownerRecords) {
    if (record.kind === 'entry' && record.entry.kind === 'put') restorePut(tables, bucketId, record.logId, record.entry);
    else if (record.kind === 'entry') applyEntry(tables, owner, bucketId, record.logId, record.entry);
    else tables.addTombstone(bucketId, record.key, record.versionId);
  }
}

/** The one record of its version: what replaced or rewrote it is merged in. */
function restorePut(tables: Tables, bucketId: BucketId, logId: PublicKey, entry: PutEntry): void {
  changeKey(tables, bucketId, entry.key, () => {
    if (!tables.addVersion(bucketId, entry, logId)) return;
    for (const { segmentId } of entry.segments ?? []) tables.keepReference(bucketId, segmentId);
  });
}

function applyRepairRecord(tables: Tables, bucketId: BucketId, record: RepairRecord): void {
  if (record.kind === 'moves') for (const sealed of record.sealed) tables.addMove({ tag: record.tag, sealed });
  // One that nothing names any more too: the next cut lets it go.
  else if (record.placement) tables.addPlacement(bucketId, record.placement);
}

function applyPut(tables: Tables, bucketId: BucketId, logId: PublicKey, entry: PutEntry): void {
  if (entry.rewritten !== undefined) return applyRewrite(tables, bucketId, logId, entry);
  changeKey(tables, bucketId, entry.key, () => {
    const rewrite = tables.takeRewrite(bucketId, entry.key, entry.versionId);
    if (!tables.takeTombstone(bucketId, entry.key, entry.versionId)) {
      const put = rewrite ?? { entry, logId };
      addVersion(tables, bucketId, put.logId, put.entry);
    }
    // Only now: a copy onto itself replaces the only other version that names its segments.
    remove(tables, bucketId, entry.key, entry.replaces);
  });
}

function addVersion(tables: Tables, bucketId: BucketId, logId: PublicKey, entry: PutEntry): void {
  if (!tables.addVersion(bucketId, entry, logId)) return;
  for (const segment of entry.segments ?? []) tables.addReferences(bucketId, segment.segmentId, 1);
}

/** A version that is gone stays gone: a rewrite brings none back. */
function applyRewrite(tables: Tables, bucketId: BucketId, logId: PublicKey, entry: PutEntry): void {
  const old = tables.liveVersions(bucketId, entry.key).find(({ versionId }) => versionId === entry.versionId);
  if (old === undefined) return tables.keepRewrite(bucketId, entry, logId);
  if (!isLater({ clock: writtenAt(entry), logId }, { clock: old.writtenAt, logId: old.logId })) return;
  tables.rewriteVersion(bucketId, entry, logId);
  for (const segment of entry.segments ?? []) tables.addReferences(bucketId, segment.segmentId, 1);
  for (const segmentId of old.segmentIds) tables.addReferences(bucketId, segmentId, -1);
}

function remove(tables: Tables, bucketId: BucketId, key: string, names: readonly string[]): void {
  const live = tables.liveVersions(bucketId, key);
  for (const name of names) {
    const version = live.find((one) => one.versionId === name);
    if (version === undefined) {
      tables.addTombstone(bucketId, key, name);
      continue;
    }
    if (version.isCurrent) tables.addUsage(bucketId, -1, -version.sizeBytes, 0);
    tables.removeVersion(bucketId, key, name);
    for (const segmentId of version.segmentIds) tables.addReferences(bucketId, segmentId, -1);
  }
}

/** Runs a change of one key, then marks its current version anew and counts it. */
function changeKey(tables: Tables, bucketId: BucketId, key: string, change: () => void): void {
  change();
  const live = tables.liveVersions(bucketId, key);
  const winner = live.reduce<LiveVersion | null>((best, one) => (best === null || isLater(one, best) ? one : best), null);
  for (const version of live) {
    const isCurrent = version === winner;
    if (version.isCurrent === isCurrent) continue;
    tables.setCurrent(bucketId, key, version.versionId, isCurrent);
    const sign = isCurrent ? 1 : -1;
    tables.addUsage(bucketId, sign, sign * version.sizeBytes, 0);
  }
}

interface Stamp {
  clock: Clock;
  logId: PublicKey;
}
function isLater(left: Stamp & { versionId?: string }, right: Stamp & { versionId?: string }): boolean {
  const byClock = compareClocks(left.clock, right.clock);
  if (byClock !== 0) return byClock > 0;
  if (left.logId !== right.logId) return left.logId > right.logId;
  return (left.versionId ?? '') > (right.versionId ?? '');
}

function applyBucket(tables: Tables, owner: PublicKey, logId: PublicKey, entry: BucketEntry): void {
  const known = tables.bucketClock(entry.bucketId);
  if (known === null || isLater({ clock: entry.clock, logId }, known)) tables.putBucket(owner, entry, logId);
}

function applyUpload(tables: Tables, bucketId: BucketId, entry: UploadEntry): void {
  // Closed is final, whichever comes first: an upload id is never used again.
  if (tables.uploadState(bucketId, entry.uploadId) === 'closed') return;
  tables.putUpload(bucketId, entry);
  if (entry.state === 'open') return;
  for (const part of tables.removeParts(bucketId, entry.uploadId)) dropPart(tables, bucketId, part);
}

function applyPart(tables: Tables, bucketId: BucketId, entry: PartEntry): void {
  if (tables.uploadState(bucketId, entry.uploadId) === 'closed') return;
  const old = tables.part(bucketId, entry.uploadId, entry.partNumber);
  if (old !== null && compareClocks(entry.clock, old.clock) < 0) return;
  tables.putPart(bucketId, entry);
  for (const segment of entry.segments ?? []) tables.addReferences(bucketId, segment.segmentId, 1);
  tables.addUsage(bucketId, 0, 0, entry.sizeBytes);
  if (old !== null) dropPart(tables, bucketId, old);
}

function dropPart(tables: Tables, bucketId: BucketId, part: StoredPart): void {
  for (const segmentId of part.segmentIds) tables.addReferences(bucketId, segmentId, -1);
  tables.addUsage(bucketId, 0, 0, -part.sizeBytes);
}
