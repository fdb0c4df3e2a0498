// SQLite under the repairer's index: opening, statements, rows. What can be read again needs no sync. Nor is the file
// looked through at each start, which would take minutes for many segments: damage is noted where it is met.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { toHex } from '#node/core/ids.ts';
import type { Scheme } from '#node/wire/types.ts';
import { INDEX_SCHEMA, INDEX_VERSION } from './index-schema.ts';

export type Row = Record<string, number | string | Uint8Array | null>;

const PRAGMAS =
  'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 4000;';

/** Result codes of SQLite: a page that can't be right, and a file that is none of its own. */
const DAMAGE = [11, 26];

export class IndexDatabase {
  readonly #path: string;
  readonly #db: DatabaseSync;
  /** By their text: as many as the index has statements. */
  readonly #statements = new Map<string, StatementSync>();

  /** `path` may be ':memory:'. A file of another version, or one that turned out to be damaged, starts empty. */
  constructor(path: string) {
    this.#path = path;
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
    this.#db = (path === ':memory:' ? null : openExisting(path)) ?? create(path);
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing; a nested call joins. */
  transaction<T>(work: () => T, onRollback: () => void): T {
    if (this.#db.isTransaction) return work();
    this.#noting(() => this.#db.exec('BEGIN IMMEDIATE'));
    try {
      const result = work();
      this.#noting(() => this.#db.exec('COMMIT'));
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      onRollback();
      throw error;
    }
  }

  /** How many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#noting(() => Number(this.#statement(sql).run(...values).changes));
  }
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#noting(() => this.#statement(sql).get(...values) as Row | undefined);
  }
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#noting(() => this.#statement(sql).all(...values) as Row[]);
  }

  /** Whoever opens a damaged file next starts anew. */
  #noting<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const { errcode = 0 } = error as { errcode?: number };
      if (DAMAGE.includes(errcode & 0xff) && this.#path !== ':memory:') writeFileSync(damageMark(this.#path), '');
      throw error;
    }
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
  const files = [path, `${path}-wal`, `${path}-shm`, damageMark(path)];
  if (path !== ':memory:') for (const file of files) rmSync(file, { force: true });
  const db = new DatabaseSync(path);
  db.exec(PRAGMAS);
  db.exec(INDEX_SCHEMA);
  db.exec(`PRAGMA user_version = ${INDEX_VERSION}`);
  return db;
}

function damageMark(path: string): string {
  return `${path}-damaged`;
}

function openExisting(path: string): DatabaseSync | null {
  if (existsSync(damageMark(path))) return null;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec(PRAGMAS);
    const version = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version.user_version === INDEX_VERSION) return db;
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
