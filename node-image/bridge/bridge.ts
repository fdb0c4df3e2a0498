// The bridge's process: configuration, network, catalog, the S3 server and the admin port around them.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AdminRefusal, adminWrite, startAdminServer } from '#node/admin/admin-server.ts';
import { createFarmConfigStore, watchConfigFile } from '#node/admin/farm-config-store.ts';
import { createLog, type Log } from '#node/admin/log.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { openCatalogView } from '#node/catalog/open-view.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { fromHex } from '#node/core/ids.ts';
import { keyPairFromSeed, WordsError, type KeyPair } from '#node/core/keys.ts';
import { bridgeDesiredSchema, bucketDeleteSchema, grantOrderSchema, ownerWordsSchema } from '#node/interface/config.ts';
import { LogError } from '#node/log/log-link.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { assembleBridge, type Bridge } from './assembly.ts';
import { bridgeStatus, factsOf } from './bridge-status.ts';
import { bridgeMetrics, type BridgeMetrics } from './metrics.ts';
import { createSavedLogs } from './saved-logs.ts';
import { readCertificate, watchCertificate } from './s3/certificate.ts';
import { startS3Server, type RequestRecord } from './s3/server.ts';

/** Requests that are served at once; more are told to slow down. */
const MAX_IN_FLIGHT = 512;
/** What runs when the bridge is told to stop may end. */
const STOP_GRACE_MS = 20_000;
const ADMIN_LIMIT_MS = 30_000;
/** Under these `bucket.name` is a bucket; by address the path names it. */
const DOMAINS = ['localhost', 's3.localhost'];

/** The part of a node's settings that a bridge needs. */
export interface BridgeSettings {
  /** For what can all be read again: the catalog, and the state of the own logs. */
  dataDir: string;
  configFile: string;
  controlKey: string;
  /** 32 bytes in hex. */
  seedFile: string;
  listenHost: string;
  ports: { admin: number; s3: number };
  s3Region: string;
  /** Folder with tls.crt and tls.key; empty = plain HTTP. */
  s3TlsDir?: string;
  logLevel: string;
  version?: string;
}

/** Runs until the signal aborts. Rejects where it can't start. */
export async function runBridge(settings: BridgeSettings, signal: AbortSignal): Promise<void> {
  const self = keyPairFromSeed(fromHex((await readFile(settings.seedFile, 'utf8')).trim(), 32));
  const log = createLog(settings.logLevel, { role: 'bridge', bridge: self.publicKey });
  const config = createFarmConfigStore(settings.controlKey);
  const registry = createRegistry();
  const started: { bridge: Bridge | null } = { bridge: null };
  const about = {
    bridge: self.publicKey,
    version: settings.version ?? 'unknown',
    startedMs: Date.now(),
    s3Port: null as number | null,
  };
  const status = () => bridgeStatus(about, config.current(), started.bridge);
  const metrics = bridgeMetrics(registry, () => factsOf(started.bridge));
  const running = (): Bridge => {
    if (started.bridge === null) throw new AdminRefusal(503, 'the bridge has no configuration of the farm yet');
    return started.bridge;
  };
  const stopping = new AbortController();
  const ends = AbortSignal.any([signal, stopping.signal]);
  const admin = await startAdminServer({
    keyPair: self,
    host: settings.listenHost,
    port: settings.ports.admin,
    controlKey: settings.controlKey,
    registry,
    config,
    readiness: () => ({ ready: status().ready, reason: status().reason }),
    status,
    writes: adminWrites(running),
    log,
  });
  log.info({ port: admin.port }, 'the bridge listens for its operator');
  const watching = watchConfigFile(settings.configFile, config, log, ends);
  const network = httpsNetwork({ identity: await tlsIdentity(self) });
  try {
    const first = await config.first(signal);
    await mkdir(settings.dataDir, { recursive: true, mode: 0o700 });
    const catalog = await openCatalog(settings.dataDir, self, log);
    const saved = createSavedLogs({
      folder: join(settings.dataDir, 'logs'),
      secret: self.seed,
      random: (bytes) => systemRuntime.random(bytes),
    });
    const bridge = assembleBridge({
      saved,
      self,
      network,
      catalog,
      config: first,
      metrics,
      log,
      runtime: systemRuntime,
      signal: ends,
    });
    started.bridge = bridge;
    config.follow(first, (next) => bridge.configure(next));
    bridge.desired.restore();
    const upkeep = Promise.all([bridge.upkeep.run(), bridge.rewriter.run(), bridge.followers.run(), bridge.checkpoints.run()]);
    const tlsDir = settings.s3TlsDir ?? '';
    const certificate = tlsDir === '' ? null : await readCertificate(tlsDir);
    const server = await startS3Server({
      ...(certificate === null ? {} : { certificate }),
      objects: bridge.objects,
      findKey: bridge.keys.find,
      region: settings.s3Region,
      domains: DOMAINS,
      host: settings.listenHost,
      port: settings.ports.s3,
      maxInFlight: MAX_IN_FLIGHT,
      nowMs: () => Date.now(),
      onStart: () => metrics.started(),
      onDone: (record) => spoken(log, metrics, record),
    });
    about.s3Port = server.port;
    const renewing =
      certificate === null
        ? undefined
        : watchCertificate({ folder: tlsDir, inForce: certificate }, (renewed) => server.setCertificate(renewed), {
            log,
            signal: ends,
            runtime: systemRuntime,
          });
    log.info({ port: server.port }, 'the bridge serves S3');
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await server.close(STOP_GRACE_MS);
    stopping.abort();
    await Promise.all([upkeep, renewing]);
    await bridge.close();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stopping.abort();
    await watching;
    await admin.close();
    await network.close();
    log.info({}, 'the bridge has stopped');
  }
}

function openCatalog(dataDir: string, self: KeyPair, log: Log): Promise<Catalog> {
  const path = join(dataDir, 'catalog.sqlite');
  const onLost = (error: unknown) =>
    log.warn({ path, why: why(error) }, "the catalog can't be used; it is read again from the farmers");
  return openCatalogView({ path, secret: hkdf(self.seed, 'storj/1 bridge catalog', 32), onLost });
}

function adminWrites(running: () => Bridge) {
  return [
    adminWrite({
      method: 'put',
      path: '/admin/buckets',
      schema: bridgeDesiredSchema,
      handle: (body) => running().desired.apply(body),
    }),
    adminWrite({
      method: 'post',
      path: '/admin/owners',
      schema: ownerWordsSchema,
      async handle({ words }) {
        const { accounts, desired, signal } = running();
        try {
          const { owner } = await accounts.introduce(words, AbortSignal.any([signal, AbortSignal.timeout(ADMIN_LIMIT_MS)]));
          void desired.serveAccount(owner).catch(() => undefined);
          return { owner };
        } catch (error) {
          if (error instanceof WordsError) throw new AdminRefusal(400, error.message);
          if (error instanceof LogError) throw new AdminRefusal(503, `The statements can't be kept now: ${error.message}`);
          throw error;
        }
      },
    }),
    adminWrite({
      method: 'post',
      path: '/admin/grants',
      schema: grantOrderSchema,
      async handle(order) {
        const { grants, signal } = running();
        try {
          return await grants.issue(order, AbortSignal.any([signal, AbortSignal.timeout(ADMIN_LIMIT_MS)]));
        } catch (error) {
          if (error instanceof LogError) throw new AdminRefusal(503, `The grant can't be issued now: ${error.message}`);
          throw error;
        }
      },
    }),
    adminWrite({
      method: 'post',
      path: '/admin/buckets/delete',
      schema: bucketDeleteSchema,
      handle: ({ owner, bucketName }) => running().desired.deleteBucket(owner, bucketName),
    }),
  ];
}

function spoken(log: Log, metrics: BridgeMetrics, record: RequestRecord): void {
  metrics.done(record);
  const { requestId, operation, method, status, code, durationMs, cause } = record;
  // Paths may carry what signs a request.
  const path = record.path.split('?')[0];
  const line = {
    requestId,
    operation,
    method,
    path,
    status,
    code,
    durationMs: Math.round(durationMs),
    ...(cause === undefined ? {} : { why: why(cause) }),
  };
  if (code === 'InternalError')
    log.error({ ...line, stack: cause instanceof Error ? cause.stack : undefined }, 'a request failed in the bridge');
  else if (status >= 500) log.warn(line, 'a request was turned away');
  else log.debug(line, 'request');
}

const why = (error: unknown): string => (error instanceof Error ? error.message : String(error));
