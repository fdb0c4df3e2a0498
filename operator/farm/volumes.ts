// Pure: the volumes of the farm. The operator creates each one before its pod exists, grows it, labels it with who
// lives on it, and deletes it only where the farmer has left with proof and `whenScaledDown: Delete` says so.
import type { RosterMember } from '#node/interface/config.ts';
import type { VolumeFact } from './observed.ts';
import { bytesOf } from '#operator/quantity.ts';

export interface VolumeWish {
  name: string;
  zone: string;
  ordinal: number;
  size: string;
  storageClassName: string | undefined;
  accessMode: string;
}

export interface VolumePatch {
  name: string;
  uid: string;
  /** null removes. */
  labels?: Record<string, string | null>;
  size?: string;
}

/** Label value where somebody may live on a volume, but nobody knows who. */
const unknownPeer = 'unknown';

export interface VolumeLabels {
  farm: string;
  zone: string;
  slot: string;
  peerId: string;
  drained: string;
}

/** What an existing volume lacks; undefined = nothing. */
export function volumePatch(
  volume: VolumeFact,
  wish: { size: string; peerId: string | undefined; isDrained: boolean },
  farm: string,
  labels: VolumeLabels,
): VolumePatch | undefined {
  if (volume.isTerminating) return undefined;
  const changed: Record<string, string | null> = {};
  if (!volume.isLabelled) {
    changed[labels.farm] = farm;
    changed[labels.zone] = volume.zone;
    changed[labels.slot] = String(volume.ordinal);
    // Bound by hand to an earlier disk: somebody may live on it, so it isn't free until he was met and has left.
    if (volume.peerId === '' && volume.isBound) changed[labels.peerId] = unknownPeer;
  }
  if (wish.peerId !== undefined && wish.peerId !== volume.peerId) changed[labels.peerId] = wish.peerId;
  if (wish.isDrained !== volume.isDrained) changed[labels.drained] = wish.isDrained ? 'true' : null;
  const grows = bytesOf(wish.size) > volume.requestBytes && volume.isBound;
  if (Object.keys(changed).length === 0 && !grows) return undefined;
  return {
    name: volume.name,
    uid: volume.uid,
    ...(Object.keys(changed).length > 0 ? { labels: changed } : {}),
    ...(grows ? { size: wish.size } : {}),
  };
}

/** Volumes that are bigger than the spec asks for. */
export function biggerThan(size: string, volumes: readonly VolumeFact[]): VolumeFact[] {
  return volumes.filter((volume) => volume.requestBytes > bytesOf(size));
}

/** Volumes that don't have yet what was asked for. */
export function stillResizing(volumes: readonly VolumeFact[]): VolumeFact[] {
  return volumes.filter((volume) => volume.isBound && volume.capacityBytes < volume.requestBytes);
}

export interface Mismatch {
  name: string;
  why: string;
}

/**
 * Before the first pod starts: retained volumes that don't fit what is wanted. `adopt` names those that the user has
 * said to take as they are.
 */
export function retainedMismatches(
  volumes: readonly VolumeFact[],
  wanted: { zones: readonly string[]; storageClassName: string | undefined },
  adopt: readonly string[],
): Mismatch[] {
  return volumes
    .filter((volume) => !volume.isTerminating && !adopt.includes(volume.name))
    .flatMap((volume): Mismatch[] => {
      if (!wanted.zones.includes(volume.zone))
        return [{ name: volume.name, why: `zone ${volume.zone} isn't in spec.farmers.zones` }];
      const { storageClassName } = wanted;
      if (storageClassName === undefined || volume.storageClassName === storageClassName) return [];
      return [{ name: volume.name, why: `its class is ${volume.storageClassName}, not ${storageClassName}` }];
    });
}

/** Slots of a zone that retained volumes ask for: up to the highest one that hasn't been left with proof. */
export function retainedSlots(volumes: readonly VolumeFact[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const volume of volumes) {
    if (volume.isDrained || volume.isTerminating || (volume.peerId === '' && (volume.isLabelled || !volume.isBound))) continue;
    counts.set(volume.zone, Math.max(counts.get(volume.zone) ?? 0, volume.ordinal + 1));
  }
  return counts;
}

/** Who lives on a volume, as far as the roster knows. */
export function residentOf(volume: VolumeFact, roster: readonly RosterMember[]): RosterMember | undefined {
  return roster.find((member) => member.volumeUid === volume.uid && member.state !== 'Lost');
}
