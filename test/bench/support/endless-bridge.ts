// A bridge with its S3 server on farmers that keep logs but no pieces, or (`keep`) pieces too; all in this process,
// which tells its parent where it listens: `node endless-bridge.ts FOLDER [keep]`.
import { join } from 'node:path';
import { startS3Server } from '#node/bridge/s3/server.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { accountOf, introduceOwner, startFarmBridge } from '#test/node-image/bridge/farm-bridge.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';
import { discarding } from './discarding.ts';

const [folder, isKept] = [process.argv[2]!, process.argv[3] === 'keep'];
const credentials = { accessKey: 'bench', secretKey: 'bench-secret' };
const region = 'storj-1';
const farm = await memoryFarm({ farmers: 6 });
const { bridge } = startFarmBridge({
  farm,
  folder,
  network: isKept ? farm.networkOf(farm.bridge) : discarding(farm, farm.networkOf(farm.bridge)),
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
