// The bridge states cuts: it reads the heads of all logs of an owner, each from f + 1 replicas or more, takes
// everything up to them into its catalog, and says in the account's log what nothing names any more. A
// catalog that lacks a batch, or has one that doesn't count, states nothing.
import type { AccountAccess } from '#node/client/account.ts';
import { endsShare } from '#node/client/shares.ts';
import { takeNews, type Catalog, type CutFacts } from '#node/catalog/catalog.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { readHeads, type BucketState } from '#node/log/log-reader.ts';
import { dissolvedSet } from '#node/log/replica-set.ts';
import { MAX_DROPPED, signCut } from '#node/wire/cuts.ts';
import type { RootView } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { Accounts } from './accounts.ts';
import type { FarmPort } from './farm-port.ts';
import type { OpenWriters } from './open-writers.ts';

export interface CutTimes {
  /** Between two cuts while something waits to be let go. */
  busyMs: number;
  /** While nothing does, but logs have grown. */
  everyMs: number;
  /** While nothing happens at all: orphans grow old enough to go all the same. */
  idleMs: number;
}
const CUT_TIMES: CutTimes = { busyMs: 60_000, everyMs: 3_600_000, idleMs: 24 * 3_600_000 };
/** A cut that took long is stated so much less often. */
const LOAD = 20;
/** Batches go on arriving while the catalog catches up with heads: so often it tries. */
const MAX_READINGS = 3;

class CutError extends Error {
  /** TooFewReplicas: a head was told by f or fewer. Behind: the catalog lacks a batch, or has one that doesn't count. */
  readonly code: 'TooFewReplicas' | 'Behind';
  constructor(code: CutError['code'], message: string) {
    super(message);
    this.name = 'CutError';
    this.code = code;
  }
}

export interface Cuts {
  /** States a cut of this owner's logs if it is time for one. Rejects with CutError, LogError, CatalogError. */
  keep(owner: PublicKey, signal: AbortSignal): Promise<void>;
  /** States one now; not if it turns out, all being read, that it isn't `due`. Answers how many segments it lets go. */
  state(owner: PublicKey, signal: AbortSignal, due?: () => boolean): Promise<number>;
}

export interface CutsOptions {
  link: LogLink;
  bridge: KeyPair;
  accounts: Accounts;
  catalog: Catalog;
  writers: OpenWriters;
  farm: FarmPort;
  times?: Partial<CutTimes>;
  onCut(owner: PublicKey, dropped: number): void;
}

interface LastCut {
  atMs: number;
  tookMs: number;
  heads: string;
  /** Buckets that were over and couldn't be read to their end: they wait for the next cut, and make none due. */
  over: ReadonlySet<BucketId>;
}

export function createCuts(options: CutsOptions): Cuts {
  const { link, bridge, accounts, catalog, writers, farm } = options;
  const times = { ...CUT_TIMES, ...options.times };
  const last = new Map<PublicKey, LastCut>();

  /** Deleted buckets and ended shares whose logs still lie somewhere. */
  const overBuckets = (owner: PublicKey): BucketId[] => {
    const view = accounts.view(owner);
    if (view === null) return [];
    const deleted = new Set(catalog.deletedBuckets(owner));
    return [...view.sets].flatMap(([bucketId, { members }]) =>
      members.length > 0 && (deleted.has(bucketId) || isEndedShare(view, bucketId)) ? [bucketId] : [],
    );
  };
  const isDue = (owner: PublicKey): boolean => {
    const before = last.get(owner);
    if (before === undefined) return true;
    const passedMs = link.runtime.elapsedMs() - before.atMs;
    if (passedMs < Math.max(times.busyMs, LOAD * before.tookMs)) return false;
    if (overBuckets(owner).some((bucketId) => !before.over.has(bucketId))) return true;
    const { heads, dropped } = catalog.cut(owner, 1);
    return dropped.length > 0 || passedMs >= (headsName(heads) === before.heads ? times.idleMs : times.everyMs);
  };

  const catchUp = async (access: AccountAccess, bucketId: BucketId, signal: AbortSignal): Promise<void> => {
    const served = writers.all().find((one) => one.bucketId === bucketId && one.access.owner === access.owner);
    if (served) return served.catchUp(signal);
    // Deleted, or another bridge's: its logs count all the same.
    const since = new Map(catalog.positions(access.owner, bucketId).map((position) => [position.logId, position]));
    for await (const news of farm.readNew(access, bucketId, since, signal)) await takeNews(catalog, news);
  };

  /** Resolves when the catalog has everything that these heads name. */
  const take = async (access: AccountAccess, state: BucketState, signal: AbortSignal): Promise<void> => {
    const { owner, bucketId, answers, set } = state;
    if (answers.size <= set.f) {
      throw new CutError('TooFewReplicas', `${answers.size} replicas of bucket ${bucketId} answer; a cut takes ${set.f + 1}.`);
    }
    for (let reading = 0; reading < MAX_READINGS; reading++) {
      if (lacking(state, catalog) === null) return;
      await catchUp(access, bucketId, signal);
    }
    const logId = lacking(state, catalog);
    if (logId !== null) throw new CutError('Behind', `The catalog isn't what log ${logId} of owner ${owner} says: no cut.`);
  };

  /** What deleted buckets and ended shares had let go is stated: farmers need not keep their logs, nor anybody read them. */
  const dissolve = async (owner: PublicKey, states: readonly BucketState[], signal: AbortSignal): Promise<void> => {
    const over = new Set(overBuckets(owner));
    const read = states.filter(({ bucketId }) => over.has(bucketId));
    if (read.length === 0) return;
    const nowMs = link.runtime.nowMs();
    const statements = read.map(({ bucketId, set }) => dissolvedSet(bridge, { owner, bucketId, set, nowMs }));
    await accounts.say(owner, statements, signal, [...new Set(read.flatMap(({ set }) => set.members))]);
  };

  const state: Cuts['state'] = async (owner, signal, due = () => true) => {
    const access = accounts.access(owner);
    if (access === null) return 0;
    const cutMs = link.runtime.nowMs();
    const atMs = link.runtime.elapsedMs();
    const account = writers.account(owner);
    const view = await accounts.refresh(owner, signal);
    const states: BucketState[] = [];
    const read = async (bucketId: BucketId) => {
      const heads = await readHeads(link, { owner, bucketId, signal, view, all: true });
      await take(access, heads, signal);
      states.push(heads);
    };
    await read(ACCOUNT_BUCKET_ID);
    const visible = new Set(catalog.buckets(owner).map(({ bucketId }) => bucketId));
    const placed = [...view.sets].flatMap(([bucketId, { members }]) => (members.length > 0 ? [bucketId] : []));
    for (const bucketId of placed) {
      if (visible.has(bucketId)) await read(bucketId);
      // A deleted one is read as far as it can be: of what it names beyond that, repairers know that no cut covers it.
      else if (bucketId !== ACCOUNT_BUCKET_ID) await read(bucketId).catch(() => signal.throwIfAborted());
    }
    if (!due()) return 0;
    const log = await account.open();
    let dropped = 0;
    for (;;) {
      const facts = catalog.cut(owner, MAX_DROPPED);
      // Once more, of this very moment: what is stated has everything that was read, and nothing beyond a log's end.
      for (const heads of states) {
        const logId = lacking(heads, catalog);
        if (logId !== null) throw new CutError('Behind', `Log ${logId} has changed under a cut.`);
      }
      await log.append([], { added: [], released: [], cuts: [signCut(bridge, owner, cutMs, facts)] }, signal);
      dropped += facts.dropped.length;
      if (facts.dropped.length < MAX_DROPPED) break;
    }
    await dissolve(owner, states, signal);
    const heads = headsName(catalog.cut(owner, 0).heads);
    last.set(owner, { atMs, tookMs: link.runtime.elapsedMs() - atMs, heads, over: new Set(overBuckets(owner)) });
    options.onCut(owner, dropped);
    return dropped;
  };

  return {
    state,
    async keep(owner, signal) {
      if (!writers.isReady(owner, ACCOUNT_BUCKET_ID) || !isDue(owner)) return;
      await state(owner, signal, () => isDue(owner));
    },
  };
}

/** A log of which the catalog lacks something, or of which it has more than counts; null = it is what the logs say. */
function lacking({ owner, bucketId, logs }: BucketState, catalog: Catalog): PublicKey | null {
  const positions = new Map(catalog.positions(owner, bucketId).map((one) => [one.logId, one]));
  const wrong = logs.find(({ log, seq, hash }) => {
    const at = positions.get(log.logId) ?? { seq: 0, hash };
    return at.seq < seq || (at.seq === seq && seq > 0 && at.hash !== hash) || at.seq > (log.closed?.lastSeq ?? Infinity);
  });
  return wrong?.log.logId ?? null;
}

/** Taken back, and everything that was written into it has its end. */
function isEndedShare({ shares, revocations, logs }: RootView, bucketId: BucketId): boolean {
  const isBack = revocations.some((one) => shares.some((share) => share.shareId === bucketId && endsShare(one, share)));
  return isBack && logs.every((log) => log.bucketId !== bucketId || log.kind !== 'entries' || log.closed !== undefined);
}

function headsName(heads: CutFacts['heads']): string {
  return (
    heads
      // The cut's own batch is no news.
      .filter(({ bucketId }) => bucketId !== ACCOUNT_BUCKET_ID)
      .map(({ logId, seq }) => `${logId} ${seq}`)
      .sort()
      .join()
  );
}
