// Calls, watches, leadership and events as Prometheus sees them. Client-go's names where there are any.
import type { Registry } from 'prom-client';
import { Counter, Gauge, Histogram } from 'prom-client';

export interface KubeMetrics {
  /** `code` is the HTTP status, or `<error>`. */
  request(method: string, host: string, code: string, tookMs: number): void;
  watch: {
    /** A watch began (again). */
    started(kind: string): void;
    /** Everything had to be listed (again). */
    listed(kind: string): void;
    failed(kind: string): void;
    /** Something came: an event or a bookmark. */
    heard(kind: string): void;
  };
  leading(lease: string, leading: boolean): void;
  apply(kind: string, result: 'created' | 'configured' | 'unchanged'): void;
  event(result: 'sent' | 'dropped' | 'failed'): void;
}

/** Seconds; client-go's. */
const requestBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

export function createKubeMetrics(registry: Registry, nowMs: () => number): KubeMetrics {
  const registers = [registry];
  const byKind = <N extends string>(name: string, help: string, ...more: N[]) =>
    new Counter({ name: `storj_operator_${name}`, help, labelNames: ['kind', ...more] as const, registers });
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Calls of the API server by status code, method and host.',
    labelNames: ['code', 'method', 'host'] as const,
    registers,
  });
  const seconds = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time of one call of the API server.',
    labelNames: ['verb', 'host'] as const,
    buckets: requestBuckets,
    registers,
  });
  const leader = new Gauge({
    name: 'leader_election_master_status',
    help: 'Whether this process holds the Lease: 1 or 0.',
    labelNames: ['name'] as const,
    registers,
  });
  const watches = byKind('watches_total', 'Watches that were started.');
  const lists = byKind('lists_total', 'Full lists of a kind: at the start and after gaps.');
  const failures = byKind('watch_failures_total', 'Lists and watches that failed.');
  const lastHeard = new Gauge({
    name: 'storj_operator_watch_last_event_timestamp_seconds',
    help: 'When a watch last heard something, be it a bookmark; Unix time.',
    labelNames: ['kind'] as const,
    registers,
  });
  const applies = byKind('applies_total', 'Objects that were compared and, where they differed, applied.', 'result');
  const events = new Counter({
    name: 'storj_operator_events_total',
    help: 'Kubernetes events by what became of them.',
    labelNames: ['result'] as const,
    registers,
  });
  for (const result of ['sent', 'dropped', 'failed']) events.inc({ result }, 0);
  return {
    request(method, host, code, tookMs) {
      requests.inc({ code, method, host });
      if (method !== 'WATCH') seconds.observe({ verb: method, host }, tookMs / 1000);
    },
    watch: {
      started: (kind) => watches.inc({ kind }),
      listed: (kind) => lists.inc({ kind }),
      failed: (kind) => failures.inc({ kind }),
      heard: (kind) => lastHeard.set({ kind }, nowMs() / 1000),
    },
    leading: (name, leading) => leader.set({ name }, leading ? 1 : 0),
    apply: (kind, result) => applies.inc({ kind, result }),
    event: (result) => events.inc({ result }),
  };
}
