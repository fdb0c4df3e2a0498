import { expect, test } from 'vitest';
import type { KubeClient } from '#operator/kube/client.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { createApplier } from '#operator/kube/apply.ts';
import { refOf } from '#operator/kube/client.ts';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { configMaps } from '#operator/kube/resources.ts';

const map = (data: Record<string, string>): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', namespace: 'farm' },
  data,
});

/** A server that stores no empty texts, as many fields of the API are. */
function given() {
  const kube = createMemoryKube();
  const client: KubeClient = {
    ...kube,
    apply: (type, object, options) => {
      const { data = {} } = object as { data?: Record<string, string> };
      const kept = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== ''));
      return kube.apply(type, { ...object, data: kept }, options);
    },
  };
  return { kube, applier: createApplier({ client }) };
}

test('what the server stores in its own way is learnt from its answer, not written again and again', async () => {
  const { kube, applier } = given();
  const desired = map({ text: 'x', empty: '' });
  const { object } = await applier.apply(configMaps, desired, undefined);
  const results: string[] = [];
  for (let round = 0; round < 3; round += 1) results.push((await applier.apply(configMaps, desired, object)).result);
  expect([results, kube.writes()]).toEqual([['unchanged', 'unchanged', 'unchanged'], expect.objectContaining({ length: 1 })]);
});

test('what others change is noticed all the same', async () => {
  const { kube, applier } = given();
  const desired = map({ text: 'x', empty: '' });
  await applier.apply(configMaps, desired, undefined);
  const drifted = await kube.mergePatch(configMaps, refOf(desired), { data: { text: 'theirs' } });
  const { result, object } = await applier.apply(configMaps, desired, drifted);
  expect([result, object.data]).toEqual(['configured', { text: 'x' }]);
});
