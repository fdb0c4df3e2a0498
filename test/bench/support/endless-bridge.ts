// A bridge with its S3 server on farmers that keep logs but no pieces, or (`keep`) pieces too; all in this process,
// which tells its parent where it listens: `node endless-bridge.ts FOLDER [keep]`. Where the parent says so, its catalog
// has an object that names the segments of another again and again.
import { join } from 'node:path';
import { startS3Server } from '#node/bridge/s3/server.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { accountOf, introduceOwner, startFarmBridge } from '#test/node-image/bridge/farm-bridge.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';
import type { PutEntry } from '#node/wire/types.ts';
import { discarding } from './discarding.ts';

export interface Repeat {
  bucket: string;
  from: string;
  to: string;
  times: number;
}

const [folder, isKept] = [process.argv[2]!, process.argv[3] === 'keep'];
const credentials = { accessKey: 'bench', secretKey: 'bench-secret' };
const region = 'storj-1';
const farm = await memoryFarm({ farmers: 6 });
const catalog = await openSqliteCatalog({ path: join(folder, 'catalog.sqlite'), secret: farm.bridge.seed });
const { bridge } = startFarmBridge({
  farm,
  folder,
  network: isKept ? farm.networkOf(farm.bridge) : discarding(farm, farm.networkOf(farm.bridge)),
  catalog,
});
const owner = await introduceOwner(bridge, 1);
const server = await startS3Server({
  objects: bridge.objects,
  findKey: (accessKeyId) => ({ ...accountOf(owner), accessKeyId, secretAccessKey: credentials.secretKey }),
  region,
  domains: ['localhost'],
  host: '127.0.0.1',
  port: 0,
  maxInFlight: 100,
  nowMs: () => Date.now(),
});
process.send!({ endpoint: `http://127.0.0.1:${server.port}`, region, ...credentials });
process.on('message', (order: Repeat) => void repeat(order).then(() => process.send!('repeated')));
process.on('disconnect', () => process.exit(0));

/** As if it had been restored: nothing is moved until it is read. */
async function repeat({ bucket: name, from, to, times }: Repeat): Promise<void> {
  const { bucketId } = bridge.objects.bucket(accountOf(owner), name);
  const { logId, partSizes: _, ...version } = catalog.current(bucketId, from)!;
  const { segments } = catalog.content(bucketId, from, version.versionId)!;
  const entry: PutEntry = {
    kind: 'put',
    ...version,
    key: to,
    versionId: 'f'.repeat(32),
    replaces: [],
    sizeBytes: times * version.sizeBytes,
    checksums: [],
    segments: Array.from({ length: times }, () => segments).flat(),
  };
  const step = { kind: 'records', ownerRecords: [{ kind: 'entry', logId, entry }], repairRecords: [] } as const;
  await catalog.restore({ owner, bucketId, step });
}
