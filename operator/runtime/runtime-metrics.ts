// Queue and controller as Prometheus sees them, under the names and buckets of controller-runtime, so that
// every stock dashboard and alert works.
import type { Registry } from 'prom-client';
import type { RuntimeMetrics } from './controller.ts';
import type { Clock } from './clock.ts';
import type { Verdict } from './outcome.ts';
import type { QueueMetrics } from './queue.ts';
import { Counter, Gauge, Histogram } from 'prom-client';

/** Seconds; controller-runtime's. */
const reconcileBuckets = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 2.5, 3,
  3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** Seconds; client-go's, without the three below a microsecond. */
const queueBuckets = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000];

const results: Verdict['result'][] = ['success', 'requeue_after', 'error'];

export function createRuntimeMetrics(registry: Registry, clock: Clock): RuntimeMetrics {
  const reconcile = reconcileMetrics(registry);
  const queue = queueMetrics(registry, clock);
  return {
    controller(name, workers, workingSinceMs) {
      const labels = { controller: name };
      reconcile.workers.set(labels, workers);
      reconcile.active.set(labels, 0);
      for (const result of results) reconcile.total.inc({ ...labels, result }, 0);
      for (const counter of [reconcile.errors, reconcile.terminal, reconcile.panics, reconcile.timeouts]) counter.inc(labels, 0);
      return {
        queue: queue(name, workingSinceMs),
        started: () => reconcile.active.inc(labels),
        finished(verdict, tookMs) {
          reconcile.active.dec(labels);
          reconcile.seconds.observe(labels, tookMs / 1000);
          reconcile.total.inc({ ...labels, result: verdict.result });
          if (verdict.result === 'error') reconcile.errors.inc(labels);
          if (verdict.kind === 'stalled') reconcile.terminal.inc(labels);
          if (verdict.kind === 'panic') reconcile.panics.inc(labels);
          if (verdict.kind === 'deadline') reconcile.timeouts.inc(labels);
        },
      };
    },
  };
}

function reconcileMetrics(registry: Registry) {
  const common = { labelNames: ['controller'] as const, registers: [registry] };
  const counter = (name: string, help: string): Counter<'controller'> =>
    new Counter({ ...common, name: `controller_runtime_${name}`, help });
  return {
    total: new Counter({
      name: 'controller_runtime_reconcile_total',
      help: 'Reconciles by controller and result.',
      labelNames: ['controller', 'result'] as const,
      registers: [registry],
    }),
    errors: counter('reconcile_errors_total', 'Reconciles that failed.'),
    terminal: counter(
      'terminal_reconcile_errors_total',
      'Reconciles that failed for good: only a change by somebody else helps.',
    ),
    panics: counter('reconcile_panics_total', 'Reconciles that ended in a bug of the operator.'),
    timeouts: counter('reconcile_timeouts_total', 'Reconciles that were stopped at their deadline.'),
    seconds: new Histogram({
      ...common,
      name: 'controller_runtime_reconcile_time_seconds',
      help: 'Time of one reconcile.',
      buckets: reconcileBuckets,
    }),
    workers: new Gauge({
      ...common,
      name: 'controller_runtime_max_concurrent_reconciles',
      help: 'Workers of the controller.',
    }),
    active: new Gauge({ ...common, name: 'controller_runtime_active_workers', help: 'Workers with a key in hand.' }),
  };
}

function queueMetrics(registry: Registry, clock: Clock): (name: string, workingSinceMs: () => number[]) => QueueMetrics {
  const common = { labelNames: ['name', 'controller'] as const, registers: [registry] };
  const depth = new Gauge({ ...common, name: 'workqueue_depth', help: 'Keys that wait for a worker.' });
  const adds = new Counter({ ...common, name: 'workqueue_adds_total', help: 'Keys that were added.' });
  const retries = new Counter({
    ...common,
    name: 'workqueue_retries_total',
    help: 'Keys that were added again after a failure.',
  });
  const queued = new Histogram({
    ...common,
    name: 'workqueue_queue_duration_seconds',
    help: 'Time that a key waits for a worker.',
    buckets: queueBuckets,
  });
  const worked = new Histogram({
    ...common,
    name: 'workqueue_work_duration_seconds',
    help: 'Time that a worker has a key in hand.',
    buckets: queueBuckets,
  });
  const sources = new Map<string, () => number[]>();
  const atScrape = (name: string, help: string, sum: (agesMs: number[]) => number): Gauge =>
    new Gauge({
      ...common,
      name,
      help,
      collect() {
        for (const [source, workingSinceMs] of sources) {
          const nowMs = clock.monotonicMs();
          this.set({ name: source, controller: source }, sum(workingSinceMs().map((sinceMs) => nowMs - sinceMs)) / 1000);
        }
      },
    });
  atScrape('workqueue_unfinished_work_seconds', 'Time so far of all the work in hand, summed up.', (agesMs) =>
    agesMs.reduce((sum, ageMs) => sum + ageMs, 0),
  );
  atScrape('workqueue_longest_running_processor_seconds', 'Time so far of the oldest work in hand.', (agesMs) =>
    agesMs.reduce((longest, ageMs) => Math.max(longest, ageMs), 0),
  );
  return (name, workingSinceMs) => {
    const labels = { name, controller: name };
    sources.set(name, workingSinceMs);
    depth.set(labels, 0);
    adds.inc(labels, 0);
    retries.inc(labels, 0);
    return {
      added(keys) {
        adds.inc(labels);
        depth.set(labels, keys);
      },
      taken(queuedMs, keys) {
        queued.observe(labels, queuedMs / 1000);
        depth.set(labels, keys);
      },
      done: (workedMs) => worked.observe(labels, workedMs / 1000),
      retried: () => retries.inc(labels),
    };
  };
}
