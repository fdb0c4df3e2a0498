// `npm run generate`: makes everything that follows from the hand-written CRDs: types.ts, reference.md and the
// chart's copies. `--check` writes nothing and fails where a file on disk differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compile } from 'json-schema-to-typescript';
import { parse, stringify } from 'yaml';

/** A node of a structural schema, as far as it is read here. */
export interface Schema {
  type?: string;
  description?: string;
  required?: string[];
  enum?: (string | number)[];
  default?: unknown;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
  anyOf?: Schema[];
  maxLength?: number;
  maxItems?: number;
  maxProperties?: number;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  format?: string;
  'x-kubernetes-validations'?: { rule: string; message?: string }[];
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
}

export interface Crd {
  metadata: { name: string };
  spec: {
    group: string;
    names: { kind: string; plural: string; shortNames: string[]; categories: string[] };
    versions: { name: string; schema: { openAPIV3Schema: Schema }; subresources: object; additionalPrinterColumns: object[] }[];
  };
}

const here = dirname(fileURLToPath(import.meta.url));
const chart = join(here, '../charts/storj-operator/templates/crds');
const names = ['storjfarms', 'storjbuckets'];

export function readCrd(name: string): Crd {
  return parse(readFileSync(join(here, `${name}.yaml`), 'utf8')) as Crd;
}

function schemaOf(crd: Crd): Schema {
  const version = crd.spec.versions[0];
  if (!version) throw new Error(`${crd.metadata.name} has no version`);
  return version.schema.openAPIV3Schema;
}

/** What json-schema-to-typescript should see: int-or-string as such, open objects as such. */
function forTypes(schema: Schema, isInput: boolean): object {
  if (schema['x-kubernetes-int-or-string']) return { description: schema.description, type: ['integer', 'string'] };
  const { properties, items, additionalProperties } = schema;
  const withDefault = Object.entries(properties ?? {}).filter(([, one]) => one.default !== undefined);
  const required = [...(schema.required ?? []), ...(isInput ? [] : withDefault.map(([name]) => name))];
  return {
    ...(schema.type ? { type: schema.type } : {}),
    ...(schema.description ? { description: schema.description } : {}),
    ...(schema.enum ? { enum: schema.enum } : {}),
    ...(properties
      ? { properties: Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, forTypes(one, isInput)])) }
      : {}),
    ...(items ? { items: forTypes(items, isInput) } : {}),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: additionalProperties
      ? forTypes(additionalProperties, isInput)
      : (schema['x-kubernetes-preserve-unknown-fields'] ?? false),
  };
}

async function typesOf(crds: Crd[]): Promise<string> {
  const parts = [
    '// Generated from the CRDs by crds/generate.ts; do not edit. `…Input` is what people write: defaults are optional.',
  ];
  for (const crd of crds) {
    const { kind } = crd.spec.names;
    const { spec, status } = schemaOf(crd).properties ?? {};
    const pieces: [string, Schema | undefined, boolean][] = [
      [`${kind}Spec`, spec, false],
      [`${kind}SpecInput`, spec, true],
      [`${kind}Status`, status, true],
    ];
    for (const [name, schema, isInput] of pieces) {
      if (!schema) throw new Error(`${kind} lacks spec or status`);
      parts.push(
        await compile(forTypes(schema, isInput), name, {
          bannerComment: '',
          format: false,
          additionalProperties: false,
          ignoreMinAndMaxItems: true,
        }),
      );
    }
  }
  return `${parts.join('\n')}\n`.replaceAll(/\n{3,}/g, '\n\n');
}

function rows(schema: Schema, path: string, isRequired: boolean): string[] {
  const type = typeText(schema);
  const limits = [
    schema.minimum === undefined ? '' : `≥ ${schema.minimum}`,
    schema.maximum === undefined ? '' : `≤ ${schema.maximum}`,
    schema.maxLength === undefined ? '' : `≤ ${schema.maxLength} characters`,
    schema.maxItems === undefined ? '' : `≤ ${schema.maxItems} items`,
    schema.default === undefined || typeof schema.default === 'object' ? '' : `default ${JSON.stringify(schema.default)}`,
  ].filter((text) => text !== '');
  const own = `| \`${path}\`${isRequired ? ' *' : ''} | ${type} | ${(schema.description ?? '').replaceAll('|', '\\|')}${limits.length > 0 ? ` (${limits.join(', ')})` : ''} |`;
  const children = schema.items?.properties ? schema.items : schema;
  const prefix = schema.items?.properties ? `${path}[]` : path;
  return [
    own,
    ...Object.entries(children.properties ?? {}).flatMap(([name, one]) =>
      rows(one, `${prefix}.${name}`, children.required?.includes(name) ?? false),
    ),
  ];
}

function typeText(schema: Schema): string {
  if (schema['x-kubernetes-int-or-string']) return 'integer or string';
  if (schema.enum) return schema.enum.join(' \\| ');
  if (schema.items) return schema.items.properties ? 'list' : `list of ${typeText(schema.items)}`;
  if (schema.additionalProperties) return `map of ${typeText(schema.additionalProperties)}`;
  return schema.type ?? 'any';
}

function referenceOf(crds: Crd[]): string {
  const parts = [
    '# API reference',
    '',
    'Generated from the CRDs by `npm run generate`; `kubectl explain` shows the same. `*` = required. *live*: nothing restarts.',
  ];
  for (const crd of crds) {
    const { kind, shortNames } = crd.spec.names;
    const schema = schemaOf(crd);
    parts.push('', `## ${kind} (\`${crd.spec.group}/${crd.spec.versions[0]?.name}\`, short \`${shortNames.join('`, `')}\`)`, '');
    parts.push(schema.description ?? '', '');
    for (const part of ['spec', 'status']) {
      const one = schema.properties?.[part];
      if (!one) continue;
      parts.push(`| ${part} | type | meaning |`, '| --- | --- | --- |', ...rows(one, part, false).slice(1), '');
    }
    const rules = rulesOf(schema, '');
    parts.push('Rules:', '', ...rules.map(({ path, message }) => `- \`${path || '.'}\`: ${message}`));
  }
  return `${parts.join('\n')}\n`;
}

/** Every CEL rule of a schema with where it stands. */
export function rulesOf(schema: Schema, path: string): { path: string; rule: string; message: string }[] {
  return [
    ...(schema['x-kubernetes-validations'] ?? []).map(({ rule, message }) => ({ path, rule, message: message ?? '' })),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, one]) => rulesOf(one, path === '' ? name : `${path}.${name}`)),
    ...(schema.items ? rulesOf(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? rulesOf(schema.additionalProperties, `${path}{}`) : []),
  ];
}

/** The CRD as a template of the chart: guarded, and kept when the release goes. */
function chartCopyOf(crd: Crd): string {
  const body = stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false });
  if (body.includes('{{')) throw new Error(`${crd.metadata.name}: "{{" in a description would be read as a template`);
  const keep = '  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n';
  const name = `metadata:\n  name: ${crd.metadata.name}\n`;
  if (!body.includes(name)) throw new Error(`${crd.metadata.name}: metadata isn't where the chart's copy expects it`);
  return `{{- /* Generated from crds/ by npm run generate; do not edit. */}}\n{{- if .Values.crds.enabled }}\n${body.replace(name, name + keep)}{{- end }}\n`;
}

/** Path → content of every generated file. */
export async function generate(): Promise<Map<string, string>> {
  const crds = names.map(readCrd);
  return new Map([
    [join(here, 'types.ts'), await typesOf(crds)],
    [join(here, 'reference.md'), referenceOf(crds)],
    ...crds.map((crd, i): [string, string] => [join(chart, `${names[i]}.yaml`), chartCopyOf(crd)]),
  ]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const stale: string[] = [];
  for (const [path, content] of await generate()) {
    if (existsSync(path) && readFileSync(path, 'utf8') === content) continue;
    stale.push(path);
    if (process.argv.includes('--check')) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  if (stale.length > 0) console.log(stale.join('\n'));
  if (stale.length > 0 && process.argv.includes('--check')) {
    console.error('These files differ from what the CRDs give: run npm run generate.');
    process.exit(1);
  }
}
