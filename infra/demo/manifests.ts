// What the demo applies.
export const NAMESPACE = 'demo';
export const FARM = 'demo';
export const BUCKET = 'photos';

export function namespaceManifest(): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
}

/** On the local cluster S3 gets a fixed node port, which is forwarded to this machine. */
export function farmManifest(options: { replicas: number; nodePort: number; local: boolean }): string {
  const service = options.local ? { type: 'NodePort', nodePort: options.nodePort } : { type: 'ClusterIP' };
  return JSON.stringify({
    apiVersion: 'storjfarm.io/v1alpha1',
    kind: 'StorjFarm',
    metadata: { name: FARM, namespace: NAMESPACE },
    spec: { farmers: { replicas: options.replicas, storage: { size: '2Gi' } }, bridge: { service } },
  });
}

export function bucketManifest(): string {
  return JSON.stringify({
    apiVersion: 'storjfarm.io/v1alpha1',
    kind: 'StorjBucket',
    metadata: { name: BUCKET, namespace: NAMESPACE },
    spec: { farmRef: { name: FARM } },
  });
}
