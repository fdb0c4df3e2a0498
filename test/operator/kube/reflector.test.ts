import { afterEach, describe, expect, test } from 'vitest';
import type { MemoryKube } from '#operator/kube/memory-kube.ts';
import type { ReflectorOptions } from '#operator/kube/reflector.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { createReflector } from '#operator/kube/reflector.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { ownerKey } from '#operator/kube/store.ts';
import { createFakeClock, settle } from '../runtime/fake-clock.ts';

const map = (name: string, n = '', metadata: Partial<ConfigMap['metadata']> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'farm', ...metadata },
  data: { n },
});
const ref = (name: string, namespace = 'farm') => ({ namespace, name });

const stops: AbortController[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop.abort()));

async function given(
  names: string[],
  options: Partial<ReflectorOptions<ConfigMap>> = {},
  client: MemoryKube = createMemoryKube(),
) {
  const clock = createFakeClock();
  for (const name of names) await client.create(configMaps, map(name));
  const reflector = createReflector({ client, type: configMaps, clock, random: () => 0.5, ...options });
  const changes: string[] = [];
  reflector.subscribe(({ type, object }) => changes.push(`${type} ${object.metadata.name} ${object.data?.['n'] ?? ''}`.trim()));
  const stop = new AbortController();
  stops.push(stop);
  const ended = reflector.run(stop.signal);
  await settle();
  const lists = (): number => client.calls.filter(({ verb }) => verb === 'list').length;
  const watches = (): number => client.calls.filter(({ verb }) => verb === 'watch').length;
  const known = (): string[] =>
    reflector.store
      .list()
      .map(({ metadata, data }) => `${metadata.name}=${data?.['n'] ?? ''}`)
      .sort();
  return { client, clock, reflector, changes, stop, ended, lists, watches, known };
}

describe('reflector', () => {
  test('knows what is there, and then what changes', async () => {
    const { client, reflector, changes, known, lists } = await given(['a', 'b']);
    expect(reflector.synced()).toBe(true);
    expect(changes).toEqual(['added a', 'added b']);
    await client.mergePatch(configMaps, ref('a'), { data: { n: '1' } });
    await client.create(configMaps, map('c'));
    await client.delete(configMaps, ref('b'));
    await settle();
    expect(changes.slice(2)).toEqual(['modified a 1', 'added c', 'deleted b']);
    expect(known()).toEqual(['a=1', 'c=']);
    expect(lists()).toBe(1);
  });

  test('lists in pages', async () => {
    const { known, lists } = await given(['a', 'b', 'c', 'd', 'e'], { pageSize: 2 });
    expect(known()).toEqual(['a=', 'b=', 'c=', 'd=', 'e=']);
    expect(lists()).toBe(3);
  });

  test('is synced only when all its namespaces are listed', async () => {
    const client = createMemoryKube();
    client.intercept = ({ key, verb }) => {
      if (verb === 'list' && key === 'closed') throw new KubeError('Forbidden', 'no', { status: 403 });
    };
    await client.create(configMaps, map('x', '', { namespace: 'closed' }));
    await client.create(configMaps, map('y', '', { namespace: 'elsewhere' }));
    const { reflector, clock, known, stop } = await given(['a'], { namespaces: ['farm', 'closed'] }, client);
    expect([reflector.synced(), known()]).toEqual([false, ['a=']]);
    client.intercept = undefined;
    await clock.advance(60_000);
    await reflector.whenSynced(stop.signal);
    expect(known()).toEqual(['a=', 'x=']);
  });

  test('whenSynced ends with its signal', async () => {
    const client = createMemoryKube();
    client.intercept = () => Promise.reject(new KubeError('Unavailable', 'down'));
    const clock = createFakeClock();
    const reflector = createReflector({ client, type: configMaps, clock, random: () => 0.5 });
    const reason = new Error('enough');
    await expect(reflector.whenSynced(AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test.each(['end', 'reset'] as const)('after a watch that did %s it goes on where it was, without a list', async (how) => {
    const { client, clock, changes, lists, watches } = await given(['a']);
    await client.mergePatch(configMaps, ref('a'), { data: { n: '1' } });
    await settle();
    client.endWatches(how);
    await settle();
    await client.mergePatch(configMaps, ref('a'), { data: { n: '2' } });
    await clock.advance(60_000);
    expect(changes).toEqual(['added a', 'modified a 1', 'modified a 2']);
    expect(lists()).toBe(1);
    expect(watches()).toBeGreaterThanOrEqual(2);
  });

  test('after a 410 inside the stream it lists again and tells what it missed', async () => {
    const { client, clock, changes, lists, known } = await given(['a', 'b', 'c']);
    // Nobody watches while this happens.
    client.endWatches('gone');
    await client.delete(configMaps, ref('a'));
    await client.mergePatch(configMaps, ref('b'), { data: { n: '1' } });
    await client.delete(configMaps, ref('c'));
    await client.create(configMaps, map('c', 'new'));
    await client.create(configMaps, map('d'));
    await clock.advance(10_000);
    expect(changes.slice(3)).toEqual(['modified b 1', 'deleted c', 'added c new', 'added d', 'deleted a']);
    expect(known()).toEqual(['b=1', 'c=new', 'd=']);
    expect(lists()).toBe(2);
  });

  test('a 410 as the answer to a watch, or between two pages, is a fresh list', async () => {
    const client = createMemoryKube();
    let compactions = 2;
    client.intercept = ({ verb }) => {
      if (verb === 'get' || compactions === 0) return;
      compactions -= 1;
      client.compact();
    };
    const { clock, known, changes } = await given([], { pageSize: 1 }, client);
    for (const name of ['a', 'b', 'c']) await client.create(configMaps, map(name));
    compactions = 3;
    client.endWatches('reset');
    await clock.advance(120_000);
    expect(known()).toEqual(['a=', 'b=', 'c=']);
    expect(changes).toEqual(['added a', 'added b', 'added c']);
  });

  test('bookmarks keep its place: it needs no list after the past is forgotten', async () => {
    const { client, clock, lists, known } = await given(['a'], { namespaces: ['farm'] });
    for (let n = 0; n < 5; n += 1) await client.create(configMaps, map(`other-${n}`, '', { namespace: 'elsewhere' }));
    await client.delete(configMaps, ref('other-0', 'elsewhere'));
    client.bookmark();
    await settle();
    client.compact();
    client.endWatches('end');
    await client.mergePatch(configMaps, ref('a'), { data: { n: '1' } });
    await clock.advance(10_000);
    expect(lists()).toBe(1);
    expect(known()).toContain('a=1');
  });

  test('a watch that is silent for too long is replaced; one that talks is kept', async () => {
    const { client, clock, watches, lists } = await given(['a'], { silenceMs: 100_000 });
    await clock.advance(90_000);
    client.bookmark();
    await clock.advance(90_000);
    expect(watches()).toBe(1);
    await clock.advance(20_000);
    expect(watches()).toBe(2);
    expect(lists()).toBe(1);
  });

  test('it never gives up, with pauses that grow to their bound and start anew when all is well', async () => {
    const client = createMemoryKube();
    const down = (): never => {
      throw new KubeError('Unavailable', 'down', { status: 503 });
    };
    client.intercept = down;
    const { clock, changes, lists, watches } = await given([], {}, client);
    const attempts: number[] = [];
    for (let minute = 0; minute < 4; minute += 1) {
      await clock.advance(60_000);
      attempts.push(lists());
    }
    expect(attempts).toEqual([7, 9, 11, 13]);
    client.intercept = undefined;
    await client.create(configMaps, map('a'));
    await clock.advance(60_000);
    expect(changes).toEqual(['added a']);
    client.endWatches('reset');
    const before = watches();
    await clock.advance(600);
    expect(watches()).toBe(before + 1);
  });

  test('a server that ends each watch at once isn’t hammered', async () => {
    const client = createMemoryKube();
    const { clock, watches } = await given(
      ['a'],
      {},
      {
        ...client,
        watch: (...args) => (client.calls.push({ verb: 'watch', type: args[0], key: '*', changed: false }), nothing()),
      },
    );
    await clock.advance(60_000);
    expect(watches()).toBeLessThan(10);
  });

  test('a handler that fails keeps nobody else from hearing', async () => {
    const client = createMemoryKube();
    const errors: object[] = [];
    const say = (): void => {};
    const log = { debug: say, info: say, warn: say, error: (fields: object) => errors.push(fields) };
    const clock = createFakeClock();
    const reflector = createReflector({ client, type: configMaps, clock, random: () => 0.5, log });
    const heard: string[] = [];
    reflector.subscribe(() => {
      throw new Error('mine');
    });
    const end = reflector.subscribe(({ object }) => heard.push(object.metadata.name));
    const stop = new AbortController();
    stops.push(stop);
    void reflector.run(stop.signal);
    await client.create(configMaps, map('a'));
    await settle();
    expect([heard, errors.length]).toEqual([['a'], 1]);
    end();
    await client.create(configMaps, map('b'));
    await settle();
    expect(heard).toEqual(['a']);
  });

  test('finds by owner and by index, also after changes, and gives out what can’t be changed', async () => {
    const owner = { apiVersion: 'storjfarm.io/v1alpha1', kind: 'StorjFarm', name: 'demo', uid: 'u-1' };
    const client = createMemoryKube();
    const indexes = { byN: ({ data }: ConfigMap) => (data?.['n'] ? [data['n']] : []) };
    const { reflector } = await given([], { indexes }, client);
    await client.create(configMaps, map('a', 'x', { ownerReferences: [owner] }));
    await client.create(configMaps, map('b', 'x'));
    await settle();
    const names = (objects: ConfigMap[]): string[] => objects.map(({ metadata }) => metadata.name);
    expect(names(reflector.store.byOwner('u-1'))).toEqual(['a']);
    expect(names(reflector.store.byIndex('byN', 'x'))).toEqual(['a', 'b']);
    await client.mergePatch(configMaps, ref('a'), { data: { n: 'y' } });
    await client.delete(configMaps, ref('b'));
    await settle();
    expect(names(reflector.store.byIndex('byN', 'x'))).toEqual([]);
    expect(names(reflector.store.byIndex('byN', 'y'))).toEqual(['a']);
    expect(() => reflector.store.byIndex('none', 'y')).toThrow(TypeError);
    const a = reflector.store.get(ref('a'));
    expect(() => Object.assign(a?.data ?? {}, { n: 'z' })).toThrow(TypeError);
    expect(a && ownerKey(a, { apiVersion: 'storjfarm.io/v1beta9', kind: 'StorjFarm' })).toBe('farm/demo');
    expect(a && ownerKey(a, { apiVersion: 'apps/v1', kind: 'StorjFarm' })).toBeUndefined();
  });

  test('trims what nobody needs, and sees its selection only', async () => {
    const client = createMemoryKube();
    await client.create(configMaps, map('mine', 'x', { labels: { farm: 'demo' } }));
    await client.create(configMaps, map('other', 'x'));
    const trim: ReflectorOptions<ConfigMap>['trim'] = ({ data: _data, ...rest }) => rest;
    const { reflector, known } = await given([], { labelSelector: 'farm=demo', trim }, client);
    expect(known()).toEqual(['mine=']);
    await client.mergePatch(configMaps, ref('mine'), { metadata: { labels: { farm: null } } });
    await settle();
    expect(reflector.store.size).toBe(0);
  });

  test('stopped, it ends and leaves no timer', async () => {
    const { stop, ended, clock } = await given(['a']);
    stop.abort();
    await ended;
    expect(clock.timers).toBe(0);
  });
});

async function* nothing(): AsyncGenerator<never> {}
