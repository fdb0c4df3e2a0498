// Who may do what at a farmer. Pure: from the farm's configuration, the owner's root statements and the grants that
// the peer has shown.
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import { allows } from '#node/core/grants.ts';
import { hasRole, isRepairer, type RootView } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { GrantsNow } from './presented-grants.ts';

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
  grants: GrantsNow;
}

/** Somebody of the farm has brought this owner here. */
export function isIntroduced(view: RootView): boolean {
  return view.roles.length > 0 || view.sets.size > 0;
}

/** Whether the owner's statements give this peer anything at all. */
function isNamed({ from, view }: Asker, roles: readonly string[]): boolean {
  return isRepairer(view, from) || view.roles.some(({ subject, role }) => subject === from && roles.includes(role));
}

/** Put a piece. The owner too, but only one who was introduced. */
export function mayStore(asker: Asker): boolean {
  const { peers, from, view, grants } = asker;
  if (isOfFarm(peers, from) || isNamed(asker, ['keeper', 'writer'])) return true;
  return isIntroduced(view) && (from === view.owner || allows(grants.writing, 'any', 'write'));
}

/** Get a piece or ask for it. Ids can't be guessed and bytes are ciphertext; this keeps strangers from costing bandwidth. */
export function mayFetch(asker: Asker): boolean {
  const { peers, from, view, grants } = asker;
  if (isOfFarm(peers, from) || from === view.owner) return true;
  return isNamed(asker, ['keeper', 'writer', 'reader']) || allows(grants.rights, 'any', 'read');
}

/** Append to a log of the bucket. The batch's own signature is another matter. */
export function mayAppend(asker: Asker, bucketId: BucketId): boolean {
  const { peers, from, view, grants } = asker;
  if (isOfFarm(peers, from) || hasRole(view, from, 'writer', bucketId) || isRepairer(view, from)) return true;
  return bucketId !== ACCOUNT_BUCKET_ID && allows(grants.writing, bucketId, 'write', 'delete');
}

/** Ask how far the bucket's logs are: who may read or write it. */
export function maySeeHeads(asker: Asker, bucketId: BucketId): boolean {
  return mayReadLogs(asker, bucketId) || allows(asker.grants.rights, bucketId, 'write', 'delete');
}

/** Read logs of the bucket: who may read it, repairers, and the other members of its replica set. */
export function mayReadLogs(asker: Asker, bucketId: BucketId): boolean {
  const { peers, from, view, grants } = asker;
  const isMember = view.sets.get(bucketId)?.members.includes(from) === true;
  if (isOfFarm(peers, from) || isMember || hasRole(view, from, 'reader', bucketId)) return true;
  return isRepairer(view, from) || allows(grants.rights, bucketId, 'read', 'list');
}

/** Compare what is here with what the logs name, move orphans to the trash (a cut goes with it) and back. */
export function mayCollect({ peers, from, view }: Asker): boolean {
  return peers.repairers.has(from) || isRepairer(view, from);
}

/** Bring statements of an owner who isn't known here. Statements of a known one speak for themselves. */
export function mayIntroduce(peers: FarmPeers, from: PublicKey): boolean {
  return isOfFarm(peers, from) || peers.farmers.has(from);
}

/** See what is stored here for whom. */
export function maySeeHoldings(peers: FarmPeers, from: PublicKey): boolean {
  return peers.repairers.has(from);
}
