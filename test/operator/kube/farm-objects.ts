// Objects like those that a farm is made of, written as our builders write them: with values that the API server
// stores in another way, and with what it fills in left out.
import type {
  ConfigMap,
  Deployment,
  KubeObject,
  NetworkPolicy,
  PersistentVolumeClaim,
  PodDisruptionBudget,
  ResourceType,
  Secret,
  Service,
  StatefulSet,
} from '#operator/kube/resources.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  secrets,
  services,
  statefulSets,
} from '#operator/kube/resources.ts';

export interface Typed {
  type: ResourceType;
  object: KubeObject;
}

const labels = { 'app.kubernetes.io/name': 'storj-farm', 'app.kubernetes.io/instance': 'demo' };

export function farmObjects(namespace: string): Typed[] {
  const meta = (name: string) => ({ metadata: { name, namespace, labels } });
  const configMap: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    ...meta('demo'),
    data: { 'config.json': '{"generation":1}' },
  };
  const secret: Secret = { apiVersion: 'v1', kind: 'Secret', ...meta('demo-control'), type: 'Opaque', stringData: { key: 'k' } };
  const headless: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    ...meta('demo-farmer'),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: labels,
      ports: [
        { name: 'pieces', port: 7777, targetPort: 'pieces' },
        { name: 'libp2p', port: 4001 },
      ],
    },
  };
  const bridge: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    ...meta('demo-s3'),
    spec: { type: 'ClusterIP', selector: labels, ports: [{ name: 's3', port: 80, targetPort: 9000 }] },
  };
  const budget: PodDisruptionBudget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    ...meta('demo-farmer'),
    spec: { maxUnavailable: 0, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: labels } },
  };
  const policy: NetworkPolicy = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    ...meta('demo-admin'),
    spec: {
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress'],
      ingress: [
        { ports: [{ port: 7777 }, { port: 'libp2p' }] },
        { from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'operator' } } }], ports: [{ port: 8080 }] },
      ],
    },
  };
  const claim: PersistentVolumeClaim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    ...meta('data-demo-farmer-main-0'),
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1024Mi' } } },
  };
  return [
    { type: configMaps, object: configMap },
    { type: secrets, object: secret },
    { type: services, object: headless },
    { type: services, object: bridge },
    { type: podDisruptionBudgets, object: budget },
    { type: networkPolicies, object: policy },
    { type: persistentVolumeClaims, object: claim },
    { type: statefulSets, object: statefulSet(namespace) },
    { type: deployments, object: deployment(namespace) },
  ];
}

function podSpec(role: string) {
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60,
    nodeSelector: {},
    tolerations: [],
    securityContext: { runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    topologySpreadConstraints: [
      {
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        maxSkew: 1,
        labelSelector: { matchLabels: labels },
      },
    ],
    volumes: [
      { name: 'config', configMap: { name: 'demo' } },
      { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
      { name: 'scratch', emptyDir: {} },
    ],
    containers: [
      {
        name: role,
        image: 'localhost/storj-node:0123',
        imagePullPolicy: 'IfNotPresent',
        args: ['/app/node.mjs', role],
        env: [
          { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'EMPTY', value: '' },
        ],
        ports: [
          { name: 'pieces', containerPort: 7777 },
          { name: 'admin', containerPort: 8080 },
        ],
        resources: { requests: { cpu: '0.1', memory: '0.25Gi' }, limits: { memory: '1024Mi' } },
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        readinessProbe: { httpGet: { path: '/ready', port: 'admin' }, periodSeconds: 2 },
        volumeMounts: [
          { name: 'config', mountPath: '/config', readOnly: true },
          { name: 'tmp', mountPath: '/tmp' },
          { name: 'scratch', mountPath: '/scratch', readOnly: false },
        ],
      },
    ],
  };
}

function statefulSet(namespace: string): StatefulSet {
  const spec = podSpec('farmer');
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'demo-farmer-main', namespace, labels },
    spec: {
      replicas: 0,
      serviceName: 'demo-farmer',
      podManagementPolicy: 'Parallel',
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '100Gi' } } },
        },
      ],
    },
  };
}

function deployment(namespace: string): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'demo-repairer', namespace, labels },
    spec: {
      replicas: 0,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { ...labels, 'app.kubernetes.io/component': 'repairer' } },
      template: { metadata: { labels: { ...labels, 'app.kubernetes.io/component': 'repairer' } }, spec: podSpec('repairer') },
    },
  };
}
