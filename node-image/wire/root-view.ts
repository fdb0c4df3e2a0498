// What an owner's root statements mean together: a pure function of the set, whatever the order.
// A statement counts only if its signature is right and its signer may say this.
import { checkTime, GrantError, revocationsOf, type LogGrant } from '#node/core/grants.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { WireError } from './codec.ts';
import { decodeGrantChain, provenRights } from './grants.ts';
import { signStatement, verifySigned } from './statements.ts';
import {
  ACCOUNT_BUCKET_ID,
  type BucketId,
  type CheckpointStatement,
  type Hash,
  type LogClosedStatement,
  type LogOpenedStatement,
  type PublicKey,
  type ReplicaSetStatement,
  type RevocationStatement,
  type RoleStatement,
  type RootStatement,
  type SealOrder,
  type ShareStatement,
  type Signed,
  type WarrantStatement,
} from './types.ts';

interface Closing {
  lastSeq: number;
  lastHash: Hash;
  closedMs: number;
}
export interface LogView {
  logId: PublicKey;
  bucketId: BucketId;
  writer: PublicKey;
  /** A repairer's log holds placements and nothing else counts in it; a writer's log holds entries. */
  kind: 'entries' | 'placements';
  openedMs: number;
  /** Where its writer has no role: what counts of it is what these allow (core/grants.ts). */
  grants?: LogGrant[];
  /** It counts up to here. */
  closed?: Closing;
}

export interface ReplicaSet {
  epoch: number;
  f: number;
  /** None: the bucket was deleted, or the share has ended. Its logs are not read any more. */
  members: PublicKey[];
}

/** By log: up to where it counts, and when that was said last. */
type ResetHeads = Map<PublicKey, { seq: number; issuedMs: number }>;

export interface RootView {
  owner: PublicKey;
  roles: RoleStatement[];
  /** By openedMs, then logId. */
  logs: LogView[];
  /** The highest epoch of each bucket. */
  sets: Map<BucketId, ReplicaSet>;
  /** The epoch below that one: what was acknowledged last under it, its members know. */
  setsBefore: Map<BucketId, ReplicaSet>;
  /** Those of the highest repair epoch: who may act now. */
  warrantSet: WarrantStatement[];
  /** All, oldest first: whose placements still count, and which repair keys there were. */
  warrants: WarrantStatement[];
  /** Oldest first. */
  revocations: RevocationStatement[];
  shares: ShareStatement[];
  /** The newest of each bucket and the one before it, newest first. */
  checkpoints: Map<BucketId, CheckpointStatement[]>;
  /** Of each bucket: where logs ended when the farm was restored, the lowest of all resets. */
  resets: Map<BucketId, ResetHeads>;
  /** What doesn't count, and why. */
  rejected: { statement: Signed<RootStatement>; reason: string }[];
}

/** Reads the set. Statements of other owners, unsigned ones and those whose signer has no say land in `rejected`. */
export function rootView(owner: PublicKey, statements: Iterable<Signed<RootStatement>>): RootView {
  const rejected: RootView['rejected'] = [];
  const good: Signed<RootStatement>[] = [];
  for (const statement of inOrder(statements)) {
    const reason = flaw(owner, statement);
    if (reason) rejected.push({ statement, reason });
    else good.push(statement);
  }
  const view: RootView = {
    owner,
    roles: [],
    logs: [],
    sets: new Map(),
    setsBefore: new Map(),
    warrants: [],
    warrantSet: [],
    revocations: [],
    shares: [],
    checkpoints: new Map(),
    resets: new Map(),
    rejected,
  };
  const pass = (kind: RootStatement['kind'], take: (statement: Signed<RootStatement>) => string | null) => {
    for (const statement of good.filter(({ body }) => body.kind === kind)) {
      const reason = take(statement);
      if (reason) rejected.push({ statement, reason });
    }
  };
  // Roles, warrants and revocations first: they say who may say the rest.
  pass('role', (statement) => takeRole(view, statement));
  pass('warrant', (statement) => takeWarrant(view, statement));
  pass('revocation', (statement) => takeRevocation(view, statement));
  pass('share', (statement) => takeShare(view, statement));
  pass('log-opened', (statement) => takeLog(view, statement));
  view.logs.sort((a, b) => a.openedMs - b.openedMs || (a.logId < b.logId ? -1 : 1));
  pass('log-closed', (statement) => takeClosing(view, statement));
  pass('replica-set', (statement) => takeSet(view, statement));
  pass('reset', (statement) => takeReset(view, statement));
  pass('checkpoint', (statement) => takeCheckpoint(view, statement));
  return view;
}

/** Whether a warrant of the newest set lets it act for this owner. */
export function isRepairer(view: RootView, peer: PublicKey): boolean {
  return view.warrantSet.some(({ repairer }) => repairer === peer);
}

/** Has that role, on that bucket or on all. A keeper may also write, a writer may also read. */
export function hasRole(view: RootView, subject: PublicKey, role: RoleStatement['role'], bucketId: BucketId): boolean {
  const enough = { reader: ['reader', 'writer', 'keeper'], writer: ['writer', 'keeper'], keeper: ['keeper'] }[role];
  return (
    subject === view.owner ||
    view.roles.some(
      (one) => one.subject === subject && enough.includes(one.role) && (one.bucketId === '*' || one.bucketId === bucketId),
    )
  );
}

/** A keeper, the owner or the log's writer may order its end. */
export function verifySealOrder(order: Signed<SealOrder>, view: RootView): boolean {
  const { owner, bucketId, logId } = order.body;
  const isWriter = view.logs.some((log) => log.logId === logId && log.bucketId === bucketId && log.writer === order.signer);
  const maySeal = isWriter || hasRole(view, order.signer, 'keeper', bucketId);
  return owner === view.owner && maySeal && verifySigned(order);
}

/** Signs a root statement; the type makes sure that it is one. */
export function signRootStatement(key: KeyPair, body: RootStatement): Signed<RootStatement> {
  return signStatement(key, body);
}

function flaw(owner: PublicKey, statement: Signed<RootStatement>): string | null {
  if (statement.body.owner !== owner) return 'It speaks for another owner.';
  return verifySigned(statement) ? null : 'Its signature is wrong.';
}

/** By bytes, each once: the order in which statements arrive must not matter. */
function inOrder(statements: Iterable<Signed<RootStatement>>): Signed<RootStatement>[] {
  const sorted = [...statements].sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  return sorted.filter((one, i) => i === 0 || Buffer.compare(sorted[i - 1]!.bytes, one.bytes) !== 0);
}

function takeRole(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'role') return null;
  if (signer !== view.owner) return 'Only the owner gives roles.';
  view.roles.push(body);
  return null;
}

function takeWarrant(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'warrant') return null;
  if (!mayKeep(view, signer, '*')) return 'Only the owner or a keeper of all buckets gives warrants.';
  view.warrants.push(body);
  view.warrants.sort((a, b) => a.issuedMs - b.issuedMs || a.repairEpoch - b.repairEpoch);
  const newest = Math.max(...view.warrants.map(({ repairEpoch }) => repairEpoch));
  view.warrantSet = view.warrants.filter(({ repairEpoch }) => repairEpoch === newest);
  return null;
}

function takeLog(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'log-opened') return null;
  const { logId, bucketId, writer, openedMs } = body;
  if (signer !== writer) return 'Only the writer itself names its log.';
  const isRepairer = view.warrants.some((warrant) => warrant.repairer === writer);
  const isWriter = hasRole(view, writer, 'writer', bucketId);
  const grant = isWriter || isRepairer ? null : logGrant(view, body);
  if (typeof grant === 'string') return grant;
  const kind = isWriter || grant ? 'entries' : 'placements';
  const log: LogView = { logId, bucketId, writer, kind, openedMs, ...(grant ? { grants: [grant] } : {}) };
  const same = view.logs.findIndex((one) => one.logId === logId && one.bucketId === bucketId && one.writer === writer);
  if (same >= 0) view.logs[same] = together(view.logs[same]!, log);
  else view.logs.push(log);
  return null;
}

/** The same log named again: after a renewal it goes on under one more grant. */
function together(a: LogView, b: LogView): LogView {
  const grants = a.grants && b.grants ? { grants: [...a.grants, ...b.grants] } : {};
  return { ...b, ...grants, openedMs: Math.min(a.openedMs, b.openedMs) };
}

/** The grant under which a writer without a role opens its log; a text says why it doesn't count. */
function logGrant(view: RootView, { grant, bucketId, logId, writer, openedMs }: LogOpenedStatement): LogGrant | string {
  if (!grant) return 'Its writer has neither a role on the bucket, nor a grant, nor a warrant.';
  try {
    const isIssuer = (issuer: PublicKey, granted: BucketId | '*') => mayKeep(view, issuer, granted);
    const rights = provenRights(decodeGrantChain(grant), { owner: view.owner, holder: writer, isIssuer });
    checkTime(rights, openedMs);
    const isOfBucket = rights.bucketId === bucketId || (rights.bucketId === '*' && bucketId !== ACCOUNT_BUCKET_ID);
    const mayWrite = rights.verbs.includes('write') || rights.verbs.includes('delete');
    if (!isOfBucket || !mayWrite) return 'The grant is not for writing to this bucket.';
    const ends = revocationsOf(rights, view.revocations).map(({ logs }) => logs.find((log) => log.logId === logId)?.lastSeq ?? 0);
    return { ...rights, countsTo: Math.min(Infinity, ...ends) };
  } catch (error) {
    if (error instanceof GrantError || error instanceof WireError) return error.message;
    throw error;
  }
}

function takeRevocation(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'revocation') return null;
  if (!mayKeep(view, signer, body.bucketId)) return 'Only the owner or a keeper of the bucket takes grants back.';
  view.revocations.push(body);
  view.revocations.sort((a, b) => a.issuedMs - b.issuedMs);
  return null;
}

function takeShare(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'share') return null;
  if (!mayKeep(view, signer, body.bucketId)) return 'Only the owner or a keeper of the bucket shares it.';
  if (view.shares.some(({ shareId }) => shareId === body.shareId)) return 'Another statement makes this share.';
  view.shares.push(body);
  return null;
}

function takeClosing(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'log-closed') return null;
  const named = view.logs.filter((log) => log.logId === body.logId && log.bucketId === body.bucketId);
  // Of a log that somebody else claims, too, nobody but a keeper can say whose it is.
  const isOwn = named.every(({ writer }) => writer === signer);
  if (!isOwn && !mayKeep(view, signer, body.bucketId))
    return "Only the owner, a keeper of the bucket or the log's writer closes it.";
  for (const log of named) if (!log.closed || outdoes(body, log.closed)) log.closed = closing(body);
  return named.length > 0 ? null : 'No statement that counts opens this log.';
}

/** Two keepers may have sealed at once: the further one loses nothing that either acknowledged. */
function outdoes(a: LogClosedStatement, b: Closing): boolean {
  return a.lastSeq > b.lastSeq || (a.lastSeq === b.lastSeq && a.lastHash < b.lastHash);
}

function closing({ lastSeq, lastHash, closedMs }: LogClosedStatement): Closing {
  return { lastSeq, lastHash, closedMs };
}

function takeSet(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'replica-set') return null;
  if (!mayKeep(view, signer, body.bucketId)) return 'Only the owner or a keeper of the bucket places its logs.';
  const { bucketId, epoch } = body;
  const newest = view.sets.get(bucketId);
  const before = view.setsBefore.get(bucketId);
  // Statements come in the order of their bytes, so that of two of one epoch all readers take the same.
  if (!newest || epoch > newest.epoch) {
    view.sets.set(bucketId, replicaSetOf(body));
    if (newest) view.setsBefore.set(bucketId, newest);
  } else if (epoch < newest.epoch && epoch > (before?.epoch ?? 0)) view.setsBefore.set(bucketId, replicaSetOf(body));
  return null;
}

function takeReset(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'reset') return null;
  if (signer !== view.owner) return 'Only the owner says that what was seen is lost.';
  const known: ResetHeads = view.resets.get(body.bucketId) ?? new Map();
  view.resets.set(body.bucketId, known);
  for (const { logId, seq } of body.heads) {
    const before = known.get(logId);
    known.set(logId, {
      seq: Math.min(seq, before?.seq ?? seq),
      issuedMs: Math.max(body.issuedMs, before?.issuedMs ?? 0),
    });
  }
  return null;
}

/** Made before the farm was restored, of batches that are lost: so are its segments. */
function isLost(view: RootView, { bucketId, covers, issuedMs }: CheckpointStatement): boolean {
  const heads = view.resets.get(bucketId);
  return covers.some(({ logId, seq }) => {
    const reset = heads?.get(logId);
    return reset !== undefined && seq > reset.seq && issuedMs <= reset.issuedMs;
  });
}

/** The one before is kept for readers that are on their way through it, and for replicas that drop what both cover. */
const KEPT_CHECKPOINTS = 2;

function takeCheckpoint(view: RootView, { body, signer }: Signed<RootStatement>): string | null {
  if (body.kind !== 'checkpoint') return null;
  if (!mayKeep(view, signer, body.bucketId)) return 'Only the owner or a keeper of the bucket makes checkpoints.';
  if (isLost(view, body)) return 'The owner has reset the bucket to before it.';
  const known = view.checkpoints.get(body.bucketId) ?? [];
  // Two of one number: the first by bytes, for all readers alike.
  if (known.some(({ number }) => number === body.number)) return null;
  const newest = [...known, body].sort((a, b) => b.number - a.number).slice(0, KEPT_CHECKPOINTS);
  view.checkpoints.set(body.bucketId, newest);
  return null;
}

/** Without checkpoints that newer ones have overtaken: nobody needs them. */
export function withoutOvertaken(view: RootView, statements: readonly Signed<RootStatement>[]): Signed<RootStatement>[] {
  return statements.filter(({ body }) => body.kind !== 'checkpoint' || !isOvertaken(view, body));
}

function isOvertaken(view: RootView, { bucketId, number }: CheckpointStatement): boolean {
  const oldest = (view.checkpoints.get(bucketId) ?? [])[KEPT_CHECKPOINTS - 1];
  return oldest !== undefined && number < oldest.number;
}

function replicaSetOf({ epoch, f, members }: ReplicaSetStatement): ReplicaSet {
  return { epoch, f, members: [...members] };
}

/** The owner, a keeper of that bucket, or a keeper of all (`*` asks for that one). */
export function mayKeep(view: RootView, signer: PublicKey, bucketId: BucketId | '*'): boolean {
  if (signer === view.owner) return true;
  return view.roles.some(
    (one) => one.subject === signer && one.role === 'keeper' && (one.bucketId === '*' || one.bucketId === bucketId),
  );
}
