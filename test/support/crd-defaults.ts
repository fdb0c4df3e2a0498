// Fills in the defaults of a CRD as the API server does, so that tests without one work on the same objects.
import type { Schema } from '#crds/generate.ts';
import { readCrd } from '#crds/generate.ts';

const schemas = new Map(
  ['storjfarms', 'storjbuckets'].map((name) => {
    const crd = readCrd(name);
    return [crd.spec.names.kind, crd.spec.versions[0]!.schema.openAPIV3Schema];
  }),
);

/** A deep copy with defaults. */
export function withDefaults<T extends { kind: string }>(object: T): T {
  const schema = schemas.get(object.kind);
  if (!schema) throw new Error(`there is no CRD for ${object.kind}`);
  return fill(schema, structuredClone(object)) as T;
}

function fill(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) return schema.items ? value.map((item) => fill(schema.items!, item)) : value;
  if (typeof value !== 'object' || value === null) return value;
  const result: Record<string, unknown> = { ...value };
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    if (result[name] === undefined && one.default !== undefined) result[name] = structuredClone(one.default);
    if (result[name] !== undefined) result[name] = fill(one, result[name]);
  }
  return result;
}
