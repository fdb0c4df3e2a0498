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

/** A pod that waits for `kubectl exec`; all that it knows of the bucket comes by envFrom. */
export function clientManifest(image: string, script: string): string {
  const metadata = { namespace: NAMESPACE };
  const container = {
    name: 'client',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['python3', '-c', 'import signal; signal.pause()'],
    envFrom: [{ secretRef: { name: `${BUCKET}-s3` } }],
    env: [{ name: 'HOME', value: '/work' }],
    volumeMounts: [
      { name: 'script', mountPath: '/client' },
      { name: 'work', mountPath: '/work' },
    ],
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
  };
  const items = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...metadata, name: 's3-client' }, data: { 's3-client.py': script } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, name: 's3-client' },
      spec: {
        securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        containers: [container],
        volumes: [
          { name: 'script', configMap: { name: 's3-client' } },
          { name: 'work', emptyDir: {} },
        ],
      },
    },
  ];
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}
