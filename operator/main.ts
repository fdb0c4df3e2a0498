// Composition root of the operator: environment, API server, Lease, controllers, HTTP for probes and metrics.
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';
import { pino } from 'pino';
import { collectWhenIdle } from '#node/interface/idle-collection.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import { parseConfig, type OperatorConfig } from './config.ts';
import { createEventRecorder } from './kube/events.ts';
import { createHttpKube } from './kube/http-kube.ts';
import { loadCredentials } from './kube/credentials.ts';
import { createKubeMetrics } from './kube/kube-metrics.ts';
import { acquireLease } from './kube/lease.ts';
import { createOperatorMetrics } from './metrics.ts';
import { createHttpsNodes } from './node-https.ts';
import { createCaches, createOperator, type Caches, type Outside } from './operator.ts';
import { systemClock } from './runtime/clock.ts';
import { createRuntimeMetrics } from './runtime/runtime-metrics.ts';

const version = '0.1.0';

async function main(): Promise<void> {
  collectWhenIdle();
  const config = parseConfig(process.env);
  const log = pino({ level: config.logLevel, base: null });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(new Error(signal)));
  const registry = createRegistry();
  const kubeMetrics = createKubeMetrics(registry, () => systemClock.nowMs());
  const kubeconfigPath = config.kubeconfigPath;
  const client = createHttpKube({
    credentials: loadCredentials(kubeconfigPath === undefined ? {} : { kubeconfigPath }),
    clock: systemClock,
    random: Math.random,
    userAgent: `storj-operator/${version}`,
    metrics: kubeMetrics,
  });
  const outside: Outside = {
    client,
    clock: systemClock,
    random: Math.random,
    log,
    kubeMetrics,
    runtimeMetrics: createRuntimeMetrics(registry, systemClock),
  };
  const caches = createCaches(outside, config.watchNamespaces);
  const server = serve(config, registry, caches);
  const watching = caches.run(stop.signal);
  try {
    await lead(config, outside, caches, registry, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  await watching;
  server.close();
  server.closeAllConnections();
  await client.close();
}

/** Waits for the Lease, then acts until the signal. Without the Lease nothing may be done any more: the process ends. */
async function lead(
  config: OperatorConfig,
  outside: Outside,
  caches: Caches,
  registry: Registry,
  signal: AbortSignal,
): Promise<void> {
  const { client, clock, random, log, kubeMetrics } = outside;
  const metrics = createOperatorMetrics(registry, { version });
  const common = { client, clock, random, log, ...(kubeMetrics ? { metrics: kubeMetrics } : {}) };
  const identity = `${config.podName}_${randomUUID()}`;
  const term = await acquireLease({ ...common, namespace: config.namespace, name: config.leaseName, identity }, signal);
  term.lost.addEventListener('abort', () => {
    if (signal.aborted) return;
    log.error({}, String(term.lost.reason));
    process.exit(1);
  });
  await caches.whenSynced(signal);
  const events = createEventRecorder({ ...common, controller: 'storjfarm.io/operator', instance: config.podName });
  const operator = createOperator({
    outside,
    caches,
    settings: {
      installId: config.installId,
      operatorNamespace: config.namespace,
      nodeImage: config.nodeImage,
      epoch: term.acquireTimeMs,
    },
    nodes: createHttpsNodes(),
    events,
    metrics,
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
  });
  await operator.run(signal);
  await events.flush();
  await term.release();
}

function serve({ port }: OperatorConfig, registry: Registry, caches: Caches): Server {
  const server = createServer((request, response) => {
    const answer = (status: number, text: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type }).end(text);
    };
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/healthz') answer(200, 'ok');
    else if (pathname === '/readyz') answer(caches.synced() ? 200 : 503, caches.synced() ? 'ok' : 'the caches are being filled');
    else if (pathname === '/metrics') {
      registry.metrics().then(
        (text) => answer(200, text, registry.contentType),
        (error: Error) => answer(500, error.message),
      );
    } else answer(404, 'there are /healthz, /readyz and /metrics');
  });
  return server.listen(port);
}

await main();
