// `npm run demo`: the main job on a real Kubernetes, step by step, with a table of what was done and
// measured at the end. It can be run again at once; `--down` removes what it made.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { s3ClientImage } from '#infra/images/client-images.ts';
import { buildProductImage } from '#node/image.ts';
import {
  apply,
  farmUntil,
  healthy,
  installOperator,
  killWithVolume,
  kubectl,
  nodeMetrics,
  operatorMetrics,
  piecesOf,
  piecesOnEach,
  ready,
  s3,
  summary,
  type Place,
  type Transfer,
} from './farm-steps.ts';
import { startClientPod } from './client-pod.ts';
import { bucketManifest, farmManifest, namespaceManifest, NAMESPACE, FARM, BUCKET } from './manifests.ts';
import { contextTarget, localTarget, removeLocalTarget, S3_NODE_PORT, type Target } from './target.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const RELEASE = 'storj-operator';
const SYSTEM = 'storj-system';
const FILE_MIB = 256;
const SECOND_FILE_MIB = 64;
/** Slow enough that two farmers die and the repair starts while the read is running. */
const THROTTLE_MIB_S = 12;

const { values: flags } = parseArgs({
  options: {
    context: { type: 'string' },
    registry: { type: 'string' },
    down: { type: 'boolean', default: false },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const startedMs = Date.now();
const rows: [step: string, seconds: string, result: string][] = [];

if (flags.help) console.log('npm run demo [-- --yes] [--down] [--context NAME [--registry HOST/PATH]]');
else if (flags.down) await down();
else await demo();

async function demo(): Promise<void> {
  const target = await step('Kubernetes is up', async () => {
    const made = flags.context === undefined ? await localTarget(say) : await contextTarget(flags.context, flags.registry);
    return [made, flags.context ?? 'a local cluster in its own network namespace'];
  });
  const place: Place = { target, namespace: NAMESPACE, farm: FARM };
  const image = await step('image of the nodes and the operator', async () => {
    const built = await buildProductImage({ onProgress: say });
    const name = await target.provideImage(built);
    return [name, `${name}, ${(built.compressedBytes / 2 ** 20).toFixed(0)} MiB`];
  });
  await step('operator installed with Helm', async () => {
    // The operator's Role lives in the watched namespace, so that has to be there first.
    await target.kubectl(['apply', '-f', '-'], { input: namespaceManifest() });
    await installOperator(target, { release: RELEASE, namespace: SYSTEM, image, watch: [NAMESPACE] });
    return [undefined, `release ${RELEASE} in ${SYSTEM}, watching ${NAMESPACE}`];
  });
  await step('a farm of 6 farmers is Ready', async () => {
    await apply(place, farmManifest({ replicas: 6, nodePort: S3_NODE_PORT, local: target.s3Endpoint !== null }));
    const status = await farmUntil(
      place,
      'Ready with 6 farmers and healthy data',
      (farm) => ready(farm) && farm.status?.replicas === 6 && healthy(farm),
      say,
    );
    return [undefined, `${summary(status)}, S3 at ${status.status?.endpoints?.s3}`];
  });
  await step('a bucket and its Secret', async () => {
    await apply(place, bucketManifest());
    await kubectl(place, ['wait', `storjbucket/${BUCKET}`, '--for=condition=Ready', '--timeout=120s']);
    return [undefined, `Secret ${BUCKET}-s3`];
  });
  await step('an S3 client from PyPI (boto3) in a pod, by envFrom', async () => {
    const client = await target.provideImage(await s3ClientImage({ onProgress: say }));
    await kubectl(place, ['delete', 'pod', 's3-client', '--ignore-not-found', '--grace-period=0', '--force', '--wait=true']);
    await startClientPod(place, {
      name: 's3-client',
      image: client,
      command: ['python3', '-c', 'import signal; signal.pause()'],
      secret: `${BUCKET}-s3`,
      files: { 's3-client.py': readFileSync(join(root, 'infra/demo/s3-client.py'), 'utf8') },
    });
    return [undefined, client];
  });

  const first = await step(`${FILE_MIB} MiB stored`, async () => {
    const put = await s3(place, ['put', 'first.bin', String(FILE_MIB), '1']);
    return [put, `${rate(put)}, sha256 ${put.sha256.slice(0, 16)}…`];
  });
  await step('read back', async () => {
    const got = await s3(place, ['get', 'first.bin']);
    mustEqual(got, first);
    return [undefined, `${rate(got)}, sha256 equal`];
  });

  await step('two farmers killed with their volumes while a throttled read runs', async () => {
    const reading = s3(place, ['get', 'first.bin', String(THROTTLE_MIB_S)]);
    reading.catch(() => {}); // judged below
    await sleep(3000);
    await Promise.all([1, 4].map((ordinal) => killWithVolume(place, `${FARM}-farmer-main-${ordinal}`)));
    const got = await reading;
    mustEqual(got, first);
    return [undefined, `the read went on: ${rate(got)}, sha256 equal`];
  });
  await step('repaired', async () => {
    const status = await farmUntil(
      place,
      'repaired: Ready, data Healthy, margin 2',
      (farm) => ready(farm) && healthy(farm) && farm.status?.data?.margin === 2,
      say,
    );
    const held = await Promise.all([1, 4].map((ordinal) => piecesOf(place, `${FARM}-farmer-main-${ordinal}`)));
    if (held.some((pieces) => pieces === 0)) throw new Error(`a replaced farmer holds no pieces: ${held.join(', ')}`);
    return [undefined, `${summary(status)}, pieces on the replaced farmers: ${held.join(' and ')}`];
  });

  await step('scaled 6 → 8', async () => {
    await kubectl(place, ['scale', `storjfarm/${FARM}`, '--replicas=8']);
    const status = await farmUntil(place, 'Ready with 8 farmers', (farm) => ready(farm) && farm.status?.replicas === 8, say);
    return [undefined, summary(status)];
  });
  const second = await step(`a second file (${SECOND_FILE_MIB} MiB); the new farmers hold pieces`, async () => {
    const put = await s3(place, ['put', 'second.bin', String(SECOND_FILE_MIB), '2']);
    const held = await piecesOnEach(
      place,
      [6, 7].map((ordinal) => `${FARM}-farmer-main-${ordinal}`),
    );
    if (held.some((pieces) => pieces === 0)) throw new Error(`a new farmer holds no pieces: ${held.join(', ')}`);
    return [put, `${rate(put)}, pieces on the new farmers: ${held.join(' and ')}`];
  });
  await step('scaled 8 → 6: drained with proof, volumes kept', async () => {
    await kubectl(place, ['scale', `storjfarm/${FARM}`, '--replicas=6']);
    const status = await farmUntil(
      place,
      'back at 6 farmers',
      (farm) => ready(farm) && farm.status?.replicas === 6 && healthy(farm),
      say,
    );
    return [undefined, summary(status)];
  });
  await step('both files read back', async () => {
    mustEqual(await s3(place, ['get', 'first.bin']), first);
    mustEqual(await s3(place, ['get', 'second.bin']), second);
    return [undefined, 'sha256 of both equal'];
  });
  await step('metrics of every component', async () => {
    const counts = await Promise.all(
      ['operator', 'farmer', 'bridge', 'repairer'].map(async (component) => {
        const page = component === 'operator' ? await operatorMetrics(target, SYSTEM) : await nodeMetrics(place, component);
        const names = new Set(page.match(new RegExp(`^storj_${component}_[a-z_]+`, 'gm')));
        if (names.size === 0) throw new Error(`the ${component} shows no metrics`);
        return `${names.size} storj_${component}_*`;
      }),
    );
    return [undefined, counts.join(', ')];
  });
  await report(target, place);
}

/** One line while it runs, one row at the end; a failure says which step it was and how to look further. */
async function step<T>(name: string, run: () => Promise<[T, string]>): Promise<T> {
  const beganMs = Date.now();
  console.log(`[${clock()}] ${name} …`);
  try {
    const [value, result] = await run();
    const seconds = ((Date.now() - beganMs) / 1000).toFixed(1);
    console.log(`[${clock()}] ${name}: done in ${seconds} s${result === '' ? '' : ` (${result})`}`);
    rows.push([name, seconds, result]);
    return value;
  } catch (error) {
    console.error(`[${clock()}] FAILED: ${name}: ${error instanceof Error ? error.message : String(error)}`);
    console.error(
      'The cluster is left as it is, to be looked at. `npm run demo -- --down` removes it; `npm run demo` tries again.',
    );
    return process.exit(1);
  }
}

function say(text: string): void {
  console.log(`[${clock()}]   ${text}`);
}

function clock(): string {
  return `${((Date.now() - startedMs) / 1000).toFixed(0).padStart(4)} s`;
}

function mustEqual(got: Transfer, put: Transfer): void {
  if (got.sha256 !== put.sha256)
    throw new Error(`the bytes differ: put ${put.sha256} (${put.bytes} bytes), got ${got.sha256} (${got.bytes} bytes)`);
}

function rate(transfer: Transfer): string {
  return `${(transfer.bytes / 2 ** 20 / transfer.seconds).toFixed(0)} MiB/s`;
}

async function report(target: Target, place: Place): Promise<void> {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${'step'.padEnd(width)}  seconds  result`);
  for (const [name, seconds, result] of rows) console.log(`${name.padEnd(width)}  ${seconds.padStart(7)}  ${result}`);
  const secret = JSON.parse(await kubectl(place, ['get', 'secret', `${BUCKET}-s3`, '-o', 'json'])) as {
    data: Record<string, string>;
  };
  const plain = (key: string) => Buffer.from(secret.data[key] ?? '', 'base64').toString();
  const where = target.s3Endpoint ?? plain('AWS_ENDPOINT_URL_S3');
  const ending = flags.context === undefined ? '' : ` --context ${flags.context}`;
  console.log(`
The farm is left running. Go on:
  ${target.kubectlHint} get storj -A
  ${target.kubectlHint} -n ${NAMESPACE} describe storjfarm ${FARM}
  export AWS_ENDPOINT_URL_S3=${where} AWS_REGION=${plain('AWS_REGION')}
  export AWS_ACCESS_KEY_ID=${plain('AWS_ACCESS_KEY_ID')} AWS_SECRET_ACCESS_KEY=${plain('AWS_SECRET_ACCESS_KEY')}
  aws s3 ls s3://${plain('BUCKET_NAME')}
  npm run demo -- --down${ending}     removes what the demo made`);
}

async function down(): Promise<void> {
  if (flags.context === undefined) {
    console.log((await removeLocalTarget()) ? 'The cluster of the demo is gone.' : 'There is no cluster of the demo.');
    return;
  }
  const target = await contextTarget(flags.context, flags.registry);
  // Farm and bucket first, then what serves them; volumes and keys go with the demo's own namespace.
  await target
    .kubectl(['-n', NAMESPACE, 'delete', 'storjbucket,storjfarm', '--all', '--ignore-not-found', '--timeout=60s'])
    .catch(() => '');
  await target.helm(['uninstall', RELEASE, '--namespace', SYSTEM, '--ignore-not-found', '--wait']);
  await target.kubectl(['delete', 'namespace', NAMESPACE, SYSTEM, '--ignore-not-found', '--timeout=180s'], {
    timeoutMs: 200_000,
  });
  console.log(
    `Removed from ${flags.context}: the namespaces ${NAMESPACE} and ${SYSTEM}. The CRDs stay (helm keeps them); remove them with kubectl delete crd storjfarms.storjfarm.io storjbuckets.storjfarm.io`,
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
