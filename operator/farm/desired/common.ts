// What all children of a farm share: labels, owner, pod security, probes.
import type { StorjFarm } from '#operator/api.ts';
import type { ObjectMeta, OwnerReference } from '#operator/kube/resources.ts';
import { apiVersion, marks } from '#operator/api.ts';
import type { RepairerName } from '../names.ts';
import { nodeFlags } from '#node/interface/node-flags.ts';
import { PORTS } from '#node/interface/ports.ts';

export type Component = 'farmer' | 'bridge' | RepairerName | 'config';

/** What builders read. No client, no clock. */
export interface Build {
  farm: { name: string; namespace: string; uid: string; spec: StorjFarm['spec'] };
  installId: string;
  operatorNamespace: string;
  image: string;
  controlKey: string;
}

const partOf = 'storj';

/** Only what never changes: selectors are made of these. */
export function selectorOf(farm: string, component: Component): Record<string, string> {
  return { 'app.kubernetes.io/name': 'storj-node', 'app.kubernetes.io/instance': farm, 'app.kubernetes.io/component': component };
}

export function labelsOf(farm: string, component: Component): Record<string, string> {
  return {
    ...selectorOf(farm, component),
    'app.kubernetes.io/part-of': partOf,
    'app.kubernetes.io/managed-by': 'storj-operator',
    [marks.farm]: farm,
  };
}

function ownerOf({ farm }: Build): OwnerReference {
  return { apiVersion, kind: 'StorjFarm', name: farm.name, uid: farm.uid, controller: true, blockOwnerDeletion: true };
}

/** Metadata of a child that goes with the farm. */
export function childMeta(build: Build, name: string, component: Component, labels: Record<string, string> = {}): ObjectMeta {
  return {
    name,
    namespace: build.farm.namespace,
    labels: { ...labelsOf(build.farm.name, component), ...labels },
    annotations: { [marks.install]: build.installId },
    ownerReferences: [ownerOf(build)],
  };
}

const nodeUser = 65_532;

/** Restricted Pod Security. */
const podSecurity = {
  runAsNonRoot: true,
  runAsUser: nodeUser,
  runAsGroup: nodeUser,
  fsGroup: nodeUser,
  // A volume with millions of files isn't walked at each start.
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
};

const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

export const dataDir = '/data';
const configDir = '/etc/storj';
export const seedDir = '/var/run/storj/seed';

interface Resources {
  requests?: Record<string, number | string>;
  limits?: Record<string, number | string>;
}

/** Quantities as strings: the API takes numbers too, but its types don't. */
function resourcesOf(given: Resources | undefined, requests: Record<string, string>): object {
  const text = (map: Record<string, number | string>): Record<string, string> =>
    Object.fromEntries(Object.entries(map).map(([name, value]) => [name, String(value)]));
  return {
    requests: given?.requests ? text(given.requests) : requests,
    ...(given?.limits ? { limits: text(given.limits) } : {}),
  };
}

export interface NodeContainer {
  build: Build;
  role: 'farmer' | 'bridge' | 'repairer';
  env: { name: string; value?: string; valueFrom?: object }[];
  ports: { name: string; containerPort: number }[];
  mounts: { name: string; mountPath: string; readOnly?: boolean }[];
  resources: Resources | undefined;
  requests: Record<string, string>;
}

export function nodeContainer({ build, role, env, ports, mounts, resources, requests }: NodeContainer): object {
  const hasMemoryLimit = resources?.limits?.['memory'] !== undefined;
  return {
    name: role,
    image: build.image,
    ...(build.farm.spec.imagePullPolicy ? { imagePullPolicy: build.farm.spec.imagePullPolicy } : {}),
    args: [...nodeFlags(role), '/app/node.mjs', role],
    env: [
      { name: 'STORJ_DATA_DIR', value: dataDir },
      { name: 'STORJ_CONFIG_FILE', value: `${configDir}/farm.json` },
      { name: 'STORJ_CONTROL_KEY', value: build.controlKey },
      { name: 'STORJ_SLOT', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
      { name: 'STORJ_LISTEN_HOST', value: '0.0.0.0' },
      { name: 'STORJ_ADMIN_PORT', value: String(PORTS.admin) },
      // V8 takes no notice of small limits by itself, and is killed before it collects.
      ...(hasMemoryLimit ? [{ name: 'NODE_OPTIONS', value: '--max-old-space-size-percentage=70' }] : []),
      ...env,
    ],
    ports: [...ports, { name: 'admin', containerPort: PORTS.admin }].map((port) => ({ ...port, protocol: 'TCP' })),
    // Ready never means "sees others": a farm must come up from nothing. Live is the event loop alone.
    startupProbe: probe('/healthz', { periodSeconds: 2, failureThreshold: 60 }),
    readinessProbe: probe('/readyz', { periodSeconds: 5, failureThreshold: 3 }),
    livenessProbe: probe('/healthz', { periodSeconds: 10, failureThreshold: 6 }),
    resources: resourcesOf(resources, requests),
    securityContext: containerSecurity,
    volumeMounts: [{ name: 'config', mountPath: configDir, readOnly: true }, { name: 'tmp', mountPath: '/tmp' }, ...mounts],
  };
}

function probe(path: string, timing: object): object {
  return { httpGet: { path, port: 'admin', scheme: 'HTTPS' }, timeoutSeconds: 5, ...timing };
}

export function commonVolumes(configName: string): object[] {
  return [
    { name: 'config', configMap: { name: configName } },
    { name: 'tmp', emptyDir: {} },
  ];
}

export function podBase(build: Build): object {
  const { imagePullSecrets } = build.farm.spec;
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: podSecurity,
    ...(imagePullSecrets ? { imagePullSecrets } : {}),
  };
}
