// Every CEL rule of the CRDs with what it accepts and what it refuses, as changes to a good object. Used without and
// with a real API server. `before` makes it an update.
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';

export interface RuleExample {
  kind: 'StorjFarm' | 'StorjBucket';
  /** Part of the rule's message. */
  message: string;
  good: { spec?: object; name?: string; before?: object }[];
  bad: { spec?: object; name?: string; before?: object }[];
}

const read = (name: string): { metadata: { name: string }; spec: object } =>
  parse(readFileSync(new URL(`../../crds/examples/${name}.yaml`, import.meta.url), 'utf8')) as never;

/** Good objects to change. */
export const bases = { StorjFarm: read('farm'), StorjBucket: read('bucket') };

const scheme = (required: number, repair: number, optimal: number, total: number) => ({
  redundancy: { required, repair, optimal, total },
});
const storage = (more: object) => ({ farmers: { replicas: 6, storage: { size: '1Gi', ...more } } });

export const ruleExamples: RuleExample[] = [
  { kind: 'StorjFarm', message: 'at most 30 characters', good: [{ name: 'a'.repeat(30) }], bad: [{ name: 'a'.repeat(31) }] },
  {
    kind: 'StorjFarm',
    message: 'required ≤ repair ≤ optimal ≤ total',
    good: [{ spec: scheme(4, 5, 6, 6) }, { spec: scheme(1, 1, 1, 1) }, { spec: scheme(29, 35, 65, 80) }],
    bad: [{ spec: scheme(4, 7, 6, 6) }, { spec: scheme(4, 5, 6, 5) }, { spec: scheme(5, 4, 6, 6) }],
  },
  {
    kind: 'StorjFarm',
    message: 'break the promise',
    good: [{ spec: scheme(4, 5, 6, 6) }, { spec: scheme(4, 7, 10, 10) }],
    bad: [{ spec: scheme(4, 4, 6, 6) }, { spec: scheme(4, 6, 10, 10) }],
  },
  {
    kind: 'StorjFarm',
    message: 'accessMode',
    good: [
      { before: storage({ accessMode: 'ReadWriteOncePod' }), spec: storage({ accessMode: 'ReadWriteOncePod', size: '2Gi' }) },
      { before: storage({}), spec: storage({ size: '2Gi' }) },
    ],
    bad: [
      { before: storage({ accessMode: 'ReadWriteOncePod' }), spec: storage({ accessMode: 'ReadWriteOnce' }) },
      { before: storage({}), spec: storage({ accessMode: 'ReadWriteOnce' }) },
      { before: storage({ accessMode: 'ReadWriteOnce' }), spec: storage({}) },
    ],
  },
  {
    kind: 'StorjFarm',
    message: 'nodePort needs',
    good: [
      { spec: { bridge: { service: { type: 'NodePort', nodePort: 30900 } } } },
      { spec: { bridge: { service: { type: 'LoadBalancer' } } } },
    ],
    bad: [
      { spec: { bridge: { service: { nodePort: 30900 } } } },
      { spec: { bridge: { service: { type: 'ClusterIP', nodePort: 30900 } } } },
    ],
  },
  {
    kind: 'StorjFarm',
    message: 'selector goes with',
    good: [
      { spec: { allowedBuckets: { from: 'Selector', selector: { a: 'b' } } } },
      { spec: { allowedBuckets: { from: 'All' } } },
    ],
    bad: [
      { spec: { allowedBuckets: { from: 'Selector' } } },
      { spec: { allowedBuckets: { from: 'All', selector: { a: 'b' } } } },
    ],
  },
  { kind: 'StorjBucket', message: 'at most 52 characters', good: [{ name: 'a'.repeat(52) }], bad: [{ name: 'a'.repeat(53) }] },
  {
    kind: 'StorjBucket',
    message: "the resource's name is the bucket's",
    good: [{ name: 'abc' }, { name: 'ab', spec: { bucketName: 'abc' } }, { name: 'a.b.c' }],
    bad: [{ name: 'ab' }, { name: '10.0.0.1' }],
  },
  {
    kind: 'StorjBucket',
    message: "bucketName can't be changed",
    good: [
      { before: { bucketName: 'one' }, spec: { bucketName: 'one' } },
      { before: {}, spec: {} },
    ],
    bad: [
      { before: { bucketName: 'one' }, spec: { bucketName: 'two' } },
      { before: {}, spec: { bucketName: 'two' } },
      { before: { bucketName: 'one' }, spec: {} },
    ],
  },
  {
    kind: 'StorjBucket',
    message: "owner can't be changed",
    good: [{ before: { owner: { secretRef: { name: 'a' } } }, spec: { owner: { secretRef: { name: 'a' } } } }],
    bad: [
      { before: { owner: { secretRef: { name: 'a' } } }, spec: { owner: { secretRef: { name: 'b' } } } },
      { before: {}, spec: { owner: { secretRef: { name: 'b' } } } },
      { before: { owner: { secretRef: { name: 'a' } } }, spec: {} },
    ],
  },
  {
    kind: 'StorjBucket',
    message: "farmRef can't be changed",
    good: [{ before: { farmRef: { name: 'one' } }, spec: { farmRef: { name: 'one' } } }],
    bad: [{ before: { farmRef: { name: 'one' } }, spec: { farmRef: { name: 'two' } } }],
  },
  {
    kind: 'StorjBucket',
    message: "a bucket's name has no two dots",
    good: [{ spec: { bucketName: 'my.bucket' } }],
    bad: [{ spec: { bucketName: 'my..bucket' } }, { spec: { bucketName: '192.168.0.1' } }],
  },
];

/** The object of an example; `part` = what of it. */
export function objectOf(kind: RuleExample['kind'], { name, spec = {} }: { name?: string; spec?: object }): object {
  const base = bases[kind];
  return {
    apiVersion: 'storjfarm.io/v1alpha1',
    kind,
    metadata: { name: name ?? base.metadata.name },
    spec: { ...structuredClone(base.spec), ...structuredClone(spec) },
  };
}
