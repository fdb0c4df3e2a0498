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
import { OpenError } from '#node/core/sealing.ts';
import { LogError } from '#node/log/log-link.ts';
import type { ReadKeys } from '#node/log/checkpoint-reader.ts';
import type { WriterKeys } from '#node/log/log-writer.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { encodeCallHead, farmMembers } from '#node/wire/calls.ts';
import { ownerManifestKey, repairManifestKey } from '#node/wire/checkpoints.ts';
import { WireError } from '#node/wire/codec.ts';
import { collect } from '#node/wire/framing.ts';
import { signRootStatement, type RootView } from '#node/wire/root-view.ts';
import { decodeMembership, verifyMembership } from '#node/wire/statements.ts';
import {
  ACCOUNT_BUCKET_ID,
  MAX_REPAIR_EPOCHS,
  type BucketEntry,
  type BucketId,
  type PublicKey,
  type RootStatement,
  type Signed,
} from '#node/wire/types.ts';
import { openBucketReader, type BucketReader } from './bucket-reader.ts';
import type { Client } from './client.ts';
import { snapshotOfMembers, type FarmSnapshot } from './farm-view.ts';

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
  /** False where it may only write or delete: farmers give its holder his own logs and nobody else's. */
  mayRead: boolean;
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
export function bucketKeys(access: Access, view: RootView, bucketId: BucketId): ReadKeys {
  const secret = secretOf(access, bucketId);
  const repairKeys = repairKeysOf(access, view, bucketId);
  return {
    ownerPartKey: (logId) => ownerPartKey(secret, logId),
    repairPartKeys: (logId) => repairKeys.map(({ key }) => repairPartKey(key, logId)),
    ownerManifestKey: ownerManifestKey(secret),
    repairManifestKeys: repairKeys.map(({ key }) => repairManifestKey(key)),
  };
}

/** Keys for a writer's log now: without a warrant, those of epoch 0. Throws GrantError WrongBucket. */
export function writerKeys(access: Access, view: RootView, bucketId: BucketId): WriterKeys {
  const epoch = view.warrantSet[0]?.repairEpoch ?? 0;
  const keys = repairKeysOf(access, view, bucketId);
  // A grant from before the newest warrants: their repairers have the keys of earlier epochs, too.
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

/** A bucket that this opens, straight from the farmers. Rejects with LogError; NoReplicaSet = it was never written. */
export async function openBucket(client: Client, access: Access, bucketId: BucketId, signal: AbortSignal): Promise<BucketReader> {
  const { owner } = access;
  return await openBucketReader(client, { owner, bucketId, keysOf: (view) => bucketKeys(access, view, bucketId), signal });
}

/** From the account's log, without the deleted ones. Rejects with LogError; an account that never wrote has none. */
export async function listBuckets(client: Client, access: AccountAccess, signal: AbortSignal): Promise<BucketEntry[]> {
  try {
    return await (await openBucket(client, access, ACCOUNT_BUCKET_ID, signal)).buckets();
  } catch (error) {
    if (error instanceof LogError && error.code === 'NoReplicaSet') return [];
    throw error;
  }
}
