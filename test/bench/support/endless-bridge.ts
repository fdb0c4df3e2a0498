// A bridge with its S3 server on farmers that keep logs but no pieces; all in this process, which tells its
// parent where it listens: `node endless-bridge.ts FOLDER`.
import { join } from 'node:path';
import { startS3Server } from '#node/bridge/s3/server.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { accountOf, introduceOwner, startFarmBridge } from '#test/node-image/bridge/farm-bridge.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';
import { discarding } from './discarding.ts';

const folder = process.argv[2]!;
const credentials = { accessKey: 'bench', secretKey: 'bench-secret' };
const region = 'storj-1';
const farm = await memoryFarm({ farmers: 6 });
const { bridge } = startFarmBridge({
  farm,
  folder,
  network: discarding(farm, farm.networkOf(farm.bridge)),
  catalog: await openSqliteCatalog({ path: join(folder, 'catalog.sqlite'), secret: farm.bridge.seed }),
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
process.on('disconnect', () => process.exit(0));
