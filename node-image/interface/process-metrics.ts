// A registry of the node's own metrics, with those of its process.
import { collectDefaultMetrics, Registry } from 'prom-client';

/** Gauges whose names end in _total: Prometheus' own linter refuses them. */
const BADLY_NAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of BADLY_NAMED) registry.removeSingleMetric(name);
  return registry;
}
