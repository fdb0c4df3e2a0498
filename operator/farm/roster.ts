// Pure: who is in the farm. From the roster as it was published, the volumes that exist and the farmers that
// answered to the roster as it should be published.
//
// A farmer's identity lives on its volume. So: volume gone, or another identity in the slot = the old farmer is lost
// at once. Silence says nothing here; that is the repairer's business.
import type { RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import type { Contact } from '#operator/nodes.ts';
import type { PodFact, VolumeFact } from './observed.ts';
import { PORTS } from '#node/interface/ports.ts';
import { farmNames, podHost } from './names.ts';

export interface RosterInput {
  farm: { name: string; namespace: string };
  /** As published; empty for a farm that has none. */
  previous: readonly RosterMember[];
  /** Nothing was published yet: retained volumes say who lived on them. */
  isNew: boolean;
  volumes: readonly VolumeFact[];
  pods: readonly PodFact[];
  /** By pod uid. */
  contacts: ReadonlyMap<string, Contact>;
  /** The farm lists zones, so that they are the failure domains. */
  hasZones: boolean;
  report: FarmReport | undefined;
  /** Of the roster as it was published. */
  generation: number;
  /** Slots (pod names) that drain or have drained. */
  leaving: ReadonlySet<string>;
  /** Slots that have left for good. */
  gone: ReadonlySet<string>;
  membershipOf: (farmer: string) => string;
  farmerOf: (peerId: string) => string | undefined;
}

export interface RosterAnswer {
  roster: RosterMember[];
  /** Identities that answered in a second slot: never published twice. */
  duplicates: { slot: string; farmer: string }[];
}

/** Lost farmers are remembered until their data is back where it should be, but not more of them than this. */
const maxLost = 200;

export function nextRoster(input: RosterInput): RosterAnswer {
  const { farm, volumes, pods, contacts, hasZones } = input;
  const names = farmNames(farm.name);
  const volumeOfSlot = new Map(volumes.map((volume) => [names.slot(volume.zone, volume.ordinal), volume]));
  const podOfSlot = new Map(pods.map((pod) => [pod.name, pod]));
  const present = new Map<string, RosterMember>();
  const lost = new Map<string, RosterMember>();
  const duplicates: RosterAnswer['duplicates'] = [];

  // For good, whatever slot the identity comes back in and whether or not the repairer still has its scores.
  const known = new Set(input.previous.filter(({ distrusted }) => distrusted).map(({ farmer }) => farmer));
  const lose = (member: RosterMember): void => void lost.set(member.farmer, { ...member, state: 'Lost' });
  for (const member of input.isNew ? adopted(input, names.slot) : input.previous) {
    if (input.gone.has(member.slot) && member.state !== 'Lost') continue;
    const volume = volumeOfSlot.get(member.slot);
    if (member.state === 'Lost' || volume?.uid !== member.volumeUid) lose(member);
    else present.set(member.slot, member);
  }
  for (const pod of pods) {
    const contact = contacts.get(pod.uid);
    const volume = volumeOfSlot.get(pod.name);
    if (!contact || !volume || pod.isTerminating || input.gone.has(pod.name)) continue;
    const elsewhere = [...present.values()].find((member) => member.farmer === contact.farmer && member.slot !== pod.name);
    if (elsewhere) {
      duplicates.push({ slot: pod.name, farmer: contact.farmer });
      continue;
    }
    const before = present.get(pod.name);
    if (before && before.farmer !== contact.farmer) lose(before);
    lost.delete(contact.farmer);
    const isSame = before?.farmer === contact.farmer;
    present.set(pod.name, {
      slot: pod.name,
      farmer: contact.farmer,
      peerId: contact.peerId,
      volumeUid: volume.uid,
      zone: pod.zone,
      domain: contact.farmer,
      state: 'Active',
      url: '',
      multiaddr: '',
      membership: isSame ? before.membership : input.membershipOf(contact.farmer),
      ...(known.has(contact.farmer) ? { distrusted: true } : {}),
    });
  }
  const failed = new Set(
    input.report?.farmers.filter(({ audits }) => audits?.trust === 'Distrusted').map(({ farmer }) => farmer),
  );
  const roster = [...present.values()].map((member): RosterMember => {
    const host = podHost(member.slot, names.farmersService, farm.namespace);
    const node = podOfSlot.get(member.slot)?.nodeName ?? '';
    return {
      ...member,
      // A pod that is just being rescheduled keeps the domain that it had.
      domain: hasZones ? member.zone : node === '' ? member.domain : node,
      state: input.leaving.has(member.slot) ? 'Leaving' : 'Active',
      url: `https://${host}:${PORTS.pieces}`,
      multiaddr: `/dns4/${host}/tcp/${PORTS.libp2p}/p2p/${member.peerId}`,
      ...(member.distrusted || failed.has(member.farmer) ? { distrusted: true } : {}),
    };
  });
  const stillNeeded = [...lost.values()].filter((member) => isStillNeeded(member, input)).slice(-maxLost);
  return { roster: [...roster, ...stillNeeded].sort(bySlot), duplicates };
}

/** Members as the labels of retained volumes remember them. */
function adopted(input: RosterInput, slotOf: (zone: string, ordinal: number) => string): RosterMember[] {
  return input.volumes.flatMap((volume): RosterMember[] => {
    const farmer = volume.peerId === '' || volume.isDrained || volume.isTerminating ? undefined : input.farmerOf(volume.peerId);
    if (farmer === undefined) return [];
    const slot = slotOf(volume.zone, volume.ordinal);
    return [
      {
        slot,
        farmer,
        peerId: volume.peerId,
        volumeUid: volume.uid,
        zone: volume.zone,
        domain: input.hasZones ? volume.zone : farmer,
        state: 'Active',
        url: '',
        multiaddr: '',
        membership: input.membershipOf(farmer),
      },
    ];
  });
}

/**
 * A lost farmer stays in the roster until everything that it had has another holder, by a report that already counts it
 * as lost. No such report: not known, so it stays.
 */
function isStillNeeded(member: RosterMember, { previous, report, generation }: RosterInput): boolean {
  const isKnown = previous.some(({ farmer, state }) => farmer === member.farmer && state === 'Lost');
  if (!isKnown || !report || report.generation < generation || report.state !== 'Healthy') return true;
  const entry = report.farmers.find((one) => one.farmer === member.farmer);
  return entry === undefined ? false : entry.piecesToMove > 0 || entry.replicaSets > 0;
}

function bySlot(a: RosterMember, b: RosterMember): number {
  return a.slot === b.slot ? compare(a.farmer, b.farmer) : compare(a.slot, b.slot);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
