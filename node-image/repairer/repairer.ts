// The repairer's process: configuration, network, admin port, and the loops of FarmRepair between them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startAdminServer } from '#node/admin/admin-server.ts';
import { createFarmConfigStore, watchConfigFile } from '#node/admin/farm-config-store.ts';
import { createLog, type Log } from '#node/admin/log.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import { fromHex } from '#node/core/ids.ts';
import { keyPairFromSeed, repairerSeed } from '#node/core/keys.ts';
import type { FarmReport } from '#node/interface/status.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { FarmRepair, REPAIR_LIMITS, type RepairEvents } from './farm-repair.ts';
import { repairerMetrics } from './metrics.ts';
import { WriterStates } from './placement-logs.ts';
import { farmReport, NO_FACTS } from './report.ts';
import { SegmentIndex } from './segment-index.ts';

/** A repair may read from a farmer while it writes to it, and the regular questions go on beside. */
const CONNECTIONS_PER_FARMER = 2 * REPAIR_LIMITS.segmentsAtOnce + 4;

/** The part of a node's settings that a repairer needs. */
export interface RepairerSettings {
  /** For what can all be read again: the index, and the state of the own logs. */
  dataDir: string;
  configFile: string;
  controlKey: string;
  /** 32 bytes in hex. */
  seedFile: string;
  /** Which of the farm's repairers this is, from 0. */
  repairer?: number;
  listenHost: string;
  ports: { admin: number };
  logLevel: string;
  version?: string;
}

/** Runs until the signal aborts. Rejects where it can't start, or where its index is broken (starting again mends it). */
export async function runRepairer(settings: RepairerSettings, signal: AbortSignal): Promise<void> {
  const seed = fromHex((await readFile(settings.seedFile, 'utf8')).trim(), 32);
  const self = keyPairFromSeed(repairerSeed(seed, settings.repairer ?? 0));
  const log = createLog(settings.logLevel, { role: 'repairer', repairer: self.publicKey });
  const version = settings.version ?? 'unknown';
  const startedMs = Date.now();
  const config = createFarmConfigStore(settings.controlKey);
  const registry = createRegistry();
  let repair: FarmRepair | null = null;
  const report = (): FarmReport =>
    repair?.report() ?? farmReport({ ...NO_FACTS, version, repairer: self.publicKey, startedMs, nowMs: Date.now() });
  const metrics = repairerMetrics(registry, report);
  const stopping = new AbortController();
  const ends = AbortSignal.any([signal, stopping.signal]);
  const index = new SegmentIndex(join(settings.dataDir, 'index.sqlite'));
  const admin = await startAdminServer({
    keyPair: self,
    host: settings.listenHost,
    port: settings.ports.admin,
    controlKey: settings.controlKey,
    registry,
    config,
    readiness: () => (repair ? { ready: true, reason: '' } : { ready: false, reason: 'there is no configuration yet' }),
    status: report,
    reads: { '/report': report, '/audits/failed': () => index.audits.evidence() },
    log,
  });
  log.info({ port: admin.port }, 'the repairer listens');
  const watching = watchConfigFile(settings.configFile, config, log, ends);
  const states = new WriterStates(join(settings.dataDir, 'logs.sqlite'));
  const network = httpsNetwork({ identity: await tlsIdentity(self), connectionsPerPeer: CONNECTIONS_PER_FARMER });
  try {
    const first = await config.first(signal);
    repair = new FarmRepair({
      network,
      self,
      index,
      states,
      config: first,
      runtime: systemRuntime,
      version,
      events: spoken(log, metrics),
      signal,
    });
    config.follow(first, (next) => repair?.configure(next));
    await repair.run();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stopping.abort();
    await repair?.close();
    await watching;
    await admin.close();
    await network.close();
    index.close();
    states.close();
    log.info({}, 'the repairer has stopped');
  }
}

/** Events as lines for people, besides the counters. */
function spoken(log: Log, metrics: ReturnType<typeof repairerMetrics>): Partial<RepairEvents> {
  const why = (error: unknown) => (error instanceof Error ? error.message : String(error));
  return {
    scanned: metrics.scanned,
    ownerFailed: (owner, error) => log.warn({ owner, why: why(error) }, 'the logs of an owner could not all be read'),
    compared(farmer, owner, comparison) {
      metrics.compared(farmer, owner, comparison);
      if (Object.values(comparison).some((pieces) => pieces > 0))
        log.info({ farmer, owner, ...comparison }, "a farmer's pieces were not those that the logs name");
    },
    audited(farmer, audit) {
      metrics.audited(farmer, audit);
      const { outcome, verdict, piece } = audit;
      if (outcome === 'Failed') log.warn({ farmer, verdict, piece: piece.pieceId }, 'a farmer failed an audit');
    },
    compareFailed: (farmer, owner, error) => log.warn({ farmer, owner, why: why(error) }, "a farmer's pieces can't be compared"),
    repaired(segment, outcome, tookMs) {
      metrics.repaired(segment, outcome, tookMs);
      const { pieces, bytes, copied, blocked } = outcome;
      if (pieces > 0) log.info({ segment, pieces, bytes, copied, tookMs }, 'pieces have a new holder');
      else log.info({ segment, blocked }, 'a segment waits for repair');
    },
    repairFailed(segment, error) {
      metrics.repairFailed(segment, error);
      log.warn({ segment, why: why(error) }, 'a repair failed and is tried again');
    },
    farmerFailed(farmer, as, error) {
      metrics.farmerFailed(farmer, as, error);
      log.warn({ farmer, as, why: why(error) }, 'a farmer failed during a repair');
    },
  };
}
