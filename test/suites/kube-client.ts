// The exam for every adapter of the KubeClient port: what reconcile, reflector, lease and events rely on.
import { beforeAll, describe, expect, test } from 'vitest';
import type { KubeClient, WatchEvent } from '#operator/kube/client.ts';
import type { ConfigMap, KubeObject, NetworkPolicy, ResourceType, Service } from '#operator/kube/resources.ts';
import { ensureDeleted, find, listAll, refOf } from '#operator/kube/client.ts';
import { isAlreadyExists, isConflict, isGone, isNotFound } from '#operator/kube/errors.ts';
import { configMaps, networkPolicies, services } from '#operator/kube/resources.ts';

export interface KubeClientBench {
  client: KubeClient;
  /** An empty namespace for this exam alone. */
  namespace: string;
  /** A kind, and a resourceVersion that is too old for a watch of it. */
  ancient(): Promise<{ type: ResourceType; resourceVersion: string }>;
}

export function kubeClientExam(open: () => Promise<KubeClientBench>): void {
  let bench: KubeClientBench;
  let client: KubeClient;
  let namespace: string;
  beforeAll(async () => {
    bench = await open();
    ({ client, namespace } = bench);
  });

  const map = (name: string, data: Record<string, string>, metadata: Partial<ConfigMap['metadata']> = {}): ConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, ...metadata },
    data,
  });
  const service = (name: string, ports: number[]): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { ports: ports.map((port) => ({ name: `p${port}`, port, protocol: 'TCP' })) },
  });
  const policy = (name: string, labels: Record<string, string>, role: string): NetworkPolicy => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace, labels },
    spec: { podSelector: { matchLabels: { role } }, policyTypes: ['Ingress'] },
  });
  const ref = (name: string) => ({ namespace, name });
  const failure = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => expect.unreachable('the call was expected to fail'),
      (error: unknown) => error,
    );

  describe('create, get, find', () => {
    test('what was created is there, with identity and kind and without managedFields', async () => {
      const created = await client.create(configMaps, map('made', { a: '1' }));
      const got = await client.get(configMaps, ref('made'));
      expect(got).toEqual(created);
      expect(got).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } });
      expect(got.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
      expect(Number.isNaN(Date.parse(got.metadata.creationTimestamp))).toBe(false);
      expect(got.metadata).not.toHaveProperty('managedFields');
    });
    test('a name is given once', async () => {
      await client.create(configMaps, map('taken', {}));
      expect(await failure(client.create(configMaps, map('taken', { b: '2' })))).toSatisfy(isAlreadyExists);
    });
    test('what is not there is NotFound, or undefined for find', async () => {
      expect(await failure(client.get(configMaps, ref('absent')))).toSatisfy(isNotFound);
      expect(await find(client, configMaps, ref('absent'))).toBeUndefined();
    });
  });

  describe('apply', () => {
    test('creates, changes, and takes back what is no longer said', async () => {
      const first = await client.apply(configMaps, map('applied', { a: '1', b: '2' }));
      expect(first.created).toBe(true);
      const second = await client.apply(configMaps, map('applied', { a: '1', c: '3' }));
      expect(second.created).toBe(false);
      expect(second.object.data).toEqual({ a: '1', c: '3' });
      expect(second.object.metadata.uid).toBe(first.object.metadata.uid);
    });
    test('leaves alone what others set', async () => {
      await client.apply(configMaps, map('shared', { a: '1' }));
      await client.mergePatch(configMaps, ref('shared'), { data: { theirs: 'x' }, metadata: { labels: { their: 'label' } } });
      const { object } = await client.apply(configMaps, map('shared', { b: '2' }));
      expect(object.data).toEqual({ b: '2', theirs: 'x' });
      expect(object.metadata.labels).toEqual({ their: 'label' });
    });
    test('changes nothing, not even the version, when nothing differs', async () => {
      const { object } = await client.apply(configMaps, map('calm', { a: '1' }));
      const again = await client.apply(configMaps, map('calm', { a: '1' }));
      expect(again.object.metadata.resourceVersion).toBe(object.metadata.resourceVersion);
    });
    test('a field of another is a Conflict that names it, unless forced', async () => {
      await client.apply(configMaps, map('fought', { a: 'theirs' }), { manager: 'someone-else' });
      const error = await failure(client.apply(configMaps, map('fought', { a: 'ours' }), { force: false }));
      expect(error).toSatisfy(isConflict);
      expect(error).toMatchObject({ causes: [{ message: expect.stringContaining('someone-else') }] });
      const { object } = await client.apply(configMaps, map('fought', { a: 'ours' }));
      expect(object.data).toEqual({ a: 'ours' });
    });
    test('merges lists by key: each manager has its own items', async () => {
      await client.apply(services, service('ported', [80]));
      await client.apply(services, service('ported', [81]), { manager: 'someone-else' });
      const { object } = await client.apply(services, service('ported', [82]));
      expect(object.spec?.ports?.map(({ port }) => port).sort()).toEqual([81, 82]);
    });
    test('the uid is a precondition, so nothing is made anew by accident', async () => {
      const { object } = await client.apply(configMaps, map('unique', { a: '1' }));
      const other = '11111111-2222-4333-8444-555555555555';
      expect(await failure(client.apply(configMaps, map('unique', { a: '2' }, { uid: other })))).toSatisfy(isConflict);
      const { object: changed } = await client.apply(configMaps, map('unique', { a: '2' }, { uid: object.metadata.uid }));
      expect(changed.data).toEqual({ a: '2' });
      await client.delete(configMaps, ref('unique'));
      expect(await failure(client.apply(configMaps, map('unique', { a: '3' }, { uid: object.metadata.uid })))).toSatisfy(
        isConflict,
      );
      expect(await find(client, configMaps, ref('unique'))).toBeUndefined();
    });
  });

  describe('status and generation', () => {
    test('status is written by itself, and main writes do not touch it', async () => {
      const { object } = await client.apply(services, service('with-status', [80]));
      const condition = (status: string) => ({
        type: 'Ready',
        status,
        reason: 'Testing',
        message: '',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      });
      const said = { ...service('with-status', []), status: { conditions: [condition('True')] } };
      const applied = await client.apply(services, { ...said, spec: {} }, { subresource: 'status' });
      expect(applied.object.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
      expect(applied.object.spec).toEqual(object.spec);
      const { object: main } = await client.apply(services, {
        ...service('with-status', [80]),
        status: { conditions: [condition('False')] },
      });
      expect(main.status?.conditions).toMatchObject([{ status: 'True' }]);
      const patched = await client.mergePatch(
        services,
        ref('with-status'),
        { status: { conditions: [condition('Unknown')] }, metadata: { labels: { a: 'b' } } },
        { subresource: 'status' },
      );
      expect(patched.status?.conditions).toMatchObject([{ status: 'Unknown' }]);
    });
    test('the status of what is gone does not bring it back', async () => {
      const { object } = await client.apply(services, service('gone', [80]));
      await client.delete(services, ref('gone'));
      const said = { ...service('gone', [80]), status: {} };
      said.metadata.uid = object.metadata.uid;
      expect(await failure(client.apply(services, said, { subresource: 'status' }))).toSatisfy(isConflict);
      expect(await find(client, services, ref('gone'))).toBeUndefined();
    });
    test('generation grows with the spec, not with labels', async () => {
      const { object: first } = await client.apply(networkPolicies, policy('counted', {}, 'a'));
      const { object: labelled } = await client.apply(networkPolicies, policy('counted', { x: 'y' }, 'a'));
      const { object: changed } = await client.apply(networkPolicies, policy('counted', { x: 'y' }, 'b'));
      expect([first, labelled, changed].map(({ metadata }) => metadata.generation)).toEqual([1, 1, 2]);
    });
  });

  describe('merge patch and replace', () => {
    test('null removes, the rest stays', async () => {
      await client.create(configMaps, map('patched', { a: '1', b: '2' }));
      const patched = await client.mergePatch(configMaps, ref('patched'), { data: { a: null, c: '3' } });
      expect(patched.data).toEqual({ b: '2', c: '3' });
    });
    test('an old version is a Conflict', async () => {
      const old = await client.create(configMaps, map('versioned', { a: '1' }));
      const { resourceVersion } = old.metadata;
      await client.mergePatch(configMaps, ref('versioned'), { data: { a: '2' }, metadata: { resourceVersion } });
      const late = client.mergePatch(configMaps, ref('versioned'), { data: { a: '3' }, metadata: { resourceVersion } });
      expect(await failure(late)).toSatisfy(isConflict);
      expect(await failure(client.replace(configMaps, { ...old, data: { a: '4' } }))).toSatisfy(isConflict);
      const now = await client.get(configMaps, ref('versioned'));
      const replaced = await client.replace(configMaps, { ...now, data: { b: '5' } });
      expect(replaced.data).toEqual({ b: '5' });
    });
    test('what is not there is NotFound', async () => {
      expect(await failure(client.mergePatch(configMaps, ref('absent'), { data: {} }))).toSatisfy(isNotFound);
    });
  });

  describe('delete', () => {
    test('only the one that is meant, by uid and by version', async () => {
      const made = await client.create(configMaps, map('meant', {}));
      const uid = '11111111-2222-4333-8444-555555555555';
      expect(await failure(client.delete(configMaps, ref('meant'), { uid }))).toSatisfy(isConflict);
      expect(await failure(client.delete(configMaps, ref('meant'), { resourceVersion: '1' }))).toSatisfy(isConflict);
      const { uid: right, resourceVersion } = made.metadata;
      await client.delete(configMaps, ref('meant'), { uid: right, resourceVersion });
      expect(await failure(client.delete(configMaps, ref('meant')))).toSatisfy(isNotFound);
    });
    test('ensureDeleted says whether there was anything', async () => {
      await client.create(configMaps, map('once', {}));
      expect(await ensureDeleted(client, configMaps, ref('once'))).toBe(true);
      expect(await ensureDeleted(client, configMaps, ref('once'))).toBe(false);
    });
    test('waits for finalizers', async () => {
      await client.create(configMaps, map('kept', {}, { finalizers: ['storjfarm.io/exam'] }));
      await client.delete(configMaps, ref('kept'));
      const dying = await client.get(configMaps, ref('kept'));
      expect(dying.metadata.deletionTimestamp).toBeDefined();
      await client.mergePatch(configMaps, ref('kept'), { metadata: { finalizers: null } });
      expect(await find(client, configMaps, ref('kept'))).toBeUndefined();
    });
  });

  describe('list', () => {
    const names = (objects: KubeObject[]): string[] => objects.map(({ metadata }) => metadata.name).sort();
    beforeAll(async () => {
      for (const [name, colour] of [
        ['list-a', 'red'],
        ['list-b', 'green'],
        ['list-c', 'red'],
        ['list-d', 'blue'],
        ['list-e', 'blue'],
      ] as const) {
        await client.create(configMaps, map(name, {}, { labels: { exam: 'list', colour } }));
      }
    });
    test.each([
      ['exam=list', ['list-a', 'list-b', 'list-c', 'list-d', 'list-e']],
      ['exam=list,colour=red', ['list-a', 'list-c']],
      ['exam=list,colour!=blue', ['list-a', 'list-b', 'list-c']],
      ['exam=list,colour in (red,green)', ['list-a', 'list-b', 'list-c']],
      ['exam=list,colour notin (red,green)', ['list-d', 'list-e']],
      ['exam,!colour', []],
    ])('by labels: %s', async (labelSelector, expected) => {
      const { items } = await client.list(configMaps, { namespace, labelSelector });
      expect(names(items)).toEqual(expected);
      for (const item of items) expect(item).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    });
    test('by name', async () => {
      const { items } = await client.list(configMaps, { namespace, fieldSelector: 'metadata.name=list-b' });
      expect(names(items)).toEqual(['list-b']);
    });
    test('in pages that belong together', async () => {
      const selection = { namespace, labelSelector: 'exam=list' };
      const first = await client.list(configMaps, { ...selection, limit: 2 });
      expect(names(first.items)).toEqual(['list-a', 'list-b']);
      expect(first.continueToken).toBeDefined();
      const all = await listAll(client, configMaps, { ...selection, limit: 2 });
      expect(names(all.items)).toEqual(['list-a', 'list-b', 'list-c', 'list-d', 'list-e']);
      expect(Number(all.resourceVersion)).toBeGreaterThan(0);
    });
    test('in all namespaces', async () => {
      const { items } = await client.list(configMaps, { labelSelector: 'exam=list' });
      expect(new Set(items.map(({ metadata }) => metadata.namespace))).toContain(namespace);
    });
  });

  describe('watch', () => {
    const collect = async (
      options: { labelSelector?: string; resourceVersion: string },
      count: number,
    ): Promise<WatchEvent<ConfigMap>[]> => {
      const seen: WatchEvent<ConfigMap>[] = [];
      const stop = new AbortController();
      for await (const event of client.watch(configMaps, { namespace, timeoutSeconds: 30, signal: stop.signal, ...options })) {
        if (event.type === 'BOOKMARK') continue;
        seen.push(event);
        if (seen.length === count) break;
      }
      return seen;
    };
    const line = (event: WatchEvent<ConfigMap>): string =>
      event.type === 'BOOKMARK'
        ? 'BOOKMARK'
        : `${event.type} ${event.object.metadata.name} ${JSON.stringify(event.object.data ?? {})}`;

    test('tells what happened since a version, in its order', async () => {
      const { resourceVersion } = await client.list(configMaps, { namespace });
      const watched = collect({ labelSelector: 'exam=watch', resourceVersion }, 4);
      const labels = { exam: 'watch' };
      await client.create(configMaps, map('watched', { n: '1' }, { labels }));
      await client.mergePatch(configMaps, ref('watched'), { data: { n: '2' } });
      await client.create(configMaps, map('unseen', {}));
      await client.delete(configMaps, ref('watched'));
      await client.create(configMaps, map('watched', { n: '3' }, { labels }));
      const events = await watched;
      expect(events.map(line)).toEqual([
        'ADDED watched {"n":"1"}',
        'MODIFIED watched {"n":"2"}',
        'DELETED watched {"n":"2"}',
        'ADDED watched {"n":"3"}',
      ]);
      for (const event of events) expect(event).toMatchObject({ object: { apiVersion: 'v1', kind: 'ConfigMap' } });
    });
    test('what leaves the selection is deleted for the watch, what enters it is added', async () => {
      await client.create(configMaps, map('moving', {}, { labels: { exam: 'in' } }));
      const { resourceVersion } = await client.list(configMaps, { namespace });
      const watched = collect({ labelSelector: 'exam=in', resourceVersion }, 2);
      await client.mergePatch(configMaps, ref('moving'), { metadata: { labels: { exam: 'out' } } });
      await client.mergePatch(configMaps, ref('moving'), { metadata: { labels: { exam: 'in' } } });
      expect((await watched).map(({ type }) => type)).toEqual(['DELETED', 'ADDED']);
    });
    test('a version that is too old is Gone', async () => {
      const { type, resourceVersion } = await bench.ancient();
      const options = { namespace, resourceVersion, timeoutSeconds: 5, signal: new AbortController().signal };
      const watching = (async () => {
        for await (const _event of client.watch(type, options));
      })();
      expect(await failure(watching)).toSatisfy(isGone);
    });
    test('ends with the reason of the signal', async () => {
      const { resourceVersion } = await client.list(configMaps, { namespace });
      const stop = new AbortController();
      const reason = new Error('enough');
      const watching = async (): Promise<void> => {
        for await (const event of client.watch(configMaps, {
          namespace,
          resourceVersion,
          timeoutSeconds: 30,
          signal: stop.signal,
        })) {
          if (event.type !== 'BOOKMARK' && event.object.metadata.name === 'last') stop.abort(reason);
        }
      };
      const ended = failure(watching());
      await client.create(configMaps, map('last', {}));
      expect(await ended).toBe(reason);
    });
  });

  test('a call ends with the reason of its signal', async () => {
    const reason = new Error('enough');
    await expect(client.get(configMaps, ref('made'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('refOf names an object', () => {
    expect(refOf(map('x', {}))).toEqual({ namespace, name: 'x' });
  });
}
