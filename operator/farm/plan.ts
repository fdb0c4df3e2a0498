// Pure: from what is to what to do next. Everything dangerous is gated here: shrinking by proof, rollouts by the
// health of the data, deletion of volumes by both. What isn't known is held.
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import type { Observed, VolumeFact } from './observed.ts';
import type { VolumePatch, VolumeWish } from './volumes.ts';
import type { Step } from './drain.ts';
import { marks } from '#operator/api.ts';
import { millisecondsOf } from '#operator/quantity.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { isProven, shrinkProblem } from './drain.ts';
import { farmNames, onlyZone } from './names.ts';
import { nextRedundancy, type RedundancyAnswer } from './redundancy.ts';
import { atRest, nextPartitions } from './rollout.ts';
import { nextRoster } from './roster.ts';
import { existingSlots, isFree, leavingSlots, nextReplicas, slotsAbove, type Slot } from './slots.ts';
import { residentOf, retainedMismatches, retainedSlots, volumePatch } from './volumes.ts';
import { splitOverZones } from './zones.ts';

/** What needs a key or a format of the data plane; handed in, so that this stays plain. */
export interface Keys {
  controlKey: string;
  bridge: string;
  /** By number, as many as a farm may have. */
  repairers: { repairer: string; box: string }[];
  /** Membership of a farmer, signed by the control key, base64. */
  membershipOf: (farmer: string) => string;
  /** Public key of a peer id; undefined where it is none. */
  farmerOf: (peerId: string) => string | undefined;
}

/** Something that only a change by the user mends. */
export interface Problem {
  reason: string;
  message: string;
}

export interface ZonePlan {
  zone: string;
  replicas: number;
  partition: number;
  nodeSelector: Record<string, string>;
}

interface LeavingPlan {
  member: RosterMember;
  step: Step;
}

export interface Plan {
  image: string;
  config: FarmConfig;
  /** The published one differs, or is of an older epoch. */
  isConfigNew: boolean;
  zones: ZonePlan[];
  /** Zones whose StatefulSet has nothing left. */
  removedZones: string[];
  volumes: { create: VolumeWish[]; patch: VolumePatch[]; remove: { name: string; uid: string }[] };
  budget: number;
  /** Slots above the target that are still there. */
  toGo: number;
  leaving: LeavingPlan[];
  /** Why the shrink doesn't start. */
  shrinkHeld?: Problem;
  rollout: { outdated: number; waitsFor?: string };
  duplicates: { slot: string; farmer: string }[];
  redundancyProblem?: Problem;
}

export type PlanAnswer = { stalled: Problem } | { stalled?: undefined; plan: Plan };

/** Reasons for a shrink to wait which pass by themselves. */
const passing = new Set(['ReportMissing', 'SegmentsRewriting']);

export function planFarm(observed: Observed, keys: Keys): PlanAnswer {
  const { farm, config, volumes, report } = observed;
  const { spec } = farm;
  const names = farmNames(farm.metadata.name);
  const zoneNames = spec.farmers.zones?.map(({ name }) => name) ?? [onlyZone];
  const published = config?.config.farmUid === farm.metadata.uid ? config.config : undefined;
  const isNew = published === undefined;
  if (isNew) {
    const mismatch = mismatchProblem(observed, zoneNames);
    if (mismatch) return { stalled: mismatch };
  }
  const previous = published?.roster ?? [];
  const wanted = spec.farmers.replicas;
  const existing = existingSlots(observed.zones, previous, retainedSlots(volumes));
  const targets = splitOverZones(wanted, zoneNames, existing);
  const victims = slotsAbove(existing, targets, names.slot);
  const members = new Map(previous.filter(({ state }) => state !== 'Lost').map((member) => [member.slot, member]));
  const volumeOf = new Map(volumes.map((volume) => [names.slot(volume.zone, volume.ordinal), volume]));

  const redundancyFor = (active: number): RedundancyAnswer =>
    nextRedundancy({ spec: spec.redundancy, wanted, existing: total(existing), active, inForce: published?.redundancy });
  const mustDrain = victims.some(({ name }) => !isFree(members.get(name), volumeOf.get(name)));
  const blocked = mustDrain
    ? (redundancyFor(members.size).problem ?? shrinkProblem(wanted, report, spec.bridge.replicas > 0))
    : undefined;
  const gate = blocked === undefined ? 'go' : passing.has(blocked.reason) ? 'hold' : 'refuse';
  const leaving = leavingSlots({ victims, roster: previous, wanted, gate });
  const gone = gate === 'refuse' ? new Set<string>() : goneSlots(observed, members, volumeOf, victims);
  const { roster, duplicates } = nextRoster({
    farm: { name: farm.metadata.name, namespace: farm.metadata.namespace ?? '' },
    previous,
    isNew,
    volumes,
    pods: observed.pods,
    contacts: observed.contacts,
    hasZones: spec.farmers.zones !== undefined,
    report,
    generation: published?.generation ?? 0,
    leaving,
    gone,
    membershipOf: keys.membershipOf,
    farmerOf: keys.farmerOf,
  });
  const redundancy = redundancyFor(roster.filter(({ state }) => state === 'Active').length);
  const steps = roster
    .filter(({ state }) => state === 'Leaving')
    .map((member): LeavingPlan => ({ member, step: stepOf(member, observed, volumeOf.get(member.slot)) }));
  const present = new Map(roster.filter(({ state }) => state !== 'Lost').map((member) => [member.slot, member]));
  const replicasOf = (zone: string): number =>
    nextReplicas({
      target: gate === 'refuse' ? Math.max(targets.get(zone) ?? 0, existing.get(zone) ?? 0) : (targets.get(zone) ?? 0),
      existing: existing.get(zone) ?? 0,
      replicas: observed.zones.find((one) => one.zone === zone)?.replicas ?? 0,
      pods: observed.pods.filter((pod) => pod.zone === zone),
      // By the roster as it was published, and not by what this pass would change in it.
      isFree: (ordinal) => isFree(members.get(names.slot(zone, ordinal)), volumeOf.get(names.slot(zone, ordinal))),
    });
  const rollout = nextPartitions(observed.zones, observed.pods, report, promiseOf(redundancy.scheme));
  const zones = [...targets.keys()].map((zone): ZonePlan => {
    const listed = spec.farmers.zones?.find(({ name }) => name === zone);
    return {
      zone,
      replicas: replicasOf(zone),
      partition: rollout.partitions.get(zone) ?? atRest,
      nodeSelector: { ...spec.farmers.nodeSelector, ...listed?.nodeSelector },
    };
  });
  const kept = zones.filter(({ zone, replicas }) => replicas > 0 || zoneNames.includes(zone) || hasPods(observed, zone));
  const next = nextConfig(observed, keys, { roster, redundancy: redundancy.scheme, rewrite: redundancy.isFinal }, published);
  return {
    plan: {
      image: imageOf(observed),
      config: next.config,
      isConfigNew: next.isNew,
      zones: kept,
      removedZones: observed.zones.map(({ zone }) => zone).filter((zone) => !kept.some((one) => one.zone === zone)),
      volumes: planVolumes(observed, kept, present, steps, members),
      budget: report ? Math.max(0, report.margin) : (observed.budget ?? 0),
      toGo: victims.length,
      leaving: steps,
      ...(blocked ? { shrinkHeld: blocked } : {}),
      rollout: { outdated: rollout.outdated, ...(rollout.waitsFor === undefined ? {} : { waitsFor: rollout.waitsFor }) },
      duplicates,
      ...(redundancy.problem ? { redundancyProblem: redundancy.problem } : {}),
    },
  };
}

function stepOf(member: RosterMember, observed: Observed, volume: VolumeFact | undefined): Step {
  if (volume?.isDrained && volume.uid === member.volumeUid) return { done: true };
  return isProven(member.farmer, { report: observed.report, floorMs: observed.drainFloors.get(member.farmer) });
}

/**
 * Slots that nobody is taken into the roster from: drained ones that the StatefulSet doesn't have any more and whose pod
 * is gone, and those that go before anybody was met in them.
 */
function goneSlots(
  observed: Observed,
  members: ReadonlyMap<string, RosterMember>,
  volumeOf: ReadonlyMap<string, VolumeFact>,
  victims: readonly Slot[],
): Set<string> {
  return new Set(
    victims
      .filter(({ name, zone, ordinal }) => {
        const member = members.get(name);
        const replicas = observed.zones.find((one) => one.zone === zone)?.replicas ?? 0;
        if (!member) return isFree(member, volumeOf.get(name));
        if (ordinal < replicas || observed.pods.some((pod) => pod.name === name)) return false;
        return isFree(member, volumeOf.get(name));
      })
      .map(({ name }) => name),
  );
}

function hasPods(observed: Observed, zone: string): boolean {
  return observed.pods.some((pod) => pod.zone === zone);
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** Rule: spec.image, else what runs, else the operator's default. */
function imageOf({ farm, zones, bridgeImage, settings }: Observed): string {
  return farm.spec.image ?? zones.find(({ image }) => image !== '')?.image ?? (bridgeImage || settings.nodeImage);
}

function mismatchProblem(observed: Observed, zones: string[]): Problem | undefined {
  const { farm, volumes } = observed;
  const adopt = (farm.metadata.annotations?.[marks.adoptVolumes] ?? '').split(',').map((name) => name.trim());
  const { storageClassName } = farm.spec.farmers.storage;
  const found = retainedMismatches(volumes, { zones, storageClassName }, adopt);
  if (found.length === 0) return undefined;
  const all = found.map(({ name }) => name);
  const where = `-n ${farm.metadata.namespace}`;
  return {
    reason: 'RetainedVolumesMismatch',
    message:
      `Volumes of an earlier farm of this name don't fit: ${found.map(({ name, why }) => `${name} (${why})`).join(', ')}. ` +
      `To take them as they are: kubectl ${where} annotate storjfarm ${farm.metadata.name} --overwrite ${marks.adoptVolumes}=${all.join(',')}. ` +
      `To do without them and their data: kubectl ${where} delete pvc ${all.join(' ')}.`,
  };
}

function planVolumes(
  observed: Observed,
  zones: readonly ZonePlan[],
  present: ReadonlyMap<string, RosterMember>,
  steps: readonly LeavingPlan[],
  published: ReadonlyMap<string, RosterMember>,
): Plan['volumes'] {
  const { farm, volumes } = observed;
  const names = farmNames(farm.metadata.name);
  const { size, storageClassName, accessMode, whenScaledDown } = farm.spec.farmers.storage;
  const wishOf = (name: string, zone: string, ordinal: number): VolumeWish => ({
    name,
    zone,
    ordinal,
    size,
    storageClassName,
    accessMode: accessMode ?? 'ReadWriteOnce',
  });
  const byName = new Map(volumes.map((volume) => [volume.name, volume]));
  const create = zones.flatMap(({ zone, replicas }) =>
    Array.from({ length: replicas }, (_, ordinal) => wishOf(names.volume(zone, ordinal), zone, ordinal)).filter(
      ({ name }) => !byName.has(name),
    ),
  );
  const roster = [...present.values()];
  const patch = volumes.flatMap((volume): VolumePatch[] => {
    const resident = residentOf(volume, roster);
    const isProvenNow = steps.some(({ member, step }) => member === resident && step.done);
    const isDrained = resident ? resident.state === 'Leaving' && (volume.isDrained || isProvenNow) : volume.isDrained;
    const isUsed = volume.ordinal < (zones.find(({ zone }) => zone === volume.zone)?.replicas ?? 0);
    const wish = { size: isUsed ? size : '1', peerId: resident?.peerId, isDrained };
    const one = volumePatch(volume, wish, farm.metadata.name, marks);
    return one ? [one] : [];
  });
  const remove = volumes.filter((volume) => {
    const slot = names.slot(volume.zone, volume.ordinal);
    const replicas = observed.zones.find(({ zone }) => zone === volume.zone)?.replicas ?? 0;
    const planned = zones.find(({ zone }) => zone === volume.zone)?.replicas ?? 0;
    const isUnused = volume.ordinal >= Math.max(replicas, planned) && !observed.pods.some((pod) => pod.name === slot);
    // Only once the farmer has left the published roster: nobody can be sent there any more.
    const hasLeft = !published.has(slot) && (volume.isDrained || volume.peerId === '');
    return whenScaledDown === 'Delete' && isUnused && hasLeft && !volume.isTerminating;
  });
  return {
    create: [...create, ...bridgeVolumeWish(observed)],
    patch: [...patch, ...bridgeVolumePatch(observed)],
    remove: remove.map(({ name, uid }) => ({ name, uid })),
  };
}

function bridgeVolumeWish({ farm, bridgeVolume }: Observed): VolumeWish[] {
  if (bridgeVolume) return [];
  const { size, storageClassName } = farm.spec.bridge.catalog.storage;
  return [
    {
      name: farmNames(farm.metadata.name).bridgeVolume,
      zone: '',
      ordinal: 0,
      size,
      storageClassName: storageClassName ?? farm.spec.farmers.storage.storageClassName,
      accessMode: 'ReadWriteOnce',
    },
  ];
}

function bridgeVolumePatch({ farm, bridgeVolume }: Observed): VolumePatch[] {
  if (!bridgeVolume) return [];
  const wish = { size: farm.spec.bridge.catalog.storage.size, peerId: undefined, isDrained: false };
  const patch = volumePatch({ ...bridgeVolume, isLabelled: true }, wish, farm.metadata.name, marks);
  return patch ? [patch] : [];
}

/** The configuration as it should be published. Another content, farm or epoch raises the generation. */
function nextConfig(
  { farm, settings, bridgeStatus, report }: Observed,
  keys: Keys,
  content: Pick<FarmConfig, 'roster' | 'redundancy' | 'rewrite'>,
  published: FarmConfig | undefined,
): { config: FarmConfig; isNew: boolean } {
  const body = {
    farmUid: farm.metadata.uid,
    farmName: `${farm.metadata.namespace}/${farm.metadata.name}`,
    controlKey: keys.controlKey,
    redundancy: content.redundancy,
    rewrite: content.rewrite,
    roster: content.roster,
    bridges: [keys.bridge],
    repairers: keys.repairers.slice(0, Math.max(1, farm.spec.repair.replicas)),
    lostAfterMs: millisecondsOf(farm.spec.repair.lostAfter),
    repairBytesPerSecond: farm.spec.repair.bandwidthBytesPerSecond,
  };
  const epoch = Math.max(settings.epoch, published?.epoch ?? 0);
  if (published && published.epoch === epoch && isSame({ ...published, ...body }, published)) {
    return { config: published, isNew: false };
  }
  // Where somebody deleted the ConfigMap, the nodes still know how far it had come.
  const applied = [bridgeStatus, report].map((one) =>
    one?.farmUid === body.farmUid && one.epoch === epoch ? one.generation : 0,
  );
  return { config: { ...body, epoch, generation: Math.max(published?.generation ?? 0, ...applied) + 1 }, isNew: true };
}

function isSame(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** JSON with sorted fields. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`)
    .join(',')}}`;
}
