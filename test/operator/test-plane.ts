// A real API server with our CRDs for the operator's tests: one cluster, a namespace for each test.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { HttpKube } from '#operator/kube/http-kube.ts';
import type { CustomResourceDefinition } from '#operator/kube/resources.ts';
import { ensureCluster, type LocalCluster } from '#infra/local/local-cluster.ts';
import { readCrd } from '#crds/generate.ts';
import { storjBuckets, storjFarms } from '#operator/api.ts';
import { loadCredentials } from '#operator/kube/credentials.ts';
import { createHttpKube } from '#operator/kube/http-kube.ts';
import { configMaps, customResourceDefinitions, namespaces, persistentVolumeClaims } from '#operator/kube/resources.ts';
import { farmConfigSchema, type FarmConfig } from '#node/interface/config.ts';
import { find } from '#operator/kube/client.ts';
import { createStubNodes, type StubNodes } from '#test/support/stub-nodes.ts';
import { sleep, systemClock } from '#operator/runtime/clock.ts';

export interface TestPlane {
  cluster: LocalCluster;
  /** Of people and played parts; operators have their own, see `operatorClient`. */
  client: HttpKube;
  /** With a discovery cache of its own: one of an earlier cluster at this address knows other kinds. */
  kubectl(args: readonly string[], timeoutMs?: number): Promise<string>;
  /** Its writes are in the audit log under this agent. */
  operatorClient(agent: string): HttpKube;
  namespace(): Promise<string>;
  /** Writes of an agent so far, oldest first: `patch statefulsets/x`, without Events. */
  writesOf(agent: string): Promise<string[]>;
  close(): Promise<void>;
}

const reading = new Set(['get', 'list', 'watch']);

export async function openTestPlane(): Promise<TestPlane> {
  const cluster = await ensureCluster({ name: 'operator-farm', mode: 'control-plane', audit: 'Metadata', fresh: true });
  const clients: HttpKube[] = [];
  const clientOf = (userAgent: string): HttpKube => {
    const credentials = loadCredentials({ kubeconfigPath: cluster.kubeconfigPath });
    const client = createHttpKube({ credentials, clock: systemClock, random: Math.random, userAgent });
    clients.push(client);
    return client;
  };
  const client = clientOf('test');
  for (const name of ['storjfarms', 'storjbuckets']) {
    await client.apply(customResourceDefinitions, readCrd(name) as unknown as CustomResourceDefinition);
  }
  await waitFor('the kinds to be served', async () => {
    await client.list(storjFarms);
    await client.list(storjBuckets);
    return true;
  });
  return {
    cluster,
    client,
    kubectl: (args, timeoutMs = 60_000) =>
      cluster.kubectl([...args, `--cache-dir=${cluster.logDir}/kubectl-cache`], { timeoutMs }),
    operatorClient: clientOf,
    async namespace() {
      const name = `farm-${randomBytes(5).toString('hex')}`;
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      return name;
    },
    async writesOf(agent) {
      const lines = (await readFile(cluster.auditLogPath!, 'utf8')).split('\n').filter((line) => line.includes(`"${agent}"`));
      return lines
        .map((line) => JSON.parse(line) as { verb: string; stage: string; userAgent: string; objectRef?: Record<string, string> })
        .filter(
          ({ verb, stage, objectRef }) =>
            stage === 'ResponseComplete' && !reading.has(verb) && objectRef?.['resource'] !== 'events',
        )
        .map(
          ({ verb, objectRef = {} }) =>
            `${verb} ${objectRef['resource']}${objectRef['subresource'] ? `.${objectRef['subresource']}` : ''}/${objectRef['name']}`,
        );
    },
    async close() {
      for (const one of clients) await one.close();
      await cluster.down();
    },
  };
}

/** What the nodes of the farm `demo` in a namespace would be, and its configuration as it is published. */
export function stubbedNodes(
  { client }: TestPlane,
  namespace: string,
): { nodes: StubNodes; config: () => Promise<FarmConfig | undefined> } {
  const config = async (): Promise<FarmConfig | undefined> => {
    const map = await find(client, configMaps, { namespace, name: 'demo-config' });
    const parsed = farmConfigSchema.safeParse(JSON.parse(map?.data?.['farm.json'] ?? 'null'));
    return parsed.success ? parsed.data : undefined;
  };
  const nodes = createStubNodes({
    volumeUidOf: async (pod) => (await find(client, persistentVolumeClaims, { namespace, name: `data-${pod}` }))?.metadata.uid,
    mountedConfig: config,
    nowMs: () => Date.now(),
  });
  return { nodes, config };
}

/** Asks until it is true; errors count as not yet. The last one is told when the time is over. */
export async function waitFor(what: string, ask: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const startMs = Date.now();
  let last = '';
  for (;;) {
    try {
      if (await ask()) return;
      last = 'not yet';
    } catch (error) {
      last = (error as Error).message;
    }
    if (Date.now() - startMs > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${what}: ${last}`);
    await sleep(systemClock, 150);
  }
}
