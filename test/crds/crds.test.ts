import { readdirSync, readFileSync } from 'node:fs';
import { evaluate } from '@marcbachmann/cel-js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { generate, readCrd, rulesOf, type Schema } from '#crds/generate.ts';
import { withDefaults } from '#test/support/crd-defaults.ts';
import { objectOf, ruleExamples } from './rule-examples.ts';

const crds = ['storjfarms', 'storjbuckets'].map(readCrd);
const schemas = new Map(crds.map((crd) => [crd.spec.names.kind, crd.spec.versions[0]!.schema.openAPIV3Schema]));

function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path);
  for (const [name, one] of Object.entries(schema.properties ?? {})) walk(one, `${path}.${name}`, visit);
  if (schema.items) walk(schema.items, `${path}[]`, visit);
  if (schema.additionalProperties) walk(schema.additionalProperties, `${path}{}`, visit);
}

function problems(check: (schema: Schema, path: string) => string | undefined): string[] {
  const found: string[] = [];
  for (const [kind, schema] of schemas) {
    walk(schema, kind, (one, path) => {
      const problem = check(one, path);
      if (problem !== undefined) found.push(`${path}: ${problem}`);
    });
  }
  return found;
}

describe('the schemas', () => {
  it('are structural and bounded', () => {
    expect(
      problems((one, path) => {
        if (one['x-kubernetes-int-or-string']) return one.maxLength === undefined ? 'no maxLength' : undefined;
        if (one.type === undefined) return 'no type';
        if (one.properties && one.additionalProperties) return 'properties and additionalProperties';
        if (one.type === 'array' && (one.maxItems === undefined || one['x-kubernetes-list-type'] === undefined))
          return 'a list without bound or kind';
        if (one.additionalProperties && one.maxProperties === undefined) return 'a map without bound';
        const isFree = one.enum !== undefined || one.format === 'date-time';
        if (one.type === 'string' && one.maxLength === undefined && !isFree) return 'a string without bound';
        const isSpec = path.includes('.spec.');
        if (isSpec && one.type === 'integer' && (one.minimum === undefined || one.maximum === undefined))
          return 'a number without bounds';
        return undefined;
      }),
    ).toEqual([]);
  });

  it('describe every field of the spec and of the status', () => {
    expect(
      problems((one, path) =>
        /\.(spec|status)\.[^.]+/.test(path) && !/(\[\]|\{\})$/.test(path) && !one.description ? 'no description' : undefined,
      ),
    ).toEqual([]);
  });

  it('have defaults only where the parent has one, and none on required fields', () => {
    expect(
      problems((one) => {
        const inner = Object.entries(one.properties ?? {}).filter(([, child]) => child.default !== undefined);
        const required = inner.find(([name]) => one.required?.includes(name));
        return required ? `${required[0]} has a default and is required` : undefined;
      }),
    ).toEqual([]);
  });

  it('stay far below the limit of kubectl apply', () => {
    for (const crd of crds) expect(JSON.stringify(crd).length).toBeLessThan(60_000);
  });

  it('print Ready and Age, and are in the category storj alone', () => {
    for (const crd of crds) {
      const columns = crd.spec.versions[0]!.additionalPrinterColumns as { name: string }[];
      expect(columns[0]?.name).toBe('Ready');
      expect(columns.at(-1)?.name).toBe('Age');
      expect(crd.spec.names.categories).toEqual(['storj']);
    }
  });
});

describe('the rules', () => {
  const allRules = [...schemas].flatMap(([kind, schema]) => rulesOf(schema, '').map((rule) => ({ kind, ...rule })));

  const at = (object: unknown, path: string): unknown =>
    path === ''
      ? object
      : path.split('.').reduce<unknown>((value, field) => (value as Record<string, unknown> | undefined)?.[field], object);

  /** The verdict of one rule: true also where the API server would not run it. */
  function holds(rule: { path: string; rule: string }, now: object, before: object | undefined): boolean {
    const self = at(now, rule.path);
    const oldSelf = before && at(before, rule.path);
    if (self === undefined || (rule.rule.includes('oldSelf') && oldSelf === undefined)) return true;
    return evaluate(rule.rule, toCel({ self, oldSelf }) as never) === true;
  }

  it('each have examples', () => {
    const covered = allRules.filter(({ kind, message }) =>
      ruleExamples.some((one) => one.kind === kind && message.includes(one.message)),
    );
    expect(allRules.map(({ message }) => message).filter((message) => !covered.some((one) => one.message === message))).toEqual(
      [],
    );
    expect(allRules.length).toBe(ruleExamples.length);
  });

  it.each(ruleExamples)('$kind: $message', ({ kind, message, good, bad }) => {
    const rule = allRules.find((one) => one.kind === kind && one.message.includes(message))!;
    const judge = (one: (typeof good)[number]): boolean => {
      const before = one.before && withDefaults(objectOf(kind, { spec: one.before }) as never);
      return holds(rule, withDefaults(objectOf(kind, one) as never), before);
    };
    for (const one of good) expect(judge(one), JSON.stringify(one)).toBe(true);
    for (const one of bad) expect(judge(one), JSON.stringify(one)).toBe(false);
  });
});

/** Whole numbers are CEL's int only as BigInt. */
function toCel(value: unknown): unknown {
  if (typeof value === 'number') return BigInt(value);
  if (Array.isArray(value)) return value.map(toCel);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) => [name, toCel(one)]),
  );
}

describe('what is generated', () => {
  it('is up to date', async () => {
    for (const [path, content] of await generate()) expect(readFileSync(path, 'utf8'), path).toBe(content);
  });

  it('examples name only fields that exist', () => {
    const folder = new URL('../../crds/examples/', import.meta.url);
    for (const file of readdirSync(folder)) {
      const example = parse(readFileSync(new URL(file, folder), 'utf8')) as { kind: string; spec: unknown };
      const unknown: string[] = [];
      check(schemas.get(example.kind)!.properties!['spec']!, example.spec, 'spec', unknown);
      expect(unknown, file).toEqual([]);
    }
  });
});

function check(schema: Schema, value: unknown, path: string, unknown: string[]): void {
  if (Array.isArray(value)) for (const one of value) check(schema.items ?? {}, one, `${path}[]`, unknown);
  else if (typeof value === 'object' && value !== null && schema.properties) {
    for (const [name, one] of Object.entries(value)) {
      const child = schema.properties[name];
      if (child) check(child, one, `${path}.${name}`, unknown);
      else unknown.push(`${path}.${name}`);
    }
  }
}
