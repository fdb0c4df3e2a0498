// SQLite under the repairer's index: opening, statements, rows. What can be read again needs no sync.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { toHex } from '#node/core/ids.ts';
import type { Scheme } from '#node/wire/types.ts';
import { INDEX_SCHEMA, INDEX_VERSION } from './index-schema.ts';

export type Row = Record<string, number | string | Uint8Array | null>;

const PRAGMAS = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16000;';

export class IndexDatabase {
  readonly #db: DatabaseSync;
  /** By their text: as many as the index has statements. */
  readonly #statements = new Map<string, StatementSync>();

  /** `path` may be ':memory:'. A damaged file, or one of another version, starts empty. */
  constructor(path: string) {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
    this.#db = (path === ':memory:' ? null : openExisting(path)) ?? create(path);
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing; a nested call joins. */
  transaction<T>(work: () => T, onRollback: () => void): T {
    if (this.#db.isTransaction) return work();
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK');
      onRollback();
      throw error;
    }
  }

  /** How many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function create(path: string): DatabaseSync {
  if (path !== ':memory:') for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true });
  const db = new DatabaseSync(path);
  db.exec(PRAGMAS);
  db.exec(INDEX_SCHEMA);
  db.exec(`PRAGMA user_version = ${INDEX_VERSION}`);
  return db;
}

function openExisting(path: string): DatabaseSync | null {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec(PRAGMAS);
    const version = db.prepare('PRAGMA user_version').get() as { user_version: number };
    const check = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
    if (version.user_version === INDEX_VERSION && check.quick_check === 'ok') return db;
  } catch {
    // Not a database, or a damaged one: the caller starts an empty one.
  }
  db?.close();
  return null;
}

export function num(value: unknown): number {
  return value as number;
}
export function bytes(value: unknown): Uint8Array {
  return value as Uint8Array;
}
export function hex(value: unknown): string {
  return toHex(value as Uint8Array);
}

export function schemeOf(row: Row): Scheme {
  return {
    required: num(row['required']),
    repair: num(row['repair']),
    optimal: num(row['optimal']),
    total: num(row['total']),
  };
}
