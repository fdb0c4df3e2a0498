// A bucket's log as its one writer sees it: group commit, acknowledged at f + 1, taken up again after a
// restart byte for byte, or sealed and followed by a new log where its state is lost. A keeper (a bridge) has
// the bucket for itself among keepers; other writers (devices) write beside it, each its own log.
import type { LogGrant } from '#node/core/grants.ts';
import { keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import { batchHash, decodeBatchHeader, NO_HASH, type KnownHead } from '#node/wire/batch.ts';
import { decodeGrantChain, grantId } from '#node/wire/grants.ts';
import { hasRole, rootView, signRootStatement, type ReplicaSet } from '#node/wire/root-view.ts';
import type { BucketId, Hash, OwnerEntry, PublicKey, RepairPart, SealedPlacement } from '#node/wire/types.ts';
import { OpenBucketLog } from './bucket-log.ts';
import { putStatements } from './log-calls.ts';
import { LogError, type LogLink } from './log-link.ts';
import { checkNotRolledBack, readHeads, type BucketState, type LogState } from './log-reader.ts';
import { ReplicaGroup } from './replica-group.ts';
import { ensureReplicaSet } from './replica-set.ts';
import { fetchRoots, publishRoots, union, type Roots } from './roots.ts';
import { sealAndClose } from './seal-log.ts';

/** What must outlive the process for the log to go on. Whoever has it is the writer. */
export interface SavedLog {
  /** Seed of the log's key, 32 bytes. */
  seed: Uint8Array;
  /** Newest acknowledged batch; 0 and NO_HASH before the first. */
  seq: number;
  hash: Hash;
  /** Batch seq + 1, which may have been sent. */
  pending: Uint8Array | null;
}
/** One for each log. `save` resolves when it is durable: a batch is sent only after that. */
export interface WriterState {
  load(): Promise<SavedLog | null>;
  save(log: SavedLog): Promise<void>;
}

export interface LogPosition {
  logId: PublicKey;
  seq: number;
  hash: Hash;
  timeMs: number;
}
/** In order, each at least once; also those that were pending when the log was opened. */
export interface AcknowledgedBatch extends LogPosition {
  entries: OwnerEntry[];
  repair: RepairPart | null;
  placements: SealedPlacement[];
}

/** Of one bucket. `grant`: the chain under which a writer without a role writes. */
export interface WriterKeys {
  bucketSecret: Uint8Array;
  repairKey: Uint8Array;
  grant?: Uint8Array | null;
}

export interface OpenLogOrder {
  link: LogLink;
  owner: PublicKey;
  bucketId: BucketId;
  /** Signs the log's opening: the bridge's key, or the repairer's. */
  writer: KeyPair;
  /**
   * `entries`: a keeper takes the bucket over, open logs of other keepers are sealed and closed. Any writer's own
   * logs of which the state is lost are. The owner's key, and that of a grant's holder, may write on many machines at
   * once: nothing is closed for it.
   */
  kind: 'entries' | 'placements';
  /** For `entries`: those of the bucket (`repairKey`: its bucket repair key). */
  keys?: WriterKeys;
  state: WriterState;
  /** Newest heads of the owner's other logs: they go into each batch. */
  knownHeads?: () => KnownHead[];
  /** Awaited before `append` resolves: makes the batch visible. What it throws ends the log. */
  onAcknowledged?: (batch: AcknowledgedBatch) => void | Promise<void>;
  /** How long an append waits for f + 1. */
  patienceMs?: number;
  /** For opening; the log itself lives until `close`. */
  signal: AbortSignal;
}

export interface BucketLog {
  readonly logId: PublicKey;
  readonly owner: PublicKey;
  readonly bucketId: BucketId;
  /** Newest acknowledged. */
  head(): LogPosition;
  set(): ReplicaSet;
  /** Members of the set that have everything acknowledged. */
  upToDate(): PublicKey[];
  /**
   * What one call carries is acknowledged as one. Rejects with LogError: TooLarge, NotSent = for sure nothing was
   * written; NotEnoughReplicas or the signal's reason = it may still come true (`onAcknowledged`); LogEnded = open again
   * and read the logs, which say whether it counts.
   */
  append(entries: readonly OwnerEntry[], repair: RepairPart, signal?: AbortSignal): Promise<LogPosition>;
  appendPlacements(placements: readonly SealedPlacement[], signal?: AbortSignal): Promise<LogPosition>;
  /** Runs `work` while nothing is being sent; afterwards the log goes on under the set that `work` returns. */
  hold(work: () => Promise<ReplicaSet>): Promise<ReplicaSet>;
  /** Resolves with the reason when this log can't go on: open again. */
  readonly ended: Promise<Error>;
  /** Stops; what isn't acknowledged stays pending in the state. */
  close(): Promise<void>;
}

const PATIENCE_MS = 30_000;

/**
 * Takes the log of `state` up again where nobody was faster, else starts a new one. What it takes over is
 * sealed and closed first, so on return whatever was acknowledged there can be read and nothing is added to it;
 * of its own log, what was pending is acknowledged.
 * Rejects with LogError NotEnoughReplicas or NotEnoughRoots: try again; NoReplicaSet: the bucket was never
 * written, and only a keeper or the owner may say where it will lie.
 */
export async function openBucketLog(order: OpenLogOrder): Promise<BucketLog> {
  const { link, owner, bucketId, writer, kind, state, signal } = order;
  if (kind === 'entries' && !order.keys) throw new TypeError('A log of entries needs keys.');
  let roots = await fetchRoots(link, owner, signal);
  if (kind === 'entries' && hasRole(roots.view, writer.publicKey, 'keeper', bucketId)) {
    const made = await ensureReplicaSet(link, { roots, bucketId, keeper: writer, signal });
    roots = made.roots;
  }
  let heads = await readHeads(link, { owner, bucketId, signal, view: roots.view });
  // Reading heads may have brought newer statements to light.
  if (heads.view !== roots.view) roots = await fetchRoots(link, owner, signal, roots.statements);
  let saved = await state.load();
  if (saved) checkSaved(saved, heads);
  if (saved && !canGoOn(saved, heads)) saved = null;
  const logId = saved ? keyPairFromSeed(saved.seed).publicKey : null;
  if (kind === 'entries') {
    roots = await closeOthers(order, roots, heads, logId);
    heads = { ...heads, view: roots.view };
  }
  saved ??= await startNew(order);
  roots = await announce(order, roots, heads.set, saved);
  if (kind === 'entries') roots = await closeLatecomers(order, roots, heads, keyPairFromSeed(saved.seed).publicKey);
  const log = start(order, roots, heads.set, saved);
  await log.resumed(signal).catch(async (error: unknown) => {
    await log.close();
    throw error;
  });
  return log;
}

/**
 * Another life of this writer may have opened a log at the same moment, and neither knew of the other's. Who reads
 * the statements after his own is published finds it, and ends it; at least one of the two does.
 */
async function closeLatecomers(order: OpenLogOrder, roots: Roots, heads: BucketState, own: PublicKey): Promise<Roots> {
  const { link, owner, bucketId, signal } = order;
  const fresh = await fetchRoots(link, owner, signal, roots.statements);
  const known = new Set(heads.logs.map(({ log }) => log.logId));
  const isNew = fresh.view.logs.some((log) => log.bucketId === bucketId && log.logId !== own && !known.has(log.logId));
  if (!isNew) return fresh;
  return await closeOthers(order, fresh, await readHeads(link, { owner, bucketId, signal, view: fresh.view }), own);
}

/** What was acknowledged to us is on f + 1 members: if N − f of them lack it, it is gone. */
function checkSaved({ seed, seq }: SavedLog, heads: BucketState): void {
  const { publicKey } = keyPairFromSeed(seed);
  checkNotRolledBack(heads, (logId) => (logId === publicKey ? seq : undefined));
}

/** Pure: whether the replicas have nothing but what this state knows of. */
function canGoOn(saved: SavedLog, { logs }: Pick<BucketState, 'logs'>): boolean {
  const { publicKey } = keyPairFromSeed(saved.seed);
  const found = logs.find(({ log }) => log.logId === publicKey);
  // Born, but its opening was never published: nobody can have anything of it.
  if (!found) return saved.seq === 0;
  if (found.log.closed || found.sealed) return false;
  if (found.seq === saved.seq) return found.hash === saved.hash;
  if (found.seq < saved.seq) return false;
  const { pending } = saved;
  return pending !== null && found.seq === decodeBatchHeader(pending).seq && found.hash === batchHash(pending);
}

/** Seals and closes every open log of entries that this writer takes over. */
async function closeOthers(order: OpenLogOrder, roots: Roots, heads: BucketState, own: PublicKey | null): Promise<Roots> {
  const { link, owner, bucketId, writer, signal } = order;
  const isKeeper = (key: PublicKey) => key !== owner && hasRole(roots.view, key, 'keeper', bucketId);
  const isTakenOver = (key: PublicKey) =>
    key === writer.publicKey ? key !== owner && !order.keys?.grant : isKeeper(writer.publicKey) && isKeeper(key);
  const isOther = ({ log }: LogState) => log.kind === 'entries' && !log.closed && log.logId !== own && isTakenOver(log.writer);
  for (const { log } of heads.logs.filter(isOther)) {
    await sealAndClose(link, { owner, bucketId, logId: log.logId, roots, set: heads.set, signer: writer, signal });
    roots = await fetchRoots(link, owner, signal, roots.statements);
  }
  return roots;
}

async function startNew({ link, state }: OpenLogOrder): Promise<SavedLog> {
  const saved: SavedLog = { seed: link.runtime.random(32), seq: 0, hash: NO_HASH, pending: null };
  await state.save(saved);
  return saved;
}

/** The statement that opens the log is where readers look, and on the replicas, before the first batch. */
async function announce(order: OpenLogOrder, roots: Roots, set: ReplicaSet, saved: SavedLog): Promise<Roots> {
  const { link, owner, bucketId, writer, signal } = order;
  const { publicKey: logId } = keyPairFromSeed(saved.seed);
  const grant = order.keys?.grant ?? null;
  const known = roots.view.logs.find((log) => log.logId === logId && log.bucketId === bucketId);
  // Under a renewed grant the log is named again: what is written from now on counts by that one.
  if (known && (!grant || !known.grants || isAmong(grant, known.grants))) return roots;
  const opening = signRootStatement(writer, {
    kind: 'log-opened',
    owner,
    bucketId,
    logId,
    writer: writer.publicKey,
    openedMs: link.runtime.nowMs(),
    grant,
  });
  const refused = rootView(owner, [...roots.statements, opening]).rejected.find(({ statement }) => statement === opening);
  if (refused) throw new LogError('NotAllowed', `This writer's log would not count: ${refused.reason}`);
  await publishRoots(link, { owner, statements: [opening], known: roots.statements, also: set.members, signal });
  return { view: roots.view, statements: union([...roots.statements, opening]) };
}

function isAmong(grant: Uint8Array, known: readonly LogGrant[]): boolean {
  const last = grantId(decodeGrantChain(grant).at(-1)!);
  return known.some(({ links }) => links.at(-1)?.id === last);
}

function start(order: OpenLogOrder, roots: Roots, set: ReplicaSet, saved: SavedLog): OpenBucketLog {
  const { link, owner, bucketId } = order;
  const logKey = keyPairFromSeed(saved.seed);
  let { statements } = roots;
  let resolveEnded: (error: Error) => void = () => {};
  const ended = new Promise<Error>((resolve) => (resolveEnded = resolve));
  const refresh = async (signal: AbortSignal) => {
    const fresh = await fetchRoots(link, owner, signal, statements);
    statements = fresh.statements;
    return fresh.view;
  };
  const group = new ReplicaGroup({
    link,
    name: { owner, bucketId, logId: logKey.publicKey },
    set,
    head: { seq: saved.seq, hash: saved.hash },
    async teach(farmer, signal) {
      const to = link.addressOf(farmer);
      if (!to) throw new LogError('NotEnoughReplicas', 'The farm does not know this replica (any more).');
      await refresh(signal);
      await putStatements(link, to, owner, statements, signal);
    },
    async newestSet(signal) {
      const view = await refresh(signal);
      return view.sets.get(bucketId) ?? set;
    },
    onEnd: resolveEnded,
  });
  return new OpenBucketLog({
    runtime: link.runtime,
    owner,
    bucketId,
    logKey,
    keys: order.keys ?? null,
    state: order.state,
    saved,
    group,
    knownHeads: order.knownHeads ?? (() => []),
    onAcknowledged: order.onAcknowledged ?? (() => {}),
    ended: { promise: ended, resolve: resolveEnded },
    patienceMs: order.patienceMs ?? PATIENCE_MS,
  });
}
