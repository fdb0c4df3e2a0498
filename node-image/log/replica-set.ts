// Where the logs of a bucket lie: one set of replicas for all of them, with an epoch, changed one member at a time.
import type { KeyPair } from '#node/core/keys.ts';
import type { ReplicaSet, RootView } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import type { LogFarmer, LogLink } from './log-link.ts';
import type { BucketLog } from './log-writer.ts';

/** The bucket's set as the statements say it, or a new one of epoch 1, signed by the keeper and published. */
export declare function ensureReplicaSet(
  link: LogLink,
  input: { view: RootView; bucketId: BucketId; keeper: KeyPair; signal: AbortSignal },
): Promise<ReplicaSet>;

export interface MemberChange {
  remove?: PublicKey;
  add?: PublicKey;
}
/** Pure: the next single change that the roster asks for (members that leave or are lost go, a set too small grows); null = fine as it is. */
export declare function nextMemberChange(input: {
  set: ReplicaSet;
  farmers: readonly LogFarmer[];
  bucketId: BucketId;
  /** f of the farm's scheme now. */
  promise: number;
}): MemberChange | null;

/**
 * Epoch + 1 with one member changed, while `logs` (this process's open logs of the bucket) wait. On return
 * every batch is on f + 1 of both sets and all of them are on the new member. Run again after a failure.
 */
export declare function changeMember(
  link: LogLink,
  input: {
    owner: PublicKey;
    bucketId: BucketId;
    keeper: KeyPair;
    change: MemberChange;
    logs: readonly BucketLog[];
    signal: AbortSignal;
  },
): Promise<ReplicaSet>;

/** Brings every log of the bucket to all members that answer. */
export declare function syncReplicas(
  link: LogLink,
  input: { owner: PublicKey; bucketId: BucketId; signal: AbortSignal },
): Promise<{ copiedBatches: number; behind: PublicKey[] }>;
