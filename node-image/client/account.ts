// An account from its statements and logs: what a bridge does with the words in hand, and what an empty
// laptop does with the words and one farmer's address.
import {
  bucketRepairKey,
  bucketSecret,
  openSealed,
  ownerPartKey,
  repairKey,
  repairPartKey,
  sealTo,
  type KeyPair,
  type Owner,
} from '#node/core/keys.ts';
import { concat } from '#node/core/bytes.ts';
import { GrantError } from '#node/core/grants.ts';
import { emptyView, mergeEntries, resolve } from '#node/core/log-merge.ts';
import { OpenError } from '#node/core/sealing.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { LogError } from '#node/log/log-link.ts';
import { readBatches, readHeads, type PartKeys } from '#node/log/log-reader.ts';
import type { WriterKeys } from '#node/log/log-writer.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { encodeCallHead, farmMembers } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { collect } from '#node/wire/framing.ts';
import { openPlacement, placementProblem, placementTag } from '#node/wire/placements.ts';
import { signRootStatement, type RootView } from '#node/wire/root-view.ts';
import { decodeMembership, verifyMembership } from '#node/wire/statements.ts';
import {
  ACCOUNT_BUCKET_ID,
  MAX_REPAIR_EPOCHS,
  type BucketEntry,
  type BucketId,
  type PublicKey,
  type PutEntry,
  type RootStatement,
  type SealedPlacement,
  type SegmentId,
  type SegmentPlacement,
  type Signed,
  type WarrantStatement,
} from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { snapshotOfMembers, type FarmSnapshot } from './farm-view.ts';
import { getRange, GetError } from './segment-reader.ts';

/** What opens an account. */
export interface AccountAccess {
  owner: PublicKey;
  accountSecret: Uint8Array;
}

/** What opens one bucket or share, out of a grant (grants.ts). */
export interface GrantAccess {
  owner: PublicKey;
  bucketId: BucketId;
  bucketSecret: Uint8Array;
  /** The bucket's, newest epoch first. */
  repairKeys: { epoch: number; key: Uint8Array }[];
  /** The chain under which its holder writes; null where it may only read. */
  grant: Uint8Array | null;
}
export type Access = AccountAccess | GrantAccess;

// ---- statements -----------------------------------------------------------------------------

/** The owner's key makes the bridge's key keeper of all its buckets, with the account secret sealed to it. */
export function keeperStatement(input: {
  owner: Owner;
  keeper: { publicKey: PublicKey; box: string };
  random32: Uint8Array;
  issuedMs: number;
}): Signed<RootStatement> {
  const { keeper, ...rest } = input;
  return roleStatement({ ...rest, subject: keeper, role: 'keeper' });
}

/** On all buckets, with the account secret sealed to the subject: a bridge is a keeper, a device a writer. */
export function roleStatement(input: {
  owner: Owner;
  subject: { publicKey: PublicKey; box: string };
  role: 'keeper' | 'writer';
  random32: Uint8Array;
  issuedMs: number;
}): Signed<RootStatement> {
  const { owner, subject, role, random32, issuedMs } = input;
  return signRootStatement(owner.keyPair, {
    kind: 'role',
    owner: owner.keyPair.publicKey,
    subject: subject.publicKey,
    role,
    bucketId: '*',
    sealedSecret: sealTo(subject.box, owner.accountSecret, random32),
    issuedMs,
  });
}

/** A keeper of all buckets (or the owner) lets a repairer act. */
export function warrantStatement(input: {
  signer: KeyPair;
  access: AccountAccess;
  repairer: { repairer: PublicKey; box: string };
  repairEpoch: number;
  /** Control keys of the farms whose members may become holders. */
  farms: PublicKey[];
  random32: Uint8Array;
  issuedMs: number;
}): Signed<RootStatement> {
  const { signer, access, repairer, repairEpoch, farms, random32, issuedMs } = input;
  return signRootStatement(signer, {
    kind: 'warrant',
    owner: access.owner,
    repairer: repairer.repairer,
    repairEpoch,
    sealedRepairKey: sealTo(repairer.box, concat(...repairKeysUpTo(access, repairEpoch)), random32),
    farms,
    farmers: [],
    issuedMs,
  });
}

/** Of this epoch and those before it (from 0, of writers without a warrant), newest first: nothing that was written is left unrepaired. */
function repairKeysUpTo(access: AccountAccess, repairEpoch: number): Uint8Array[] {
  const count = Math.min(repairEpoch + 1, MAX_REPAIR_EPOCHS);
  return Array.from({ length: count }, (_, age) => repairKey(access.accountSecret, repairEpoch - age));
}

/** The account secret that a role statement seals to this key; null where none does. */
export function accessOf(view: RootView, subject: KeyPair): AccountAccess | null {
  for (const role of view.roles.filter((one) => one.subject === subject.publicKey && one.bucketId === '*')) {
    try {
      return { owner: view.owner, accountSecret: openSealed(subject.seed, role.sealedSecret) };
    } catch (error) {
      if (!(error instanceof OpenError)) throw error;
    }
  }
  return null;
}

// ---- keys -----------------------------------------------------------------------------------

/** Keys for reading a bucket: owner parts, and repair parts of all warrants so far. Throws GrantError WrongBucket. */
export function bucketKeys(access: Access, view: RootView, bucketId: BucketId): PartKeys {
  const secret = secretOf(access, bucketId);
  const repairKeys = repairKeysOf(access, view, bucketId);
  return {
    ownerPartKey: (logId) => ownerPartKey(secret, logId),
    repairPartKeys: (logId) => repairKeys.map(({ key }) => repairPartKey(key, logId)),
  };
}

/** Keys for a writer's log now: without a warrant, those of epoch 0. Throws GrantError WrongBucket. */
export function writerKeys(access: Access, view: RootView, bucketId: BucketId): WriterKeys {
  const epoch = view.warrant?.repairEpoch ?? 0;
  const keys = repairKeysOf(access, view, bucketId);
  // A grant from before the newest warrant: its repairer has the keys of earlier epochs, too.
  const { key } = keys.find((one) => one.epoch <= epoch) ?? keys.at(-1)!;
  const grant = 'grant' in access ? access.grant : null;
  return { bucketSecret: secretOf(access, bucketId), repairKey: key, grant };
}

/** Those of all warrants, and 0, newest first. */
export function repairEpochs(view: RootView): number[] {
  return [...new Set([...view.warrants.map(({ repairEpoch }) => repairEpoch), 0])].sort((a, b) => b - a);
}

function secretOf(access: Access, bucketId: BucketId): Uint8Array {
  if ('accountSecret' in access) return bucketSecret(access.accountSecret, bucketId);
  checkBucket(access, bucketId);
  return access.bucketSecret;
}

function repairKeysOf(access: Access, view: RootView, bucketId: BucketId): GrantAccess['repairKeys'] {
  if ('accountSecret' in access) {
    const { accountSecret } = access;
    return repairEpochs(view).map((epoch) => ({ epoch, key: bucketRepairKey(repairKey(accountSecret, epoch), bucketId) }));
  }
  checkBucket(access, bucketId);
  return access.repairKeys;
}

function checkBucket(access: GrantAccess, bucketId: BucketId): void {
  if (access.bucketId !== bucketId) throw new GrantError('WrongBucket', 'The grant opens another bucket.');
}

// ---- an empty laptop ------------------------------------------------------------------------

/** The farm as one farmer tells it; members whose membership its control key didn't sign are left out. Rejects with CallError. */
export async function connectFarm(network: Network, first: FarmerAddress, signal: AbortSignal): Promise<FarmSnapshot> {
  const call = { operation: 'farm.members', head: encodeCallHead('farm.members', {}) } as const;
  const answer = await network.call(first, call, signal);
  try {
    const farm = snapshotOfMembers(farmMembers.decode(await collect(answer.body, farmMembers.maxBytes)));
    return { ...farm, members: farm.members.filter((member) => isMember(member, farm.controlKey)) };
  } catch (cause) {
    if (cause instanceof WireError) throw new CallError('Corrupt', 'The farmer sent a member list that is none.', { cause });
    throw cause;
  }
}

function isMember({ farmer, membership }: { farmer: PublicKey; membership: Uint8Array }, farm: PublicKey): boolean {
  try {
    const signed = decodeMembership(membership);
    return signed.body.farmer === farmer && signed.body.farm === farm && verifyMembership(signed);
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

/** From the account's log, without the deleted ones. Rejects with LogError; an account that never wrote has none. */
export async function listBuckets(link: LogLink, access: AccountAccess, signal: AbortSignal): Promise<BucketEntry[]> {
  try {
    const { merged } = await readMerged(link, access, ACCOUNT_BUCKET_ID, signal);
    return [...merged.buckets.values()].map(({ entry }) => entry).filter(({ deleted }) => !deleted);
  } catch (error) {
    if (error instanceof LogError && error.code === 'NoReplicaSet') return [];
    throw error;
  }
}

/** A bucket's current versions, straight from its logs. */
export interface BucketContent {
  owner: PublicKey;
  /** By key. */
  current: Map<string, PutEntry>;
  placements: Map<SegmentId, SegmentPlacement>;
  /** What repairers wrote down, by tag. */
  moves: Map<string, SealedPlacement[]>;
  warrants: readonly WarrantStatement[];
}

/** Rejects with LogError. */
export async function readBucketContent(
  link: LogLink,
  input: { access: Access; bucketId: BucketId; signal: AbortSignal },
): Promise<BucketContent> {
  const { merged, ...rest } = await readMerged(link, input.access, input.bucketId, input.signal);
  const current = new Map<string, PutEntry>();
  for (const [key, state] of merged.keys) {
    const winner = resolve(state);
    if (winner) current.set(key, winner.entry);
  }
  return { owner: input.access.owner, current, ...rest };
}

async function readMerged(link: LogLink, access: Access, bucketId: BucketId, signal: AbortSignal) {
  const { view } = await fetchRoots(link, access.owner, signal);
  const state = await readHeads(link, { owner: access.owner, bucketId, view, signal });
  const keys = bucketKeys(access, state.view, bucketId);
  const merged = emptyView();
  const placements = new Map<SegmentId, SegmentPlacement>();
  const moves = new Map<string, SealedPlacement[]>();
  for await (const batch of readBatches(link, { state, since: new Map(), keys, signal })) {
    mergeEntries(merged, batch.log.logId, batch.entries ?? []);
    for (const placement of batch.repair?.added ?? []) placements.set(placement.segmentId, placement);
    for (const sealed of batch.placements) moves.set(sealed.tag, [...(moves.get(sealed.tag) ?? []), sealed]);
  }
  return { merged, placements, moves, warrants: state.view.warrants };
}

/** Bytes of an object that `readBucketContent` found. Throws GetError. */
export async function* readObject(
  client: Client,
  input: { content: BucketContent; entry: PutEntry; offset?: number; length?: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { content, entry, signal } = input;
  const offset = input.offset ?? 0;
  const length = input.length ?? entry.sizeBytes - offset;
  if (entry.inline) {
    if (length > 0) yield entry.inline.subarray(offset, offset + length);
    return;
  }
  const segments = (entry.segments ?? []).map((key) => {
    const placement = content.placements.get(key.segmentId);
    if (!placement) throw new GetError('Damaged', `The logs don't say where segment ${key.segmentId} lies.`);
    return { key, placement, moved: movesOf(content, placement) };
  });
  yield* getRange(client, { owner: content.owner, segments, offset, length, signal });
}

/** Holders by piece number that placement entries name, of those that count. */
export function movesOf(
  content: Pick<BucketContent, 'owner' | 'moves' | 'warrants'>,
  placement: SegmentPlacement,
): Map<number, PublicKey[]> {
  const found = new Map<number, PublicKey[]>();
  for (const sealed of content.moves.get(placementTag(placement.secret)) ?? []) {
    try {
      const entry = openPlacement(placement.secret, sealed);
      if (placementProblem(entry, { owner: content.owner, placement }, content.warrants) !== null) continue;
      found.set(entry.pieceNumber, [...(found.get(entry.pieceNumber) ?? []), entry.farmer]);
    } catch (error) {
      // Whoever forges entries gets nothing but a line that doesn't count.
      if (!(error instanceof WireError)) throw error;
    }
  }
  return found;
}
