// `npm run farm`: farmers, bridge and repairer as processes on this machine, without Kubernetes.
//   npm run farm -- [--farmers 6] [--port 9000] [--data DIR] [--accounts 1] [--json]
// Data stays in DIR (default ./.farm); started again it goes on. A farmer's folder that is gone is a lost
// farmer: a new one starts in its place and the repairer rebuilds what it held.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { wordsFile } from './farm-folder.ts';
import { FarmError, startLocalFarm } from './local-farm.ts';

const USAGE = 'npm run farm -- [--farmers N] [--port P] [--data DIR] [--accounts N] [--zones N] [--json]';

try {
  await main();
} catch (error) {
  const known = error instanceof FarmError || (error as { code?: unknown }).code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION';
  console.error(known ? (error as Error).message : error);
  if (known && !(error instanceof FarmError)) console.error(USAGE);
  process.exit(1);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      farmers: { type: 'string', default: '6' },
      port: { type: 'string', default: '9000' },
      data: { type: 'string', default: '.farm' },
      accounts: { type: 'string', default: '1' },
      zones: { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  const farm = await startLocalFarm({
    dataDir: resolve(values.data),
    farmers: whole('--farmers', values.farmers, 1, 200),
    zones: whole('--zones', values.zones, 0, 16),
    accounts: whole('--accounts', values.accounts, 1, 100),
    s3Port: whole('--port', values.port, 0, 65_535),
    say: (text) => console.error(text),
    signal: stopping.signal,
  });
  const { endpoint, region, accounts, farmers } = farm;
  const data = resolve(values.data);
  if (values.json) console.log(JSON.stringify({ endpoint, region, accounts, farmers }));
  else {
    console.log(`
S3 is ready: ${endpoint}   (${farm.startFigure})
  export AWS_ENDPOINT_URL_S3=${endpoint} AWS_REGION=${region}
  export AWS_ACCESS_KEY_ID=${accounts[0]?.accessKey} AWS_SECRET_ACCESS_KEY=${accounts[0]?.secretKey}
  aws s3 mb s3://photos && aws s3 cp FILE s3://photos/
Straight from the farmers, without the bridge:
  npm run storj -- ls --farmer ${farmers[0]} --words-file ${join(data, wordsFile(1))}
Data, the accounts' 24 words and logs are in ${data}. Ctrl-C stops the farm and keeps them.`);
  }
  await farm.ended;
}

function whole(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new FarmError('BadFlag', `${flag} takes a whole number from ${least} to ${most}, not "${text}".`);
}
