import { describe, expect, it } from 'vitest';
import { KubeError } from '#operator/kube/errors.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  pods,
  podDisruptionBudgets,
  secrets,
  statefulSets,
  type Deployment,
  type PodDisruptionBudget,
  type Secret,
} from '#operator/kube/resources.ts';
import { createFarmWorld, farmOf, namespace, size } from '#test/support/farm-world.ts';

describe('a farm comes up', () => {
  it('is Ready with every farmer in the roster and the scheme of six', async () => {
    const { world } = await farmOf(6);
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
    expect(world.condition('Reconciling')).toBeUndefined();
    expect(world.replicas()).toEqual({ main: 6 });
    expect(world.config()!.roster.map(({ slot, state }) => [slot, state])).toEqual(
      [0, 1, 2, 3, 4, 5].map((i) => [`demo-farmer-main-${i}`, 'Active']),
    );
    expect(world.config()!.redundancy).toEqual({ required: 4, repair: 5, optimal: 6, total: 6 });
    expect(world.farm().status).toMatchObject({
      replicas: 6,
      summary: { farmers: '6/6' },
      data: { state: 'Healthy', margin: 2 },
    });
    const budget = world.kube.peek<PodDisruptionBudget>(podDisruptionBudgets, { namespace, name: 'demo-farmers' });
    expect(budget?.spec?.maxUnavailable).toBe(2);
  });

  it('lets nobody evict a farmer while the margin is used up', async () => {
    const { world, operator } = await farmOf(6);
    world.nodes.put(4, 6);
    world.nodes.repairs = false;
    await world.settle(operator);
    const budget = () =>
      world.kube.peek<PodDisruptionBudget>(podDisruptionBudgets, { namespace, name: 'demo-farmers' })?.spec?.maxUnavailable;
    expect(budget()).toBe(2);
    for (const ordinal of [1, 4]) {
      await world.kube.delete(persistentVolumeClaims, { namespace, name: `data-demo-farmer-main-${ordinal}` });
      await world.kube.delete(pods, { namespace, name: `demo-farmer-main-${ordinal}` });
    }
    await world.settle(operator);
    expect(world.farm().status?.data).toMatchObject({ margin: 0 });
    expect(budget()).toBe(0);
    world.nodes.repairs = true;
    await world.settle(operator);
    expect(budget()).toBe(2);
  });

  it('publishes a configuration that somebody deleted above what the nodes have, so that they take it', async () => {
    const { world, operator } = await farmOf(6);
    await world.patchFarm({ spec: { farmers: { replicas: 7 } } });
    await world.settle(operator);
    const before = world.config()!;
    expect(before.generation).toBeGreaterThan(2);
    await world.kube.delete(configMaps, { namespace, name: 'demo-config' });
    await world.settle(operator);
    expect(world.config()!.roster).toHaveLength(7);
    expect(world.config()!.generation).toBeGreaterThan(before.generation);
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
  });

  it('remembers on each volume who lives there', async () => {
    const { world } = await farmOf(3);
    const labels = world
      .claims()
      .filter(({ metadata }) => metadata.name.includes('-farmer-'))
      .map(({ metadata }) => metadata.labels?.['storjfarm.io/peer-id']);
    expect(labels).toEqual(world.config()!.roster.map(({ peerId }) => peerId));
  });

  it('writes nothing at rest, for ten minutes', async () => {
    const { world, operator } = await farmOf(6);
    world.kube.calls.splice(0);
    for (let i = 0; i < 100; i += 1) await world.round(operator);
    expect(world.kube.writes()).toEqual([]);
  });

  it('tells the story in events', async () => {
    const { world } = await farmOf(3);
    expect(world.stories.map(({ reason }) => reason)).toEqual(expect.arrayContaining(['FarmerJoined', 'Ready']));
  });
});

describe('loss', () => {
  it('knows at once that a farmer is lost when its volume is gone, and takes in the one that comes instead', async () => {
    const { world, operator } = await farmOf(6);
    for (let i = 0; i < 3; i += 1) world.nodes.put(4, 6);
    const old = world.config()!.roster[2]!;
    world.nodes.repairs = false;
    await world.kube.delete(pods, { namespace, name: 'demo-farmer-main-2' });
    await world.kube.delete(persistentVolumeClaims, { namespace, name: 'data-demo-farmer-main-2' });
    for (let i = 0; i < 6; i += 1) await world.round(operator);
    const inSlot = world.config()!.roster.filter(({ slot }) => slot === old.slot);
    expect(inSlot.find(({ farmer }) => farmer === old.farmer)?.state).toBe('Lost');
    expect(inSlot.find(({ farmer }) => farmer !== old.farmer)?.state).toBe('Active');
    expect(world.condition('DataHealthy')).toMatchObject({ status: 'False', reason: 'Degraded' });
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
    world.nodes.repairs = true;
    await world.settle(operator);
    expect(world.config()!.roster).toHaveLength(6);
    expect(world.condition('DataHealthy')).toMatchObject({ status: 'True' });
  });
});

describe('several repairers', () => {
  it('have a key each, are all told what changes, and the first reports', async () => {
    const { world, operator } = await farmOf(6);
    const [first] = world.config()!.repairers;
    const repairers = () =>
      world.kube
        .peekAll<Deployment>(deployments, namespace)
        .map(({ metadata, spec }) => [metadata.name, spec?.replicas])
        .sort();
    await world.patchFarm({ spec: { repair: { replicas: 3 } } });
    await world.settle(operator);
    expect(repairers()).toEqual([
      ['demo-repairer', 1],
      ['demo-repairer-1', 1],
      ['demo-repairer-2', 1],
    ]);
    const { repairers: known } = world.config()!;
    expect(known[0]).toEqual(first);
    expect(new Set(known.flatMap(({ repairer, box }) => [repairer, box])).size).toBe(6);
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
    expect(world.farm().status?.data).toMatchObject({ state: 'Healthy' });
    const { generation } = world.config()!;
    for (const node of ['repairer', 'repairer-1', 'repairer-2'])
      expect(world.nodes.configs.get(node)?.generation).toBe(generation);

    await world.patchFarm({ spec: { repair: { replicas: 0 } } });
    await world.settle(operator);
    expect(repairers()).toEqual([['demo-repairer', 0]]);
    expect(world.config()!.repairers).toEqual([first]);
    await world.patchFarm({ spec: { repair: { replicas: 1 } } });
    await world.settle(operator);
    expect(repairers()).toEqual([['demo-repairer', 1]]);
    const policies = world.kube.peekAll(networkPolicies, namespace).map(({ metadata }) => metadata.name);
    expect(policies.sort()).toEqual(['demo-bridge', 'demo-farmers', 'demo-repairer']);
  });
});

describe('failed audits', () => {
  it('are told to everybody for good, also when the repairer forgets them, until the disk is another', async () => {
    const { world, operator } = await farmOf(6);
    const { farmer } = world.config()!.roster[2]!;
    const told = () =>
      world
        .config()!
        .roster.filter(({ distrusted }) => distrusted)
        .map((one) => [one.farmer, one.state]);
    const shown = () => world.farm().status?.farmers?.map(({ name, state }) => [name, state]);

    world.nodes.failing.add(farmer);
    await world.settle(operator);
    expect(told()).toEqual([[farmer, 'Active']]);
    expect(shown()).toEqual([['demo-farmer-main-2', 'Distrusted']]);
    expect(world.farm().status?.farmers?.[0]?.reason).toContain(
      'kubectl delete pvc/data-demo-farmer-main-2 pod/demo-farmer-main-2',
    );
    expect(world.stories.map(({ reason }) => reason)).toContain('FarmerDistrusted');

    world.nodes.failing.clear();
    await world.settle(operator);
    expect(told()).toEqual([[farmer, 'Active']]);

    await world.kube.delete(persistentVolumeClaims, { namespace, name: 'data-demo-farmer-main-2' });
    await world.kube.delete(pods, { namespace, name: 'demo-farmer-main-2' });
    await world.settle(operator);
    expect(told()).toEqual([]);
    expect(shown() ?? []).toEqual([]);
  });
});

describe('two operators', () => {
  it('the next one raises the epoch, and nodes take nothing from the one before', async () => {
    const { world, operator } = await farmOf(3);
    const before = world.config()!;
    const next = world.startOperator();
    await world.settle(next);
    expect(world.config()!.epoch).toBeGreaterThan(before.epoch);
    const observed = world.nodes.configs.get('bridge')!;
    expect(observed.epoch).toBe(world.config()!.epoch);
    const key = operator.context.memories.of(world.farm().metadata.uid).keys.get(before.controlKey)!;
    const stale = { ...before, generation: before.generation + 100 };
    await expect(
      world.nodes.putConfig(
        { pod: 'demo-bridge-0', host: '', identity: before.bridges[0]! },
        key,
        stale,
        AbortSignal.timeout(1000),
      ),
    ).rejects.toMatchObject({ status: 409 });
  });

  it('another install stays away until the farm is handed over', async () => {
    const { world } = await farmOf(3);
    const other = world.startOperator({ installId: 'other/install' });
    await world.patchFarm({ spec: { farmers: { replicas: 4 } } });
    for (let i = 0; i < 3; i += 1) await world.round(other);
    expect(world.replicas()).toEqual({ main: 3 });
    expect(world.condition('Stalled')).toMatchObject({ reason: 'ManagedByAnother' });
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
    await world.patchFarm({ metadata: { annotations: { 'storjfarm.io/take-over': 'other/install' } } });
    await world.settle(other);
    expect(world.replicas()).toEqual({ main: 4 });
    expect(world.condition('Stalled')).toBeUndefined();
  });
});

describe('bad luck', () => {
  it('a foreign Secret with a key’s name is left alone', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    await world.kube.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'demo-control', namespace },
      data: { mine: '' },
    });
    await world.createFarm({ farmers: { replicas: 3, storage: { size } } });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.condition('Stalled')).toMatchObject({ reason: 'SecretNameTaken' });
    expect(world.replicas()).toEqual({});
    await world.kube.delete(secrets, { namespace, name: 'demo-control' });
    await world.settle(operator);
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
  });

  it('a key Secret that is gone is never made anew under a running farm', async () => {
    const { world, operator } = await farmOf(3);
    const { metadata, ...saved } = world.kube.peek<Secret>(secrets, { namespace, name: 'demo-control' })!;
    await world.kube.delete(secrets, { namespace, name: 'demo-control' });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.condition('Stalled')).toMatchObject({ reason: 'KeySecretMissing' });
    expect(world.kube.peek(secrets, { namespace, name: 'demo-control' })).toBeUndefined();
    await world.kube.create(secrets, { ...saved, metadata: { name: metadata.name, namespace, labels: metadata.labels! } });
    await world.settle(operator);
    expect(world.condition('Stalled')).toBeUndefined();
  });

  it('a volume that can’t grow says so, without asking again and again, and the request can be taken back', async () => {
    const { world, operator } = await farmOf(3);
    world.kube.intercept = ({ verb, type, body }) => {
      if (verb === 'mergePatch' && type.kind === 'PersistentVolumeClaim' && JSON.stringify(body).includes('storage')) {
        throw new KubeError('Forbidden', 'only dynamically provisioned pvc can be resized');
      }
    };
    await world.patchFarm({ spec: { farmers: { storage: { size: '200Gi' } } } });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.condition('StorageResizing')).toMatchObject({ status: 'False', reason: 'ResizeRefused' });
    const asked = world.kube.writes().length;
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.kube.writes().length).toBe(asked);
    await world.patchFarm({ spec: { farmers: { storage: { size } } } });
    await world.settle(operator);
    expect(world.condition('StorageResizing')).toBeUndefined();
  });

  it('one refusal to look at volumes speaks for all of them', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    world.kube.intercept = ({ type }) => {
      if (type.kind === 'PersistentVolume') throw new KubeError('Forbidden', 'no ClusterRole');
    };
    await world.createFarm({ farmers: { replicas: 6, storage: { size } } });
    await world.settle(operator);
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    const asked = () => world.kube.calls.filter(({ type }) => type.kind === 'PersistentVolume').length;
    expect(asked()).toBe(1);
    expect(world.condition('Ready')).toMatchObject({ status: 'True' });
  });

  it('volumes grow, and a lower size does nothing and says so', async () => {
    const { world, operator } = await farmOf(3);
    await world.patchFarm({ spec: { farmers: { storage: { size: '200Gi' } } } });
    await world.settle(operator);
    expect(world.farm().status?.summary?.capacity).toBe('0% of 600Gi');
    await world.patchFarm({ spec: { farmers: { storage: { size } } } });
    await world.settle(operator);
    expect(world.condition('SizeBelowActual')).toMatchObject({ status: 'True' });
    expect(world.farm().status?.summary?.capacity).toBe('0% of 600Gi');
    await world.patchFarm({ spec: { farmers: { storage: { size: '200Gi' } } } });
    await world.settle(operator);
    expect(world.condition('SizeBelowActual')).toBeUndefined();
  });

  it('what others change comes back, and what they remove too', async () => {
    const { world, operator } = await farmOf(3);
    await world.kube.mergePatch(statefulSets, { namespace, name: 'demo-farmer-main' }, { spec: { replicas: 1 } });
    await world.kube.delete(podDisruptionBudgets, { namespace, name: 'demo-farmers' });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 3 });
    expect(world.kube.peek(podDisruptionBudgets, { namespace, name: 'demo-farmers' })).toBeDefined();
  });

  it('while paused nothing is changed, and the status says so', async () => {
    const { world, operator } = await farmOf(3);
    await world.patchFarm({ spec: { paused: true, farmers: { replicas: 5 } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 3 });
    expect(world.condition('Paused')).toMatchObject({ status: 'True' });
    await world.patchFarm({ spec: { paused: false } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 5 });
    expect(world.condition('Paused')).toBeUndefined();
  });
});
