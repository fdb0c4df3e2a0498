// The farmer's process: folder, identity, store, then the three ports; and all of it backwards at the end.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startAdminServer } from '#node/admin/admin-server.ts';
import { createFarmConfigStore, watchConfigFile } from '#node/admin/farm-config-store.ts';
import { createLog, type Log } from '#node/admin/log.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import { blake3Kind } from '#node/core/hash.ts';
import { peerIdOf } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { FarmerStatus } from '#node/interface/status.ts';
import { httpsNetwork, servePieces } from '#node/net/https-pieces.ts';
import { startLibp2pNode } from '#node/net/libp2p-node.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { startFarmer, type Farmer } from './farmer.ts';
import { farmerIdentity } from './identity.ts';
import { lockFolder } from './folder-lock.ts';
import { farmerMetrics } from './metrics.ts';

/** Transfers may end after SIGTERM; below the grace that Kubernetes and the local farm give. */
const DRAIN_MS = 8000;

/** The part of a node's settings that a farmer needs. */
export interface FarmerSettings {
  /** The volume. */
  dataDir: string;
  configFile: string;
  controlKey: string;
  slot: string;
  listenHost: string;
  announceHost: string;
  ports: { pieces: number; libp2p: number; admin: number };
  logLevel: string;
  version: string;
}

/** Runs until the signal; rejects where it can't start. */
export async function runFarmer(settings: FarmerSettings, signal: AbortSignal): Promise<void> {
  const { dataDir, slot, listenHost, announceHost, ports } = settings;
  const log = createLog(settings.logLevel, { role: 'farmer', slot });
  const startedMs = Date.now();
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // First the lock, then the identity: two processes on one folder must never draw two keys.
  const lock = lockFolder(dataDir, join(dataDir, 'lock'));
  const keyPair = await farmerIdentity(dataDir);
  const identity = await tlsIdentity(keyPair);
  const onError = (error: unknown) => log.error({ why: describe(error) }, 'something failed');
  const config = createFarmConfigStore(settings.controlKey);
  const stopping = new AbortController();
  const watching = watchConfigFile(settings.configFile, config, log, stopping.signal);
  const registry = createRegistry();
  const metrics = farmerMetrics(registry, Date.now);
  const network = httpsNetwork({ identity, connectionsPerPeer: 2 });
  const farmer = await startFarmer({
    keyPair,
    folder: dataDir,
    lock,
    network,
    config,
    observe: metrics.observe,
    observeCompaction: metrics.observeCompaction,
    onError,
  });
  metrics.watch(farmer);
  const { service } = farmer;
  const pieces = await servePieces({ identity, service, host: listenHost, port: ports.pieces, onError });
  const libp2p = await startLibp2pNode({ keyPair, service, announceHost, listen: { host: listenHost, port: ports.libp2p } });
  const { version } = settings;
  const facts = { keyPair, slot, version, startedMs, multiaddrs: libp2p.multiaddrs(), config: config.current };
  const admin = await startAdminServer({
    keyPair,
    host: listenHost,
    port: ports.admin,
    controlKey: settings.controlKey,
    registry,
    config,
    readiness: () => ({ ready: farmer.duty.unfitReason === '', reason: farmer.duty.unfitReason }),
    status: () => farmerStatus(farmer, facts),
    log,
  });
  log.info(
    { peerId: peerIdOf(keyPair.publicKey), pieces: pieces.port, admin: admin.port, blake3: blake3Kind },
    'the farmer serves',
  );
  await ended(signal);
  await stop({ farmer, log, servers: [pieces, admin, libp2p], network });
  stopping.abort();
  await watching;
}

/** In this order, so that whoever still asks hears Leaving rather than nothing. */
async function stop(parts: {
  farmer: Farmer;
  log: Log;
  servers: { close(signal: AbortSignal): Promise<void> }[];
  network: { close(): Promise<void> };
}): Promise<void> {
  const { farmer, log, servers, network } = parts;
  log.info({ transfers: farmer.duty.transfersInFlight }, 'the farmer takes nothing new and ends what is under way');
  const deadline = AbortSignal.timeout(DRAIN_MS);
  farmer.duty.cordonForGood();
  await farmer.duty.idle(deadline);
  await Promise.all(servers.map((server) => server.close(AbortSignal.abort())));
  await network.close();
  await farmer.stop(AbortSignal.abort());
  log.info({}, 'the farmer has stopped');
}

interface StatusFacts {
  keyPair: KeyPair;
  slot: string;
  version: string;
  startedMs: number;
  multiaddrs: string[];
  config: () => FarmConfig | null;
}

async function farmerStatus(farmer: Farmer, facts: StatusFacts): Promise<FarmerStatus> {
  const { publicKey } = facts.keyPair;
  const config = facts.config();
  const { cordonedMs, transfersInFlight, lastTransferMs, unfitReason } = farmer.duty;
  return {
    role: 'farmer',
    version: facts.version,
    farmUid: config?.farmUid ?? '',
    epoch: config?.epoch ?? 0,
    generation: config?.generation ?? 0,
    startedMs: facts.startedMs,
    farmer: publicKey,
    peerId: peerIdOf(publicKey),
    slot: facts.slot,
    multiaddrs: facts.multiaddrs,
    ready: unfitReason === '',
    reason: unfitReason,
    cordonedMs,
    transfersInFlight,
    lastTransferMs,
    ...(await farmer.store.numbers()),
  };
}

function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
