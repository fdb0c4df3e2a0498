import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createKubeMetrics } from '#operator/kube/kube-metrics.ts';

test('calls, watches, leadership, applies and events are counted under their names', async () => {
  const registry = new Registry();
  const metrics = createKubeMetrics(registry, () => 1_767_225_600_000);
  metrics.request('GET', 'kube:443', '200', 20);
  metrics.request('WATCH', 'kube:443', '200', 0);
  metrics.watch.started('Pod');
  metrics.watch.listed('Pod');
  metrics.watch.failed('Pod');
  metrics.watch.heard('Pod');
  metrics.leading('operator', true);
  metrics.apply('Service', 'unchanged');
  metrics.event('sent');
  const text = await registry.metrics();
  for (const line of [
    'rest_client_requests_total{code="200",method="GET",host="kube:443"} 1',
    'rest_client_requests_total{code="200",method="WATCH",host="kube:443"} 1',
    'rest_client_request_duration_seconds_bucket{le="0.025",verb="GET",host="kube:443"} 1',
    'storj_operator_watches_total{kind="Pod"} 1',
    'storj_operator_lists_total{kind="Pod"} 1',
    'storj_operator_watch_failures_total{kind="Pod"} 1',
    'storj_operator_watch_last_event_timestamp_seconds{kind="Pod"} 1767225600',
    'leader_election_master_status{name="operator"} 1',
    'storj_operator_applies_total{kind="Service",result="unchanged"} 1',
    'storj_operator_events_total{result="sent"} 1',
    'storj_operator_events_total{result="dropped"} 0',
  ]) {
    expect(text).toContain(line);
  }
  expect(text).not.toContain('verb="WATCH"');
});
