// Reading a bucket's logs: heads from N − f members of the newest set, batches from whoever has them,
// every hash and signature checked.
import { countingPart } from '#node/core/grants.ts';
import {
  follows,
  NO_HASH,
  openOwnerPart,
  openRepairPart,
  readPlacements,
  verifyBatch,
  type KnownHead,
} from '#node/wire/batch.ts';
import type { BucketHeads } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import type { LogView, ReplicaSet, RootView } from '#node/wire/root-view.ts';
import type { BatchHeader, BucketId, Hash, OwnerEntry, PublicKey, RepairPart, SealedPlacement } from '#node/wire/types.ts';
import { fetchHeads, readLog } from './log-calls.ts';
import { LogError, notAllowed, type LogLink } from './log-link.ts';
import { gather, GRACE_MS, reasons, refusals } from './quorum.ts';
import { fetchRoots } from './roots.ts';

/** Keys that open parts; what has no key stays sealed. */
export interface PartKeys {
  ownerPartKey?: (logId: PublicKey) => Uint8Array;
  /** All that may fit (one for each repair epoch), newest first. */
  repairPartKeys?: (logId: PublicKey) => readonly Uint8Array[];
}

export interface ReadBatch {
  log: LogView;
  header: BatchHeader;
  hash: Hash;
  /** Where a key was given and the log is one of entries. */
  entries: OwnerEntry[] | null;
  heads: KnownHead[];
  /** Where a key was given that fits. */
  repair: RepairPart | null;
  /** Of a repairer's log. */
  placements: SealedPlacement[];
  bytes: Uint8Array;
}

export interface LogState {
  log: LogView;
  /** What counts of it: newest head among N − f members, not above its closing. seq 0 = nothing yet. */
  seq: number;
  hash: Hash;
  /** Some member accepts nothing more. */
  sealed: boolean;
  /** Members that have it up to there. */
  holders: PublicKey[];
  /** From here on more than f of these (or all) keep it; 1 = none was dropped. What f of them claim alone counts for nothing. */
  firstSeq: number;
}
export interface BucketState {
  owner: PublicKey;
  bucketId: BucketId;
  view: RootView;
  set: ReplicaSet;
  logs: LogState[];
  /** Members that answered, with what they said. */
  answers: Map<PublicKey, BucketHeads>;
}

/** A head as the reader knows it. */
export interface SeenHead {
  seq: number;
  hash: Hash;
}

/** Root statements change while heads are asked for: so often they are read again. */
const MAX_ROUNDS = 5;

/**
 * Newest heads of all the bucket's logs. `view` saves reading the statements where it is fresh;
 * `all` waits for every member that answers instead of for N − f.
 * Rejects with LogError NotEnoughReplicas, NotEnoughRoots or NoReplicaSet; NotAllowed where N − f refuse.
 */
export async function readHeads(
  link: LogLink,
  input: { owner: PublicKey; bucketId: BucketId; signal: AbortSignal; view?: RootView; all?: boolean },
): Promise<BucketState> {
  const { owner, bucketId, signal } = input;
  let view = input.view ?? (await fetchRoots(link, owner, signal)).view;
  for (let round = 0; ; round++) {
    const set = view.sets.get(bucketId);
    if (!set) throw new LogError('NoReplicaSet', `No root statement says where bucket ${bucketId} lies: it was never written.`);
    if (set.members.length === 0)
      throw new LogError('NoReplicaSet', `Bucket ${bucketId} was deleted, or is a share that was taken back.`);
    const needed = set.members.length - set.f;
    const { answers, errors } = await gather(link, {
      farmers: set.members,
      needed: input.all ? set.members.length : needed,
      graceMs: GRACE_MS,
      ask: (to, inner) => fetchHeads(link, to, { owner, bucketId }, inner),
      isDecided: (failed) => refusals(failed).length >= needed,
      signal,
    });
    const isOld = [...answers.values()].some(({ epoch }) => epoch > set.epoch);
    if (isOld && round < MAX_ROUNDS) {
      ({ view } = await fetchRoots(link, owner, signal));
      continue;
    }
    const refused = refusals(errors);
    if (refused.length >= needed) throw notAllowed(refused);
    if (answers.size < needed) {
      throw new LogError(
        'NotEnoughReplicas',
        `Only ${answers.size} of ${needed} needed replicas of bucket ${bucketId} answer (${reasons(errors)}). Try again.`,
      );
    }
    const logs = view.logs.filter((log) => log.bucketId === bucketId).map((log) => logState(log, answers, set.f));
    return { owner, bucketId, view, set, logs, answers };
  }
}

/**
 * Throws LogError RolledBack where the replicas have less of a log than was acknowledged to somebody (`known`),
 * and the owner hasn't accepted that by a reset. More than f of them were set back at once.
 */
export function checkNotRolledBack(
  { bucketId, logs, view }: Pick<BucketState, 'bucketId' | 'logs' | 'view'>,
  known: (logId: PublicKey) => number | undefined,
): void {
  for (const { log, seq } of logs) {
    const acknowledged = known(log.logId) ?? 0;
    const reset = view.resets.get(bucketId)?.get(log.logId);
    if (acknowledged <= seq || (reset && reset.seq <= seq)) continue;
    throw new LogError(
      'RolledBack',
      `The replicas have log ${log.logId.slice(0, 16)} of bucket ${bucketId} up to batch ${seq}, and batch ${acknowledged} was acknowledged. Bring back the farmers that have it; if the farm was restored from a back-up, \`storj reset\` shows what is left and, with the owner's words, accepts it: what came later is lost.`,
    );
  }
}

/** Pure: newest heads that were acknowledged for sure. What fewer members have may yet turn out not to count. */
export function acknowledgedHeads({ logs, set }: Pick<BucketState, 'logs' | 'set'>): KnownHead[] {
  const sure = logs.filter(({ seq, holders }) => seq > 0 && holders.length > set.f);
  return sure.map(({ log: { logId }, seq, hash }) => ({ logId, seq, hash }));
}

/** Pure: what counts of a log by these answers. */
export function logState(log: LogView, answers: ReadonlyMap<PublicKey, BucketHeads>, f: number): LogState {
  const heads = [...answers].flatMap(([farmer, { logs }]) =>
    logs.filter(({ logId }) => logId === log.logId).map((head) => ({ farmer, ...head })),
  );
  // Of two hashes for one number (a broken writer) all readers take the same, the closing's if it says.
  const best = heads.reduce<SeenHead>(
    (newest, { seq, hash }) => (seq > newest.seq || (seq === newest.seq && hash < newest.hash) ? { seq, hash } : newest),
    { seq: 0, hash: NO_HASH },
  );
  const { closed } = log;
  const counts = closed && best.seq >= closed.lastSeq ? { seq: closed.lastSeq, hash: closed.lastHash } : best;
  const holders = heads.filter(({ seq, hash }) => seq > counts.seq || (seq === counts.seq && hash === counts.hash));
  return {
    log,
    ...counts,
    sealed: heads.some(({ sealed }) => sealed),
    holders: holders.map(({ farmer }) => farmer),
    firstSeq: holders.map(({ firstSeq }) => firstSeq).sort((a, b) => a - b)[Math.min(f, holders.length - 1)] ?? Infinity,
  };
}

/**
 * Batches after `since` (newest seen head by log id, or its number alone), log by log, each log in order. A log whose head lies
 * below `since` gives nothing: older heads are never believed. `state` comes from readHeads, so the caller
 * knows up to where it reads. Throws LogError Damaged where no replica gives what follows on `since`, Forked where
 * what does follows on another batch of that number (two copies of a writer's state were in use).
 */
export async function* readBatches(
  link: LogLink,
  input: { state: BucketState; since: ReadonlyMap<PublicKey, SeenHead | number>; keys: PartKeys; signal: AbortSignal },
): AsyncGenerator<ReadBatch, void, undefined> {
  for (const log of input.state.logs) {
    const seen = input.since.get(log.log.logId) ?? { seq: 0, hash: NO_HASH };
    const from = typeof seen === 'number' ? { seq: seen, hash: seen === 0 ? NO_HASH : null } : seen;
    for await (const batch of readRaw(link, input.state, log, from, input.signal)) yield opened(log.log, batch, input.keys);
  }
}

interface VerifiedBatch {
  header: BatchHeader;
  hash: Hash;
  bytes: Uint8Array;
}

/** The batches of one log after `from` up to what counts, from one holder after the other. */
async function* readRaw(
  link: LogLink,
  { owner }: BucketState,
  log: LogState,
  from: { seq: number; hash: Hash | null },
  signal: AbortSignal,
): AsyncGenerator<VerifiedBatch, void, undefined> {
  const sources = [...log.holders];
  let head: ReadTo = { logId: log.log.logId, ...from };
  let lastError: unknown = new Error('no replica holds it');
  while (head.seq < log.seq) {
    const source = sources[0];
    if (source === undefined) {
      if (lastError instanceof LogError) throw lastError;
      throw new LogError('Damaged', `No replica gives batch ${head.seq + 1} of log ${head.logId}: ${String(lastError)}`, {
        cause: lastError,
      });
    }
    try {
      const batches = await readSome(link, source, owner, head, log.seq, signal);
      for (const batch of batches) {
        head = { ...head, seq: batch.header.seq, hash: batch.hash };
        yield batch;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      lastError = error;
      sources.shift();
    }
  }
}

/** Up to where it was read; without a hash where the reader only knows the number. */
interface ReadTo {
  logId: PublicKey;
  seq: number;
  hash: Hash | null;
}

async function readSome(
  link: LogLink,
  source: PublicKey,
  owner: PublicKey,
  head: ReadTo,
  lastSeq: number,
  signal: AbortSignal,
): Promise<VerifiedBatch[]> {
  const to = link.addressOf(source);
  if (!to) throw new Error('The farm does not know this replica any more.');
  const limit = link.runtime.deadline(link.answerTimeoutMs, signal);
  const found = await readLog(link, to, { owner, logId: head.logId, fromSeq: head.seq + 1 }, limit);
  const batches: VerifiedBatch[] = [];
  let before: ReadTo = head;
  for (const bytes of found) {
    const batch = { ...verifyBatch(bytes), bytes };
    if (batch.header.seq > lastSeq) break;
    const expected = { ...before, hash: before.hash ?? batch.header.prevHash };
    if (!follows(batch, expected)) {
      const message = `Batch ${batch.header.seq} of log ${head.logId} doesn't follow on the batch ${before.seq} that was read.`;
      throw batch.header.seq === before.seq + 1 ? new LogError('Forked', message) : new Error(message);
    }
    before = { ...before, seq: batch.header.seq, hash: batch.hash };
    batches.push(batch);
  }
  if (batches.length === 0) throw new Error('The replica has less than its head said.');
  return batches;
}

function opened(log: LogView, { header, hash, bytes }: VerifiedBatch, keys: PartKeys): ReadBatch {
  const empty = { log, header, hash, bytes, entries: null, heads: [], repair: null, placements: [] };
  // What a log may hold is said by who opened it: a repairer's entries count nowhere.
  if (header.kind !== log.kind) return empty;
  if (header.kind === 'placements') return { ...empty, placements: readPlacements(bytes) };
  const owner = keys.ownerPartKey ? openOwnerPart(bytes, keys.ownerPartKey(log.logId)) : null;
  const repair = openAny(bytes, keys.repairPartKeys?.(log.logId) ?? []);
  const content = { entries: owner?.entries ?? null, repair };
  // Under a grant only what it allows counts, for every reader.
  const counts = log.grants ? countingPart(log.grants, header, content) : content;
  return { ...empty, ...counts, heads: owner?.heads ?? [] };
}

function openAny(bytes: Uint8Array, candidates: readonly Uint8Array[]): RepairPart | null {
  for (const key of candidates) {
    try {
      return openRepairPart(bytes, key);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }
  return null;
}
