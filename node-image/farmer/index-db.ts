// The SQLite file of the index: opened or created, prepared statements, and one transaction at a time that
// sums up on the way what many records change in the same row.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { toHex } from '#node/core/ids.ts';
import type { RecordRef } from './record.ts';

const INDEX_VERSION = 2;
const PLACE = 'segment INTEGER NOT NULL, offset INTEGER NOT NULL, body_bytes INTEGER NOT NULL, meta_bytes INTEGER NOT NULL';
/**
 * `held`: records of a segment that are needed, pieces in the trash among them; `trash` says how much of
 * it came into the trash on which day. `others`: needed records that are neither piece nor batch; `uses`: pieces
 * of which a trash or restore record has the last word. `late`: records found at a start that only make sense
 * in their order. A piece's `stamp` is that of the last record which said something about it.
 */
const SCHEMA = `
  CREATE TABLE owners (id INTEGER PRIMARY KEY, owner BLOB NOT NULL UNIQUE, pieces INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE segments (segment INTEGER PRIMARY KEY, life BLOB NOT NULL, tail INTEGER NOT NULL, phase TEXT NOT NULL);
  CREATE TABLE held (segment INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
  CREATE TABLE trash (segment INTEGER NOT NULL, day INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (segment, day)) WITHOUT ROWID;
  CREATE TABLE pieces (owner INTEGER NOT NULL, piece BLOB NOT NULL, root BLOB NOT NULL, ${PLACE},
    stored_ms INTEGER NOT NULL, trashed_ms INTEGER, stamp INTEGER NOT NULL, PRIMARY KEY (owner, piece)) WITHOUT ROWID;
  CREATE TABLE logs (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, bucket BLOB NOT NULL, log BLOB NOT NULL, seq INTEGER NOT NULL,
    hash BLOB NOT NULL, sealed INTEGER NOT NULL, first_seq INTEGER NOT NULL, drop_stamp INTEGER, UNIQUE (owner, log));
  CREATE INDEX logs_by_bucket ON logs (owner, bucket);
  CREATE TABLE batches (log INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, ${PLACE}, PRIMARY KEY (log, seq)) WITHOUT ROWID;
  CREATE TABLE statements (owner INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, stamp INTEGER NOT NULL, PRIMARY KEY (owner, hash)) WITHOUT ROWID;
  CREATE TABLE names (name BLOB NOT NULL, owner INTEGER NOT NULL, PRIMARY KEY (name, owner)) WITHOUT ROWID;
  CREATE TABLE others (stamp INTEGER PRIMARY KEY, ${PLACE}, uses INTEGER NOT NULL);
  CREATE TABLE late (stamp INTEGER PRIMARY KEY, kind TEXT NOT NULL, ${PLACE}, meta BLOB NOT NULL, body BLOB);
  CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), live_bytes INTEGER NOT NULL, pieces INTEGER NOT NULL, logs INTEGER NOT NULL, stamp INTEGER NOT NULL);
  INSERT INTO totals VALUES (1, 0, 0, 0, 0);
  PRAGMA user_version = ${INDEX_VERSION};
`;

export type Row = Record<string, SQLInputValue>;

/** What a transaction adds to rows that many records share. */
class Sums {
  liveBytes = 0;
  pieces = 0;
  logs = 0;
  stamp = 0;
  readonly owners = new Map<number, { pieces: number; bytes: number }>();
  readonly heldBytes = new Map<number, number>();
}

export class IndexDb {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();
  /** Of the transaction that runs. */
  sums = new Sums();

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Opens or creates. Throws where the file isn't an index of this version: remove it and build anew. */
  static open(path: string): IndexDb {
    const db = new DatabaseSync(path, { timeout: 5000 });
    try {
      // Checkpoints are made by index-checkpoint.ts on another thread: they wait for the disk.
      db.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16000;',
      );
      const version = db.prepare('PRAGMA user_version').get()?.['user_version'];
      if (version === 0) db.exec(`BEGIN; ${SCHEMA} COMMIT;`);
      else if (version !== INDEX_VERSION) throw new Error(`an index of version ${String(version)}`);
      return new IndexDb(db);
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
    this.sums = new Sums();
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#flush();
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  get(sql: string, values: SQLInputValue[] = []): Row | undefined {
    return this.#statement(sql).get(...values);
  }
  all(sql: string, values: SQLInputValue[] = []): Row[] {
    return this.#statement(sql).all(...values);
  }
  /** Whether a row changed. */
  run(sql: string, values: SQLInputValue[]): boolean {
    return Number(this.#statement(sql).run(...values).changes) > 0;
  }

  #flush(): void {
    const { liveBytes, pieces, logs, stamp, owners, heldBytes } = this.sums;
    this.run('UPDATE totals SET live_bytes = live_bytes + ?, pieces = pieces + ?, logs = logs + ?, stamp = max(stamp, ?)', [
      liveBytes,
      pieces,
      logs,
      stamp,
    ]);
    for (const [id, more] of owners) {
      this.run('UPDATE owners SET pieces = pieces + ?, bytes = bytes + ? WHERE id = ?', [more.pieces, more.bytes, id]);
    }
    for (const [segment, bytes] of heldBytes) {
      this.run('INSERT INTO held VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET bytes = bytes + excluded.bytes', [
        segment,
        bytes,
      ]);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }
}

export function number(value: unknown): number {
  return Number(value ?? 0);
}
export function blob(value: unknown): Uint8Array {
  return value as Uint8Array;
}
export function hexOf(value: unknown): string {
  return toHex(blob(value));
}
export function refValues({ segment, offset, bodyBytes, metaBytes }: RecordRef): number[] {
  return [segment, offset, bodyBytes, metaBytes];
}
export function refOf(row: Row): RecordRef {
  return {
    segment: number(row['segment']),
    offset: number(row['offset']),
    bodyBytes: number(row['body_bytes']),
    metaBytes: number(row['meta_bytes']),
  };
}
