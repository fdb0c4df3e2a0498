// A real API server for the tests of operator/kube: one cluster for all files, a namespace for each test.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { HttpKube } from '#operator/kube/http-kube.ts';
import type { CustomResourceDefinition, KubeObject, ResourceType } from '#operator/kube/resources.ts';
import { ensureCluster, type LocalCluster } from '#infra/local/local-cluster.ts';
import { loadCredentials } from '#operator/kube/credentials.ts';
import { createHttpKube } from '#operator/kube/http-kube.ts';
import { customResourceDefinitions, namespaces, resource } from '#operator/kube/resources.ts';
import { sleep, systemClock } from '#operator/runtime/clock.ts';

export interface ControlPlane {
  cluster: LocalCluster;
  client: HttpKube;
  /** A fresh namespace; it is deleted at the end. */
  namespace(): Promise<string>;
  /** A kind of our own that is made now, with status and a list by name. */
  customKind(): Promise<ResourceType<Exam>>;
  /** Verbs of the writes that the audit log has for this namespace, as `patch statefulsets/x`. */
  writes(namespace: string): Promise<string[]>;
  close(): Promise<void>;
}

export interface Exam extends KubeObject {
  spec?: { size?: string; replicas?: number; zones?: { name: string; weight?: number }[] };
  status?: {
    observedGeneration?: number;
    conditions?: { type: string; status: string; message: string }[];
    zones?: { name: string }[];
  };
}

interface AuditEvent {
  verb: string;
  stage: string;
  userAgent?: string;
  objectRef?: { resource?: string; namespace?: string; name?: string; subresource?: string };
}

const reading = new Set(['get', 'list', 'watch']);
const userAgent = 'storj-operator/test';

export async function openControlPlane(): Promise<ControlPlane> {
  const cluster = await ensureCluster({ name: 'operator-kube', mode: 'control-plane', audit: 'Metadata' });
  const credentials = loadCredentials({ kubeconfigPath: cluster.kubeconfigPath });
  const client = createHttpKube({ credentials, clock: systemClock, random: Math.random, userAgent });
  const made: string[] = [];
  return {
    cluster,
    client,
    async namespace() {
      const name = `exam-${randomBytes(5).toString('hex')}`;
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      made.push(name);
      return name;
    },
    async customKind() {
      const suffix = randomBytes(4).toString('hex');
      const type = resource<Exam>('storjfarm.io/v1', `Exam${suffix}`, `exam${suffix}s`);
      await client.create(customResourceDefinitions, definitionOf(type));
      for (let attempt = 0; attempt < 100; attempt += 1) {
        const { status } = await client.get(customResourceDefinitions, { name: `${type.plural}.storjfarm.io` });
        const established = status?.conditions?.some(({ type: name, status: is }) => name === 'Established' && is === 'True');
        if (established && (await isServed(client, type))) return type;
        await sleep(systemClock, 100);
      }
      throw new Error('The custom kind was not established within 10 s.');
    },
    async writes(namespace) {
      if (cluster.auditLogPath === undefined) throw new Error('The cluster runs without its audit log.');
      const lines = (await readFile(cluster.auditLogPath, 'utf8')).split('\n').filter((line) => line !== '');
      return lines
        .map((line) => JSON.parse(line) as AuditEvent)
        .filter(({ verb, stage, userAgent: agent, objectRef }) => {
          return stage === 'ResponseComplete' && agent === userAgent && objectRef?.namespace === namespace && !reading.has(verb);
        })
        .map(({ verb, objectRef }) => {
          const { resource = '', name = '', subresource } = objectRef ?? {};
          return `${verb} ${resource}${subresource ? `.${subresource}` : ''}/${name}`;
        });
    },
    async close() {
      for (const name of made) await client.delete(namespaces, { name });
      await client.close();
      await cluster.down();
    },
  };
}

/** Its watch cache is filled, which takes a moment after the kind is established. */
async function isServed(client: HttpKube, type: ResourceType): Promise<boolean> {
  const signal = new AbortController().signal;
  try {
    const { resourceVersion } = await client.list(type);
    for await (const _event of client.watch(type, { resourceVersion, timeoutSeconds: 1, signal })) break;
    return true;
  } catch {
    return false;
  }
}

function definitionOf(type: ResourceType<Exam>): CustomResourceDefinition {
  const named = (...more: string[]) => ({
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': [more[0] ?? 'name'],
    items: {
      type: 'object',
      required: [more[0] ?? 'name'],
      properties: Object.fromEntries((more.length > 0 ? more : ['name']).map((name) => [name, { type: 'string' }])),
    },
  });
  const zones = named();
  return {
    apiVersion: customResourceDefinitions.apiVersion,
    kind: customResourceDefinitions.kind,
    metadata: { name: `${type.plural}.storjfarm.io` },
    spec: {
      group: 'storjfarm.io',
      names: { kind: type.kind, plural: type.plural },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: {
                  type: 'object',
                  properties: {
                    size: { type: 'string' },
                    replicas: { type: 'integer', default: 1 },
                    zones: {
                      ...zones,
                      items: { ...zones.items, properties: { name: { type: 'string' }, weight: { type: 'integer' } } },
                    },
                  },
                },
                status: {
                  type: 'object',
                  properties: {
                    observedGeneration: { type: 'integer' },
                    conditions: named('type', 'status', 'message'),
                    zones,
                  },
                },
              },
            },
          },
        },
      ],
    },
  };
}
