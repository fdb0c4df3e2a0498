// What the bridge does for its accounts beside requests: a warrant for the farm's repairer, root statements
// where the present roster wants them, replica sets without farmers that leave or are lost, and cuts.
import type { LogLink } from '#node/log/log-link.ts';
import { changeMember, nextMemberChange, syncReplicas } from '#node/log/replica-set.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { Accounts, WantedWarrant } from './accounts.ts';
import type { BucketWriter } from './bucket-writer.ts';
import type { Cuts } from './cuts.ts';
import type { OpenWriters } from './open-writers.ts';
import type { Shares } from './shares.ts';

const EVERY_MS = 30_000;
/** After a round in which something failed; doubled up to EVERY_MS. Farmers that start answer within seconds. */
const FIRST_RETRY_MS = 1000;
/** Replicas that were away are brought up to date so often, besides after each change of the roster. */
const SYNC_EVERY_ROUNDS = 20;
const ROUND_LIMIT_MS = 10 * 60_000;
/** A set changes one member at a time; more steps than this in a row wait for the next round. */
const MAX_CHANGES = 16;

export interface Upkeep {
  /** Something changed: don't wait for the next round. */
  nudge(): void;
  /** Runs until the signal aborts. */
  run(): Promise<void>;
}

export interface UpkeepOptions {
  link: LogLink;
  bridge: KeyPair;
  accounts: Accounts;
  writers: OpenWriters;
  shares: Pick<Shares, 'keep'>;
  cuts: Cuts;
  warrant: () => WantedWarrant;
  rosterGeneration: () => number;
  signal: AbortSignal;
  onTrouble: (what: string, error: unknown) => void;
  onChange: (bucketId: string, epoch: number) => void;
}

export function createUpkeep(options: UpkeepOptions): Upkeep {
  const { link, bridge, accounts, writers, cuts, signal } = options;
  let wake: (() => void) | null = null;
  let isNudged = false;
  let hadTrouble = false;
  const publishedAt = new Map<PublicKey, number>();

  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      hadTrouble = true;
      if (!signal.aborted) options.onTrouble(what, error);
    }
  };

  const keepAccount = async (owner: PublicKey, limit: AbortSignal): Promise<void> => {
    if (await accounts.ensureWarrant(owner, options.warrant(), limit)) {
      for (const writer of ownWriters(owner)) await writer.closeLog();
    }
    const generation = options.rosterGeneration();
    if (publishedAt.get(owner) === generation) return;
    await accounts.republish(owner, limit);
    publishedAt.set(owner, generation);
  };

  /** Statements may have come from elsewhere: shares that the owner made or took back himself. */
  const keepShares = async (owner: PublicKey, limit: AbortSignal): Promise<void> => {
    await accounts.refresh(owner, limit);
    await options.shares.keep(owner, limit);
  };

  const ownWriters = (owner: PublicKey) => writers.all().filter((writer) => writer.access.owner === owner);

  const keepSet = async (writer: BucketWriter, limit: AbortSignal): Promise<void> => {
    const { bucketId, access } = writer;
    const { owner } = access;
    const wanted = (set: ReplicaSet) => nextMemberChange({ set, farmers: link.farmers(), bucketId, promise: link.promise() });
    for (let step = 0; step < MAX_CHANGES; step++) {
      const set = accounts.view(owner)?.sets.get(bucketId);
      // Never written: its first writer chooses the set.
      if (set === undefined || wanted(set) === null) return;
      // A batch of the log may wait for replicas that only the change brings: then it comes upon the new set by itself.
      const log = await writer.open().catch(() => null);
      limit.throwIfAborted();
      const logs = log === null ? [] : [log];
      const next = await changeMember(link, { owner, bucketId, keeper: bridge, wanted, logs, signal: limit });
      if (next.epoch === set.epoch) return;
      options.onChange(bucketId, next.epoch);
      await accounts.refresh(owner, limit);
    }
  };

  const round = async (withSync: boolean): Promise<void> => {
    const limit = link.runtime.deadline(ROUND_LIMIT_MS, signal);
    for (const owner of accounts.owners()) await attempt('root statements', () => keepAccount(owner, limit));
    for (const owner of accounts.owners()) await attempt('shares', () => keepShares(owner, limit));
    for (const writer of writers.all()) {
      if (!writer.isReady()) continue;
      await attempt('replica set', () => keepSet(writer, limit));
      const { owner } = writer.access;
      if (withSync && writer.current() !== null) {
        await attempt(
          'replicas',
          async () => void (await syncReplicas(link, { owner, bucketId: writer.bucketId, signal: limit })),
        );
      }
    }
    for (const owner of accounts.owners()) await attempt('cut', () => cuts.keep(owner, limit));
  };

  return {
    nudge() {
      isNudged = true;
      wake?.();
    },
    async run() {
      let retryMs = FIRST_RETRY_MS;
      for (let number = 1; !signal.aborted; number++) {
        isNudged = false;
        hadTrouble = false;
        await round(number % SYNC_EVERY_ROUNDS === 0);
        const pauseMs = hadTrouble ? retryMs : EVERY_MS;
        retryMs = hadTrouble ? Math.min(2 * retryMs, EVERY_MS) : FIRST_RETRY_MS;
        if (isNudged || signal.aborted) continue;
        const pause = new AbortController();
        wake = () => pause.abort();
        await link.runtime.sleep(pauseMs, AbortSignal.any([signal, pause.signal])).catch(() => undefined);
        wake = null;
      }
    },
  };
}
