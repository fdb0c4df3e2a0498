// Pure: how a changed pod template reaches the farmers: slot by slot, one zone at a time, while the data is healthy.
// The StatefulSet restarts slots from `partition` upwards; at rest that is above all slots, so nothing restarts.
import type { FarmReport } from '#node/interface/status.ts';
import type { PodFact, ZoneFact } from './observed.ts';

/** Above every slot. */
export const atRest = 10_000;

export interface RolloutAnswer {
  /** By zone. */
  partitions: Map<string, number>;
  /** Farmers that still run the old template. */
  outdated: number;
  /** Why it doesn't go on now; undefined = it goes on, or there is nothing to do. */
  waitsFor?: string;
}

export function nextPartitions(
  zones: readonly ZoneFact[],
  pods: readonly PodFact[],
  report: FarmReport | undefined,
  promise: number,
): RolloutAnswer {
  const partitions = new Map(zones.map(({ zone }) => [zone, atRest]));
  const outdated = pods.filter((pod) => isOutdated(pod, zones)).length;
  const zone = zones.find((one) => one.isObserved && one.currentRevision !== one.updateRevision);
  if (!zone) return { partitions, outdated };
  const own = pods.filter((pod) => pod.zone === zone.zone);
  const reached = Math.min(zone.partition, zone.replicas);
  partitions.set(zone.zone, reached < zone.replicas ? reached : atRest);

  // A slot that was let go but isn't back yet: the world waits for it, whatever the data says.
  const back = own.filter((pod) => pod.ordinal >= reached);
  const missing =
    back.length < zone.replicas - reached || back.some((pod) => pod.revision !== zone.updateRevision || !pod.isReady);
  if (missing) return { partitions, outdated, waitsFor: `${zone.zone}: a restarted farmer to be ready` };
  if (reached === 0) return { partitions, outdated };
  const waitsFor = unsafe(
    pods,
    own.find((pod) => pod.ordinal === reached - 1),
    report,
    promise,
  );
  if (waitsFor !== undefined) return { partitions, outdated, waitsFor };
  partitions.set(zone.zone, reached - 1);
  return { partitions, outdated };
}

function isOutdated(pod: PodFact, zones: readonly ZoneFact[]): boolean {
  const zone = zones.find((one) => one.zone === pod.zone);
  return zone !== undefined && zone.isObserved && pod.revision !== zone.updateRevision;
}

/** Why no farmer may be restarted now. The next one being down already is no reason: restarting it harms nothing. */
function unsafe(
  pods: readonly PodFact[],
  next: PodFact | undefined,
  report: FarmReport | undefined,
  promise: number,
): string | undefined {
  if (next && !next.isReady) return undefined;
  if (!report) return 'a report of the repairer';
  if (report.state !== 'Healthy') return `the data to be healthy (it is ${report.state})`;
  if (promise > 0 && report.margin < 1) return 'a margin of at least one farmer';
  const down = pods.find((pod) => !pod.isReady);
  if (down && promise > 0) return `${down.name} to be ready`;
  return undefined;
}
