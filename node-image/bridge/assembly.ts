// The bridge put together, without a process around it: everything between the network and the S3 server.
import type { Log } from '#node/admin/log.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { createClient, type Client, type ClientLimits } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { CheckpointLimits } from '#node/log/checkpoint-maker.ts';
import type { Network } from '#node/net/net.ts';
import { createAccessKeys } from './access-keys.ts';
import { createAccounts, type Accounts } from './accounts.ts';
import { createCheckpoints, type Checkpoints } from './checkpoints.ts';
import { createBucketGrants, type BucketGrants } from './bucket-grants.ts';
import { createCuts, type Cuts, type CutTimes } from './cuts.ts';
import { createDesiredBuckets, type DesiredBuckets } from './desired-buckets.ts';
import { createFarmAdapter, type FarmAdapter } from './farm-adapter.ts';
import { createFollowers, type Followers } from './followers.ts';
import { createHolderMoves } from './holder-moves.ts';
import type { BridgeMetrics } from './metrics.ts';
import { createObjectStore } from './object-store.ts';
import { createOpenWriters, type OpenWriters } from './open-writers.ts';
import { createRewriter, type Rewriter } from './rewriter.ts';
import type { SavedLogs } from './saved-logs.ts';
import { createShares, type Shares } from './shares.ts';
import { createUpkeep, type Upkeep } from './upkeep.ts';

export interface Bridge {
  objects: ReturnType<typeof createObjectStore>;
  keys: ReturnType<typeof createAccessKeys>;
  client: Client;
  catalog: Catalog;
  accounts: Accounts;
  writers: OpenWriters;
  farm: FarmAdapter;
  desired: DesiredBuckets;
  grants: BucketGrants;
  shares: Shares;
  upkeep: Upkeep;
  followers: Followers;
  cuts: Cuts;
  rewriter: Rewriter;
  checkpoints: Checkpoints;
  signal: AbortSignal;
  configure(config: FarmConfig): void;
  close(): Promise<void>;
}

export interface BridgeParts {
  /** The state of the own logs; closed with the bridge. */
  saved: SavedLogs;
  self: KeyPair;
  network: Network;
  catalog: Catalog;
  config: FarmConfig;
  metrics: BridgeMetrics;
  log: Log;
  runtime: Runtime;
  limits?: Partial<ClientLimits>;
  /** How often cuts are stated; for tests. */
  cutTimes?: Partial<CutTimes>;
  /** How much is written before a checkpoint is made; for tests. */
  checkpointLimits?: CheckpointLimits;
  signal: AbortSignal;
}

export function assembleBridge(parts: BridgeParts): Bridge {
  const { saved, self, network, catalog, config, metrics, log, runtime, cutTimes, checkpointLimits, signal } = parts;
  const farmView = settableFarmView(farmSnapshot(config));
  const client = createClient({ network, farm: farmView, runtime, ...(parts.limits ? { limits: parts.limits } : {}) });
  const onTrouble = (what: string, error: unknown) => {
    metrics.trouble();
    log.warn({ what, why: why(error) }, 'something failed and is tried again');
  };
  const accounts = createAccounts({ link: client.link, bridge: self, onNew: () => upkeep.nudge() });
  // An app must not learn of logs beside its share's.
  const knownHeads = (owner: string, except: string) =>
    shares.headsIn(except) ??
    writers
      .all()
      .filter((writer) => writer.access.owner === owner && writer.bucketId !== except)
      .flatMap((writer) => writer.current()?.head() ?? [])
      .filter(({ seq }) => seq > 0)
      .map(({ logId, seq, hash }) => ({ logId, seq, hash }));
  const farm = createFarmAdapter({ client, writer: self, accounts, saved, knownHeads });
  const writers: OpenWriters = createOpenWriters({
    catalog,
    farm,
    runtime,
    onNews: (news) => shares.onNews(news),
    onBatch: ({ entries }, tookMs) => metrics.batch(entries.length, tookMs),
    onTrouble: (error) => onTrouble('log', error),
    onRetry: (bucketId, error) => onTrouble(`bucket ${bucketId}`, error),
  });
  const moves = createHolderMoves({
    catalog,
    warrantsOf: (owner) => accounts.warrants(owner),
    members: () => farmView.current().members,
    catchUp: (owner, bucketId, wait) => writers.ready(owner, bucketId).catchUp(wait),
  });
  const shares: Shares = createShares({
    link: client.link,
    keeper: self,
    accounts,
    catalog,
    writers,
    moves,
    farm,
    read: (bucket, version, range, until) => objects.read(bucket, version, range, until),
    signal,
    onTrouble,
  });
  const grants = createBucketGrants({ link: client.link, bridge: self, accounts, catalog, farm: () => farmView.current() });
  const keys = createAccessKeys();
  const quotaOf = (owner: string, bucketName: string) => desired.quotaOf(owner, bucketName);
  const objects = createObjectStore({ catalog, writers, farm, moves, runtime, quotaOf });
  const desired: DesiredBuckets = createDesiredBuckets({
    catalog,
    keys,
    accounts,
    writers,
    objects,
    runtime,
    signal,
    onTrouble,
    grantsFromMs: (owner, bucketId) => grants.fromMs(owner, bucketId),
    onUnclaimed: (owner, bucketName) =>
      void grants.end(owner, bucketName, signal).catch((error: unknown) => onTrouble(`grants on ${bucketName}`, error)),
  });
  const cuts: Cuts = createCuts({
    link: client.link,
    bridge: self,
    accounts,
    catalog,
    writers,
    farm,
    ...(cutTimes ? { times: cutTimes } : {}),
    onCut: (owner, dropped) => log.debug({ owner, dropped }, 'a cut was stated'),
  });
  const upkeep: Upkeep = createUpkeep({
    link: client.link,
    bridge: self,
    accounts,
    writers,
    shares,
    cuts,
    warrant: () => farmView.current(),
    rosterGeneration: () => farmView.current().generation,
    signal,
    onTrouble,
    onChange: (bucketId, epoch) => log.info({ bucketId, epoch }, 'a replica set has changed'),
  });
  const checkpoints = createCheckpoints({
    client,
    bridge: self,
    accounts,
    catalog,
    writers,
    moves,
    farm,
    ...(checkpointLimits ? { limits: checkpointLimits } : {}),
    signal,
    onMade: (bucketId, facts) => log.info({ bucketId, ...facts }, 'a checkpoint was made'),
    onTrouble,
  });
  let { repairBytesPerSecond } = config;
  const rewriter = createRewriter({
    catalog,
    writers,
    farm,
    moves,
    runtime,
    bytesPerSecond: () => repairBytesPerSecond,
    signal,
    renewCheckpoint: (owner, bucketId) => checkpoints.renew(owner, bucketId),
    onRewritten: (bytes) => metrics.rewritten(bytes),
    onTrouble,
  });
  const followers: Followers = createFollowers({
    link: client.link,
    runtime,
    self: self.publicKey,
    catalog,
    accounts,
    writers,
    onNewBuckets: (owner) => desired.serveAccount(owner),
    onTrouble,
    signal,
  });
  return {
    objects,
    keys,
    client,
    catalog,
    accounts,
    writers,
    farm,
    desired,
    grants,
    shares,
    upkeep,
    followers,
    cuts,
    rewriter,
    checkpoints,
    signal,
    configure(next) {
      farmView.set(farmSnapshot(next));
      ({ repairBytesPerSecond } = next);
      upkeep.nudge();
      rewriter.nudge();
    },
    async close() {
      await writers.close();
      await saved.close();
      await client.close();
      await catalog.close();
    },
  };
}

const why = (error: unknown): string => (error instanceof Error ? error.message : String(error));
