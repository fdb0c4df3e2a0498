// A bridge with its S3 server on farmers that keep logs but no pieces; all in this process, which tells its
// parent where it listens: `node endless-bridge.ts FOLDER`.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { assembleBridge } from '#node/bridge/assembly.ts';
import { bridgeMetrics } from '#node/bridge/metrics.ts';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import { startS3Server } from '#node/bridge/s3/server.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { wordsFromEntropy } from '#node/core/keys.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';
import { discarding } from './discarding.ts';

const folder = process.argv[2]!;
const credentials = { accessKey: 'bench', secretKey: 'bench-secret' };
const region = 'storj-1';
const farm = await memoryFarm({ farmers: 6 });
const self = farm.bridge;
const forever = new AbortController().signal;
mkdirSync(folder, { recursive: true });
const noFacts = { owners: 0, buckets: 0, objects: 0, bytes: 0, uploadBytes: 0, farmersAnswering: 0, farmersSlow: 0 };
const bridge = assembleBridge({
  saved: createSavedLogs({ folder: join(folder, 'logs'), secret: self.seed, random: systemRuntime.random }),
  self,
  network: discarding(farm, farm.networkOf(self)),
  catalog: await openSqliteCatalog({ path: join(folder, 'catalog.sqlite'), secret: self.seed }),
  config: farm.current(),
  runtime: systemRuntime,
  metrics: bridgeMetrics(new Registry(), () => ({ ...noFacts, isWritable: true, openLogs: 0 })),
  log: { debug() {}, info() {}, warn: console.warn, error: console.error },
  signal: forever,
});
bridge.desired.restore();
const { owner } = await bridge.accounts.introduce(wordsFromEntropy(new Uint8Array(32).fill(1)), forever);
await bridge.desired.serveAccount(owner);
const server = await startS3Server({
  objects: bridge.objects,
  findKey: (accessKeyId) => ({
    accessKeyId,
    secretAccessKey: credentials.secretKey,
    owner,
    bucketName: null,
    displayName: 'bench',
  }),
  region,
  domains: ['localhost'],
  host: '127.0.0.1',
  port: 0,
  maxInFlight: 100,
  nowMs: () => Date.now(),
});
process.send!({ endpoint: `http://127.0.0.1:${server.port}`, region, ...credentials });
process.on('disconnect', () => process.exit(0));
