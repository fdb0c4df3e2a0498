// The charts, by helm 4 itself, and what they render by a real API server: unknown fields and wrong types are
// its word, not ours.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ensureCluster, type LocalCluster } from '#infra/local/local-cluster.ts';
import { prometheusOperatorCrds } from '#test/support/prometheus-operator-crds.ts';

const OPERATOR = fileURLToPath(new URL('../../charts/storj-operator', import.meta.url));
const FARM = fileURLToPath(new URL('../../charts/storj-farm', import.meta.url));
const TAG = ['--set', 'image.tag=abc123'];

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}
interface Rendered {
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> };
  rules?: Rule[];
  spec?: {
    template?: { spec: Record<string, unknown> & { containers: { image: string; env: { name: string; value?: string }[] }[] } };
  };
}

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await ensureCluster({ name: 'test-charts', mode: 'control-plane', fresh: true });
  await cluster.kubectl(['create', 'namespace', 'sys']);
  await cluster.kubectl(['create', 'namespace', 'a']);
  await cluster.kubectl(['create', 'namespace', 'b']);
});
afterAll(async () => await cluster.down());

const template = async (chart: string, ...args: string[]): Promise<string> =>
  await cluster.helm(['template', 'demo', chart, '--namespace', 'sys', ...args]);
const objects = (yaml: string) =>
  parseAllDocuments(yaml)
    .map((document) => document.toJS() as Rendered | null)
    .filter((one) => one !== null);
const render = async (chart: string, ...args: string[]) => objects(await template(chart, ...args));
const refused = async (chart: string, ...args: string[]): Promise<string> => {
  try {
    await template(chart, ...args);
  } catch (error) {
    return String(error);
  }
  throw new Error(`helm accepted ${args.join(' ')}`);
};

const VALUES: [name: string, chart: string, args: string[]][] = [
  ['operator, defaults', OPERATOR, TAG],
  ['operator, cluster-wide, two replicas', OPERATOR, [...TAG, '--set', 'clusterWide=true,replicaCount=2']],
  [
    'operator, two namespaces',
    OPERATOR,
    [...TAG, '--set', 'watchNamespaces={a,b}', '--set', 'log.level=debug,nodeImage=localhost/other:1'],
  ],
  [
    'operator, everything a pod can be given',
    OPERATOR,
    [
      ...TAG,
      '--set',
      'priorityClassName=system-cluster-critical,nodeSelector.disk=ssd,podLabels.team=x,podAnnotations.note=y,imagePullSecrets[0].name=pull,serviceAccount.annotations.role=z,extraEnv[0].name=A,extraEnv[0].value=b,tolerations[0].operator=Exists',
    ],
  ],
  ['farm, defaults', FARM, []],
  ['farm with a bucket', FARM, ['--set', 'buckets[0].name=photos,buckets[0].spec.quota.maxBytes=10Gi']],
];

describe('what the charts render', () => {
  it.each(VALUES)('%s: lints and the API server takes every field', async (_name, chart, args) => {
    await cluster.helm(['lint', '--strict', chart, ...args]);
    await cluster.kubectl([
      'apply',
      '--server-side',
      '-f',
      fileURLToPath(new URL('../../crds/storjfarms.yaml', import.meta.url)),
      '-f',
      fileURLToPath(new URL('../../crds/storjbuckets.yaml', import.meta.url)),
    ]);
    const yaml = await template(chart, ...args);
    await cluster.kubectl(['apply', '--dry-run=server', '--validate=strict', '--server-side', '--force-conflicts', '-f', '-'], {
      input: yaml,
    });
  });

  it('names no image `latest`, and a digest wins over a tag', async () => {
    const images = (list: Rendered[]) =>
      list.flatMap((one) => one.spec?.template?.spec.containers.map((container) => container.image) ?? []);
    expect(images(await render(OPERATOR, ...TAG))).toEqual(['localhost/storj-node:abc123']);
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(images(await render(OPERATOR, ...TAG, '--set', `image.digest=${digest}`))).toEqual([`localhost/storj-node@${digest}`]);
    expect(await refused(OPERATOR)).toContain('image.tag (or image.digest) is needed');
    expect(await refused(OPERATOR, '--set', 'image.tag=latest')).toContain('image.tag');
  });

  it('refuses values that it does not know, by name', async () => {
    expect(await refused(OPERATOR, ...TAG, '--set', 'watchNamespace=a')).toContain('watchNamespace');
    expect(await refused(OPERATOR, ...TAG, '--set', 'replicaCount=many')).toContain('replicaCount');
    expect(await refused(FARM, '--set', 'bucket[0].name=x')).toContain('bucket');
    expect(await refused(FARM, '--set', `name=${'x'.repeat(31)}`)).toMatch(/name/);
  });

  it('keeps the CRDs on uninstall, unless told otherwise, and leaves them out on demand', async () => {
    const crds = (list: Rendered[]) => list.filter((one) => one.kind === 'CustomResourceDefinition');
    const kept = crds(await render(OPERATOR, ...TAG));
    expect(kept.map((one) => one.metadata.annotations?.['helm.sh/resource-policy'])).toEqual(['keep', 'keep']);
    const loose = crds(await render(OPERATOR, ...TAG, '--set', 'crds.keep=false'));
    expect(loose.map((one) => one.metadata.annotations?.['helm.sh/resource-policy'])).toEqual([undefined, undefined]);
    expect(crds(await render(OPERATOR, ...TAG, '--set', 'crds.enabled=false'))).toEqual([]);
  });

  it('watches the release namespace by default, named ones by Roles, all by a ClusterRole', async () => {
    const scope = (list: Rendered[]) => ({
      cluster: list.filter((one) => one.kind === 'ClusterRole').length,
      roles: list
        .filter((one) => one.kind === 'Role' && !one.metadata.name.endsWith('-lease'))
        .map((one) => one.metadata.namespace),
      env: list
        .flatMap((one) => one.spec?.template?.spec.containers[0]?.env ?? [])
        .find((one) => one.name === 'STORJ_OPERATOR_WATCH_NAMESPACES')?.value,
    });
    expect(scope(await render(OPERATOR, ...TAG))).toEqual({ cluster: 0, roles: ['sys'], env: 'sys' });
    expect(scope(await render(OPERATOR, ...TAG, '--set', 'watchNamespaces={a,b}'))).toEqual({
      cluster: 0,
      roles: ['a', 'b'],
      env: 'a,b',
    });
    expect(scope(await render(OPERATOR, ...TAG, '--set', 'clusterWide=true'))).toEqual({ cluster: 1, roles: [], env: '' });
  });

  it('never lists or watches Secrets, and grants nothing by wildcard', async () => {
    for (const args of [
      ['--set', 'clusterWide=true'],
      ['--set', 'watchNamespaces={a}'],
    ]) {
      const rules = (await render(OPERATOR, ...TAG, ...args)).flatMap((one) => one.rules ?? []);
      expect(rules.length).toBeGreaterThan(5);
      expect(rules.filter((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs].includes('*'))).toEqual([]);
      const secrets = rules.filter((rule) => rule.resources.includes('secrets'));
      expect(secrets.flatMap((rule) => rule.verbs).sort()).toEqual(['create', 'delete', 'get', 'patch']);
    }
  });

  it('runs as restricted Pod Security demands', async () => {
    await cluster.kubectl([
      'label',
      'namespace',
      'sys',
      'pod-security.kubernetes.io/enforce=restricted',
      'pod-security.kubernetes.io/warn=restricted',
      '--overwrite',
    ]);
    const deployment = (await render(OPERATOR, ...TAG)).find((one) => one.kind === 'Deployment');
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'as-operator', namespace: 'sys' },
      spec: { ...deployment?.spec?.template?.spec, serviceAccountName: 'default' },
    };
    await cluster.kubectl(['apply', '--dry-run=server', '-f', '-'], { input: JSON.stringify(pod) });
  });

  it('monitors carry the labels that a Prometheus selects by, and only on demand', async () => {
    const monitors = (list: Rendered[]) => list.filter((one) => one.kind.endsWith('Monitor')).map((one) => one.kind);
    expect(monitors(await render(OPERATOR, ...TAG))).toEqual([]);
    const on = await render(
      OPERATOR,
      ...TAG,
      '--set',
      'metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,metrics.podMonitor.labels.release=prometheus',
    );
    expect(monitors(on).sort()).toEqual(['PodMonitor', 'ServiceMonitor']);
    expect(JSON.stringify(on.find((one) => one.kind === 'PodMonitor'))).toContain('"release":"prometheus"');
  });
});

describe('installing', () => {
  it('installs, upgrades with changed values and uninstalls; the CRDs and their objects stay', async () => {
    await cluster.kubectl(['delete', 'crd', 'storjfarms.storjfarm.io', 'storjbuckets.storjfarm.io', '--ignore-not-found']);
    await cluster.helm(['install', 'op', OPERATOR, '--namespace', 'sys', ...TAG, '--set', 'watchNamespaces={a}']);
    await cluster.helm(['install', 'demo', FARM, '--namespace', 'a']);
    await cluster.helm(['upgrade', 'op', OPERATOR, '--namespace', 'sys', ...TAG, '--set', 'watchNamespaces={a,b}']);
    expect(await cluster.kubectl(['-n', 'b', 'get', 'roles', '-o', 'name'])).toContain('op-storj-operator');
    await cluster.helm(['uninstall', 'op', '--namespace', 'sys']);
    expect(await cluster.kubectl(['-n', 'a', 'get', 'storj', '-o', 'name'])).toContain('storjfarm.storjfarm.io/demo');
    await cluster.helm(['install', 'op', OPERATOR, '--namespace', 'sys', ...TAG]);
  });

  it('installs ServiceMonitor and PodMonitor against the real CRDs of the Prometheus operator', async () => {
    const files = await prometheusOperatorCrds(['servicemonitors', 'podmonitors']);
    await cluster.kubectl(['apply', '--server-side', ...files.flatMap((file) => ['-f', file])]);
    const on =
      'metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,metrics.serviceMonitor.labels.release=prometheus';
    await cluster.helm(['upgrade', '--install', 'op', OPERATOR, '--namespace', 'sys', ...TAG, '--set', on]);
    const made = await cluster.kubectl([
      '-n',
      'sys',
      'get',
      'servicemonitors,podmonitors',
      '-l',
      'app.kubernetes.io/instance=op',
      '-o',
      'name',
    ]);
    expect(made.trim().split('\n')).toHaveLength(2);
    const yaml = await template(OPERATOR, ...TAG, '--set', on);
    await cluster.kubectl(['apply', '--dry-run=server', '--validate=strict', '--server-side', '--force-conflicts', '-f', '-'], {
      input: yaml,
    });
  });
});
