// storj_operator_*: what the operator knows of its farms and buckets. The runtime's own metrics are in
// runtime/runtime-metrics.ts and kube/kube-metrics.ts.
import type { Registry } from 'prom-client';
import type { StorjBucketStatus, StorjFarmStatus } from '#crds/types.ts';
import type { Observed } from './farm/observed.ts';
import { Gauge } from 'prom-client';
import { statusOf } from './conditions.ts';

export interface OperatorMetrics {
  setFarm(observed: Observed, status: StorjFarmStatus): void;
  forgetFarm(key: string): void;
  setBucket(key: string, status: StorjBucketStatus, usage: { bytes: number; objects: number } | undefined): void;
  forgetBucket(key: string): void;
}

const truth = (conditions: StorjFarmStatus['conditions'], type: string): number =>
  statusOf(conditions, type) === 'True' ? 1 : 0;

function splitKey(key: string): { namespace: string; name: string } {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
}

export function createOperatorMetrics(registry: Registry, build: { version: string }): OperatorMetrics {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> =>
    new Gauge({ name: `storj_operator_${name}`, help, labelNames, registers: [registry] });
  const farm = ['namespace', 'farm'] as const;
  const bucket = ['namespace', 'bucket'] as const;
  const farms = {
    ready: gauge('farm_ready', 'Whether the farm is Ready.', farm),
    stalled: gauge('farm_stalled', 'Whether the farm waits for its user.', farm),
    wanted: gauge('farm_farmers_wanted', 'Farmers of the spec.', farm),
    margin: gauge('farm_data_margin', 'Farmers that may still vanish without loss.', farm),
    atRisk: gauge('farm_segments_at_risk', 'Segments with no piece to spare.', farm),
    capacity: gauge('farm_capacity_bytes', 'Size of all volumes of farmers.', farm),
    used: gauge('farm_used_bytes', 'Bytes of pieces by the logs.', farm),
    reported: gauge('farm_report_known', 'Whether a fresh report of the repairer is there.', farm),
    generation: gauge('farm_config_generation', 'Generation of the published configuration.', farm),
  };
  const farmers = gauge('farm_farmers', 'Farmers in the roster by state.', [...farm, 'state'] as const);
  const buckets = {
    ready: gauge('bucket_ready', 'Whether the bucket is Ready.', bucket),
    bytes: gauge('bucket_used_bytes', 'Bytes of all objects.', bucket),
    objects: gauge('bucket_objects', 'Number of objects.', bucket),
  };
  gauge('build_info', 'Version of the operator; the value is 1.', ['version'] as const).set({ version: build.version }, 1);
  return {
    setFarm(observed, status) {
      const { name, namespace = '' } = observed.farm.metadata;
      const labels = { namespace, farm: name };
      const { report, config } = observed;
      farms.ready.set(labels, truth(status.conditions, 'Ready'));
      farms.stalled.set(labels, truth(status.conditions, 'Stalled'));
      farms.wanted.set(labels, observed.farm.spec.farmers.replicas);
      farms.capacity.set(
        labels,
        observed.volumes.reduce((sum, volume) => sum + volume.capacityBytes, 0),
      );
      farms.reported.set(labels, report ? 1 : 0);
      farms.generation.set(labels, config?.config.generation ?? 0);
      for (const state of ['Active', 'Leaving', 'Lost'] as const) {
        farmers.set({ ...labels, state }, config?.config.roster.filter((member) => member.state === state).length ?? 0);
      }
      if (!report) return;
      farms.margin.set(labels, report.margin);
      farms.atRisk.set(labels, report.segmentsAtRisk);
      farms.used.set(
        labels,
        report.farmers.reduce((sum, one) => sum + one.pieceBytes, 0),
      );
    },
    forgetFarm(key) {
      const { namespace, name } = splitKey(key);
      for (const one of Object.values(farms)) one.remove({ namespace, farm: name });
      for (const state of ['Active', 'Leaving', 'Lost']) farmers.remove({ namespace, farm: name, state });
    },
    setBucket(key, status, usage) {
      const { namespace, name } = splitKey(key);
      const labels = { namespace, bucket: name };
      buckets.ready.set(labels, truth(status.conditions, 'Ready'));
      if (!usage) return;
      buckets.bytes.set(labels, usage.bytes);
      buckets.objects.set(labels, usage.objects);
    },
    forgetBucket(key) {
      const { namespace, name } = splitKey(key);
      for (const one of Object.values(buckets)) one.remove({ namespace, bucket: name });
    },
  };
}
