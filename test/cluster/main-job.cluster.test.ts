// The main job on a real node, each step on what the one before left: a farm, a bucket, four S3 clients that we
// didn't write, loss and repair, growing and shrinking, metrics in a real Prometheus.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#infra/local/run-command.ts';
import {
  apply,
  condition,
  farmUntil,
  healthy,
  killWithVolume,
  kubectl,
  piecesOf,
  piecesOnEach,
  ready,
  s3,
  type Place,
  type Transfer,
} from '#infra/demo/farm-steps.ts';
import { awsSdkJsImage, prometheusImage, promtoolPath, rcloneImage, s3ClientImage } from '#infra/images/client-images.ts';
import { callsOf, writesOf } from '#test/support/audit-log.ts';
import { inPod, startClientPod } from '#test/support/client-pod.ts';
import { bucket, emptyNamespace, farm, installedOperator, SYSTEM, type Installed } from '#test/support/installed-operator.ts';

const SCRIPT = readFileSync(new URL('../../infra/demo/s3-client.py', import.meta.url), 'utf8');
const OPERATOR_USER = `system:serviceaccount:${SYSTEM}:storj-storj-operator`;
/** How long the operator must write nothing; STORJ_TEST_REST_MS=300000 takes the five minutes of the promise. */
const restMs = Number(process.env['STORJ_TEST_REST_MS'] ?? 20_000);
const WAIT = ['python3', '-c', 'import signal; signal.pause()'];
let installed: Installed;
let place: Place;
let first: Transfer;
let second: Transfer;

beforeAll(async () => {
  installed = await installedOperator('main-job');
  place = installed.place('demo');
  await emptyNamespace(place);
}, 1_800_000);

describe('a farm and a bucket', () => {
  it('become Ready, and kubectl shows them readably', async () => {
    await apply(place, farm(place, 6));
    await kubectl(place, ['wait', 'storjfarm/demo', '--for=condition=Ready', '--timeout=180s']);
    await kubectl(place, ['wait', 'storjfarm/demo', '--for=condition=DataHealthy', '--timeout=60s']);
    await apply(place, bucket(place, 'photos'));
    await kubectl(place, ['wait', 'storjbucket/photos', '--for=condition=Ready', '--timeout=120s']);
    const table = await place.target.kubectl(['get', 'storj', '-A']);
    expect(table).toMatch(/demo\s+True\s+6\/6\s+Healthy/);
    expect(table).toMatch(/photos\s+True\s+photos\s+demo/);
  });

  it('tell their story in events', async () => {
    const story = await kubectl(place, ['describe', 'storjfarm/demo']);
    const events = story.slice(story.indexOf('Events:'));
    expect(events.split('\n').length).toBeGreaterThan(3);
    expect(events).toMatch(/Ready/);
  });
});

describe('S3 clients, by envFrom alone', () => {
  it('boto3', async () => {
    const image = await installed.cluster.provideImage(await s3ClientImage());
    await startClientPod(place, {
      name: 's3-client',
      image,
      command: WAIT,
      secret: 'photos-s3',
      files: { 's3-client.py': SCRIPT },
    });
    first = await s3(place, ['put', 'first.bin', '96', '1']);
    expect((await s3(place, ['get', 'first.bin'])).sha256).toBe(first.sha256);
  });

  it('awscli', async () => {
    const aws = (command: string) => inPod(place, 's3-client', ['sh', '-c', command]);
    await aws(
      'head -c 20000000 /dev/urandom > /work/a && sha256sum < /work/a > /work/a.sum && aws s3 cp --no-progress /work/a s3://$BUCKET_NAME/cli/a',
    );
    await aws('aws s3 cp --no-progress s3://$BUCKET_NAME/cli/a /work/b && test "$(sha256sum < /work/b)" = "$(cat /work/a.sum)"');
    expect(await aws('aws s3 ls s3://$BUCKET_NAME/cli/')).toMatch(/20000000 a$/);
    await aws(
      'mkdir -p /work/tree/x && echo 1 > /work/tree/x/1 && echo 2 > /work/tree/2 && aws s3 sync --no-progress /work/tree s3://$BUCKET_NAME/tree && rm -r /work/a /work/b',
    );
    expect(await aws('aws s3 sync --no-progress s3://$BUCKET_NAME/tree /work/back && cat /work/back/x/1 /work/back/2')).toMatch(
      /1\n2$/,
    );
    expect(await aws('aws s3 rm --recursive s3://$BUCKET_NAME/tree && aws s3 ls s3://$BUCKET_NAME/tree/ || echo none')).toMatch(
      /none$/,
    );
  });

  it('rclone', async () => {
    const image = await installed.cluster.provideImage(await rcloneImage());
    await startClientPod(place, { name: 'rclone', image, command: ['sleep', 'infinity'], secret: 'photos-s3' });
    const sh = (command: string) => inPod(place, 'rclone', ['sh', '-c', command]);
    await sh(
      'mkdir -p /work/in/deep && head -c 7000000 /dev/urandom > /work/in/deep/file && echo small > /work/in/small && rclone copy /work/in storj:$BUCKET_NAME/rclone',
    );
    expect(await sh('rclone check /work/in storj:$BUCKET_NAME/rclone 2>&1')).toMatch(/0 differences found/);
    expect((await sh('rclone lsf -R storj:$BUCKET_NAME/rclone')).split('\n').sort()).toEqual(['deep/', 'deep/file', 'small']);
    await sh('rclone purge storj:$BUCKET_NAME/rclone');
  });

  it('AWS SDK for JavaScript v3', async () => {
    const image = await installed.cluster.provideImage(await awsSdkJsImage());
    await startClientPod(place, {
      name: 'sdk-js',
      image,
      command: ['/usr/local/bin/node', '/app/s3.mjs', 'sleep'],
      secret: 'photos-s3',
    });
    const run = async (...args: string[]) =>
      JSON.parse(await inPod(place, 'sdk-js', ['/usr/local/bin/node', '/app/s3.mjs', ...args])) as Transfer & { keys: string[] };
    const put = await run('put', 'js/file', '40', '3');
    expect((await run('get', 'js/file')).sha256).toBe(put.sha256);
    expect((await run('list', 'js/')).keys).toEqual(['js/file']);
    await run('delete', 'js/file');
    expect((await run('list', 'js/')).keys).toEqual([]);
  });
});

describe('loss and repair', () => {
  it('a throttled read goes on while two farmers die with their volumes', async () => {
    const reading = s3(place, ['get', 'first.bin', '8']);
    reading.catch(() => {}); // judged below
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await Promise.all([1, 4].map((ordinal) => killWithVolume(place, `demo-farmer-main-${ordinal}`)));
    expect((await reading).sha256).toBe(first.sha256);
  });

  it('is repaired by itself, back to the full margin', async () => {
    await farmUntil(place, 'data Healthy with margin 2', (one) => ready(one) && healthy(one) && one.status?.data?.margin === 2);
    expect(await piecesOf(place, 'demo-farmer-main-1')).toBeGreaterThan(0);
    // The first loss is behind it, so two others may go now.
    await Promise.all([0, 5].map((ordinal) => killWithVolume(place, `demo-farmer-main-${ordinal}`)));
    expect((await s3(place, ['get', 'first.bin'])).sha256).toBe(first.sha256);
    await farmUntil(place, 'healthy again', (one) => ready(one) && healthy(one) && one.status?.data?.margin === 2);
  });
});

describe('kubectl scale', () => {
  it('up: new farmers take new pieces', async () => {
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=8']);
    await farmUntil(place, 'Ready with 8', (one) => ready(one) && one.status?.replicas === 8);
    second = await s3(place, ['put', 'second.bin', '64', '2']);
    const held = await piecesOnEach(place, ['demo-farmer-main-6', 'demo-farmer-main-7']);
    for (const pieces of held) expect(pieces).toBeGreaterThan(0);
  });

  it('down and up again at once cancels the drain', async () => {
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=7']);
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=8']);
    const settled = await farmUntil(
      place,
      'Ready with 8 and nothing draining',
      (one) => ready(one) && one.status?.replicas === 8 && condition(one, 'Draining')?.status !== 'True',
    );
    expect(condition(settled, 'Stalled')?.status).not.toBe('True');
    expect(
      (await kubectl(place, ['get', 'pods', '-l', 'app.kubernetes.io/component=farmer', '-o', 'name'])).trim().split('\n'),
    ).toHaveLength(8);
  });

  it('down: drained with proof, nothing lost, volumes kept', async () => {
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=6']);
    await farmUntil(place, 'Ready with 6', (one) => ready(one) && one.status?.replicas === 6 && healthy(one));
    const pods = await kubectl(place, ['get', 'pods', '-l', 'app.kubernetes.io/component=farmer', '-o', 'name']);
    expect(pods.trim().split('\n')).toHaveLength(6);
    expect((await kubectl(place, ['get', 'pvc', '-o', 'name'])).trim()).toContain('data-demo-farmer-main-7');
    expect((await s3(place, ['get', 'first.bin'])).sha256).toBe(first.sha256);
    expect((await s3(place, ['get', 'second.bin'])).sha256).toBe(second.sha256);
  });

  it('further down: what needs more farmers is brought to another scheme first', async () => {
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=4']);
    const waits = await farmUntil(place, 'Rewriting', (one) => condition(one, 'Rewriting')?.status === 'True');
    expect(condition(waits, 'Rewriting')?.message).toContain('under 4/5/6/6');
    await farmUntil(place, 'Ready with 4', (one) => ready(one) && one.status?.replicas === 4 && healthy(one));
    expect((await s3(place, ['get', 'first.bin'])).sha256).toBe(first.sha256);
    expect((await s3(place, ['get', 'second.bin'])).sha256).toBe(second.sha256);
  });

  it('a shrink that cannot keep the promise is refused, says why, and can be taken back', async () => {
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=3']);
    const stalled = await farmUntil(place, 'ScaleDownBlocked', (one) => condition(one, 'Stalled')?.reason === 'ScaleDownBlocked');
    expect(condition(stalled, 'Stalled')?.message).toContain('set spec.redundancy');
    expect(
      (await kubectl(place, ['get', 'pods', '-l', 'app.kubernetes.io/component=farmer', '-o', 'name'])).trim().split('\n'),
    ).toHaveLength(4);
    await kubectl(place, ['scale', 'storjfarm/demo', '--replicas=6']);
    await farmUntil(
      place,
      'Ready with 6 and not stalled',
      (one) => ready(one) && one.status?.replicas === 6 && condition(one, 'Stalled')?.status !== 'True',
    );
  });
});

describe('metrics', () => {
  const raw = (path: string) => place.target.kubectl(['get', '--raw', path]);
  const query = async (expression: string) => {
    const answer = await raw(
      `/api/v1/namespaces/main-job/pods/http:prometheus:9090/proxy/api/v1/query?query=${encodeURIComponent(expression)}`,
    );
    return (JSON.parse(answer) as { data: { result: { metric: Record<string, string>; value: [number, string] }[] } }).data
      .result;
  };

  it('a real Prometheus scrapes every component', async () => {
    const image = await installed.cluster.provideImage(await prometheusImage());
    await apply(
      place,
      prometheus(
        image,
        await addresses(SYSTEM, 'app.kubernetes.io/component=operator'),
        await addresses('main-job', 'storjfarm.io/farm=demo'),
      ),
    );
    await kubectl(place, ['wait', 'pod/prometheus', '--for=condition=Ready', '--timeout=120s']);
    await expect.poll(async () => (await query('up == 1')).length, { timeout: 120_000, interval: 2000 }).toBe(9);
    for (const metric of ['storj_operator_', 'storj_farmer_', 'storj_bridge_', 'storj_repairer_']) {
      expect((await query(`count by (__name__) ({__name__=~"${metric}.+"})`)).length, metric).toBeGreaterThan(3);
    }
  });

  it('every page of metrics is clean by promtool', async () => {
    const promtool = await promtoolPath();
    const pages = ['demo-farmer-main-0', 'demo-bridge-0', (await repairerPod()) ?? ''].map(
      (pod) => `/api/v1/namespaces/main-job/pods/https:${pod}:9464/proxy/metrics`,
    );
    pages.push(`/api/v1/namespaces/${SYSTEM}/pods/http:${(await operatorPod()) ?? ''}:8080/proxy/metrics`);
    for (const page of pages) await runCommand(promtool, ['check', 'metrics'], { input: await raw(page) });
  });

  it('idle memory: the operator under 120 MB, farmers under 150 MB', async () => {
    const resident = async (page: string) =>
      Number(/^process_resident_memory_bytes(?:\{[^}]*\})? (\S+)/m.exec(await raw(page))?.[1]);
    // Idle is what is left when the garbage of the steps above was collected.
    const idle = (page: string, bytes: number) =>
      expect.poll(() => resident(page), { timeout: 90_000, interval: 3000 }).toBeLessThan(bytes);
    await idle(`/api/v1/namespaces/${SYSTEM}/pods/http:${(await operatorPod()) ?? ''}:8080/proxy/metrics`, 120e6);
    await idle('/api/v1/namespaces/main-job/pods/https:demo-farmer-main-2:9464/proxy/metrics', 150e6);
  });

  const podName = async (namespace: string, selector: string) =>
    (
      await place.target.kubectl(['-n', namespace, 'get', 'pods', '-l', selector, '-o', 'jsonpath={.items[0].metadata.name}'])
    ).trim();
  const operatorPod = () => podName(SYSTEM, 'app.kubernetes.io/component=operator');
  const repairerPod = () => podName('main-job', 'app.kubernetes.io/component=repairer');
  const addresses = async (namespace: string, selector: string) =>
    (await place.target.kubectl(['-n', namespace, 'get', 'pods', '-l', selector, '-o', 'jsonpath={.items[*].status.podIP}']))
      .trim()
      .split(' ');
});

describe('the operator', () => {
  it('was refused nothing by RBAC, and asked for no Secrets in bulk', async () => {
    const file = installed.cluster.local?.auditLogPath;
    if (!file) throw new Error('the audit log is only there on the local cluster');
    const calls = callsOf(file, OPERATOR_USER);
    expect(calls.length).toBeGreaterThan(50);
    // Reclaim policies can be read in the cluster-wide mode only; without them a condition warns more than it must.
    expect(calls.filter((event) => event.objectRef?.resource === 'persistentvolumes').length).toBeLessThan(50);
    expect(
      calls
        .filter((event) => event.responseStatus?.code === 403 && event.objectRef?.resource !== 'persistentvolumes')
        .map((event) => `${event.verb} ${event.requestURI}`),
    ).toEqual([]);
    expect(calls.filter((event) => event.objectRef?.resource === 'secrets' && ['list', 'watch'].includes(event.verb))).toEqual(
      [],
    );
  });

  it('writes nothing but its own Lease when nothing is asked', async () => {
    const file = installed.cluster.local?.auditLogPath;
    if (!file) throw new Error('the audit log is only there on the local cluster');
    await farmUntil(place, 'everything under one scheme', (one) => ready(one) && !condition(one, 'Rewriting') && healthy(one));
    const writes = () => writesOf(file, OPERATOR_USER);
    // Counts of repeated events come up to a minute late.
    const deadlineMs = Date.now() + 120_000 + 3 * restMs;
    let before = writes().length;
    for (let sinceMs = Date.now(); Date.now() - sinceMs < restMs; await sleep(1000)) {
      const now = writes();
      if (now.length > before) sinceMs = Date.now();
      if (Date.now() > deadlineMs) throw new Error(`it still writes: ${JSON.stringify(now.slice(before - 5), null, 2)}`);
      before = now.length;
    }
  });
});

/** Six farmers, bridge, repairer and operator by address of their pods. */
function prometheus(image: string, operators: string[], nodes: string[]): string {
  const config = {
    global: { scrape_interval: '2s', scrape_timeout: '2s' },
    scrape_configs: [
      { job_name: 'operator', static_configs: [{ targets: operators.map((address) => `${address}:8080`) }] },
      {
        job_name: 'nodes',
        scheme: 'https',
        tls_config: { insecure_skip_verify: true },
        static_configs: [{ targets: nodes.map((address) => `${address}:9464`) }],
      },
    ],
  };
  const metadata = { name: 'prometheus', namespace: 'main-job', labels: { 'app.kubernetes.io/name': 'prometheus' } };
  const items = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'prometheus.yml': JSON.stringify(config) } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: {
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'prometheus',
            image,
            imagePullPolicy: 'IfNotPresent',
            args: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/data'],
            readinessProbe: { httpGet: { path: '/-/ready', port: 9090 }, periodSeconds: 1 },
            volumeMounts: [
              { name: 'config', mountPath: '/etc/prometheus' },
              { name: 'data', mountPath: '/data' },
            ],
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          },
        ],
        volumes: [
          { name: 'config', configMap: { name: 'prometheus' } },
          { name: 'data', emptyDir: {} },
        ],
      },
    },
  ];
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}
