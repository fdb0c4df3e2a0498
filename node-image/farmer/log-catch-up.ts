// After a start: newer heads and missing batches are taken from the other replicas before this farmer
// answers for its logs. A store that was set back by a snapshot can't know it; the others do.
//
// How many others: a batch was acknowledged by f + 1 of the N members. If this farmer was one of them and was set
// back, f others have it, and any N − f of the N − 1 others include one of those. A farm that starts whole, or misses
// f − 1 members besides, gives so many answers at once. With f members missing N − f − 1 others are left: what they
// and this farmer say is all that is left to read, and who was set back among them can't be told. So they are enough,
// but only when the missing ones are known as lost or have had time to come: set back and away is f + 1 faults then.
//
// A new member does the same when its set begins: of what was acknowledged last under the set before, f of those that stay
// may be the only ones that know, and where they are gone readers believe the others and the new one. So it answers
// when it has heard N − f of the set before, each after it knew of the new set and acknowledged nothing more under the old.
import { pause, type Runtime } from '#node/log/runtime.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { bucketHeads, encodeCallHead, type BucketHeads } from '#node/wire/calls.ts';
import { collect, unframeAll } from '#node/wire/framing.ts';
import type { LogView, ReplicaSet, RootView } from '#node/wire/root-view.ts';
import { MAX_BATCH_BYTES, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { LogStore } from './log-store.ts';
import { fetchStatements, type OwnerLookup } from './owner-lookup.ts';
import { putStatements } from './roots-handover.ts';
import type { RootsStore } from './roots-store.ts';
import type { Store } from './store.ts';

const ASK_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;
/** As long as the others may be starting, too: until a bucket is caught up, nobody reads it here. */
const EARLY_PAUSE_MS = 1_000;
/** Whoever asks for a bucket that wasn't known at the start waits for the dead among the others so long, once. */
const ASK_ON_DEMAND_MS = 1000;
/** Members that have been away for so long since the start don't come with it: the time after which farmers count as offline. */
const PATIENCE_MS = 60_000;
/** Buckets that are caught up at once. */
const AT_ONCE = 4;
/** Buckets remembered as caught up; one that was forgotten is asked about once more. */
const MAX_REMEMBERED = 100_000;

export interface CatchUp {
  /**
   * Whether this farmer's word on the bucket's logs counts. A bucket that wasn't known at the start is asked about
   * now: it may be new, or its first statement may have been lost with the rest when the store was set back.
   */
  isCaughtUp(owner: PublicKey, bucketId: BucketId): Promise<boolean>;
  /** Whether the bucket was known at the start and others may know more of it: also that one of its logs is sealed. */
  isBehind(owner: PublicKey, bucketId: BucketId): boolean;
  /** Whether another member has said so. A store that was set back forgets what it sealed. */
  isSealedElsewhere(logId: PublicKey): boolean;
  /** Goes on with the buckets that were known at the start, and with those of whose sets it becomes a member, until the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}

export interface CatchUpOptions {
  store: Store;
  roots: RootsStore;
  logs: LogStore;
  owners: OwnerLookup;
  network: Network;
  /** null = not known to the farm (yet), or lost. */
  addressOf: (farmer: PublicKey) => FarmerAddress | null;
  runtime: Runtime;
}
interface Bucket {
  owner: PublicKey;
  bucketId: BucketId;
}

/** Answers of other members that are needed. `known` = others that the farm hasn't given up. */
function answersNeeded({ members, f }: ReplicaSet, { hasWaited, known }: { hasWaited: boolean; known: number }): number {
  const least = Math.max(0, members.length - 1 - f);
  return hasWaited ? least : Math.max(least, Math.min(known, members.length - f));
}

export function catchUp(options: CatchUpOptions): CatchUp {
  const { store, roots, owners, network, runtime } = options;
  const pending = new Map<string, Bucket>();
  /** Buckets whose set began after the start and leaves this farmer to ask the set before. */
  const joined = new Map<string, Bucket>();
  /** By bucket: the epoch under which this farmer was a member and caught up; 0 = it was no member. */
  const caughtUp = new Map<string, number>();
  const underWay = new Map<string, Promise<boolean>>();
  const sealedElsewhere = new Set<PublicKey>();
  const stopped = new AbortController();
  let hasWaited = false;
  const nameOf = ({ owner, bucketId }: Bucket) => `${owner}/${bucketId}`;
  for (const bucket of bucketsOf(store, roots, network.self)) pending.set(nameOf(bucket), bucket);
  const remember = (name: string, epoch: number) => {
    pending.delete(name);
    joined.delete(name);
    patience.delete(name);
    caughtUp.delete(name);
    caughtUp.set(name, epoch);
    if (caughtUp.size > MAX_REMEMBERED) caughtUp.delete(caughtUp.keys().next().value ?? '');
  };
  const isCurrent = (bucket: Bucket): boolean => {
    const name = nameOf(bucket);
    const epoch = caughtUp.get(name);
    if (epoch === undefined) return false;
    const { set, before } = setsOf(roots.view(bucket.owner), bucket.bucketId, network.self);
    if (!set || set.epoch === epoch) return true;
    if (before.isOwed || before.set?.epoch !== epoch) return false;
    remember(name, set.epoch);
    return true;
  };
  /** By bucket, of those that have to ask the set before: whether its members have had time to answer under this epoch. */
  const patience = new Map<string, { epoch: number; isOver: boolean }>();
  const patienceOf = (name: string, epoch: number, signal: AbortSignal) => {
    const known = patience.get(name);
    if (known?.epoch === epoch) return known;
    const fresh = { epoch, isOver: false };
    patience.set(name, fresh);
    void pause(runtime, PATIENCE_MS, signal).then(() => (fresh.isOver = true));
    return fresh;
  };
  // Whatever goes wrong with one bucket, it is tried again and the others go on.
  const attempt = async (bucket: Bucket, askMs: number, signal: AbortSignal) => {
    const name = nameOf(bucket);
    const known = setsOf(roots.view(bucket.owner), bucket.bucketId, network.self);
    // Epochs are counted without a gap: the set before has to be heard of before anybody can be asked.
    const isGap = known.set !== null && known.set.epoch > (known.before.set?.epoch ?? 0) + 1;
    if (isGap) await owners.refresh(bucket.owner, signal).catch(() => {});
    const { set, before } = setsOf(roots.view(bucket.owner), bucket.bucketId, network.self);
    const hasWaitedBefore = set !== null && before.isOwed && patienceOf(name, set.epoch, signal).isOver;
    const onSealed = (logId: PublicKey) => sealedElsewhere.add(logId);
    const how = { hasWaited, hasWaitedBefore, askMs, onSealed };
    const epoch = await catchUpBucket(options, bucket, how, signal).catch(() => null);
    if (epoch === null) return false;
    remember(name, epoch);
    return true;
  };
  let wake = () => {};
  roots.onChange((owner) => {
    const view = roots.view(owner);
    for (const bucketId of view.sets.keys()) {
      const bucket = { owner, bucketId };
      const name = nameOf(bucket);
      if (!setsOf(view, bucketId, network.self).before.isOwed || pending.has(name) || isCurrent(bucket)) continue;
      joined.set(name, bucket);
      wake();
    }
  });
  const onDemand = async (bucket: Bucket) => {
    const { owner, bucketId } = bucket;
    if (!roots.view(owner).sets.has(bucketId)) {
      await owners.refresh(owner, stopped.signal);
      if (owners.refreshedMs(owner) === null) return false;
    }
    return await attempt(bucket, ASK_ON_DEMAND_MS, stopped.signal);
  };
  return {
    isBehind: (owner, bucketId) => pending.has(nameOf({ owner, bucketId })),
    isSealedElsewhere: (logId) => sealedElsewhere.has(logId),
    async isCaughtUp(owner, bucketId) {
      const bucket = { owner, bucketId };
      const name = nameOf(bucket);
      if (isCurrent(bucket)) return true;
      if (pending.has(name) || stopped.signal.aborted) return false;
      const asking =
        underWay.get(name) ??
        onDemand(bucket)
          .catch(() => false)
          .finally(() => underWay.delete(name));
      underWay.set(name, asking);
      return await asking;
    },
    async run(signal) {
      const stop = () => {
        stopped.abort(signal.reason);
        wake();
      };
      signal.addEventListener('abort', stop, { once: true });
      void pause(runtime, PATIENCE_MS, signal).then(() => (hasWaited = true));
      for (
        let pauseMs = FIRST_PAUSE_MS;
        !signal.aborted;
        pauseMs = Math.min(2 * pauseMs, hasWaited ? LONGEST_PAUSE_MS : EARLY_PAUSE_MS)
      ) {
        if (pending.size + joined.size === 0) {
          await new Promise<void>((resolve) => (wake = resolve));
          pauseMs = FIRST_PAUSE_MS;
        }
        const todo = [...pending.values(), ...joined.values()];
        const worker = async () => {
          for (let bucket = todo.pop(); bucket && !signal.aborted; bucket = todo.pop()) await attempt(bucket, ASK_MS, signal);
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
        if (pending.size + joined.size > 0) await pause(runtime, pauseMs, signal);
      }
    },
  };
}

/** Those with logs here, and those whose replica set names this farmer. */
function bucketsOf(store: Store, roots: RootsStore, self: PublicKey): Bucket[] {
  const buckets = store.index.logs.buckets();
  for (let after: PublicKey | '' = ''; ;) {
    const owners = store.index.statements.ownersNaming(self, after, 1000);
    for (const owner of owners) for (const bucketId of roots.view(owner).sets.keys()) buckets.push({ owner, bucketId });
    if (owners.length < 1000) return buckets;
    after = owners.at(-1)!;
  }
}

interface SetsOf {
  /** Null where this farmer is no member. */
  set: ReplicaSet | null;
  before: { set: ReplicaSet | null; isOwed: boolean };
}

/**
 * Pure: the bucket's set, the one before it, and whether what was acknowledged last under that one may be unknown to
 * N − f of this set as long as this farmer hasn't asked. Where a new member asks, that is enough: who leaves out f of
 * the others believes it. Where nobody is new, or more may be left out than before, all have to.
 */
function setsOf(view: RootView, bucketId: BucketId, self: PublicKey): SetsOf {
  const set = view.sets.get(bucketId) ?? null;
  if (!set?.members.includes(self)) return { set: null, before: { set: null, isOwed: false } };
  const before = view.setsBefore.get(bucketId) ?? null;
  const isNew = (member: PublicKey) => before?.members.includes(member) === false;
  const isOwed = before !== null && (isNew(self) || !set.members.some(isNew) || set.f > before.f);
  return { set, before: { set: before, isOwed } };
}

/** Of the set before: those that have answered are enough, `heard` among them. Who left and isn't lost is waited for. */
function hasHeardBefore(
  { members, f }: ReplicaSet,
  { heard, isKnown, mayStillCome }: Record<'heard' | 'isKnown' | 'mayStillCome', (member: PublicKey) => boolean>,
): boolean {
  const needed = Math.min(members.length - f, members.filter(isKnown).length);
  return members.filter((member) => heard(member) || (isKnown(member) && !mayStillCome(member))).length >= needed;
}

/** The epoch under which enough members have answered and everything newer is here, 0 where this farmer is no member; else null. */
async function catchUpBucket(
  options: CatchUpOptions,
  { owner, bucketId }: Bucket,
  how: { hasWaited: boolean; hasWaitedBefore: boolean; askMs: number; onSealed: (logId: PublicKey) => void },
  signal: AbortSignal,
): Promise<number | null> {
  const { roots, logs, network, runtime, addressOf } = options;
  const { hasWaited, hasWaitedBefore, askMs, onSealed } = how;
  const { self } = network;
  const { set, before } = setsOf(roots.view(owner), bucketId, self);
  if (!set) return 0;
  const owed = before.isOwed ? before.set : null;
  const others = [...new Set([...set.members, ...(owed?.members ?? [])])]
    .filter((member) => member !== self)
    .map(addressOf)
    .filter((to) => to !== null);
  const answers = await Promise.allSettled(
    others.map(async (to) => {
      const limit = runtime.deadline(askMs, signal);
      const ask = () => askHeads(network, to, { owner, bucketId }, limit);
      const teach = async () => {
        await putStatements(network, to, owner, roots.statements(owner), limit);
        return await ask();
      };
      let heads = await ask().catch(async (error: unknown) => {
        if (!(error instanceof CallError) || error.code !== 'Forbidden') throw error;
        // It hasn't been told yet that we are fellows.
        return await teach();
      });
      // What it acknowledges under the set before from now on it would not have told us.
      if (heads.epoch < set.epoch) heads = await teach();
      if (namesUnknown(roots.view(owner), bucketId, heads)) {
        await roots.put(owner, await fetchStatements(network, to, owner, limit));
      }
      return { to, heads };
    }),
  );
  const good = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  for (const { heads } of good) for (const log of openedAndSealed(roots.view(owner), bucketId, heads)) onSealed(log);
  for (const log of roots.view(owner).logs) {
    if (log.bucketId === bucketId) await takeNewer(options, owner, log, good, signal);
  }
  const isBehind = ({ heads }: Answered) =>
    roots.view(owner).logs.some((log) => {
      const { seq, sealed } = logs.head({ owner, ...log });
      // Sealed here and not closed yet: no batch behind this head was ever acknowledged here, and none will be.
      return seq < endOf(log, heads) && !(sealed && !log.closed);
    });
  const now = roots.view(owner).sets.get(bucketId);
  // Another set than was asked: the next attempt asks its members.
  if (now?.epoch !== set.epoch) return now !== undefined && !now.members.includes(self) ? 0 : null;
  const heard = good.filter((answered) => !isBehind(answered));
  const ofSet = (farmers: readonly FarmerAddress[]) => farmers.filter(({ farmer }) => set.members.includes(farmer)).length;
  const isEnough = ofSet(heard.map(({ to }) => to)) >= answersNeeded(set, { hasWaited, known: ofSet(others) });
  const isEnoughBefore =
    !owed ||
    hasHeardBefore(owed, {
      heard: (member) => member === self || heard.some(({ to, heads }) => to.farmer === member && heads.epoch >= set.epoch),
      isKnown: (member) => member === self || others.some(({ farmer }) => farmer === member),
      mayStillCome: (member) => !hasWaitedBefore || !set.members.includes(member),
    });
  return isEnough && isEnoughBefore ? set.epoch : null;
}

/** A member knows a newer set, or a log that isn't known here, or has sealed one that isn't closed here: statements may be missing. */
function namesUnknown(view: RootView, bucketId: BucketId, heads: BucketHeads): boolean {
  const known = new Set(view.logs.filter((log) => log.bucketId === bucketId).map(({ logId }) => logId));
  return (
    heads.epoch > (view.sets.get(bucketId)?.epoch ?? 0) ||
    heads.logs.some(({ logId }) => !known.has(logId)) ||
    openedAndSealed(view, bucketId, heads).length > 0
  );
}

/** Logs that the member has sealed, and that no statement known here closes. */
function openedAndSealed({ logs }: RootView, bucketId: BucketId, heads: BucketHeads): PublicKey[] {
  const open = new Set(logs.filter((log) => log.bucketId === bucketId && !log.closed).map(({ logId }) => logId));
  return heads.logs.filter(({ logId, sealed }) => sealed && open.has(logId)).map(({ logId }) => logId);
}

interface Answered {
  to: FarmerAddress;
  heads: BucketHeads;
}

/** How far a member has a log, as far as that counts. */
function endOf({ logId, closed }: LogView, { logs }: BucketHeads): number {
  const seq = logs.find((one) => one.logId === logId)?.seq ?? 0;
  return Math.min(seq, closed?.lastSeq ?? seq);
}

async function askHeads(network: Network, to: FarmerAddress, bucket: Bucket, signal: AbortSignal): Promise<BucketHeads> {
  const call = { operation: 'log.heads', head: encodeCallHead('log.heads', bucket) } as const;
  const answer = await network.call(to, call, signal);
  return bucketHeads.decode(await collect(answer.body, bucketHeads.maxBytes));
}

/**
 * Every batch of a log that a member has and we haven't. First from those that have dropped the least: where
 * what comes next is gone everywhere, the log goes on behind the gap. A log that stands elsewhere on another
 * hash is its writer's affair.
 */
async function takeNewer(
  { logs, network, runtime }: CatchUpOptions,
  owner: PublicKey,
  log: LogView,
  members: readonly Answered[],
  signal: AbortSignal,
): Promise<void> {
  const { logId, bucketId, kind, closed } = log;
  const firstSeq = ({ heads }: Answered) => heads.logs.find((one) => one.logId === logId)?.firstSeq ?? 1;
  for (const member of members.toSorted((a, b) => firstSeq(a) - firstSeq(b))) {
    for (let head = logs.head({ owner, bucketId, logId }).seq; head < endOf(log, member.heads);) {
      const from = { owner, logId, fromSeq: Math.max(head + 1, firstSeq(member)) };
      const taken = await readBatches(network, member.to, from, runtime.deadline(ASK_MS, signal))
        .then((batches) =>
          logs.append({ owner, bucketId, logId, epoch: 0, firstSeq: from.fromSeq, kind, closing: closed }, batches),
        )
        .catch(() => null);
      if (!taken || taken.seq <= head) break;
      head = taken.seq;
    }
  }
}

async function readBatches(
  network: Network,
  to: FarmerAddress,
  from: { owner: PublicKey; logId: PublicKey; fromSeq: number },
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const head = encodeCallHead('log.read', { ...from, maxBytes: MAX_BATCH_BYTES });
  const answer = await network.call(to, { operation: 'log.read', head }, signal);
  return unframeAll(await collect(answer.body, 2 * MAX_BATCH_BYTES), MAX_BATCH_BYTES);
}
