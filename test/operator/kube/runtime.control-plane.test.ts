// The runtime against a real API server: a farm's objects in steady state, the cache, the Lease, events.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Typed } from './farm-objects.ts';
import type { Applier } from '#operator/kube/apply.ts';
import type { Exam } from './control-plane.ts';
import type { ResourceType } from '#operator/kube/resources.ts';
import { createApplier } from '#operator/kube/apply.ts';
import { find, refOf } from '#operator/kube/client.ts';
import { createEventRecorder } from '#operator/kube/events.ts';
import { acquireLease, LeaseLostError } from '#operator/kube/lease.ts';
import { createReflector } from '#operator/kube/reflector.ts';
import { configMaps, deployments, leases, secrets, statefulSets } from '#operator/kube/resources.ts';
import { systemClock } from '#operator/runtime/clock.ts';
import { openControlPlane, type ControlPlane } from './control-plane.ts';
import { farmObjects } from './farm-objects.ts';
import { until } from './stub-server.ts';

let plane: ControlPlane;
let exams: ResourceType<Exam>;
beforeAll(async () => {
  plane = await openControlPlane();
  exams = await plane.customKind();
});
afterAll(() => plane.close());

const stops: AbortController[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop.abort()));
const stopSignal = (): AbortSignal => {
  const stop = new AbortController();
  stops.push(stop);
  return stop.signal;
};

/** As one reconcile: reads each object and applies it; what came of each. */
async function reconcile(applier: Applier, wanted: Typed[]): Promise<string[]> {
  const results: string[] = [];
  for (const { type, object } of wanted) {
    const live = await find(plane.client, type, refOf(object));
    const { result } = await applier.apply(type, object, live);
    results.push(`${object.kind} ${object.metadata.name} ${result}`);
  }
  return results;
}

const allOf = (wanted: Typed[], result: string): string[] =>
  wanted.map(({ object }) => `${object.kind} ${object.metadata.name} ${result}`);

describe('a farm’s objects', () => {
  test('are made, and then nothing is written, by this process or the next one', async () => {
    const namespace = await plane.namespace();
    const wanted = farmObjects(namespace);
    const applier = createApplier({ client: plane.client });
    expect(await reconcile(applier, wanted)).toEqual(allOf(wanted, 'created'));
    const before = await plane.writes(namespace);
    expect(before).toHaveLength(wanted.length);
    for (let round = 0; round < 3; round += 1) expect(await reconcile(applier, wanted)).toEqual(allOf(wanted, 'unchanged'));
    expect(await plane.writes(namespace)).toEqual(before);
    expect(await reconcile(createApplier({ client: plane.client }), wanted)).toEqual(allOf(wanted, 'unchanged'));
    // The one thing that the API server stores differently from how it was told, an empty env value, costs one look after a restart.
    const after = (await plane.writes(namespace)).slice(before.length);
    expect(new Set(after)).toEqual(new Set(['patch statefulsets/demo-farmer-main', 'patch deployments/demo-repairer']));
  });

  test('come back after each kind of meddling, and what isn’t ours is left alone', async () => {
    const namespace = await plane.namespace();
    const wanted = farmObjects(namespace);
    const applier = createApplier({ client: plane.client });
    await reconcile(applier, wanted);
    const kubectl = (...args: string[]): Promise<string> => plane.cluster.kubectl(['-n', namespace, ...args]);
    await kubectl('scale', 'statefulset/demo-farmer-main', '--replicas=3');
    await kubectl('set', 'image', 'deployment/demo-repairer', 'repairer=localhost/evil:1');
    await kubectl('set', 'env', 'deployment/demo-repairer', 'GUEST=1');
    await kubectl('delete', 'secret', 'demo-control');
    await kubectl('label', 'configmap/demo', 'app.kubernetes.io/name-');
    await kubectl('patch', 'networkpolicy/demo-admin', '--type=json', '-p', '[{"op":"remove","path":"/spec/ingress/1"}]');
    await kubectl('annotate', 'service/demo-s3', 'guest=1');
    const meddled = (await reconcile(applier, wanted)).filter((line) => !line.endsWith(' unchanged'));
    expect(meddled).toEqual([
      'ConfigMap demo configured',
      'Secret demo-control created',
      'NetworkPolicy demo-admin configured',
      'StatefulSet demo-farmer-main configured',
      'Deployment demo-repairer configured',
    ]);
    const repairer = await plane.client.get(deployments, { namespace, name: 'demo-repairer' });
    const [container] = repairer.spec?.template.spec?.containers ?? [];
    expect(container?.image).toBe('localhost/storj-node:0123');
    expect(container?.env?.map(({ name }) => name)).toEqual(expect.arrayContaining(['POD_NAME', 'EMPTY', 'GUEST']));
    const farmers = await plane.client.get(statefulSets, { namespace, name: 'demo-farmer-main' });
    expect(farmers.spec?.replicas).toBe(0);
    expect(await reconcile(applier, wanted)).toEqual(allOf(wanted, 'unchanged'));
  });

  test('what is no longer wanted of an object goes', async () => {
    const namespace = await plane.namespace();
    const [wanted] = farmObjects(namespace).filter(({ object }) => object.kind === 'StatefulSet');
    if (wanted === undefined) throw new Error('There is no StatefulSet among them.');
    const applier = createApplier({ client: plane.client });
    await reconcile(applier, [wanted]);
    const less = structuredClone(wanted);
    const spec = (
      less.object as never as {
        spec: { template: { spec: { containers: { env: object[]; resources: { limits?: object } }[] } } };
      }
    ).spec;
    const [container] = spec.template.spec.containers;
    container?.env.shift();
    delete container?.resources.limits;
    expect(await reconcile(applier, [less])).toEqual(allOf([less], 'configured'));
    const live = await plane.client.get(statefulSets, refOf(less.object));
    const [stored] = live.spec?.template.spec?.containers ?? [];
    expect(stored?.env?.map(({ name }) => name)).toEqual(['EMPTY']);
    expect(stored?.resources?.limits).toBeUndefined();
    expect(await reconcile(applier, [less])).toEqual(allOf([less], 'unchanged'));
  });
});

describe('a custom resource', () => {
  const exam = (namespace: string, spec: Exam['spec']): Exam => {
    return { apiVersion: exams.apiVersion, kind: exams.kind, metadata: { name: 'demo', namespace }, ...(spec ? { spec } : {}) };
  };
  const condition = (type: string, status: string, message = '') => ({ type, status, message });

  test('its status is ours as a whole, and is written when it changes only', async () => {
    const namespace = await plane.namespace();
    const applier = createApplier({ client: plane.client });
    const { object } = await applier.apply(exams, exam(namespace, { zones: [{ name: 'a' }] }), undefined);
    const before = (await plane.writes(namespace)).length;
    const first = {
      observedGeneration: 1,
      conditions: [condition('Ready', 'False'), condition('Stalled', 'True')],
      zones: [{ name: 'a' }, { name: 'b' }],
    };
    const stated = await applier.applyStatus(exams, object, first);
    const again = await createApplier({ client: plane.client }).applyStatus(exams, stated.object, structuredClone(first));
    expect([stated.result, again.result]).toEqual(['configured', 'unchanged']);
    const second = { observedGeneration: 1, conditions: [condition('Ready', 'True')] };
    const less = await applier.applyStatus(exams, again.object, second);
    expect(less.object.status).toEqual(second);
    expect(less.object.metadata.generation).toBe(1);
    expect((await plane.writes(namespace)).length - before).toBe(2);
  });
});

describe('reflector', () => {
  test('follows what kubectl does, in its namespaces only', async () => {
    const [one, two, other] = [await plane.namespace(), await plane.namespace(), await plane.namespace()];
    const kubectl = (namespace: string, ...args: string[]): Promise<string> => plane.cluster.kubectl(['-n', namespace, ...args]);
    await kubectl(one, 'create', 'configmap', 'a', '--from-literal=n=1');
    const reflector = createReflector({
      client: plane.client,
      type: configMaps,
      namespaces: [one, two],
      fieldSelector: 'metadata.name!=kube-root-ca.crt',
      clock: systemClock,
      random: Math.random,
      pageSize: 1,
    });
    const signal = stopSignal();
    void reflector.run(signal);
    await reflector.whenSynced(signal);
    const known = (): string[] =>
      reflector.store
        .list()
        .map(({ metadata, data }) => `${metadata.name}=${data?.['n']}`)
        .sort();
    expect(known()).toEqual(['a=1']);
    await kubectl(other, 'create', 'configmap', 'unseen', '--from-literal=n=0');
    await kubectl(two, 'create', 'configmap', 'b', '--from-literal=n=2');
    await kubectl(one, 'patch', 'configmap', 'a', '-p', '{"data":{"n":"3"}}');
    await until(() => known().join() === 'a=3,b=2');
    await kubectl(one, 'delete', 'configmap', 'a');
    await until(() => known().join() === 'b=2');
  });
});

describe('lease', () => {
  test('goes from one to the next, and an old holder finds out', async () => {
    const namespace = await plane.namespace();
    const options = { client: plane.client, namespace, name: 'operator', clock: systemClock, random: Math.random, retryMs: 100 };
    const first = await acquireLease({ ...options, identity: 'first' }, stopSignal());
    const seen = await plane.cluster.kubectl([
      '-n',
      namespace,
      'get',
      'lease',
      'operator',
      '-o',
      'jsonpath={.spec.holderIdentity}',
    ]);
    expect(seen).toBe('first');
    const waiting = acquireLease({ ...options, identity: 'second' }, stopSignal());
    await first.release();
    const second = await waiting;
    expect(second.acquireTimeMs).toBeGreaterThan(first.acquireTimeMs);
    await plane.client.mergePatch(leases, { namespace, name: 'operator' }, { spec: { holderIdentity: 'thief' } });
    await until(() => second.lost.aborted);
    expect(second.lost.reason).toBeInstanceOf(LeaseLostError);
  });
});

describe('events', () => {
  test('are there for kubectl describe, with their count', async () => {
    const namespace = await plane.namespace();
    const object = await plane.client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'told', namespace },
    });
    const recorder = createEventRecorder({
      client: plane.client,
      controller: 'storjfarm.io/operator',
      instance: 'test',
      clock: systemClock,
      random: Math.random,
    });
    const story = { type: 'Warning', reason: 'ScaleDownBlocked', action: 'ScaleDown', note: 'two segments are at risk' } as const;
    for (let n = 0; n < 3; n += 1) recorder.record(object, story);
    await recorder.flush();
    const told = await plane.cluster.kubectl(['-n', namespace, 'events', '--for', 'secret/told']);
    expect(told).toMatch(/x3 .*Warning\s+ScaleDownBlocked\s+Secret\/told\s+two segments are at risk/);
  });
});
