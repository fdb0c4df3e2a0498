// The farm as the bridge's rules see it, by the client library.
import { bucketKeys, writerKeys, type Access } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { movesInLogs } from '#node/client/bucket-reader.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import type { CatalogNews } from '#node/catalog/catalog.ts';
import { readSince, type ReadKeys } from '#node/log/checkpoint-reader.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { LogError } from '#node/log/log-link.ts';
import {
  acknowledgedHeads,
  checkNotRolledBack,
  readBatches,
  readHeads,
  type BucketState,
  type LogState,
  type SeenHead,
} from '#node/log/log-reader.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import type { Accounts } from './accounts.ts';
import type { FarmPort } from './farm-port.ts';
import { FORGET, restoreSteps } from './restore-steps.ts';
import type { SavedLogs } from './saved-logs.ts';

export interface FarmAdapter extends FarmPort {
  /** Newest heads of a bucket's logs that were read, and had been acknowledged for sure. */
  acknowledged(bucketId: BucketId): KnownHead[];
  /** Lowest roster generation under which a write that still runs was planned; null when none runs. */
  oldestTransferGeneration(): number | null;
}

export interface FarmAdapterOptions {
  client: Client;
  /** Who writes: a bridge, or a device. */
  writer: KeyPair;
  accounts: Pick<Accounts, 'refresh'>;
  saved: Pick<SavedLogs, 'of'>;
  /** Newest heads of the owner's open logs. */
  knownHeads: (owner: PublicKey, except: BucketId) => KnownHead[];
}

export function createFarmAdapter({ client, writer, accounts, saved, knownHeads }: FarmAdapterOptions): FarmAdapter {
  const { link, farm } = client;
  const running = new Map<symbol, number>();
  /** Heads of other logs that writers named: acknowledged to them, so they are there or were set back. */
  const told = new Map<PublicKey, number>();

  /** Of open logs: where a closed one ends is said by its closing. */
  const sure = new Map<BucketId, Map<PublicKey, KnownHead>>();
  const noteSure = (bucketId: BucketId, state: BucketState): void => {
    const open = new Set(state.logs.flatMap(({ log }) => (log.closed ? [] : [log.logId])));
    const before = [...(sure.get(bucketId) ?? [])];
    const now = acknowledgedHeads(state).map((head) => [head.logId, head] as const);
    sure.set(bucketId, new Map([...before, ...now].filter(([logId]) => open.has(logId))));
  };

  const heads = async (owner: PublicKey, bucketId: BucketId, signal: AbortSignal): Promise<BucketState | null> => {
    try {
      return await readHeads(link, { owner, bucketId, signal });
    } catch (error) {
      if (error instanceof LogError && error.code === 'NoReplicaSet') return null;
      throw error;
    }
  };

  /** What whoever may only write needs: the log that he goes on with, as far as he hasn't got it. */
  const readOwn = (state: BucketState, since: ReadonlyMap<PublicKey, SeenHead>, keys: ReadKeys, signal: AbortSignal) => {
    const isNext = ({ log, firstSeq }: LogState) => firstSeq <= (since.get(log.logId)?.seq ?? 0) + 1;
    const logs = state.logs.filter((one) => one.log.writer === writer.publicKey && !one.log.closed && isNext(one));
    return readBatches(link, { state: { ...state, logs }, since, keys, signal });
  };

  /** What counts after `since`. */
  async function* newsAfter(
    state: BucketState,
    access: Access,
    since: ReadonlyMap<PublicKey, SeenHead>,
    signal: AbortSignal,
  ): AsyncGenerator<CatalogNews> {
    const { owner, bucketId } = state;
    const keys = bucketKeys(access, state.view, bucketId);
    const store = segmentStore(client, owner, (placement, wait) => movesInLogs(link, state, keys, placement, wait));
    const { checkpoint, isAnew, batches } =
      'mayRead' in access && !access.mayRead
        ? { checkpoint: null, isAnew: false, batches: readOwn(state, since, keys, signal) }
        : await readSince(link, { state, since, keys, store, signal });
    if (isAnew && checkpoint === null) for (const step of FORGET) yield { owner, bucketId, step };
    if (checkpoint !== null)
      for await (const step of restoreSteps(checkpoint, { store, from: null, signal })) yield { owner, bucketId, step };
    for await (const { header, hash, entries, heads: named, repair, placements } of batches) {
      for (const { logId, seq } of named) if (seq > (told.get(logId) ?? 0)) told.set(logId, seq);
      yield { owner, bucketId, logId: header.logId, seq: header.seq, hash, entries: entries ?? [], repair, placements };
    }
  }

  const oldest = (): number | null => (running.size === 0 ? null : Math.min(...running.values()));

  return {
    acknowledged: (bucketId) => [...(sure.get(bucketId)?.values() ?? [])],
    async duringTransfer(work) {
      const transfer = Symbol('transfer');
      running.set(transfer, farm.current().generation);
      try {
        return await work();
      } finally {
        running.delete(transfer);
      }
    },
    keepRunning(until) {
      const transfer = Symbol('uncertain');
      running.set(transfer, oldest() ?? farm.current().generation);
      void until.finally(() => running.delete(transfer));
    },
    oldestTransferGeneration: oldest,
    rewriteTo() {
      const { scheme, generation, rewrite, members } = farm.current();
      const takers = members.filter(({ farmer, state }) => state === 'Active' && client.health.takes(farmer));
      return rewrite && takers.length >= scheme.optimal ? { scheme, generation } : null;
    },
    putSegments: (order) => putSegments(client, order),
    getRange: (order) => getRange(client, order),

    async *readNew(access, bucketId, since, signal): AsyncGenerator<CatalogNews> {
      const { owner } = access;
      const state = await heads(owner, bucketId, signal);
      if (state === null) return;
      checkNotRolledBack(state, (logId) => told.get(logId));
      noteSure(bucketId, state);
      try {
        yield* newsAfter(state, access, since, signal);
      } catch (error) {
        if (!(error instanceof LogError && error.code === 'Forked')) throw error;
        for (const step of FORGET) yield { owner, bucketId, step };
        yield* newsAfter(state, access, new Map(), signal);
      }
    },

    named: (logId) => told.get(logId) ?? 0,

    async openLog(access: Access, bucketId, onAcknowledged, signal) {
      const { owner } = access;
      const view = await accounts.refresh(owner, signal);
      return openBucketLog({
        link,
        owner,
        bucketId,
        writer,
        kind: 'entries',
        keys: writerKeys(access, view, bucketId),
        state: saved.of(owner, bucketId),
        knownHeads: () => knownHeads(owner, bucketId),
        onAcknowledged,
        signal,
      });
    },
  };
}
