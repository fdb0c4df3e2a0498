// Reading a bucket's logs: heads from N − f members of the newest set, batches from whoever has them,
// every hash and signature checked.
import type { KnownHead } from '#node/wire/batch.ts';
import type { LogView, ReplicaSet, RootView } from '#node/wire/root-view.ts';
import type { BatchHeader, BucketId, Hash, OwnerEntry, PublicKey, RepairPart, SealedPlacement } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';

/** Keys that open parts; what has no key stays sealed. */
export interface PartKeys {
  ownerPartKey?: (logId: PublicKey) => Uint8Array;
  /** All that may fit (one for each repair epoch), newest first. */
  repairPartKeys?: (logId: PublicKey) => readonly Uint8Array[];
}

export interface ReadBatch {
  log: LogView;
  header: BatchHeader;
  hash: Hash;
  /** Where a key was given and the log is one of entries. */
  entries: OwnerEntry[] | null;
  heads: KnownHead[];
  repair: RepairPart | null;
  /** Of a repairer's log. */
  placements: SealedPlacement[];
}

export interface LogState {
  log: LogView;
  /** What counts of it: newest head among N − f members, not above its closing. seq 0 = nothing yet. */
  seq: number;
  hash: Hash;
  /** Members that have it up to there. */
  holders: PublicKey[];
}
export interface BucketState {
  owner: PublicKey;
  bucketId: BucketId;
  view: RootView;
  set: ReplicaSet;
  logs: LogState[];
}

/** Newest heads of all the bucket's logs. Rejects with LogError NotEnoughReplicas, NotEnoughRoots or NoReplicaSet. */
export declare function readHeads(
  link: LogLink,
  input: { owner: PublicKey; bucketId: BucketId; signal: AbortSignal; view?: RootView },
): Promise<BucketState>;

/**
 * Batches after `since` (sequence by log id), log by log, each log in order. A log whose head lies below
 * `since` gives nothing and isn't believed. `state` from readHeads, so that the caller knows up to where it reads.
 */
export declare function readBatches(
  link: LogLink,
  input: { state: BucketState; since: ReadonlyMap<PublicKey, number>; keys: PartKeys; signal: AbortSignal },
): AsyncGenerator<ReadBatch, void, undefined>;
