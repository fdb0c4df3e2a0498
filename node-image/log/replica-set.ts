// Where the logs of a bucket lie: one set of replicas for all of them, with an epoch, changed one member at a time.
import type { KeyPair } from '#node/core/keys.ts';
import { chooseReplicas } from '#node/core/placement.ts';
import { replicaCount } from '#node/core/schemes.ts';
import { countByDomain, domainLimit, domainSizes, mostCrowded } from '#node/core/spread.ts';
import { signRootStatement, rootView, type ReplicaSet } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey, RootStatement, Signed } from '#node/wire/types.ts';
import { copyLog } from './copy-log.ts';
import { fetchHeads, putStatements } from './log-calls.ts';
import { LogError, type LogFarmer, type LogLink } from './log-link.ts';
import { logState, readHeads, type BucketState, type LogState } from './log-reader.ts';
import type { BucketLog } from './log-writer.ts';
import { gather, reasons } from './quorum.ts';
import { fetchRoots, publishRoots, union, type Roots } from './roots.ts';

/** The bucket's set as the statements say it, or a new one of epoch 1, signed by the keeper and published. */
export async function ensureReplicaSet(
  link: LogLink,
  input: { roots: Roots; bucketId: BucketId; keeper: KeyPair; signal: AbortSignal },
): Promise<{ set: ReplicaSet; roots: Roots }> {
  const { roots, bucketId, keeper, signal } = input;
  const known = roots.view.sets.get(bucketId);
  if (known?.members.length === 0) throw new LogError('NoReplicaSet', `Bucket ${bucketId} was deleted.`);
  if (known) return { set: known, roots };
  const { owner } = roots.view;
  const f = link.promise();
  const active = link.farmers().filter(({ state }) => state === 'Active');
  const members = chooseReplicas({ farmers: active, replicas: replicaCount(f, active.length), f, seed: bucketId });
  if (members.length < f + 1) {
    throw new LogError(
      'NotEnoughReplicas',
      `A bucket needs ${f + 1} farmers for its logs; ${members.length} take new ones. Try again.`,
    );
  }
  return await publishSet(link, { roots, keeper, bucketId, set: { epoch: 1, f, members }, owner, reach: [], signal });
}

/** Says that nothing of a bucket is needed any more: it was deleted, or the share has ended, and a cut covers its last state. */
export function dissolvedSet(
  keeper: KeyPair,
  about: { owner: PublicKey; bucketId: BucketId; set: ReplicaSet; nowMs: number },
): Signed<RootStatement> {
  const { owner, bucketId, set, nowMs } = about;
  return signRootStatement(keeper, {
    kind: 'replica-set',
    owner,
    bucketId,
    epoch: set.epoch + 1,
    f: 0,
    members: [],
    issuedMs: nowMs,
  });
}

export interface MemberChange {
  remove?: PublicKey;
  add?: PublicKey;
  /** The promise under the new set. */
  f: number;
}

/**
 * Pure: the next single change that the roster asks for: members that are lost or leave are replaced, a set
 * too small for the promise grows, one too large shrinks. Null = fine as it is, or nobody could take over.
 */
export function nextMemberChange(input: {
  set: ReplicaSet;
  farmers: readonly LogFarmer[];
  bucketId: BucketId;
  /** f of the farm's scheme now. */
  promise: number;
}): MemberChange | null {
  const { set, farmers, bucketId, promise } = input;
  const stateOf = (farmer: PublicKey) => farmers.find((one) => one.farmer === farmer)?.state ?? 'Lost';
  const active = farmers.filter(({ state }) => state === 'Active');
  const target = replicaCount(promise, active.length);
  const staying = set.members.filter((member) => stateOf(member) === 'Active');
  const going = set.members
    .filter((member) => stateOf(member) !== 'Active')
    .sort((a, b) => Number(stateOf(b) === 'Lost') - Number(stateOf(a) === 'Lost'));
  const [add] = chooseReplicas({ farmers: active, replicas: staying.length + 1, f: promise, seed: bucketId, placed: staying });
  const change = (remove: PublicKey | undefined, adding: PublicKey | undefined): MemberChange => {
    const count = set.members.length - (remove ? 1 : 0) + (adding ? 1 : 0);
    // A higher promise holds when the set has its full size; a lower one, and what few members can bear, at once.
    const f = Math.min(count >= target ? promise : Math.min(set.f, promise), count - 1);
    return { f: Math.max(0, f), ...(remove ? { remove } : {}), ...(adding ? { add: adding } : {}) };
  };
  if (going.length > 0) {
    if (staying.length < target && add) return change(going[0], add);
    // Enough stay without it.
    return staying.length >= target && staying.length > promise ? change(going[0], undefined) : null;
  }
  if (set.members.length < target && add) return change(undefined, add);
  const crowding = crowdingOf(set.members, active, promise);
  // The newest of those that stand closest together.
  if (set.members.length > target) return change(crowding.member ?? set.members.at(-1), undefined);
  if (crowding.member && crowding.isMendable) {
    const others = set.members.filter((member) => member !== crowding.member);
    const open = active.filter(({ farmer, domain }) => others.includes(farmer) || crowding.hasRoom(domain));
    const [better] = chooseReplicas({ farmers: open, replicas: others.length + 1, f: promise, seed: bucketId, placed: others });
    if (better) return change(crowding.member, better);
  }
  return set.f !== Math.min(promise, set.members.length - 1) ? change(undefined, undefined) : null;
}

/** Where members stand closest together: the last of the fullest domain, and whether another has room for it. */
function crowdingOf(
  members: readonly PublicKey[],
  active: readonly LogFarmer[],
  promise: number,
): { member: PublicKey | undefined; isMendable: boolean; hasRoom(domain: string): boolean } {
  const domains = new Map(active.map(({ farmer, domain }) => [farmer, domain]));
  const counts = countByDomain(members, (farmer) => domains.get(farmer));
  const limit = domainLimit(domainSizes(active), members.length, promise);
  const fullest = mostCrowded(counts, 1);
  return {
    member: members.findLast((member) => domains.get(member) === fullest),
    isMendable: mostCrowded(counts, limit) !== null,
    hasRoom: (domain) => (counts.get(domain) ?? 0) < limit,
  };
}

/**
 * Epoch + 1 with the change that is wanted of the newest set, if any, while `logs` (this process's open logs of the
 * bucket) wait. On return every batch is on f + 1 of both sets and all of them are on the new member. Resolves with the set
 * in force. Run again after a failure: the new set may be known then, or not.
 */
export async function changeMember(
  link: LogLink,
  input: {
    owner: PublicKey;
    bucketId: BucketId;
    keeper: KeyPair;
    wanted: (set: ReplicaSet) => MemberChange | null;
    logs: readonly BucketLog[];
    signal: AbortSignal;
  },
): Promise<ReplicaSet> {
  const [first, ...rest] = input.logs;
  if (first) return await first.hold(() => changeMember(link, { ...input, logs: rest }));
  const { owner, bucketId, keeper, wanted, signal } = input;
  const roots = await fetchRoots(link, owner, signal);
  const old = roots.view.sets.get(bucketId);
  if (!old) throw new LogError('NoReplicaSet', `Bucket ${bucketId} has no replicas that could change.`);
  const change = wanted(old);
  if (!change) return old;
  const members = old.members.filter((member) => member !== change.remove);
  if (change.add && !members.includes(change.add)) members.push(change.add);
  const set: ReplicaSet = { epoch: old.epoch + 1, f: change.f, members };
  // 1. What the old set acknowledged is on enough members that stay: whoever reads by the new set finds it,
  //    however early it hears of it. (With f = 0 nothing is promised in between.)
  //    Those whose volume is gone answer nobody, and are waited for in vain.
  const isLost = (member: PublicKey) => (link.farmers().find(({ farmer }) => farmer === member)?.state ?? 'Lost') === 'Lost';
  const staying = old.members.filter((member) => members.includes(member) && !isLost(member));
  await bringUp(link, { owner, bucketId, among: staying, needed: Math.min(staying.length, Math.max(old.f, set.f) + 1), signal });
  // 2. The new set is known to so many of the old members that nothing more is acknowledged under the old one,
  //    and to enough of the new ones.
  const published = await publishSet(link, { roots, keeper, bucketId, set, owner, reach: [old], signal });
  // 3. What others (a device, a repairer) had acknowledged in between, and everything for the new member. Of the members
  //    that had it those that stay may be lost by now: whoever was one before is asked, too.
  const needed = Math.max(set.f + 1, change.add ? members.length - set.f : 0);
  const must = change.add ? [change.add] : [];
  await bringUp(link, { owner, bucketId, among: members, needed: Math.min(members.length, needed), must, before: old, signal });
  return published.set;
}

/** Brings every log of the bucket to all members that answer. */
export async function syncReplicas(
  link: LogLink,
  input: { owner: PublicKey; bucketId: BucketId; signal: AbortSignal },
): Promise<{ copiedBatches: number; behind: PublicKey[] }> {
  const { set } = await readHeads(link, input);
  return await bringUp(link, { ...input, among: set.members, needed: 0 });
}

/** Signs a set and gives it to the nearest farmers, to f + 1 of its members, and to N − f of the sets before. */
async function publishSet(
  link: LogLink,
  input: {
    roots: Roots;
    keeper: KeyPair;
    bucketId: BucketId;
    set: ReplicaSet;
    owner: PublicKey;
    reach: ReplicaSet[];
    signal: AbortSignal;
  },
): Promise<{ set: ReplicaSet; roots: Roots }> {
  const { roots, keeper, bucketId, set, owner, reach, signal } = input;
  const { epoch, f, members } = set;
  const statement = signRootStatement(keeper, {
    kind: 'replica-set',
    owner,
    bucketId,
    epoch,
    f,
    members,
    issuedMs: link.runtime.nowMs(),
  });
  const all = union([...roots.statements, statement]);
  const everybody = [...new Set([...members, ...reach.flatMap((before) => before.members)])];
  const told = await gather(link, {
    farmers: everybody,
    needed: everybody.length,
    ask: (to, inner) => putStatements(link, to, owner, all, inner),
    signal,
  });
  const count = (farmers: readonly PublicKey[]) => farmers.filter((farmer) => told.answers.has(farmer)).length;
  const isKnown = count(members) > f && reach.every((before) => count(before.members) >= before.members.length - before.f);
  if (!isKnown) {
    throw new LogError(
      'NotEnoughReplicas',
      `Too few replicas of bucket ${bucketId} took the new set (${reasons(told.errors)}). Try again.`,
    );
  }
  await publishRoots(link, { owner, statements: [statement], known: roots.statements, signal });
  return { set, roots: { statements: all, view: rootView(owner, all) } };
}

/** Every log up to its newest head on at least `needed` of `among`, and on all of `must`. */
async function bringUp(
  link: LogLink,
  input: {
    owner: PublicKey;
    bucketId: BucketId;
    among: readonly PublicKey[];
    needed: number;
    must?: readonly PublicKey[];
    /** What was acknowledged under this set counts as well. */
    before?: ReplicaSet;
    signal: AbortSignal;
  },
): Promise<{ copiedBatches: number; behind: PublicKey[] }> {
  const { owner, bucketId, among, needed, must = [], before, signal } = input;
  const state = await readHeads(link, { owner, bucketId, signal, all: true });
  const { set } = state;
  const logs = before ? await logsSince(link, state, before, signal) : state.logs;
  const behind = new Set<PublicKey>();
  let copiedBatches = 0;
  for (const { log, seq, holders } of logs.filter((one) => one.seq > 0)) {
    const lacking = among.filter((member) => !holders.includes(member));
    const { answers, errors } = await gather(link, {
      farmers: lacking,
      needed: lacking.length,
      ask: ({ farmer }, inner) =>
        copyLog(link, {
          name: { owner, bucketId, logId: log.logId },
          epoch: set.epoch,
          sources: holders,
          to: farmer,
          toSeq: seq,
          signal: inner,
        }),
      signal,
    });
    for (const copied of answers.values()) copiedBatches += copied;
    for (const farmer of errors.keys()) behind.add(farmer);
    const have = among.length - errors.size;
    const missing = must.filter((farmer) => errors.has(farmer));
    if (have < needed || missing.length > 0) {
      throw new LogError(
        'NotEnoughReplicas',
        `Log ${log.logId} is on ${have} of ${needed} needed replicas (${reasons(errors)}). Try again.`,
      );
    }
  }
  return { copiedBatches, behind: [...behind] };
}

/** Heads as the members of the set before know them, too: of what was acknowledged to them one of N − f has the newest. */
async function logsSince(link: LogLink, state: BucketState, before: ReplicaSet, signal: AbortSignal): Promise<LogState[]> {
  const { owner, bucketId, set, view } = state;
  const former = before.members.filter((member) => !set.members.includes(member));
  const { answers, errors } = await gather(link, {
    farmers: former,
    needed: former.length,
    ask: (to, inner) => fetchHeads(link, to, { owner, bucketId }, inner),
    signal,
  });
  const heard = new Map([...state.answers, ...answers]);
  const [count, quorum] = [before.members.filter((member) => heard.has(member)).length, before.members.length - before.f];
  if (count < quorum) {
    throw new LogError(
      'NotEnoughReplicas',
      `Only ${count} of ${quorum} needed former replicas of bucket ${bucketId} answer (${reasons(errors)}). Try again.`,
    );
  }
  return view.logs.filter((log) => log.bucketId === bucketId).map((log) => logState(log, heard, set.f));
}
