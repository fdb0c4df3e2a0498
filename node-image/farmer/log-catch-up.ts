// After a start: newer heads and missing batches are taken from the other replicas before this farmer
// answers for its logs. A store that was set back by a snapshot can't know it; the others do. The same
// number of answers is needed as for any read, so a bucket that can't be caught up couldn't be read either.
import { pause, type Runtime } from '#node/log/runtime.ts';
import type { FarmerAddress, Network } from '#node/net/net.ts';
import { bucketHeads, encodeCallHead, type BucketHeads } from '#node/wire/calls.ts';
import { collect, unframeAll } from '#node/wire/framing.ts';
import type { LogView, ReplicaSet } from '#node/wire/root-view.ts';
import { MAX_BATCH_BYTES, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { LogStore } from './log-store.ts';
import type { RootsStore } from './roots-store.ts';
import type { Store } from './store.ts';

const ASK_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;
/** Buckets that are caught up at once. */
const AT_ONCE = 4;

export interface CatchUp {
  isCaughtUp(owner: PublicKey, bucketId: BucketId): boolean;
  /** Goes on until every bucket is caught up or the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}

export interface CatchUpOptions {
  store: Store;
  roots: RootsStore;
  logs: LogStore;
  network: Network;
  /** null = not known to the farm (yet). */
  addressOf: (farmer: PublicKey) => FarmerAddress | null;
  runtime: Runtime;
}
interface Bucket {
  owner: PublicKey;
  bucketId: BucketId;
}

/** Answers of other members that are needed: with our own they make N − f. */
function answersNeeded({ members, f }: ReplicaSet): number {
  return Math.max(0, members.length - f - 1);
}

export function catchUp(options: CatchUpOptions): CatchUp {
  const { store, roots, network, runtime } = options;
  const pending = new Map<string, Bucket>();
  const nameOf = ({ owner, bucketId }: Bucket) => `${owner}/${bucketId}`;
  for (const bucket of bucketsOf(store, roots, network.self)) pending.set(nameOf(bucket), bucket);
  return {
    isCaughtUp: (owner, bucketId) => !pending.has(nameOf({ owner, bucketId })),
    async run(signal) {
      for (let pauseMs = FIRST_PAUSE_MS; pending.size > 0 && !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
        const todo = [...pending.values()];
        const worker = async () => {
          for (let bucket = todo.pop(); bucket && !signal.aborted; bucket = todo.pop()) {
            // Whatever goes wrong with one bucket, it is tried again and the others go on.
            const isDone = await catchUpBucket(options, bucket, signal).catch(() => false);
            if (isDone) pending.delete(nameOf(bucket));
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
        if (pending.size > 0) await pause(runtime, pauseMs, signal);
      }
    },
  };
}

/** Those with logs here, and those whose replica set names this farmer. */
function bucketsOf(store: Store, roots: RootsStore, self: PublicKey): Bucket[] {
  const buckets = store.index.bucketsWithLogs();
  for (let after: PublicKey | '' = ''; ;) {
    const owners = store.index.ownersNaming(self, after, 1000);
    for (const owner of owners) for (const bucketId of roots.view(owner).sets.keys()) buckets.push({ owner, bucketId });
    if (owners.length < 1000) return buckets;
    after = owners.at(-1)!;
  }
}

/** Whether enough members have answered and everything newer is here. */
async function catchUpBucket(options: CatchUpOptions, { owner, bucketId }: Bucket, signal: AbortSignal): Promise<boolean> {
  const { roots, network, runtime, addressOf } = options;
  const set = roots.view(owner).sets.get(bucketId);
  if (!set?.members.includes(network.self)) return true;
  const others = set.members.filter((member) => member !== network.self).map(addressOf);
  const answers = await Promise.allSettled(
    others
      .filter((to) => to !== null)
      .map(async (to) => ({ to, heads: await askHeads(network, to, { owner, bucketId }, runtime.deadline(ASK_MS, signal)) })),
  );
  const good = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  for (const log of roots.view(owner).logs) {
    if (log.bucketId === bucketId) await takeNewer(options, owner, log, good, signal);
  }
  const isBehind = ({ heads }: Answered) =>
    roots.view(owner).logs.some((log) => options.logs.head({ owner, ...log }).seq < endOf(log, heads));
  return good.filter((answered) => !isBehind(answered)).length >= answersNeeded(set);
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
  const { logId, bucketId, closed } = log;
  const firstSeq = ({ heads }: Answered) => heads.logs.find((one) => one.logId === logId)?.firstSeq ?? 1;
  for (const member of members.toSorted((a, b) => firstSeq(a) - firstSeq(b))) {
    for (let head = logs.head({ owner, bucketId, logId }).seq; head < endOf(log, member.heads);) {
      const from = { owner, logId, fromSeq: Math.max(head + 1, firstSeq(member)) };
      const taken = await readBatches(network, member.to, from, runtime.deadline(ASK_MS, signal))
        .then((batches) => logs.append({ owner, bucketId, logId, epoch: 0, firstSeq: from.fromSeq, closing: closed }, batches))
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
