// What the bridge's own rules need of the farm: places for bytes and logs that outlive it. The real one
// (farm-adapter.ts) is the client library; tests have one in memory.
import type { Access } from '#node/client/account.ts';
import type { GetOrder } from '#node/client/segment-reader.ts';
import type { PutOrder, PutResult } from '#node/client/segment-writer.ts';
import type { CatalogNews } from '#node/catalog/catalog.ts';
import type { SeenHead } from '#node/log/log-reader.ts';
import type { AcknowledgedBatch, BucketLog } from '#node/log/log-writer.ts';
import type { BucketId, PublicKey, Scheme } from '#node/wire/types.ts';

export interface RewriteTarget {
  scheme: Scheme;
  /** Of the roster. */
  generation: number;
}

export interface FarmPort {
  /**
   * A write from its first byte until its entry is acknowledged: until then a farmer that leaves may not go,
   * because the entry may still name it.
   */
  duringTransfer<Result>(work: () => Promise<Result>): Promise<Result>;
  /** The transfers that run now count as running until then: one of them may still come true. */
  keepRunning(until: Promise<void>): void;
  /** What older segments are to be brought to; null where they may stay, or too few farmers take pieces now. */
  rewriteTo(): RewriteTarget | null;
  /** Rejects with PutError, or with the source's error. */
  putSegments(order: PutOrder): Promise<PutResult>;
  /** Throws GetError. */
  getRange(order: GetOrder): AsyncIterable<Uint8Array>;
  /**
   * Every batch that counts after `since` (what was read last of each log); before them the newest checkpoint, where there is
   * one and the batches are not all there any more. Nothing for a bucket that was never written. Throws LogError.
   */
  readNew(
    access: Access,
    bucketId: BucketId,
    since: ReadonlyMap<PublicKey, SeenHead>,
    signal: AbortSignal,
  ): AsyncIterable<CatalogNews>;
  /** The newest batch of a log that batches of others named, as far as they were read; 0 = none. */
  named(logId: PublicKey): number;
  /** This bridge's log of the bucket, taken up again or begun. Rejects with LogError. */
  openLog(
    access: Access,
    bucketId: BucketId,
    onAcknowledged: (batch: AcknowledgedBatch) => Promise<void>,
    signal: AbortSignal,
  ): Promise<BucketLog>;
}
