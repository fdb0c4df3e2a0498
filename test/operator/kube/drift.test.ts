import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drift, quantity, sameContent } from '#operator/kube/drift.ts';

const paths = (want: unknown, have: unknown): string[] => drift(want, have).map(({ path }) => path);

describe('drift', () => {
  test.each<[string, unknown, unknown, string[]]>([
    ['equal', { a: 1, b: { c: 'x' } }, { a: 1, b: { c: 'x' } }, []],
    ['more there than wanted', { a: 1 }, { a: 1, b: 2 }, []],
    ['another value', { a: { b: 1 } }, { a: { b: 2 } }, ['a.b']],
    ['missing', { a: { b: 1 } }, {}, ['a']],
    ['false is not nothing', { automount: false }, {}, ['automount']],
    ['zero is not nothing', { replicas: 0 }, {}, ['replicas']],
    ['empty is nothing', { a: {}, b: [], c: undefined, d: null }, {}, []],
    ['nothing is wanted', { a: undefined }, { a: 1 }, []],
    ['empty map with guests', { a: {} }, { a: { guest: 1 } }, []],
    ['empty list with guests', { a: [] }, { a: [1] }, ['a']],
    ['plain list, order counts', { args: ['a', 'b'] }, { args: ['b', 'a'] }, ['args.0', 'args.1']],
    ['plain list, longer', { args: ['a'] }, { args: ['a', 'b'] }, ['args']],
    [
      'list by key, another order and a guest',
      { env: [{ name: 'A', value: '1' }] },
      { env: [{ name: 'B' }, { name: 'A', value: '1' }] },
      [],
    ],
    [
      'list by key, another value',
      { env: [{ name: 'A', value: '1' }] },
      { env: [{ name: 'A', value: '2' }] },
      ['env.["A"].value'],
    ],
    ['list by key, missing item', { env: [{ name: 'A', value: '1' }] }, { env: [{ name: 'B' }] }, ['env.["A"]']],
    ['port with its default', { ports: [{ containerPort: 80 }] }, { ports: [{ containerPort: 80, protocol: 'TCP' }] }, []],
    [
      'ports of a network policy are a plain list',
      { ingress: [{ ports: [{ port: 1 }] }] },
      { ingress: [{ ports: [{ port: 1 }, { port: 2 }] }] },
      ['ingress.0.ports'],
    ],
    ['finalizers are a set', { finalizers: ['a'] }, { finalizers: ['b', 'a'] }, []],
    ['finalizer missing', { finalizers: ['a'] }, { finalizers: ['b'] }, ['finalizers."a"']],
    [
      'quantities',
      { resources: { limits: { cpu: '0.5', memory: '1024Mi' } } },
      { resources: { limits: { cpu: '500m', memory: '1Gi' } } },
      [],
    ],
    ['other quantity', { requests: { storage: '1Gi' } }, { requests: { storage: '1G' } }, ['requests.storage']],
    ['not a quantity elsewhere', { annotations: { a: '1.0' } }, { annotations: { a: '1' } }, ['annotations.a']],
    ['number and text', { port: 80 }, { port: '80' }, ['port']],
  ])('%s', (_name, want, have, expected) => {
    expect(paths(want, have)).toEqual(expected);
  });

  test('the same content is the same in both directions', () => {
    expect(sameContent({ conditions: [{ type: 'A' }, { type: 'B' }] }, { conditions: [{ type: 'B' }, { type: 'A' }] })).toBe(
      true,
    );
    expect(sameContent({ a: 1 }, { a: 1, b: 2 })).toBe(false);
  });

  test('fields may be called as what every object inherits', () => {
    const object: unknown = JSON.parse('{"a": {"__proto__": [[1]], "constructor": {}, "toString": "x"}}');
    expect(drift(object, structuredClone(object))).toEqual([]);
    expect(paths(object, { a: {} })).toEqual(['a.__proto__', 'a.toString']);
  });

  test('whatever an object is, it is what it should be; with a changed leaf it is not', () => {
    const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { minKeys: 1 });
    fc.assert(
      fc.property(json, (object) => {
        expect(drift(object, structuredClone(object))).toEqual([]);
        expect(paths({ ...object, leaf: 'ours' }, { ...object, leaf: 'theirs' })).toEqual(['leaf']);
      }),
    );
  });
});

describe('quantity', () => {
  test.each([
    ['1', '1000m'],
    ['0.1', '100m'],
    ['1Ki', '1024'],
    ['1.5Gi', '1536Mi'],
    ['1k', '1000'],
    ['1e3', '1k'],
    ['12E', '12000P'],
    ['1E2', '100'],
    ['100n', '0.1u'],
    ['-1', '-1000m'],
    ['.5', '500m'],
    ['5.', '5'],
  ])('%s is %s', (a, b) => {
    expect(quantity(a)).toBeDefined();
    expect(quantity(a)).toBe(quantity(b));
  });
  test.each(['', 'Gi', '1Gb', 'one', '1 Gi', '1e', '.', true, null])('%s is none', (value) => {
    expect(quantity(value)).toBeUndefined();
  });
});
