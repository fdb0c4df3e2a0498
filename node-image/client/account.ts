// An account from its statements and logs: what a bridge does with the words in hand, and what an empty
// laptop does with the words and one farmer's address.
import type { KeyPair, Owner } from '#node/core/keys.ts';
import type { FarmerAddress, Network } from '#node/net/net.ts';
import type { RootView } from '#node/wire/root-view.ts';
import type { BucketEntry, BucketId, PublicKey, PutEntry, RootStatement, Signed, SegmentPlacement } from '#node/wire/types.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { PartKeys } from '#node/log/log-reader.ts';
import type { Client } from './client.ts';
import type { FarmSnapshot } from './farm-view.ts';

/** What opens an account. */
export interface AccountAccess {
  owner: PublicKey;
  accountSecret: Uint8Array;
}

/** The owner's key makes the bridge's key keeper of all its buckets, with the account secret sealed to it. */
export declare function keeperStatement(input: {
  owner: Owner;
  keeper: { publicKey: PublicKey; box: string };
  random32: Uint8Array;
  issuedMs: number;
}): Signed<RootStatement>;

/** A keeper (or the owner) lets a repairer act. */
export declare function warrantStatement(input: {
  signer: KeyPair;
  access: AccountAccess;
  repairer: { repairer: PublicKey; box: string };
  repairEpoch: number;
  /** Control keys of the farms whose members may become holders. */
  farms: PublicKey[];
  random32: Uint8Array;
  issuedMs: number;
}): Signed<RootStatement>;

/** The account secret that a role statement seals to this key; null where none does. */
export declare function accessOf(view: RootView, subject: KeyPair): AccountAccess | null;

/** Keys for reading a bucket: owner parts, and repair parts of all warrants so far. */
export declare function bucketKeys(access: AccountAccess, view: RootView, bucketId: BucketId): PartKeys;

/** Keys for a writer's log now. */
export declare function writerKeys(
  access: AccountAccess,
  view: RootView,
  bucketId: BucketId,
): { bucketSecret: Uint8Array; repairKey: Uint8Array };

/** The farm as one farmer tells it: its members are signed by its control key. */
export declare function connectFarm(network: Network, first: FarmerAddress, signal: AbortSignal): Promise<FarmSnapshot>;

/** From the account's log, without the deleted ones. */
export declare function listBuckets(link: LogLink, access: AccountAccess, signal: AbortSignal): Promise<BucketEntry[]>;

/** A bucket's current versions, straight from its logs. */
export interface BucketContent {
  /** By key. */
  current: Map<string, PutEntry>;
  /** By segment id. */
  placements: Map<string, SegmentPlacement>;
}
export declare function readBucketContent(
  link: LogLink,
  input: { access: AccountAccess; bucketId: BucketId; signal: AbortSignal },
): Promise<BucketContent>;

/** Bytes of an object that `readBucketContent` found. */
export declare function readObject(
  client: Client,
  input: {
    access: AccountAccess;
    bucketId: BucketId;
    content: BucketContent;
    entry: PutEntry;
    offset?: number;
    length?: number;
    signal: AbortSignal;
  },
): AsyncGenerator<Uint8Array, void, undefined>;
