// The whole operator (reflectors, queues, both reconciles) against a real API server and the real controllers for
// StatefulSets, Deployments, volumes and garbage. Pods and nodes are played.
import { randomBytes } from 'node:crypto';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { FarmConfig } from '#node/interface/config.ts';
import { apiVersion, storjBuckets, storjFarms } from '#operator/api.ts';
import { find, listAll } from '#operator/kube/client.ts';
import { createEventRecorder } from '#operator/kube/events.ts';
import { configMaps, networkPolicies, persistentVolumeClaims, pods, secrets, statefulSets } from '#operator/kube/resources.ts';
import { createOperatorMetrics } from '#operator/metrics.ts';
import { createCaches, createOperator } from '#operator/operator.ts';
import { sleep, systemClock } from '#operator/runtime/clock.ts';
import { silentLog } from '#operator/runtime/log.ts';
import { playKubelet } from '#test/support/play-kubelet.ts';
import type { StubNodes } from '#test/support/stub-nodes.ts';
import { openTestPlane, stubbedNodes, waitFor, type TestPlane } from './test-plane.ts';

let plane: TestPlane;
const stops: AbortController[] = [];
const running: Promise<unknown>[] = [];

beforeAll(async () => {
  plane = await openTestPlane();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort(new Error('the test is over'));
  await Promise.allSettled(running.splice(0));
});
afterAll(() => plane.close());

/** How long nothing may be written; STORJ_TEST_REST_MS=300000 takes the five minutes of the promise. */
const restMs = Number(process.env['STORJ_TEST_REST_MS'] ?? 65_000);

interface Scene {
  namespace: string;
  nodes: StubNodes;
  config: () => Promise<FarmConfig | undefined>;
  /** Ends the operator as a SIGKILL would and starts another. */
  restart: (installId: string) => Promise<void>;
  /** User agent of the operator's writes. */
  agent: () => string;
}

async function scene(): Promise<Scene> {
  const { client } = plane;
  const namespace = await plane.namespace();
  const { nodes, config } = stubbedNodes(plane, namespace);
  const world = new AbortController();
  stops.push(world);
  running.push(
    (async () => {
      while (!world.signal.aborted) {
        await playKubelet(client, namespace);
        await nodes.tick();
        await sleep(systemClock, 250, world.signal);
      }
    })().catch((error: unknown) => {
      if (!world.signal.aborted) throw error;
    }),
  );
  let agent = '';
  let stop = new AbortController();
  let work: Promise<unknown> = Promise.resolve();
  const start = async (installId: string): Promise<void> => {
    agent = `storj-operator/${randomBytes(4).toString('hex')}`;
    stop = new AbortController();
    stops.push(stop);
    const own = plane.operatorClient(agent);
    const outside = { client: own, clock: systemClock, random: Math.random, log: silentLog };
    const caches = createCaches(outside, [namespace]);
    const watching = caches.run(stop.signal);
    await caches.whenSynced(stop.signal);
    const events = createEventRecorder({ ...outside, controller: 'storjfarm.io/operator', instance: 'test' });
    const operator = createOperator({
      outside,
      caches,
      settings: { installId, operatorNamespace: 'ops', nodeImage: 'localhost/storj-node:1', epoch: Date.now() },
      nodes,
      events,
      metrics: createOperatorMetrics(new Registry(), { version: 'test' }),
      randomBytes: (count) => new Uint8Array(randomBytes(count)),
    });
    const stopping = stop.signal;
    work = Promise.allSettled([watching, operator.run(stopping)])
      .then(() => events.flush())
      .then(() => own.close());
    running.push(work);
  };
  const stopOperator = async (): Promise<void> => {
    stop.abort(new Error('killed'));
    await work;
  };
  await start('ops/storj');
  return {
    namespace,
    nodes,
    config,
    agent: () => agent,
    async restart(installId) {
      await stopOperator();
      await start(installId);
    },
  };
}

async function createFarm(namespace: string, replicas: number, more: object = {}): Promise<void> {
  const spec = { farmers: { replicas, storage: { size: '1Gi' } }, ...more };
  await plane.client.create(storjFarms, { apiVersion, kind: 'StorjFarm', metadata: { name: 'demo', namespace }, spec } as never);
}

async function createBucket(namespace: string, name: string): Promise<void> {
  await plane.client.create(storjBuckets, {
    apiVersion,
    kind: 'StorjBucket',
    metadata: { name, namespace },
    spec: { farmRef: { name: 'demo' } },
  } as never);
}

const waitCondition = (namespace: string, resource: string, condition: string, timeout = '60s') =>
  plane.kubectl(['wait', resource, '-n', namespace, `--for=condition=${condition}`, `--timeout=${timeout}`], 90_000);

const scale = (namespace: string, replicas: number) =>
  plane.kubectl(['scale', 'storjfarm/demo', '-n', namespace, `--replicas=${replicas}`]);

async function replicasOf(namespace: string): Promise<number> {
  return (await find(plane.client, statefulSets, { namespace, name: 'demo-farmer-main' }))?.spec?.replicas ?? 0;
}

describe('on a real API server', () => {
  it('farm and bucket become Ready, kubectl shows them, and then nothing is written', { timeout: 180_000 + restMs }, async () => {
    const { namespace, agent, nodes } = await scene();
    await createFarm(namespace, 6);
    await createBucket(namespace, 'photos');
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    await waitCondition(namespace, 'storjbucket/photos', 'Ready');
    const shown = await plane.kubectl(['get', 'storj', '-n', namespace]);
    expect(shown).toMatch(/storjfarm\.storjfarm\.io\/demo\s+True\s+6\/6\s+Healthy/);
    expect(shown).toMatch(/storjbucket\.storjfarm\.io\/photos\s+True\s+photos\s+demo/);
    expect(await plane.kubectl(['describe', 'storjfarm/demo', '-n', namespace])).toMatch(/FarmerJoined/);
    const policies = await listAll(plane.client, networkPolicies, { namespace });
    expect(policies.items).toHaveLength(3);
    expect(nodes.bridge.desired?.accessKeys).toHaveLength(1);
    // A full round of a farm at rest (every minute) with nothing to write.
    await waitFor('the farm to come to rest', async () => {
      const before = (await plane.writesOf(agent())).length;
      await sleep(systemClock, 8000);
      return (await plane.writesOf(agent())).length === before;
    });
    const before = await plane.writesOf(agent());
    await sleep(systemClock, restMs);
    expect((await plane.writesOf(agent())).slice(before.length)).toEqual([]);
  });

  it('shrinks with proof, cancels, and grows back', async () => {
    const { namespace, nodes, config } = await scene();
    await createFarm(namespace, 5);
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    await waitFor('the roster', async () => (await config())?.roster.length === 5);
    nodes.put(2, 4);
    nodes.repairs = false;
    await scale(namespace, 4);
    await waitCondition(namespace, 'storjfarm/demo', 'Draining');
    expect((await config())?.roster.filter(({ state }) => state === 'Leaving').map(({ slot }) => slot)).toEqual([
      'demo-farmer-main-4',
    ]);
    await scale(namespace, 5);
    await waitFor(
      'the drain to be cancelled',
      async () => (await config())?.roster.every(({ state }) => state === 'Active') ?? false,
    );
    expect(await replicasOf(namespace)).toBe(5);
    nodes.repairs = true;
    await scale(namespace, 4);
    await waitFor(
      'the farmer to leave',
      async () => (await replicasOf(namespace)) === 4 && (await config())?.roster.length === 4,
      90_000,
    );
    const claim = await plane.client.get(persistentVolumeClaims, { namespace, name: 'data-demo-farmer-main-4' });
    expect(claim.metadata.labels?.['storjfarm.io/drained']).toBe('true');
  });

  it('a lost volume is noticed and its slot filled anew', async () => {
    const { namespace, config } = await scene();
    await createFarm(namespace, 3);
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    const before = (await config())!.roster.find(({ slot }) => slot.endsWith('-1'))!;
    await plane.client.delete(persistentVolumeClaims, { namespace, name: 'data-demo-farmer-main-1' });
    await plane.client.delete(pods, { namespace, name: before.slot });
    await waitFor('another farmer in the slot', async () => {
      const inSlot = (await config())!.roster.filter(({ slot, state }) => slot === before.slot && state === 'Active');
      return inSlot.length === 1 && inSlot[0]!.farmer !== before.farmer;
    });
    await waitFor('all three to be ready', async () => (await farmersReady(namespace)) === '3/3');
  });

  it('a deleted farm leaves volumes and keys, and takes all of them back', async () => {
    const { namespace, config } = await scene();
    await createFarm(namespace, 4);
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    await waitFor('the roster', async () => (await config())?.roster.length === 4);
    const before = (await config())!;
    await plane.client.delete(storjFarms, { namespace, name: 'demo' });
    await waitFor('workloads to go', async () => {
      const left = await Promise.all(
        [statefulSets, pods, configMaps].map((type) =>
          listAll(plane.client, type as typeof pods, { namespace, labelSelector: 'storjfarm.io/farm' }),
        ),
      );
      return left.every(({ items }) => items.length === 0);
    });
    expect((await listAll(plane.client, persistentVolumeClaims, { namespace })).items).toHaveLength(5);
    expect(await find(plane.client, secrets, { namespace, name: 'demo-control' })).toBeDefined();
    await createFarm(namespace, 4);
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    const after = (await config())!;
    expect(after.controlKey).toBe(before.controlKey);
    expect(after.roster.map(({ farmer }) => farmer)).toEqual(before.roster.map(({ farmer }) => farmer));
  });

  it('bad settings of pods are told in the condition, and can be taken back', async () => {
    const { namespace } = await scene();
    await createFarm(namespace, 2, {
      farmers: {
        replicas: 2,
        storage: { size: '1Gi' },
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } },
      },
    });
    await waitCondition(namespace, 'storjfarm/demo', 'Stalled');
    const farm = await plane.client.get(storjFarms, { namespace, name: 'demo' });
    expect(farm.status?.conditions?.find(({ type }) => type === 'Stalled')).toMatchObject({ reason: 'InvalidSpec' });
    await plane.client.mergePatch(storjFarms, { namespace, name: 'demo' }, { spec: { farmers: { affinity: null } } });
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
  });

  it('a farm of another install is left alone until it is handed over', async () => {
    const { namespace, restart, config } = await scene();
    await createFarm(namespace, 2);
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    await restart('other/install');
    await scale(namespace, 3);
    await waitFor('the refusal', async () => {
      const farm = await plane.client.get(storjFarms, { namespace, name: 'demo' });
      return farm.status?.conditions?.some(({ type, reason }) => type === 'Stalled' && reason === 'ManagedByAnother') ?? false;
    });
    expect(await replicasOf(namespace)).toBe(2);
    const { epoch } = (await config())!;
    await plane.kubectl(['annotate', 'storjfarm/demo', '-n', namespace, 'storjfarm.io/take-over=other/install']);
    await waitFor('the other to act', async () => (await replicasOf(namespace)) === 3);
    expect((await config())!.epoch).toBeGreaterThan(epoch);
  });

  it('deletionPolicy Delete with the name repeated takes everything along', async () => {
    const { namespace } = await scene();
    await createFarm(namespace, 2, { deletionPolicy: 'Delete' });
    await waitCondition(namespace, 'storjfarm/demo', 'Ready');
    await plane.kubectl(['annotate', 'storjfarm/demo', '-n', namespace, 'storjfarm.io/confirm-delete=demo']);
    await waitFor(
      'the finalizer',
      async () => (await plane.client.get(storjFarms, { namespace, name: 'demo' })).metadata.finalizers?.length === 1,
    );
    await plane.kubectl(['delete', 'storjfarm/demo', '-n', namespace, '--timeout=60s'], 70_000);
    await waitFor('volumes and keys to go', async () => {
      const claims = await listAll(plane.client, persistentVolumeClaims, { namespace });
      return claims.items.length === 0 && !(await find(plane.client, secrets, { namespace, name: 'demo-control' }));
    });
  });
});

async function farmersReady(namespace: string): Promise<string | undefined> {
  return (await plane.client.get(storjFarms, { namespace, name: 'demo' })).status?.summary?.farmers;
}
