// A bucket's log as its one writer sees it: group commit, acknowledged at f + 1, taken up again after a
// restart byte for byte, or sealed and followed by a new log where its state is lost.
import type { KeyPair } from '#node/core/keys.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';
import type { BucketId, Hash, OwnerEntry, PublicKey, RepairPart, SealedPlacement } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';

/** What must outlive the process for the log to go on. Whoever has it is the writer. */
export interface SavedLog {
  /** Seed of the log's key, 32 bytes. */
  seed: Uint8Array;
  /** Newest acknowledged batch; 0 and NO_HASH before the first. */
  seq: number;
  hash: Hash;
  /** Batch seq + 1, which may have been sent. */
  pending: Uint8Array | null;
}
/** One for each log. `save` resolves when it is durable: a batch is sent only after that. */
export interface WriterState {
  load(): Promise<SavedLog | null>;
  save(log: SavedLog): Promise<void>;
}

export interface LogPosition {
  logId: PublicKey;
  seq: number;
  hash: Hash;
  timeMs: number;
}
/** In order, each once for each life of the writer; also those that were pending when it was opened. */
export interface AcknowledgedBatch extends LogPosition {
  entries: OwnerEntry[];
  repair: RepairPart | null;
  placements: SealedPlacement[];
}

export interface OpenLogOrder {
  link: LogLink;
  owner: PublicKey;
  bucketId: BucketId;
  /** Signs the log's opening: the bridge's key, or the repairer's. */
  writer: KeyPair;
  /** `entries`: the writer is a keeper and takes the bucket over, other open logs of entries are sealed and closed. */
  kind: 'entries' | 'placements';
  /** For `entries`. */
  keys?: { bucketSecret: Uint8Array; repairKey: Uint8Array };
  state: WriterState;
  /** Newest heads of the owner's other logs: they go into each batch. */
  knownHeads?: () => KnownHead[];
  onAcknowledged?: (batch: AcknowledgedBatch) => void | Promise<void>;
  /** For opening; the log itself lives until `close`. */
  signal: AbortSignal;
}

export interface BucketLog {
  readonly logId: PublicKey;
  readonly owner: PublicKey;
  readonly bucketId: BucketId;
  /** Newest acknowledged. */
  head(): LogPosition;
  set(): ReplicaSet;
  /** What a batch carries is acknowledged as one. Rejects with LogError; after NotEnoughReplicas it may still come true (`onAcknowledged`). */
  append(entries: readonly OwnerEntry[], repair: RepairPart, signal?: AbortSignal): Promise<LogPosition>;
  appendPlacements(placements: readonly SealedPlacement[], signal?: AbortSignal): Promise<LogPosition>;
  /** Runs `work` while nothing is being sent; afterwards the log goes on under the set that `work` returns. */
  hold(work: () => Promise<ReplicaSet>): Promise<ReplicaSet>;
  /** Resolves with the reason when this log can't go on: open again. */
  readonly ended: Promise<Error>;
  /** Stops; what isn't acknowledged stays pending in the state. */
  close(): Promise<void>;
}

export declare function openBucketLog(order: OpenLogOrder): Promise<BucketLog>;
