// Where everything lies: an SQLite file beside the segment files. It is a view of them, behind by nothing
// when the store is closed well and by the tails of the files after a crash; lost, it is made anew from
// them. Commits don't wait for the disk; what they say was durable before they were made.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { fromHex, toHex } from '#node/core/ids.ts';
import { NO_HASH } from '#node/wire/batch.ts';
import type { BucketId, Hash, PieceId, PublicKey } from '#node/wire/types.ts';
import type { BatchMeta, PieceMeta, SealMeta, StatementMeta } from './record-meta.ts';
import { recordBytes, type RecordRef } from './record.ts';
import type { SegmentState } from './segment-file.ts';

const INDEX_VERSION = 1;
const SCHEMA = `
  CREATE TABLE owners (id INTEGER PRIMARY KEY, owner BLOB NOT NULL UNIQUE, pieces INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE segments (segment INTEGER PRIMARY KEY, life INTEGER NOT NULL, tail INTEGER NOT NULL, sealed INTEGER NOT NULL);
  CREATE TABLE pieces (owner INTEGER NOT NULL, piece BLOB NOT NULL, root BLOB NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, body_bytes INTEGER NOT NULL, meta_bytes INTEGER NOT NULL,
    PRIMARY KEY (owner, piece)) WITHOUT ROWID;
  CREATE TABLE logs (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, bucket BLOB NOT NULL, log BLOB NOT NULL,
    seq INTEGER NOT NULL, hash BLOB NOT NULL, sealed INTEGER NOT NULL, UNIQUE (owner, log));
  CREATE INDEX logs_by_bucket ON logs (owner, bucket);
  CREATE TABLE batches (log INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, body_bytes INTEGER NOT NULL, meta_bytes INTEGER NOT NULL,
    PRIMARY KEY (log, seq)) WITHOUT ROWID;
  CREATE TABLE statements (owner INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (owner, hash)) WITHOUT ROWID;
  CREATE TABLE names (name BLOB NOT NULL, owner INTEGER NOT NULL, PRIMARY KEY (name, owner)) WITHOUT ROWID;
  CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), live_bytes INTEGER NOT NULL, pieces INTEGER NOT NULL, logs INTEGER NOT NULL);
  INSERT INTO totals VALUES (1, 0, 0, 0);
  PRAGMA user_version = ${INDEX_VERSION};
`;

export interface HeldPiece {
  ref: RecordRef;
  pieceRoot: Hash;
}
export interface HeldLog {
  /** Of this index only. */
  id: number;
  bucketId: BucketId;
  logId: PublicKey;
  /** 0 = nothing yet. */
  seq: number;
  hash: Hash;
  sealed: boolean;
}
export interface HeldBatch {
  seq: number;
  hash: Hash;
  ref: RecordRef;
}
export interface StoreTotals {
  liveBytes: number;
  pieces: number;
  logs: number;
}
type Row = Record<string, SQLInputValue>;

export class StoreIndex {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Opens or creates. Throws where the file isn't an index of this version: remove it and build anew. */
  static open(path: string): StoreIndex {
    const db = new DatabaseSync(path, { timeout: 5000 });
    try {
      // Checkpoints are made by `checkpointIndex` on another thread: they wait for the disk.
      db.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16000;',
      );
      const version = db.prepare('PRAGMA user_version').get()?.['user_version'];
      if (version === 0) db.exec(`BEGIN; ${SCHEMA} COMMIT;`);
      else if (version !== INDEX_VERSION) throw new Error(`an index of version ${String(version)}`);
      return new StoreIndex(db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing. */
  transaction(work: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  // ---- segments and totals --------------------------------------------------------------------

  segments(): SegmentState[] {
    return this.#all('SELECT segment, life, tail, sealed FROM segments ORDER BY segment').map((row) => ({
      segment: number(row['segment']),
      life: BigInt.asUintN(64, row['life'] as bigint),
      tail: number(row['tail']),
      sealed: number(row['sealed']) === 1,
    }));
  }
  putSegment({ segment, life, tail, sealed }: SegmentState): void {
    this.#run(
      'INSERT INTO segments VALUES (?, ?, ?, ?) ON CONFLICT (segment) DO UPDATE SET life = excluded.life, tail = excluded.tail, sealed = excluded.sealed',
      [segment, BigInt.asIntN(64, life), tail, sealed ? 1 : 0],
    );
  }
  totals(): StoreTotals {
    const row = this.#get('SELECT live_bytes, pieces, logs FROM totals')!;
    return { liveBytes: number(row['live_bytes']), pieces: number(row['pieces']), logs: number(row['logs']) };
  }
  #count(liveBytes: number, pieces: number, logs: number): void {
    this.#run('UPDATE totals SET live_bytes = live_bytes + ?, pieces = pieces + ?, logs = logs + ?', [liveBytes, pieces, logs]);
  }

  // ---- records, as they become durable. A record that is there already changes nothing: it is trash. -------

  addPiece(ref: RecordRef, meta: PieceMeta): void {
    const owner = this.#ownerId(meta.owner, true)!;
    const isNew = this.#run('INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?)', [
      owner,
      fromHex(meta.pieceId),
      fromHex(meta.pieceRoot),
      ...refValues(ref),
    ]);
    if (!isNew) return;
    this.#run('UPDATE owners SET pieces = pieces + 1, bytes = bytes + ? WHERE id = ?', [ref.bodyBytes, owner]);
    this.#count(recordBytes(ref), 1, 0);
  }

  /** Only the one after the head counts. */
  addBatch(ref: RecordRef, meta: BatchMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (meta.seq !== log.seq + 1) return;
    this.#run('INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)', [log.id, meta.seq, fromHex(meta.hash), ...refValues(ref)]);
    this.#run('UPDATE logs SET seq = ?, hash = ? WHERE id = ?', [meta.seq, fromHex(meta.hash), log.id]);
    this.#count(recordBytes(ref), 0, 0);
  }

  addSeal(ref: RecordRef, meta: SealMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (log.sealed) return;
    this.#run('UPDATE logs SET sealed = 1 WHERE id = ?', [log.id]);
    this.#count(recordBytes(ref), 0, 0);
  }

  addStatement(ref: RecordRef, meta: StatementMeta, hash: Uint8Array, bytes: Uint8Array): void {
    const owner = this.#ownerId(meta.owner, true)!;
    if (!this.#run('INSERT OR IGNORE INTO statements VALUES (?, ?, ?)', [owner, hash, bytes])) return;
    for (const name of meta.names) this.#run('INSERT OR IGNORE INTO names VALUES (?, ?)', [fromHex(name), owner]);
    this.#count(recordBytes(ref), 0, 0);
  }

  // ---- questions --------------------------------------------------------------------------------

  piece(owner: PublicKey, pieceId: PieceId): HeldPiece | null {
    const row = this.#get('SELECT p.* FROM pieces p JOIN owners o ON o.id = p.owner WHERE o.owner = ? AND p.piece = ?', [
      fromHex(owner),
      fromHex(pieceId),
    ]);
    return row ? { ref: refOf(row), pieceRoot: hexOf(row['root']) } : null;
  }

  log(owner: PublicKey, logId: PublicKey): HeldLog | null {
    const row = this.#get('SELECT l.* FROM logs l JOIN owners o ON o.id = l.owner WHERE o.owner = ? AND l.log = ?', [
      fromHex(owner),
      fromHex(logId),
    ]);
    return row ? logOf(row) : null;
  }

  logs(owner: PublicKey, bucketId: BucketId): HeldLog[] {
    return this.#all('SELECT l.* FROM logs l JOIN owners o ON o.id = l.owner WHERE o.owner = ? AND l.bucket = ? ORDER BY l.id', [
      fromHex(owner),
      fromHex(bucketId),
    ]).map(logOf);
  }

  batch(log: HeldLog, seq: number): HeldBatch | null {
    const row = this.#get('SELECT * FROM batches WHERE log = ? AND seq = ?', [log.id, seq]);
    return row ? batchOf(row) : null;
  }

  /** From `fromSeq` on, at most `limit`. */
  batches(log: HeldLog, fromSeq: number, limit: number): HeldBatch[] {
    return this.#all('SELECT * FROM batches WHERE log = ? AND seq >= ? ORDER BY seq LIMIT ?', [log.id, fromSeq, limit]).map(
      batchOf,
    );
  }

  statements(owner: PublicKey): Uint8Array[] {
    return this.#all('SELECT s.bytes FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? ORDER BY s.hash', [
      fromHex(owner),
    ]).map((row) => blob(row['bytes']));
  }
  hasStatement(owner: PublicKey, hash: Uint8Array): boolean {
    const sql = 'SELECT 1 FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? AND s.hash = ?';
    return this.#get(sql, [fromHex(owner), hash]) !== undefined;
  }
  statementCount(owner: PublicKey): number {
    const sql = 'SELECT COUNT(*) AS n FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ?';
    return number(this.#get(sql, [fromHex(owner)])?.['n']);
  }

  /** Owners with statements, in the order of their keys. */
  ownersWithStatements(after: PublicKey | '', limit: number): PublicKey[] {
    return this.#owners(
      'SELECT owner FROM owners o WHERE owner > ? AND EXISTS (SELECT 1 FROM statements s WHERE s.owner = o.id)',
      [after, limit],
    );
  }
  /** Owners whose statements name this key. */
  ownersNaming(name: PublicKey, after: PublicKey | '', limit: number): PublicKey[] {
    const sql = 'SELECT o.owner FROM names n JOIN owners o ON o.id = n.owner WHERE n.name = ? AND o.owner > ?';
    return this.#all(`${sql} ORDER BY o.owner LIMIT ?`, [fromHex(name), fromHex(after), limit]).map((row) => hexOf(row['owner']));
  }
  /** Buckets of an owner of which a log is here. */
  bucketsWithLogs(): { owner: PublicKey; bucketId: BucketId }[] {
    return this.#all('SELECT DISTINCT o.owner, l.bucket FROM logs l JOIN owners o ON o.id = l.owner').map((row) => ({
      owner: hexOf(row['owner']),
      bucketId: hexOf(row['bucket']),
    }));
  }
  /** Owners of pieces. */
  holdings(): { owner: PublicKey; pieces: number; bytes: number }[] {
    return this.#all('SELECT owner, pieces, bytes FROM owners WHERE pieces > 0 ORDER BY owner').map((row) => ({
      owner: hexOf(row['owner']),
      pieces: number(row['pieces']),
      bytes: number(row['bytes']),
    }));
  }

  // ---- SQL --------------------------------------------------------------------------------------

  #owners(sql: string, [after, limit]: [PublicKey | '', number]): PublicKey[] {
    return this.#all(`${sql} ORDER BY owner LIMIT ?`, [fromHex(after), limit]).map((row) => hexOf(row['owner']));
  }

  #ownerId(owner: PublicKey, create: boolean): number | null {
    const key = fromHex(owner);
    if (create) this.#run('INSERT OR IGNORE INTO owners (owner) VALUES (?)', [key]);
    const row = this.#get('SELECT id FROM owners WHERE owner = ?', [key]);
    return row ? number(row['id']) : null;
  }

  #logOrNew(owner: PublicKey, bucketId: BucketId, logId: PublicKey): HeldLog {
    const held = this.log(owner, logId);
    if (held) return held;
    const values = [this.#ownerId(owner, true)!, fromHex(bucketId), fromHex(logId), 0, fromHex(NO_HASH), 0];
    this.#run('INSERT INTO logs (owner, bucket, log, seq, hash, sealed) VALUES (?, ?, ?, ?, ?, ?)', values);
    this.#count(0, 0, 1);
    return this.log(owner, logId)!;
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      // Only a file's life needs all 64 bits.
      statement.setReadBigInts(true);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }
  #get(sql: string, values: SQLInputValue[] = []): Row | undefined {
    return this.#statement(sql).get(...values);
  }
  #all(sql: string, values: SQLInputValue[] = []): Row[] {
    return this.#statement(sql).all(...values);
  }
  /** Whether a row changed. */
  #run(sql: string, values: SQLInputValue[]): boolean {
    return number(this.#statement(sql).run(...values).changes) > 0;
  }
}

function number(value: unknown): number {
  return Number(value ?? 0);
}
function blob(value: unknown): Uint8Array {
  return value as Uint8Array;
}
function hexOf(value: unknown): string {
  return toHex(blob(value));
}
function refValues({ segment, offset, bodyBytes, metaBytes }: RecordRef): number[] {
  return [segment, offset, bodyBytes, metaBytes];
}
function refOf(row: Row): RecordRef {
  return {
    segment: number(row['segment']),
    offset: number(row['offset']),
    bodyBytes: number(row['body_bytes']),
    metaBytes: number(row['meta_bytes']),
  };
}
function logOf(row: Row): HeldLog {
  return {
    id: number(row['id']),
    bucketId: hexOf(row['bucket']),
    logId: hexOf(row['log']),
    seq: number(row['seq']),
    hash: hexOf(row['hash']),
    sealed: number(row['sealed']) === 1,
  };
}
function batchOf(row: Row): HeldBatch {
  return { seq: number(row['seq']), hash: hexOf(row['hash']), ref: refOf(row) };
}
