// Others write to the same buckets, each in a log of its own: devices with a role or a grant, straight at the
// farmers. The bridge asks one replica of each bucket for its heads, another each time, and reads what is new.
// Where somebody is known to write directly that is often enough to see it within a second; the other buckets
// share a fixed number of questions.
import type { Catalog } from '#node/catalog/catalog.ts';
import { fetchHeads } from '#node/log/log-calls.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { pause, type Runtime } from '#node/log/runtime.ts';
import type { BucketHeads } from '#node/wire/calls.ts';
import { ACCOUNT_BUCKET_ID, type PublicKey } from '#node/wire/types.ts';
import type { Accounts } from './accounts.ts';
import type { BucketWriter } from './bucket-writer.ts';
import type { OpenWriters } from './open-writers.ts';

/** Between two questions about a bucket that others write to. */
const BUSY_MS = 300;
/** Quiet buckets together: a question in so many milliseconds, each at most as often as a busy one. */
const QUIET_SHARE_MS = 100;
const TICK_MS = 50;
/** Where a bucket lies of which nobody has said it yet is asked so often. */
const SETS_MS = 1_000;
const ANSWER_MS = 2_000;
const READ_MS = 30_000;
/** A head that was read for and is still ahead (it doesn't count, or not yet) is read for again after this, then rarer. */
const AGAIN_MS = 500;
const MAX_AGAIN_MS = 60_000;
/** Questions under way at once. */
const MAX_ASKING = 16;

export interface FollowersOptions {
  link: LogLink;
  runtime: Runtime;
  /** The bridge's own key: its logs it knows. */
  self: PublicKey;
  catalog: Catalog;
  accounts: Pick<Accounts, 'view' | 'refresh'>;
  writers: OpenWriters;
  /** The account has buckets that aren't served yet. */
  onNewBuckets: (owner: PublicKey) => Promise<void>;
  onTrouble: (what: string, error: unknown) => void;
  signal: AbortSignal;
}

export interface Followers {
  /** Runs until the signal aborts. */
  run(): Promise<void>;
}

export function createFollowers(options: FollowersOptions): Followers {
  const { link, runtime, self, catalog, accounts, writers, signal } = options;
  const turns = new WeakMap<BucketWriter, { askedMs: number; turn: number }>();
  /** Heads ahead of what counts, by log. */
  const ahead = new Map<PublicKey, { seq: number; waitMs: number; untilMs: number }>();
  const asking = new Set<BucketWriter>();
  const learnt = new Map<PublicKey, number>();

  const isBusy = ({ access, bucketId }: BucketWriter): boolean =>
    accounts
      .view(access.owner)
      ?.logs.some((log) => log.bucketId === bucketId && log.kind === 'entries' && log.writer !== self && !log.closed) === true;

  const due = (): BucketWriter[] => {
    const nowMs = runtime.elapsedMs();
    const ready = writers.all().filter((writer) => writer.isReady() && !asking.has(writer));
    const quietMs = Math.max(BUSY_MS, ready.length * QUIET_SHARE_MS);
    const waitedMs = (writer: BucketWriter) => nowMs - (turns.get(writer)?.askedMs ?? -Infinity);
    return ready
      .filter((writer) => waitedMs(writer) >= (isBusy(writer) ? BUSY_MS : quietMs))
      .sort((a, b) => waitedMs(b) - waitedMs(a))
      .slice(0, MAX_ASKING - asking.size);
  };

  const ask = async (writer: BucketWriter): Promise<void> => {
    const { bucketId, access } = writer;
    const { owner } = access;
    const { turn } = turns.get(writer) ?? { turn: 0 };
    turns.set(writer, { askedMs: runtime.elapsedMs(), turn: turn + 1 });
    const members = (writer.current()?.set() ?? accounts.view(owner)?.sets.get(bucketId))?.members ?? [];
    const to = members.length === 0 ? null : link.addressOf(members[turn % members.length]!);
    if (bucketId === ACCOUNT_BUCKET_ID) await followBuckets(owner);
    if (members.length === 0) await learnSets(owner);
    if (to === null) return;
    // One that is silent is skipped: the next turn asks another.
    const heads = await fetchHeads(link, to, { owner, bucketId }, runtime.deadline(ANSWER_MS, signal)).catch(() => null);
    if (heads === null || !hasNews(writer, heads)) return;
    const limit = runtime.deadline(READ_MS, signal);
    await accounts.refresh(owner, limit);
    await writer.catchUp(limit);
    holdOff(writer, heads);
    if (bucketId === ACCOUNT_BUCKET_ID) await followBuckets(owner);
  };

  /** Somebody may have begun to write there: the statements say where. */
  const learnSets = async (owner: PublicKey): Promise<void> => {
    const nowMs = runtime.elapsedMs();
    if (nowMs - (learnt.get(owner) ?? -Infinity) < SETS_MS) return;
    learnt.set(owner, nowMs);
    await accounts.refresh(owner, runtime.deadline(READ_MS, signal));
  };

  const hasNews = (writer: BucketWriter, heads: BucketHeads): boolean => {
    const nowMs = runtime.elapsedMs();
    return newerOf(writer, heads).some(({ logId, seq }) => {
      const held = ahead.get(logId);
      return held === undefined || seq > held.seq || nowMs >= held.untilMs;
    });
  };

  const holdOff = (writer: BucketWriter, heads: BucketHeads): void => {
    for (const { logId } of heads.logs) if (!newerOf(writer, heads).some((log) => log.logId === logId)) ahead.delete(logId);
    for (const { logId, seq } of newerOf(writer, heads)) {
      const waitMs = Math.min(MAX_AGAIN_MS, 2 * (ahead.get(logId)?.waitMs ?? AGAIN_MS / 2));
      ahead.set(logId, { seq, waitMs, untilMs: runtime.elapsedMs() + waitMs });
    }
  };

  /** Logs of others that reach further than the catalog. */
  const newerOf = (writer: BucketWriter, { logs }: BucketHeads): BucketHeads['logs'] => {
    const { bucketId, access } = writer;
    const known = new Map(catalog.positions(access.owner, bucketId).map(({ logId, seq }) => [logId, seq]));
    const view = accounts.view(access.owner);
    return logs.filter(({ logId, seq }) => {
      const log = view?.logs.find((one) => one.logId === logId && one.bucketId === bucketId);
      // What repairers moved is read when somebody misses a piece.
      if (logId === writer.current()?.logId || log?.kind === 'placements') return false;
      return Math.min(seq, log?.closed?.lastSeq ?? seq) > (known.get(logId) ?? 0);
    });
  };

  /** Those that were made elsewhere are served from now on, those that are gone no more. */
  const followBuckets = async (owner: PublicKey): Promise<void> => {
    const there = new Set(catalog.buckets(owner).map(({ bucketId }) => bucketId));
    const shares = new Set(accounts.view(owner)?.shares.map(({ shareId }) => shareId));
    const served = new Set(writers.all().flatMap(({ access, bucketId }) => (access.owner === owner ? [bucketId] : [])));
    served.delete(ACCOUNT_BUCKET_ID);
    for (const bucketId of served.difference(there).difference(shares)) await writers.forget(owner, bucketId);
    if (there.difference(served).size > 0) await options.onNewBuckets(owner);
  };

  return {
    async run() {
      while (!signal.aborted) {
        for (const writer of due()) {
          asking.add(writer);
          void ask(writer)
            .catch((error: unknown) => {
              if (!signal.aborted) options.onTrouble(`following bucket ${writer.bucketId}`, error);
            })
            .finally(() => asking.delete(writer));
        }
        await pause(runtime, TICK_MS, signal);
      }
    },
  };
}
