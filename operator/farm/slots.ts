// Pure: which slots exist, which have to go, and which of them may go now.
import type { RosterMember } from '#node/interface/config.ts';
import type { PodFact, VolumeFact, ZoneFact } from './observed.ts';
import { ordinalOf } from './names.ts';

export interface Slot {
  name: string;
  zone: string;
  ordinal: number;
}

/**
 * Slots of each zone that count as existing: those of the StatefulSet, and those of farmers in the roster, so that a
 * farm whose StatefulSets are gone (deleted, adopted) starts all of them again before it shrinks.
 */
export function existingSlots(
  zones: readonly ZoneFact[],
  roster: readonly RosterMember[],
  retained: ReadonlyMap<string, number>,
): Map<string, number> {
  const counts = new Map(zones.map(({ zone, replicas }) => [zone, replicas]));
  const raise = (zone: string, count: number): void => void counts.set(zone, Math.max(counts.get(zone) ?? 0, count));
  for (const [zone, count] of retained) raise(zone, count);
  for (const member of roster) if (member.state !== 'Lost') raise(member.zone, ordinalOf(member.slot) + 1);
  return counts;
}

/** Slots above their zone's target, those that go first in front. */
export function slotsAbove(
  existing: ReadonlyMap<string, number>,
  targets: ReadonlyMap<string, number>,
  nameOf: (zone: string, ordinal: number) => string,
): Slot[] {
  const slots: Slot[] = [];
  for (const [zone, count] of existing) {
    for (let ordinal = count - 1; ordinal >= (targets.get(zone) ?? 0); ordinal -= 1) {
      slots.push({ name: nameOf(zone, ordinal), zone, ordinal });
    }
  }
  return slots.sort((a, b) => b.ordinal - a.ordinal || (a.zone < b.zone ? 1 : -1));
}

/** Farmers that drain at the same time; more would only compete for the same disks. */
export const maxLeaving = 8;

export interface LeavingInput {
  /** Slots that have to go, first ones in front. */
  victims: readonly Slot[];
  roster: readonly RosterMember[];
  wanted: number;
  /** `go`: more may start. `hold`: those that drain go on. `refuse`: all stay. */
  gate: 'go' | 'hold' | 'refuse';
}

/** Slots whose farmer is (still, or from now on) leaving. As many as wanted stay Active at every moment. */
export function leavingSlots({ victims, roster, wanted, gate }: LeavingInput): Set<string> {
  const members = new Map(roster.filter(({ state }) => state !== 'Lost').map((member) => [member.slot, member]));
  const leaving = new Set<string>();
  if (gate === 'refuse') return leaving;
  for (const { name } of victims) if (members.get(name)?.state === 'Leaving') leaving.add(name);
  if (gate === 'hold') return leaving;
  let active = members.size - leaving.size;
  for (const { name } of victims) {
    if (!members.has(name) || leaving.has(name)) continue;
    if (active <= wanted || leaving.size >= maxLeaving) break;
    leaving.add(name);
    active -= 1;
  }
  return leaving;
}

/** Nothing on the slot's volume is needed: proven and marked, or nobody was ever met on it. */
export function isFree(member: RosterMember | undefined, volume: VolumeFact | undefined): boolean {
  if (member && member.state !== 'Lost')
    return member.state === 'Leaving' && volume?.uid === member.volumeUid && volume.isDrained;
  return volume === undefined || volume.peerId === '' || volume.isDrained;
}

export interface ShrinkInput {
  target: number;
  /** Slots that count as existing. */
  existing: number;
  /** Of the StatefulSet; 0 where there is none. */
  replicas: number;
  pods: readonly PodFact[];
  isFree: (ordinal: number) => boolean;
}

/** Replicas that the zone's StatefulSet should have now: at most one fewer than before, and only free slots go. */
export function nextReplicas({ target, existing, replicas, pods, isFree }: ShrinkInput): number {
  if (target >= existing) return target;
  let next = existing;
  while (next > target && isFree(next - 1)) {
    const top = next - 1;
    // A slot that has no pod any more costs nothing; one that has goes alone.
    if (top < replicas && pods.some((pod) => pod.ordinal > top)) break;
    next = top;
    if (top < replicas) break;
  }
  return next;
}
