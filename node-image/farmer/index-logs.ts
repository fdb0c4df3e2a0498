// Logs in the index: where each ends and begins, and where its batches lie.
import { fromHex } from '#node/core/ids.ts';
import { NO_HASH } from '#node/wire/batch.ts';
import type { BucketId, Hash, PublicKey } from '#node/wire/types.ts';
import { hexOf, number, refOf, refValues, type IndexDb, type Row } from './index-db.ts';
import type { NeededTable } from './index-needed.ts';
import type { OwnerTable } from './index-owners.ts';
import type { BatchMeta, DropMeta, SealMeta } from './record-meta.ts';
import { recordBytes, type RecordRef } from './record.ts';

const MAX_HELD_LOGS = 1024;

export interface HeldLog {
  /** Of this index only. */
  readonly id: number;
  readonly bucketId: BucketId;
  readonly logId: PublicKey;
  /** 0 = nothing yet. */
  readonly seq: number;
  readonly hash: Hash;
  readonly sealed: boolean;
  /** Batches before this were dropped. 1 = none. */
  readonly firstSeq: number;
}
export interface HeldBatch {
  seq: number;
  hash: Hash;
  ref: RecordRef;
}

export class LogTable {
  readonly #db: IndexDb;
  readonly #owners: OwnerTable;
  readonly #needed: NeededTable;
  /** Logs that are in use, as they are now: each batch asks several times. */
  readonly #heldLogs = new Map<string, HeldLog>();

  constructor(db: IndexDb, owners: OwnerTable, needed: NeededTable) {
    this.#db = db;
    this.#owners = owners;
    this.#needed = needed;
  }

  /** A transaction that changed some of them was rolled back. */
  forget(): void {
    this.#heldLogs.clear();
  }

  /** Only the one after the head counts. */
  addBatch(ref: RecordRef, meta: BatchMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (meta.seq !== log.seq + 1 || meta.prevHash !== log.hash) return;
    this.#db.run('INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)', [log.id, meta.seq, fromHex(meta.hash), ...refValues(ref)]);
    this.#db.run('UPDATE logs SET seq = ?, hash = ? WHERE id = ?', [meta.seq, fromHex(meta.hash), log.id]);
    this.#remember(meta.owner, { ...log, seq: meta.seq, hash: meta.hash });
    this.#needed.hold(ref);
    this.#db.sums.liveBytes += recordBytes(ref);
  }

  /** A log that ends before goes on behind what was dropped: others have dropped what it lacks. */
  drop(ref: RecordRef, stamp: number, { owner, bucketId, logId, firstSeq, prevHash }: DropMeta): void {
    const log = this.#logOrNew(owner, bucketId, logId);
    if (firstSeq <= log.firstSeq) return;
    for (const row of this.#db.all('SELECT * FROM batches WHERE log = ? AND seq < ?', [log.id, firstSeq])) {
      this.#needed.letGo(refOf(row));
      this.#db.sums.liveBytes -= recordBytes(refOf(row));
    }
    this.#db.run('DELETE FROM batches WHERE log = ? AND seq < ?', [log.id, firstSeq]);
    const before = this.#db.get('SELECT drop_stamp FROM logs WHERE id = ?', [log.id])!['drop_stamp'];
    if (before !== null) this.#needed.unuse(number(before));
    this.#db.run('UPDATE logs SET first_seq = ?, drop_stamp = ? WHERE id = ?', [firstSeq, stamp, log.id]);
    if (log.seq < firstSeq - 1) {
      this.#db.run('UPDATE logs SET seq = ?, hash = ? WHERE id = ?', [firstSeq - 1, fromHex(prevHash), log.id]);
    }
    this.#heldLogs.delete(nameOf(owner, logId));
    this.#needed.holdOther(ref, stamp, 1);
  }

  seal(ref: RecordRef, stamp: number, meta: SealMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (log.sealed) return;
    this.#db.run('UPDATE logs SET sealed = 1 WHERE id = ?', [log.id]);
    this.#heldLogs.delete(nameOf(meta.owner, meta.logId));
    this.#needed.holdOther(ref, stamp, 1);
  }

  #logOrNew(owner: PublicKey, bucketId: BucketId, logId: PublicKey): HeldLog {
    const held = this.get(owner, logId);
    if (held) return held;
    const values = [this.#owners.idOf(owner), fromHex(bucketId), fromHex(logId), fromHex(NO_HASH)];
    this.#db.run(
      'INSERT INTO logs (owner, bucket, log, seq, hash, sealed, first_seq, drop_stamp) VALUES (?, ?, ?, 0, ?, 0, 1, NULL)',
      values,
    );
    this.#db.sums.logs += 1;
    return this.get(owner, logId)!;
  }

  get(owner: PublicKey, logId: PublicKey): HeldLog | null {
    const known = this.#heldLogs.get(nameOf(owner, logId));
    if (known) return known;
    const row = this.#db.get('SELECT * FROM logs WHERE owner = ? AND log = ?', [this.#owners.knownId(owner), fromHex(logId)]);
    if (!row) return null;
    const log = logOf(row);
    this.#remember(owner, log);
    return log;
  }
  #remember(owner: PublicKey, log: HeldLog): void {
    if (this.#heldLogs.size >= MAX_HELD_LOGS) this.#heldLogs.clear();
    this.#heldLogs.set(nameOf(owner, log.logId), log);
  }

  ofBucket(owner: PublicKey, bucketId: BucketId): HeldLog[] {
    return this.#db
      .all('SELECT l.* FROM logs l JOIN owners o ON o.id = l.owner WHERE o.owner = ? AND l.bucket = ? ORDER BY l.id', [
        fromHex(owner),
        fromHex(bucketId),
      ])
      .map(logOf);
  }

  batch(log: HeldLog, seq: number): HeldBatch | null {
    const row = this.#db.get('SELECT * FROM batches WHERE log = ? AND seq = ?', [log.id, seq]);
    return row ? batchOf(row) : null;
  }

  /** From `fromSeq` on, at most `limit`. */
  batches(log: HeldLog, fromSeq: number, limit: number): HeldBatch[] {
    return this.#db
      .all('SELECT * FROM batches WHERE log = ? AND seq >= ? ORDER BY seq LIMIT ?', [log.id, fromSeq, limit])
      .map(batchOf);
  }

  /** As the index has it, for those who work on rows. */
  batchRow(owner: PublicKey, logId: PublicKey, seq: number): Row | undefined {
    const log = this.get(owner, logId);
    return log ? this.#db.get('SELECT * FROM batches WHERE log = ? AND seq = ?', [log.id, seq]) : undefined;
  }

  /** Buckets of an owner of which a log is here. */
  buckets(): { owner: PublicKey; bucketId: BucketId }[] {
    return this.#db.all('SELECT DISTINCT o.owner, l.bucket FROM logs l JOIN owners o ON o.id = l.owner').map((row) => ({
      owner: hexOf(row['owner']),
      bucketId: hexOf(row['bucket']),
    }));
  }
}

function nameOf(owner: PublicKey, logId: PublicKey): string {
  return `${owner}/${logId}`;
}
function logOf(row: Row): HeldLog {
  return {
    id: number(row['id']),
    bucketId: hexOf(row['bucket']),
    logId: hexOf(row['log']),
    seq: number(row['seq']),
    hash: hexOf(row['hash']),
    sealed: number(row['sealed']) === 1,
    firstSeq: number(row['first_seq']),
  };
}
function batchOf(row: Row): HeldBatch {
  return { seq: number(row['seq']), hash: hexOf(row['hash']), ref: refOf(row) };
}
