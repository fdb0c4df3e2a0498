// The CRDs as the real API server judges them.
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { StorjBucket, StorjFarm } from '#operator/api.ts';
import type { ResourceType } from '#operator/kube/resources.ts';
import { storjBuckets, storjFarms } from '#operator/api.ts';
import { openTestPlane, type TestPlane } from '#test/operator/test-plane.ts';
import { withDefaults } from '#test/support/crd-defaults.ts';
import { bases, objectOf, ruleExamples } from './rule-examples.ts';

let plane: TestPlane;
let namespace: string;
const types = { StorjFarm: storjFarms as ResourceType, StorjBucket: storjBuckets as ResourceType };

beforeAll(async () => {
  plane = await openTestPlane();
  namespace = await plane.namespace();
});
afterAll(() => plane.close());

/** What the API server says: '' = accepted. Nothing stays. */
async function say(kind: keyof typeof types, example: { name?: string; spec?: object; before?: object }): Promise<string> {
  const { client } = plane;
  const object = (spec: object | undefined) => {
    const one = objectOf(kind, { ...example, ...(spec ? { spec } : {}) }) as { metadata: { name: string } };
    return { ...one, metadata: { ...one.metadata, namespace } } as never;
  };
  const ref = { namespace, name: example.name ?? bases[kind].metadata.name };
  try {
    if (example.before) {
      const live = await client.create(types[kind], object(example.before));
      await client.replace(types[kind], { ...(object(example.spec) as object), metadata: live.metadata } as never);
    } else await client.create(types[kind], object(undefined));
    return '';
  } catch (error) {
    return (error as Error).message;
  } finally {
    await client.delete(types[kind], ref).catch(() => {});
  }
}

describe('rules', () => {
  it.each(ruleExamples)('$kind: $message', async ({ kind, message, good, bad }) => {
    for (const one of good) expect(await say(kind, one), JSON.stringify(one)).toBe('');
    for (const one of bad) expect(await say(kind, one), JSON.stringify(one)).toContain(message);
  });

  it.each<[string, object]>([
    ['size', { farmers: { replicas: 6, storage: { size: 'big' } } }],
    ['replicas', { farmers: { replicas: 0, storage: { size: '1Gi' } } }],
    ['lostAfter', { repair: { lostAfter: '4 hours' } }],
    ['zones', { farmers: { replicas: 6, storage: { size: '1Gi' }, zones: [{ name: 'UPPER' }] } }],
    ['name', { farmers: { replicas: 6, storage: { size: '1Gi' }, zones: [{ name: 'a' }, { name: 'a' }] } }],
  ])('a bad %s is refused and named', async (field, spec) => {
    expect(await say('StorjFarm', { spec })).toContain(field);
  });
});

describe('what people see', () => {
  it('examples apply, and the server fills in the defaults that tests assume', async () => {
    const folder = new URL('../../crds/examples/', import.meta.url);
    for (const file of readdirSync(folder)) {
      const example = parse(readFileSync(new URL(file, folder), 'utf8')) as StorjFarm | StorjBucket;
      const stored = await plane.client.create(types[example.kind as 'StorjFarm'], {
        ...example,
        metadata: { ...example.metadata, namespace },
      });
      expect((stored as StorjFarm).spec, file).toEqual((withDefaults(structuredClone(example)) as StorjFarm).spec);
    }
    const listed = await plane.kubectl(['get', 'storj', '-n', namespace]);
    expect(listed).toMatch(/NAME\s+READY\s+FARMERS\s+DATA\s+CAPACITY\s+S3\s+AGE/);
    expect(listed).toMatch(/NAME\s+READY\s+BUCKET\s+FARM\s+USED\s+SECRET\s+AGE/);
    expect(
      await plane.kubectl(['get', 'sjbucket', '-n', namespace, '--field-selector', 'spec.farmRef.name=demo', '-o', 'name']),
    ).toContain('photos');
  });

  it('kubectl scale sets the number of farmers', async () => {
    await plane.kubectl(['scale', 'storjfarm/demo', '-n', namespace, '--replicas=8']);
    expect((await plane.client.get(storjFarms, { namespace, name: 'demo' })).spec.farmers.replicas).toBe(8);
  });

  it('kubectl explain describes fields', async () => {
    const text = await plane.kubectl(['explain', 'storjfarm.spec.farmers.storage.size']);
    expect(text).toContain('SizeBelowActual');
  });
});
