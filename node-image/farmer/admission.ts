// Who may do what at a farmer. Pure: from the farm's configuration and the owner's root statements.
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import { hasRole, type RootView } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';

/** The farm as admission needs it. Without a configuration nobody is of the farm. */
export interface FarmPeers {
  bridges: ReadonlySet<PublicKey>;
  repairers: ReadonlySet<PublicKey>;
  /** Not the lost ones: an identity whose volume is gone is nobody. */
  farmers: ReadonlyMap<PublicKey, RosterMember>;
}

export function farmPeers(config: FarmConfig | null): FarmPeers {
  const living = (config?.roster ?? []).filter(({ state }) => state !== 'Lost');
  return {
    bridges: new Set(config?.bridges),
    repairers: new Set(config?.repairers.map(({ repairer }) => repairer)),
    farmers: new Map(living.map((member) => [member.farmer, member])),
  };
}

/** The farm's own bridges and repairers work for every owner whom the farm serves. */
function isOfFarm(peers: FarmPeers, from: PublicKey): boolean {
  return peers.bridges.has(from) || peers.repairers.has(from);
}

export interface Asker {
  peers: FarmPeers;
  from: PublicKey;
  view: RootView;
}

/** Whether the owner's statements give this peer anything at all. */
function isNamed({ from, view }: Asker, roles: readonly string[]): boolean {
  return view.warrant?.repairer === from || view.roles.some(({ subject, role }) => subject === from && roles.includes(role));
}

/** Put a piece. The owner too, but only one who was introduced. */
export function mayStore(asker: Asker): boolean {
  const { peers, from, view } = asker;
  const isIntroduced = view.roles.length > 0 || view.sets.size > 0;
  return isOfFarm(peers, from) || (isIntroduced && from === view.owner) || isNamed(asker, ['keeper', 'writer']);
}

/** Get a piece or ask for it. Ids can't be guessed and bytes are ciphertext; this keeps strangers from costing bandwidth. */
export function mayFetch(asker: Asker): boolean {
  return isOfFarm(asker.peers, asker.from) || asker.from === asker.view.owner || isNamed(asker, ['keeper', 'writer', 'reader']);
}

/** Append to a log of the bucket. The batch's own signature is another matter. */
export function mayAppend(asker: Asker, bucketId: BucketId): boolean {
  const { peers, from, view } = asker;
  return isOfFarm(peers, from) || hasRole(view, from, 'writer', bucketId) || view.warrant?.repairer === from;
}

/** Read logs of the bucket: who may read it, repairers, and the other members of its replica set. */
export function mayReadLogs(asker: Asker, bucketId: BucketId): boolean {
  const { peers, from, view } = asker;
  const isMember = view.sets.get(bucketId)?.members.includes(from) === true;
  return isOfFarm(peers, from) || isMember || hasRole(view, from, 'reader', bucketId) || view.warrant?.repairer === from;
}

/** Bring statements of an owner who isn't known here. Statements of a known one speak for themselves. */
export function mayIntroduce(peers: FarmPeers, from: PublicKey): boolean {
  return isOfFarm(peers, from) || peers.farmers.has(from);
}

/** See what is stored here for whom. */
export function maySeeHoldings(peers: FarmPeers, from: PublicKey): boolean {
  return peers.repairers.has(from);
}
