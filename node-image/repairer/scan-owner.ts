// Reads one owner's logs, from where the index stands up to heads asked for now, with no more than the
// repair key that the owner's warrant seals to this repairer.
import { bucketRepairKey, openSealed, repairPartKey, type KeyPair } from '#node/core/keys.ts';
import { pieceBytes } from '#node/core/segments.ts';
import { movesInLogs } from '#node/client/bucket-reader.ts';
import type { Client } from '#node/client/client.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { readSince, repairRecordsOf, type Checkpoint } from '#node/log/checkpoint-reader.ts';
import { LogError } from '#node/log/log-link.ts';
import { readHeads, type BucketState, type ReadBatch } from '#node/log/log-reader.ts';
import type { SegmentStore } from '#node/log/segment-store.ts';
import { fetchRoots, type Roots } from '#node/log/roots.ts';
import { repairManifestKey, type RepairRecord } from '#node/wire/checkpoints.ts';
import { readCut } from '#node/wire/cuts.ts';
import { WireError } from '#node/wire/codec.ts';
import { openPlacement, placementProblem, placementTag } from '#node/wire/placements.ts';
import { isRepairer, type ReplicaSet, type RootView } from '#node/wire/root-view.ts';
import {
  ACCOUNT_BUCKET_ID,
  type BucketId,
  type CutHead,
  type PublicKey,
  type SealedPlacement,
  type SegmentPlacement,
  type WarrantStatement,
} from '#node/wire/types.ts';
import type { ReplicaSetFacts } from './report.ts';
import { IN_CHECKPOINT } from './index-cuts.ts';
import type { IndexedSegment, SegmentIndex } from './segment-index.ts';

export class ScanError extends Error {
  /** NoStatements: known by its pieces, but no farmer has its statements. NoKey: a batch that no repair key opens. */
  readonly code: 'NoStatements' | 'NoKey' | 'Unsteady';
  constructor(code: ScanError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ScanError';
    this.code = code;
  }
}

export interface ScanInput {
  client: Client;
  index: SegmentIndex;
  self: KeyPair;
  owner: PublicKey;
  /** Judges segments that were touched. */
  judge: (ids: Iterable<number>) => void;
  /** A repairer wrote something at that time. */
  heard(repairer: PublicKey, atMs: number): void;
  nowMs: number;
  signal: AbortSignal;
}

/** What an owner's statements let this repairer do. */
export interface OwnerFacts {
  warrants: WarrantStatement[];
  /** Who shares the work: those of the newest warrant set. */
  repairers: PublicKey[];
  replicaSets: ReplicaSetFacts[];
}

/** Null where no warrant of the newest set is for this repairer: nothing of that owner is kept. */
export async function scanOwner(input: ScanInput): Promise<OwnerFacts | null> {
  const { client, index, self, owner, signal } = input;
  const roots = await fetchRoots(client.link, owner, signal);
  const { view } = roots;
  if (roots.statements.length === 0) throw new ScanError('NoStatements', `No farmer has root statements of owner ${owner}.`);
  if (!isRepairer(view, self.publicKey)) {
    index.forgetOwner(owner);
    return null;
  }
  const keys = repairKeys(view, self);
  const sets = [...view.sets].filter(([, { members }]) => members.length > 0);
  const replicaSets: ReplicaSetFacts[] = [];
  for (const [bucketId, set] of sets) {
    const answered = await scanBucket(input, roots, keys, bucketId);
    replicaSets.push({ ...set, former: stillAsked(set, view.setsBefore.get(bucketId) ?? null, answered) });
  }
  await applyCuts(input, view);
  const repairers = [...new Set(view.warrantSet.map(({ repairer }) => repairer))];
  return { warrants: view.warrants, repairers, replicaSets };
}

/**
 * Pure: members of the set before that have left, until every new member (where there is none, every member) has
 * answered, and so has taken from them what was acknowledged last.
 */
export function stillAsked(
  { members }: Pick<ReplicaSet, 'members'>,
  before: Pick<ReplicaSet, 'members'> | null,
  answered: { has(farmer: PublicKey): boolean },
): PublicKey[] {
  if (!before) return [];
  const fresh = members.filter((one) => !before.members.includes(one));
  if ((fresh.length > 0 ? fresh : members).every((one) => answered.has(one))) return [];
  return before.members.filter((one) => !members.includes(one));
}

/** Of all warrants for this repairer, newest first; what doesn't open isn't for it. */
function repairKeys(view: RootView, self: KeyPair): Uint8Array[] {
  return view.warrants
    .filter(({ repairer }) => repairer === self.publicKey)
    .toReversed()
    .flatMap(({ sealedRepairKey }) => {
      try {
        const keys = openSealed(self.seed, sealedRepairKey);
        return Array.from({ length: keys.length / 32 }, (_, index) => keys.subarray(32 * index, 32 * index + 32));
      } catch {
        return [];
      }
    });
}

/** Answers who told its heads. */
async function scanBucket(
  input: ScanInput,
  roots: Roots,
  epochKeys: Uint8Array[],
  bucketId: BucketId,
): Promise<BucketState['answers']> {
  const { client, index, owner, signal } = input;
  const state = await readHeads(client.link, { owner, bucketId, signal, view: roots.view });
  const positions = index.positions(owner, bucketId);
  const bucketKeys = epochKeys.map((key) => bucketRepairKey(key, bucketId));
  const keys = {
    repairPartKeys: (logId: PublicKey) => bucketKeys.map((key) => repairPartKey(key, logId)),
    repairManifestKeys: bucketKeys.map(repairManifestKey),
  };
  const store = segmentStore(client, owner, (placement, wait) => movesInLogs(client.link, state, keys, placement, wait));
  const { checkpoint, isAnew, batches } = await readSince(client.link, { state, since: positions, keys, store, signal });
  // What was applied doesn't count any more: all of this owner is read again, the next time round.
  const forget = (cause?: unknown): never => {
    index.forgetOwner(owner);
    throw new ScanError('Unsteady', 'What was read is no longer what the logs say, or where they begin: reading again.', {
      cause,
    });
  };
  if ((checkpoint || isAnew) && positions.size > 0) forget();
  if (checkpoint) await takeCheckpoint(input, state, checkpoint, store);
  try {
    for await (const batch of batches) applyBatch(input, state.view, bucketId, batch);
  } catch (error) {
    if (error instanceof LogError && error.code === 'Forked') forget(error);
    throw error;
  }
  return state.answers;
}

/** Records that are taken in one transaction. */
const RECORDS_AT_ONCE = 500;

/** What taking something in needs. */
type TakeInput = Pick<ScanInput, 'index' | 'owner' | 'judge' | 'signal'>;

/** All segments that live, with their moves. Where it stands in the logs is known when the last is in. */
export async function takeCheckpoint(
  input: TakeInput,
  { bucketId, view }: Pick<BucketState, 'bucketId' | 'view'>,
  checkpoint: Checkpoint,
  store: SegmentStore,
): Promise<void> {
  const { index, owner, signal } = input;
  if (!checkpoint.repair)
    throw new ScanError('NoKey', `No repair key opens checkpoint ${checkpoint.number} of bucket ${bucketId}.`);
  index.cuts.setCheckpoint(owner, bucketId, checkpoint.vector);
  let records: RepairRecord[] = [];
  const take = () => index.transaction(() => applyRecords(input, view, bucketId, records));
  for await (const record of repairRecordsOf(checkpoint, { store, from: null, signal })) {
    if (records.push(record) < RECORDS_AT_ONCE) continue;
    take();
    records = [];
  }
  take();
  for (const [logId, head] of checkpoint.vector) index.setPosition(owner, bucketId, logId, head);
}

function applyRecords(input: TakeInput, view: RootView, bucketId: BucketId, records: readonly RepairRecord[]): void {
  const touched = new Set<number>();
  for (const record of records) {
    if (record.kind === 'moves') {
      for (const sealed of record.sealed) addMoves(input, view, bucketId, { tag: record.tag, sealed }, touched);
    } else if (record.live && record.placement) takeSegment(input, view, bucketId, record.placement, IN_CHECKPOINT, touched);
  }
  input.judge(touched);
}

function applyBatch(input: ScanInput, view: RootView, bucketId: BucketId, batch: ReadBatch): void {
  const { index, owner, judge, heard } = input;
  index.transaction(() => {
    const touched = new Set<number>();
    if (batch.log.kind === 'entries' && batch.header.kind === 'entries') {
      if (!batch.repair) throw new ScanError('NoKey', `No repair key opens batch ${batch.header.seq} of log ${batch.log.logId}.`);
      const from = { logId: batch.log.logId, seq: batch.header.seq };
      for (const placement of batch.repair.added) takeSegment(input, view, bucketId, placement, from, touched);
      for (const segmentId of batch.repair.released) index.releaseSegment(owner, segmentId, batch.header.timeMs);
      for (const cut of batch.repair.cuts ?? []) {
        const statement = bucketId === ACCOUNT_BUCKET_ID ? readCut(view, cut) : null;
        if (statement) index.cuts.keep(owner, statement.cutMs, cut);
      }
    }
    for (const placement of batch.placements) addMoves(input, view, bucketId, placement, touched);
    if (batch.log.kind === 'placements') heard(batch.log.writer, batch.header.timeMs);
    index.setPosition(owner, bucketId, batch.log.logId, { seq: batch.header.seq, hash: batch.hash });
    judge(touched);
  });
}

/** Moves that were told before it are about it. */
function takeSegment(
  input: TakeInput,
  view: RootView,
  bucketId: BucketId,
  placement: SegmentPlacement,
  from: { logId: PublicKey; seq: number },
  touched: Set<number>,
): void {
  const { index, owner } = input;
  const id = addSegment(index, owner, bucketId, placement, from);
  if (id === null) return;
  touched.add(id);
  const tag = placementTag(placement.secret);
  for (const { bucketId: told, sealed } of index.takeWaiting(owner, tag)) {
    applyPlacement(input, view.warrants, told, id, { tag, sealed });
  }
}

function addMoves(input: TakeInput, view: RootView, bucketId: BucketId, move: SealedPlacement, touched: Set<number>): void {
  const { index, owner } = input;
  const ids = index.segmentsByTag(owner, move.tag);
  if (ids.length === 0) index.keepWaiting(owner, bucketId, move.tag, move.sealed);
  for (const id of ids) {
    applyPlacement(input, view.warrants, bucketId, id, move);
    touched.add(id);
  }
}

/** A hint that no cut has confirmed after so long was wrong, or there is nobody who states cuts. */
const TRUST_HINTS_MS = 2 * 3_600_000;

/** Cuts whose heads are all read do their work, oldest first; then hints that they didn't confirm are forgotten. */
async function applyCuts({ client, index, owner, judge, nowMs, signal }: ScanInput, view: RootView): Promise<void> {
  const ends = new Map(view.logs.map(({ logId, closed }) => [logId, closed?.lastSeq ?? Infinity]));
  for (const cut of index.cuts.waiting(owner)) {
    // What it was stated upon doesn't count: neither does it.
    const isVoid = cut.heads.some(({ logId, seq }) => seq > (ends.get(logId) ?? Infinity));
    // Nothing that a deleted bucket's logs say counts: what of them wasn't read yet never will be.
    const heads = cut.heads.filter(({ bucketId }) => view.sets.get(bucketId)?.members.length !== 0);
    if (isVoid) index.cuts.forget(owner, cut.statement);
    else if (isRead(index, owner, heads)) index.cuts.apply(owner, cut, ends);
    await client.runtime.turn();
    signal.throwIfAborted();
  }
  const cutMs = index.cuts.applied(owner)?.cutMs ?? 0;
  const beforeMs = Math.max(cutMs, nowMs - TRUST_HINTS_MS);
  for (let after: number | undefined = 0; after !== undefined;) {
    const revived = index.cuts.reviveReleased(owner, beforeMs, after);
    judge(revived);
    after = revived.at(-1);
    if (after !== undefined) await client.runtime.turn();
  }
}

function isRead(index: SegmentIndex, owner: PublicKey, heads: readonly CutHead[]): boolean {
  const byBucket = Map.groupBy(heads, ({ bucketId }) => bucketId);
  return [...byBucket].every(([bucketId, ofBucket]) => {
    const positions = index.positions(owner, bucketId);
    return ofBucket.every(({ logId, seq }) => (positions.get(logId)?.seq ?? 0) >= seq);
  });
}

/** Null for a segment of a size that none has: its writer talks nonsense, the other segments still count. */
function addSegment(
  index: SegmentIndex,
  owner: PublicKey,
  bucketId: BucketId,
  placement: SegmentPlacement,
  from: { logId: PublicKey; seq: number },
): number | null {
  try {
    const sizeBytes = pieceBytes(placement.sizeBytes, placement.scheme.required);
    return index.addSegment(owner, bucketId, placement, { tag: placementTag(placement.secret), pieceBytes: sizeBytes }, from);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function applyPlacement(
  { index, owner }: TakeInput,
  warrants: readonly WarrantStatement[],
  bucketId: BucketId,
  id: number,
  sealed: SealedPlacement,
): void {
  const segment = index.knownSegment(id);
  if (!segment) return;
  try {
    const entry = openPlacement(segment.secret, sealed);
    if (placementProblem(entry, { owner, placement: placementOf(segment) }, warrants) !== null) return;
    index.addMove(id, bucketId, { pieceNumber: entry.pieceNumber, farmer: entry.farmer, sealed: sealed.sealed });
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
}

/** The index's row as the entry that it came from; holders are no part of what is signed. */
export function placementOf(segment: IndexedSegment): SegmentPlacement {
  const { segmentId, secret, scheme, sizeBytes, root } = segment;
  return { segmentId, secret, scheme, sizeBytes, root, farmers: Array.from({ length: scheme.total }, () => null), createdMs: 0 };
}
