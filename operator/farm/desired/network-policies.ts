// Who may knock. Pieces and libp2p are for clients and other farms, S3 for those who may have buckets, admin for the
// operator and Prometheus alone. (The kubelet's probes come from the node, which no policy keeps out.)
import type { NetworkPolicy } from '#operator/kube/resources.ts';
import { PORTS } from '#node/interface/ports.ts';
import { farmNames, repairerName } from '../names.ts';
import { repairersOf } from './repairer-deployment.ts';
import { childMeta, selectorOf, type Build, type Component } from './common.ts';

interface Rule {
  ports: { port: number; protocol: string }[];
  from?: object[];
}

export function networkPolicies(build: Build): NetworkPolicy[] {
  const names = farmNames(build.farm.name);
  const tcp = (port: number) => ({ port, protocol: 'TCP' });
  return [
    policy(build, names.farmersService, 'farmer', [{ ports: [tcp(PORTS.pieces), tcp(PORTS.libp2p)] }]),
    policy(build, names.bridge, 'bridge', [{ ports: [tcp(PORTS.s3)], ...s3Clients(build) }]),
    ...repairersOf(build).map((number) => policy(build, names.repairer(number), repairerName(number), [])),
  ];
}

function policy(build: Build, name: string, component: Component, rules: Rule[]): NetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: childMeta(build, name, component),
    spec: {
      podSelector: { matchLabels: selectorOf(build.farm.name, component) },
      policyTypes: ['Ingress'],
      ingress: [...rules, { ports: [{ port: PORTS.admin, protocol: 'TCP' }], from: adminClients(build) }],
    },
  };
}

function adminClients(build: Build): object[] {
  return [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': build.operatorNamespace } },
      podSelector: { matchLabels: { 'app.kubernetes.io/component': 'operator', 'app.kubernetes.io/name': 'storj-operator' } },
    },
    { namespaceSelector: {}, podSelector: { matchLabels: { 'app.kubernetes.io/name': 'prometheus' } } },
  ];
}

/** Pods of the namespaces whose StorjBuckets may use the farm; everybody where S3 is published outside the cluster. */
function s3Clients({ farm }: Build): { from?: object[] } {
  const { service } = farm.spec.bridge;
  const { from, selector } = farm.spec.allowedBuckets;
  if (service.type !== 'ClusterIP') return {};
  if (from === 'All') return { from: [{ namespaceSelector: {} }] };
  const own = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': farm.namespace } } };
  if (from === 'Same') return { from: [own] };
  return { from: [own, { namespaceSelector: { matchLabels: selector ?? {} } }] };
}
