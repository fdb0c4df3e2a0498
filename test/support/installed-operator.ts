// The operator as the tests on a cluster use it: one release that watches all of their namespaces.
import { kubectl, installOperator, type Place } from '#infra/demo/farm-steps.ts';
import { testCluster, type TestCluster } from './test-cluster.ts';

export const RELEASE = 'storj';
export const SYSTEM = 'storj-system';
/** A namespace for each test file that needs one. */
export const TEST_NAMESPACES = ['main-job', 'bad-input', 'https', 'retain', 'kill', 'moon'] as const;
export type TestNamespace = (typeof TEST_NAMESPACES)[number];

export interface Installed {
  cluster: TestCluster;
  /** A farm of this name in the test's namespace. */
  place(farm: string): Place;
}

/** Cluster up, operator installed (or as it was), the namespace there. */
export async function installedOperator(namespace: TestNamespace): Promise<Installed> {
  const cluster = await testCluster();
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  const items = TEST_NAMESPACES.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }));
  await cluster.kubectl(['apply', '--server-side', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  });
  await installOperator(cluster, { release: RELEASE, namespace: SYSTEM, image: cluster.image, watch: TEST_NAMESPACES });
  return { cluster, place: (farm) => ({ target: cluster, namespace, farm }) };
}

/** A farm of small volumes. `spec` is merged over the default. */
export function farm(place: Place, replicas: number, spec: object = {}): string {
  const metadata = { name: place.farm, namespace: place.namespace };
  const farmers = { replicas, storage: { size: '1Gi' } };
  return JSON.stringify({ apiVersion: 'storjfarm.io/v1alpha1', kind: 'StorjFarm', metadata, spec: { farmers, ...spec } });
}

export function bucket(place: Place, name: string, spec: object = {}): string {
  const metadata = { name, namespace: place.namespace };
  return JSON.stringify({
    apiVersion: 'storjfarm.io/v1alpha1',
    kind: 'StorjBucket',
    metadata,
    spec: { farmRef: { name: place.farm }, ...spec },
  });
}

/** Farms, buckets, pods, volumes and Secrets of the namespace: all of it. */
export async function emptyNamespace(place: Place): Promise<void> {
  await kubectl(place, ['delete', 'storjbuckets,storjfarms', '--all', '--timeout=120s']);
  await kubectl(place, [
    'delete',
    'statefulsets,deployments,pods,services,secrets,configmaps',
    '--all',
    '--grace-period=1',
    '--timeout=120s',
  ]);
  await kubectl(place, ['delete', 'pvc', '--all', '--timeout=120s']);
}
