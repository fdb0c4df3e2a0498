// What a person does with kubectl and an S3 client on a farm, as functions: the demo and the tests on a
// real cluster share them.
import { fileURLToPath } from 'node:url';
import type { Target } from './target.ts';

const CHART = fileURLToPath(new URL('../../charts/storj-operator', import.meta.url));

/** Longest wait for any one state of a farm. */
const WAIT_MS = 300_000;

export interface Transfer {
  sha256: string;
  bytes: number;
  seconds: number;
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  observedGeneration?: number;
}

export interface Farm {
  metadata: { name: string; uid: string; generation: number };
  status?: {
    replicas?: number;
    data?: { state?: string; margin?: number };
    endpoints?: { s3?: string };
    conditions?: Condition[];
  };
}

/** A farm, or a bucket, of one namespace on one cluster. */
export interface Place {
  target: Pick<Target, 'kubectl'>;
  namespace: string;
  /** Name of the StorjFarm. */
  farm: string;
}

export async function kubectl(place: Place, args: readonly string[]): Promise<string> {
  return await place.target.kubectl(['-n', place.namespace, ...args], { timeoutMs: WAIT_MS + 10_000 });
}

/** Server-side apply of JSON or YAML. */
export async function apply(place: Pick<Place, 'target'>, manifest: string): Promise<void> {
  await place.target.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: manifest });
}

async function getFarm(place: Place): Promise<Farm> {
  return JSON.parse(await kubectl(place, ['get', `storjfarm/${place.farm}`, '-o', 'json'])) as Farm;
}

/** Waits until the farm is so, and says each change on the way. Fails with what the farm says of itself. */
export async function farmUntil(
  place: Place,
  what: string,
  holds: (farm: Farm) => boolean,
  say: (text: string) => void = () => {},
): Promise<Farm> {
  const deadlineMs = Date.now() + WAIT_MS;
  let said = '';
  for (;;) {
    const farm = await getFarm(place);
    if (holds(farm)) return farm;
    const now = summary(farm);
    if (now !== said) say((said = now));
    if (Date.now() > deadlineMs)
      throw new Error(`not within ${WAIT_MS / 1000} s: ${what}; the farm says: ${JSON.stringify(farm.status?.conditions)}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

export function condition(farm: Farm, type: string): Condition | undefined {
  return farm.status?.conditions?.find((one) => one.type === type);
}

export function ready(farm: Farm): boolean {
  const found = condition(farm, 'Ready');
  return (
    found?.status === 'True' &&
    found.observedGeneration === farm.metadata.generation &&
    condition(farm, 'Reconciling')?.status !== 'True'
  );
}

export function healthy(farm: Farm): boolean {
  return farm.status?.data?.state === 'Healthy';
}

export function summary(farm: Farm): string {
  const facts = ['Ready', 'Reconciling', 'Stalled', 'Draining']
    .map((type) => condition(farm, type))
    .filter((one) => one !== undefined && (one.type === 'Ready' || one.status === 'True'))
    .map((one) => `${one?.type}=${one?.status} ${one?.reason}`);
  const data = farm.status?.data;
  return [
    `${farm.status?.replicas ?? 0} farmers`,
    ...facts,
    `data ${data?.state ?? 'Unknown'}, margin ${data?.margin ?? '?'}`,
  ].join(', ');
}

/** Pod and volume of a slot: what was on it is gone for good. */
export async function killWithVolume(place: Place, slot: string): Promise<void> {
  await kubectl(place, ['delete', 'pvc', `data-${slot}`, '--wait=false']);
  await kubectl(place, ['delete', 'pod', slot, '--grace-period=0', '--force']);
}

export async function piecesOf(place: Place, slot: string): Promise<number> {
  const status = await kubectl(place, [
    'get',
    '--raw',
    `/api/v1/namespaces/${place.namespace}/pods/https:${slot}:9464/proxy/status`,
  ]);
  return (JSON.parse(status) as { pieces: number }).pieces;
}

/** Files that are put for it at most. */
const MORE_FILES = 8;

/**
 * What each of these farmers holds. An upload doesn't wait for the slowest farmers: files are put until those that
 * have just started have got something, too.
 */
export async function piecesOnEach(place: Place, slots: readonly string[]): Promise<number[]> {
  for (let more = 1; ; more++) {
    const held = await Promise.all(slots.map((slot) => piecesOf(place, slot)));
    if (more > MORE_FILES || held.every((pieces) => pieces > 0)) return held;
    await s3(place, ['put', `more-${more}.bin`, '8', '3']);
  }
}

/** First pod of a component: farmer, bridge, repairer. */
async function podOf(place: Place, component: string): Promise<string> {
  const selector = `storjfarm.io/farm=${place.farm},app.kubernetes.io/component=${component}`;
  return await kubectl(place, ['get', 'pods', '-l', selector, '-o', 'jsonpath={.items[0].metadata.name}']);
}

export async function nodeMetrics(place: Place, component: string): Promise<string> {
  const pod = await podOf(place, component);
  return await kubectl(place, ['get', '--raw', `/api/v1/namespaces/${place.namespace}/pods/https:${pod}:9464/proxy/metrics`]);
}

/** Of the operator that runs in `namespace`. */
export async function operatorMetrics(target: Pick<Target, 'kubectl'>, namespace: string): Promise<string> {
  const pod = await target.kubectl([
    '-n',
    namespace,
    'get',
    'pods',
    '-l',
    'app.kubernetes.io/component=operator',
    '-o',
    'jsonpath={.items[0].metadata.name}',
  ]);
  return await target.kubectl(['get', '--raw', `/api/v1/namespaces/${namespace}/pods/http:${pod}:8080/proxy/metrics`]);
}

/** Runs the boto3 client in its pod (manifests.ts); its one line of JSON. */
export async function s3(place: Place, args: readonly string[]): Promise<Transfer> {
  const output = await kubectl(place, ['exec', 's3-client', '--', 'python3', '/client/s3-client.py', ...args]);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Transfer;
}

export interface Install {
  release: string;
  namespace: string;
  /** name:tag */
  image: string;
  /** Namespaces to watch; they must exist. */
  watch: readonly string[];
  /** More `--set` values. */
  set?: readonly string[];
}

/** The operator by its chart; also upgrades. Waits until it is ready. */
export async function installOperator(target: Pick<Target, 'helm'>, install: Install): Promise<void> {
  const separator = install.image.lastIndexOf(':');
  const values = [
    `image.repository=${install.image.slice(0, separator)}`,
    `watchNamespaces={${install.watch.join(',')}}`,
    ...(install.set ?? []),
  ].flatMap((value) => ['--set', value]);
  const where = ['--namespace', install.namespace, '--create-namespace', '--force-conflicts', '--wait', '--timeout', '3m'];
  const tag = ['--set-string', `image.tag=${install.image.slice(separator + 1)}`];
  await target.helm(['upgrade', '--install', install.release, CHART, ...where, ...values, ...tag], { timeoutMs: 240_000 });
}
