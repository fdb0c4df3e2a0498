// Every field of both specs has an effect, and setting it back undoes it. The list is complete: a field that isn't here
// fails the first test.
import { describe, expect, it } from 'vitest';
import { readCrd, type Schema } from '#crds/generate.ts';
import { storjBuckets, storjFarms } from '#operator/api.ts';
import { canonical } from '#operator/farm/plan.ts';
import {
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  secrets,
  services,
  statefulSets,
  type KubeObject,
  type ResourceType,
  type Secret,
} from '#operator/kube/resources.ts';
import { wordsFromEntropy } from '#node/core/keys.ts';
import { testCertificates } from '#test/support/tls-fixture.ts';
import { createFarmWorld, namespace, type FarmWorld } from '#test/support/farm-world.ts';

/** Fields by path → the change (a merge patch of the spec) and what takes it back. `fixed` = can't be changed, so it is set at creation. */
interface Change {
  set: object;
  back?: object;
  fixed?: true;
}

const farmers = (patch: object, back: object): Change => ({ set: { farmers: patch }, back: { farmers: back } });
const storage = (patch: object, back: object): Change => farmers({ storage: patch }, { storage: back });
const redundancy: Change = { set: { redundancy: { required: 2, repair: 3, optimal: 4, total: 5 } }, back: { redundancy: null } };
const bridge = (patch: object, back: object): Change => ({ set: { bridge: patch }, back: { bridge: back } });
const resources = { limits: { memory: '1Gi' }, requests: { cpu: '1' } };

const farmFields: Record<string, Change> = {
  image: { set: { image: 'localhost/storj-node:2' }, back: { image: 'localhost/storj-node:1' } },
  imagePullPolicy: { set: { imagePullPolicy: 'Always' }, back: { imagePullPolicy: null } },
  'imagePullSecrets[].name': { set: { imagePullSecrets: [{ name: 'pull' }] }, back: { imagePullSecrets: null } },
  'farmers.replicas': farmers({ replicas: 7 }, { replicas: 6 }),
  'farmers.zones[].name': farmers({ zones: [{ name: 'a' }] }, { zones: null }),
  'farmers.zones[].nodeSelector': farmers({ zones: [{ name: 'main', nodeSelector: { z: '1' } }] }, { zones: [{ name: 'main' }] }),
  // A volume that has grown stays; what is undone is what new volumes get.
  'farmers.storage.size': storage({ size: '2Gi' }, { size: '1Gi' }),
  'farmers.storage.storageClassName': { set: { farmers: { storage: { storageClassName: 'fast' } } }, fixed: true },
  'farmers.storage.accessMode': { set: { farmers: { storage: { accessMode: 'ReadWriteOncePod' } } }, fixed: true },
  'farmers.resources.requests': farmers({ resources: { requests: resources.requests } }, { resources: null }),
  'farmers.resources.limits': farmers({ resources: { limits: resources.limits } }, { resources: null }),
  'farmers.nodeSelector': farmers({ nodeSelector: { disk: 'ssd' } }, { nodeSelector: null }),
  'farmers.tolerations[].key': farmers({ tolerations: [{ key: 'k', operator: 'Exists' }] }, { tolerations: null }),
  'farmers.tolerations[].operator': farmers({ tolerations: [{ operator: 'Exists' }] }, { tolerations: null }),
  'farmers.tolerations[].value': farmers({ tolerations: [{ key: 'k', value: 'v' }] }, { tolerations: null }),
  'farmers.tolerations[].effect': farmers(
    { tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }] },
    { tolerations: null },
  ),
  'farmers.tolerations[].tolerationSeconds': farmers(
    { tolerations: [{ key: 'k', operator: 'Exists', tolerationSeconds: 5 }] },
    { tolerations: null },
  ),
  'farmers.affinity': farmers({ affinity: { podAntiAffinity: {} } }, { affinity: null }),
  'farmers.topologySpreadConstraints[].topologyKey': farmers(
    { topologySpreadConstraints: [{ topologyKey: 'rack', maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway' }] },
    { topologySpreadConstraints: null },
  ),
  'farmers.topologySpreadConstraints[].maxSkew': farmers(
    { topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname', maxSkew: 2, whenUnsatisfiable: 'ScheduleAnyway' }] },
    { topologySpreadConstraints: null },
  ),
  'farmers.topologySpreadConstraints[].whenUnsatisfiable': farmers(
    { topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }] },
    { topologySpreadConstraints: null },
  ),
  'farmers.priorityClassName': farmers({ priorityClassName: 'high' }, { priorityClassName: null }),
  'redundancy.required': redundancy,
  'redundancy.repair': redundancy,
  'redundancy.optimal': redundancy,
  'redundancy.total': redundancy,
  'bridge.replicas': bridge({ replicas: 0 }, { replicas: 1 }),
  'bridge.catalog.storage.size': bridge({ catalog: { storage: { size: '20Gi' } } }, { catalog: { storage: { size: '10Gi' } } }),
  'bridge.catalog.storage.storageClassName': {
    set: { bridge: { catalog: { storage: { storageClassName: 'fast' } } } },
    fixed: true,
  },
  'bridge.service.type': bridge({ service: { type: 'LoadBalancer' } }, { service: { type: 'ClusterIP' } }),
  'bridge.service.nodePort': bridge(
    { service: { type: 'NodePort', nodePort: 30900 } },
    { service: { type: 'ClusterIP', nodePort: null } },
  ),
  'bridge.tls.secretRef.name': bridge({ tls: { secretRef: { name: 's3-tls' } } }, { tls: null }),
  'bridge.resources.requests': bridge({ resources: { requests: resources.requests } }, { resources: null }),
  'bridge.resources.limits': bridge({ resources: { limits: resources.limits } }, { resources: null }),
  'repair.replicas': { set: { repair: { replicas: 3 } }, back: { repair: { replicas: 1 } } },
  'repair.lostAfter': { set: { repair: { lostAfter: '10m' } }, back: { repair: { lostAfter: '4h' } } },
  'repair.bandwidthBytesPerSecond': {
    set: { repair: { bandwidthBytesPerSecond: 1000 } },
    back: { repair: { bandwidthBytesPerSecond: 0 } },
  },
  'repair.resources.requests': {
    set: { repair: { resources: { requests: resources.requests } } },
    back: { repair: { resources: null } },
  },
  'repair.resources.limits': {
    set: { repair: { resources: { limits: resources.limits } } },
    back: { repair: { resources: null } },
  },
  'allowedBuckets.from': { set: { allowedBuckets: { from: 'All' } }, back: { allowedBuckets: { from: 'Same' } } },
  'allowedBuckets.selector': {
    set: { allowedBuckets: { from: 'Selector', selector: { team: 'a' } } },
    back: { allowedBuckets: { from: 'Same', selector: null } },
  },
};

/** These have tests of their own that look at what happens over time. */
const elsewhere = ['farmers.storage.whenScaledDown', 'paused', 'deletionPolicy'];

const bucketFields: Record<string, Change> = {
  'farmRef.name': { set: { farmRef: { name: 'other' } }, fixed: true },
  'farmRef.namespace': { set: { farmRef: { name: 'demo', namespace: 'nowhere' } }, fixed: true },
  bucketName: { set: { bucketName: 'another' }, fixed: true },
  'owner.secretRef.name': { set: { owner: { secretRef: { name: 'words' } } }, fixed: true },
  credentialsSecretName: { set: { credentialsSecretName: 'creds' }, back: { credentialsSecretName: null } },
  'quota.maxBytes': { set: { quota: { maxBytes: '1Gi' } }, back: { quota: null } },
  'quota.maxObjects': { set: { quota: { maxObjects: 3 } }, back: { quota: null } },
};

function leaves(schema: Schema, path: string): string[] {
  const join = (name: string) => (path === '' ? name : `${path}.${name}`);
  if (schema.properties) return Object.entries(schema.properties).flatMap(([name, one]) => leaves(one, join(name)));
  if (schema.items?.properties) return leaves(schema.items, `${path}[]`);
  return [path];
}

function specLeaves(crd: string): string[] {
  return leaves(readCrd(crd).spec.versions[0]!.schema.openAPIV3Schema.properties!['spec']!, '');
}

/** The world without what time and chance decide. */
function snapshot(world: FarmWorld): string {
  const all = (type: ResourceType): KubeObject[] => world.kube.peekAll(type, namespace);
  const specs = [statefulSets, deployments, services, networkPolicies, podDisruptionBudgets, persistentVolumeClaims].flatMap(
    (type) =>
      all(type).map((object) => {
        const { spec } = object as KubeObject & { spec: Record<string, unknown> };
        const { clusterIP: _address, ...rest } = spec;
        return [type.kind, object.metadata.name, rest];
      }),
  );
  const config = world.config();
  const { epoch: _epoch, generation: _generation, roster = [], ...farm } = config ?? {};
  const { buckets = [] } = world.nodes.bridge.desired ?? {};
  const names = (world.kube.peekAll<Secret>(secrets, namespace) ?? []).map(({ metadata }) => metadata.name);
  return canonical([specs, farm, roster.map(({ slot, state, domain }) => [slot, state, domain]), buckets, names]);
}

async function worldWith(spec: object, bucketSpec: object): Promise<{ world: FarmWorld; settle: () => Promise<void> }> {
  const world = createFarmWorld();
  const operator = world.startOperator({ nodeImage: 'localhost/storj-node:1' });
  const data = { words: Buffer.from(wordsFromEntropy(new Uint8Array(32))).toString('base64') };
  await world.kube.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'words', namespace }, data });
  const tls = Object.fromEntries(
    [
      ['tls.crt', testCertificates.one.cert],
      ['tls.key', testCertificates.one.key],
    ].map(([field, value]) => [field!, Buffer.from(value!).toString('base64')]),
  );
  await world.kube.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's3-tls', namespace }, data: tls });
  const base = { farmers: { replicas: 6, storage: { size: '1Gi' } } };
  await world.createFarm(merge(base, spec) as never);
  await world.createBucket('photos', merge({ farmRef: { name: 'demo' } }, bucketSpec) as never);
  const settle = () => world.settle(operator, { rounds: 400 });
  await settle();
  return { world, settle };
}

function merge(a: object, b: object): object {
  const result: Record<string, unknown> = { ...a };
  for (const [name, value] of Object.entries(b)) {
    const old = result[name];
    const isDeep =
      typeof value === 'object' && value !== null && !Array.isArray(value) && typeof old === 'object' && old !== null;
    result[name] = isDeep ? merge(old, value as object) : value;
  }
  return result;
}

describe('every field', () => {
  it('is here', () => {
    expect(specLeaves('storjfarms').filter((path) => !(path in farmFields) && !elsewhere.includes(path))).toEqual([]);
    expect(specLeaves('storjbuckets').filter((path) => !(path in bucketFields) && !elsewhere.includes(path))).toEqual([]);
  });

  it.each(Object.entries(farmFields))('StorjFarm %s has an effect, and back undoes it', async (path, { set, back, fixed }) => {
    if (fixed) {
      expect(snapshot((await worldWith(set, {})).world)).not.toBe(snapshot((await worldWith({}, {})).world));
      return;
    }
    const patch = (spec: object | undefined) => world.kube.mergePatch(storjFarms, { namespace, name: 'demo' }, { spec });
    const { world, settle } = await worldWith(
      path.includes('nodeSelector') && path.includes('zones') ? { farmers: { zones: [{ name: 'main' }] } } : {},
      {},
    );
    const before = snapshot(world);
    await patch(set);
    await settle();
    expect(snapshot(world)).not.toBe(before);
    await patch(back);
    await settle();
    if (path.endsWith('storage.size')) expect(world.condition('Ready')?.status).toBe('True');
    else if (path === 'farmers.replicas') expect(world.replicas()).toEqual({ main: 6 });
    else if (path === 'farmers.zones[].name') expect(world.replicas()).toEqual({ main: 6 });
    else expect(snapshot(world)).toBe(before);
  });

  it.each(Object.entries(bucketFields))('StorjBucket %s has an effect, and back undoes it', async (_, { set, back, fixed }) => {
    if (fixed) {
      expect(snapshot((await worldWith({}, set)).world)).not.toBe(snapshot((await worldWith({}, {})).world));
      return;
    }
    const { world, settle } = await worldWith({}, {});
    const patch = (spec: object | undefined) => world.kube.mergePatch(storjBuckets, { namespace, name: 'photos' }, { spec });
    const before = snapshot(world);
    await patch(set);
    await settle();
    expect(snapshot(world)).not.toBe(before);
    await patch(back);
    await settle();
    expect(snapshot(world)).toBe(before);
  });
});
