// The exam for apply without needless writes, against every adapter of the KubeClient port.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Applier } from '#operator/kube/apply.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { ConfigMap, KubeObject, Live, ResourceType, Secret, Service } from '#operator/kube/resources.ts';
import { appliedAnnotation, createApplier } from '#operator/kube/apply.ts';
import { refOf } from '#operator/kube/client.ts';
import { isConflict } from '#operator/kube/errors.ts';
import { configMaps, secrets, services } from '#operator/kube/resources.ts';

export interface ApplierBench {
  client: KubeClient;
  namespace: string;
}

/** The client, and how often it was asked to apply. */
function countApplies(client: KubeClient): { client: KubeClient; applies(): number } {
  let count = 0;
  const counting: KubeClient = {
    ...client,
    apply: (type, object, options) => {
      count += 1;
      return client.apply(type, object, options);
    },
  };
  return { client: counting, applies: () => count };
}

export function applierExam(open: () => Promise<ApplierBench>): void {
  let bench: ApplierBench;
  let counted: ReturnType<typeof countApplies>;
  let applier: Applier;
  beforeAll(async () => {
    bench = await open();
    counted = countApplies(bench.client);
    applier = createApplier({ client: counted.client });
  });

  const map = (name: string, data: Record<string, string>, metadata: object = {}): ConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: bench.namespace, ...metadata },
    data,
  });
  const service = (name: string): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: bench.namespace },
    spec: { ports: [{ name: 's3', port: 80 }] },
  });
  /** Applies twice, as two reconciles would: what came of it, and how many writes there were. */
  const twice = async <T extends KubeObject>(type: ResourceType<T>, desired: T, live: Live<T> | undefined) => {
    const before = counted.applies();
    const first = await applier.apply(type, desired, live);
    const second = await applier.apply(type, desired, await bench.client.get(type, refOf(desired)));
    return { first, second, writes: counted.applies() - before };
  };

  describe('apply', () => {
    test('creates once, and then writes nothing', async () => {
      const { first, second, writes } = await twice(configMaps, map('calm', { a: '1' }), undefined);
      expect([first.result, second.result, writes]).toEqual(['created', 'unchanged', 1]);
      expect(second.object).toEqual(first.object);
    });
    test('writes nothing after a restart either', async () => {
      await applier.apply(configMaps, map('restarted', { a: '1' }), undefined);
      const restarted = countApplies(bench.client);
      const live = await bench.client.get(configMaps, refOf(map('restarted', {})));
      const { result } = await createApplier({ client: restarted.client }).apply(configMaps, map('restarted', { a: '1' }), live);
      expect([result, restarted.applies()]).toEqual(['unchanged', 0]);
    });
    test('a changed wish is applied once', async () => {
      const { object } = await applier.apply(configMaps, map('changed', { a: '1', b: '2' }), undefined);
      const { first, second, writes } = await twice(configMaps, map('changed', { a: '2', b: '2' }), object);
      expect([first.result, second.result, writes]).toEqual(['configured', 'unchanged', 1]);
      expect(second.object.data).toEqual({ a: '2', b: '2' });
    });
    test('a wish that is given up is taken back', async () => {
      const { object } = await applier.apply(configMaps, map('given-up', { a: '1', b: '2' }, { labels: { x: 'y' } }), undefined);
      const { first, second } = await twice(configMaps, map('given-up', { a: '1' }), object);
      expect([first.result, second.result]).toEqual(['configured', 'unchanged']);
      expect(second.object.data).toEqual({ a: '1' });
      expect(second.object.metadata.labels).toBeUndefined();
    });
    test.each([
      ['a value', { data: { a: 'theirs' } }],
      ['a missing value', { data: { a: null } }],
      ['a label', { metadata: { labels: { ours: 'theirs' } } }],
      ['the annotation of the last apply', { metadata: { annotations: { [appliedAnnotation]: 'forged' } } }],
    ])('what others changed comes back: %s', async (name, patch) => {
      const desired = map(`drift-${name.replaceAll(' ', '-')}`, { a: '1' }, { labels: { ours: 'yes' } });
      const { object } = await applier.apply(configMaps, desired, undefined);
      const drifted = await bench.client.mergePatch(configMaps, refOf(desired), patch);
      const { first, second, writes } = await twice(configMaps, desired, drifted);
      expect([first.result, second.result, writes]).toEqual(['configured', 'unchanged', 1]);
      expect(second.object.data).toEqual({ a: '1' });
      expect(second.object.metadata.labels).toEqual({ ours: 'yes' });
      expect(second.object.metadata.annotations).toEqual(object.metadata.annotations);
    });
    test('what others added stays, and is no reason to write', async () => {
      const desired = map('guests', { a: '1' });
      await applier.apply(configMaps, desired, undefined);
      const patch = { data: { guest: 'x' }, metadata: { labels: { guest: 'y' }, finalizers: ['storjfarm.io/guest'] } };
      const live = await bench.client.mergePatch(configMaps, refOf(desired), patch);
      const { first, writes } = await twice(configMaps, desired, live);
      expect([first.result, writes]).toEqual(['unchanged', 0]);
      expect((await bench.client.get(configMaps, refOf(desired))).data).toEqual({ a: '1', guest: 'x' });
      await bench.client.mergePatch(configMaps, refOf(desired), { metadata: { finalizers: null } });
    });
    test('a cache that lags behind our own write is no reason to write', async () => {
      const desired = map('lagging', { a: '1' });
      const { object: old } = await applier.apply(configMaps, desired, undefined);
      const next = map('lagging', { a: '2' });
      await applier.apply(configMaps, next, old);
      const before = counted.applies();
      const { result } = await applier.apply(configMaps, next, old);
      expect([result, counted.applies() - before]).toEqual(['unchanged', 0]);
    });
    test('another object of that name is a Conflict, and isn’t touched', async () => {
      const desired = map('replaced', { a: '1' });
      const { object } = await applier.apply(configMaps, desired, undefined);
      await bench.client.delete(configMaps, refOf(desired));
      await bench.client.create(configMaps, map('replaced', { foreign: 'yes' }));
      const late = applier.apply(configMaps, map('replaced', { a: '2' }), object);
      expect(await late.catch((error: unknown) => error)).toSatisfy(isConflict);
      expect((await bench.client.get(configMaps, refOf(desired))).data).toEqual({ foreign: 'yes' });
    });
    test('an exact write is refused when anything happened since', async () => {
      const desired = map('exact', { a: '1' });
      const { object } = await applier.apply(configMaps, desired, undefined);
      const labelled = await bench.client.mergePatch(configMaps, refOf(desired), { metadata: { labels: { their: 'label' } } });
      const next = map('exact', { a: '2' });
      const late = applier.apply(configMaps, next, object, { isExact: true });
      expect(await late.catch((error: unknown) => error)).toSatisfy(isConflict);
      const { result, object: now } = await applier.apply(configMaps, next, labelled, { isExact: true });
      expect([result, now.data]).toEqual(['configured', { a: '2' }]);
    });
    test('text for a Secret is stored as data, and compared as such', async () => {
      const desired: Secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'text', namespace: bench.namespace },
        stringData: { word: 'apple' },
      };
      const { second, writes } = await twice(secrets, desired, undefined);
      expect([second.object.data, writes]).toEqual([{ word: 'YXBwbGU=' }, 1]);
    });
    test('absent fields may be given as undefined', async () => {
      const desired = map('undefined', { a: '1' }, { labels: undefined, annotations: { x: 'y', z: undefined } });
      const { second, writes } = await twice(configMaps, desired, undefined);
      expect([second.result, writes]).toEqual(['unchanged', 1]);
    });
    test('an object of another kind is a mistake', async () => {
      await expect(applier.apply(configMaps as unknown as ResourceType<Service>, service('wrong'), undefined)).rejects.toThrow(
        TypeError,
      );
    });
  });

  describe('status', () => {
    const condition = (type: string, status: string) => {
      return { type, status, reason: 'Testing', message: 'text', lastTransitionTime: '2026-01-01T00:00:00Z' };
    };
    test('is written once, in full, and what is left out goes', async () => {
      const { object } = await applier.apply(services, service('stated'), undefined);
      const both = { conditions: [condition('Ready', 'True'), condition('Stalled', 'False')] };
      const first = await applier.applyStatus(services, object, both);
      const same = await applier.applyStatus(services, first.object, { conditions: both.conditions.toReversed() });
      const lagging = await applier.applyStatus(services, object, both);
      expect([first.result, same.result, lagging.result]).toEqual(['configured', 'unchanged', 'unchanged']);
      const less = await applier.applyStatus(services, first.object, { conditions: [condition('Ready', 'False')] });
      expect(less.object.status?.conditions).toMatchObject([{ type: 'Ready', status: 'False' }]);
      expect(less.object.status?.conditions).toHaveLength(1);
    });
    test('what others changed in it comes back', async () => {
      const { object } = await applier.apply(services, service('contested'), undefined);
      const status = { conditions: [condition('Ready', 'True')] };
      await applier.applyStatus(services, object, status);
      const forged = { status: { conditions: [condition('Ready', 'False')] } };
      const drifted = await bench.client.mergePatch(services, refOf(object), forged, { subresource: 'status' });
      const again = await applier.applyStatus(services, drifted, status);
      expect(again.result).toBe('configured');
      expect(again.object.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
    });
  });
}
