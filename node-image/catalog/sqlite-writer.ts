// The catalog's only writer: a thread of its own, so that commits never hold up requests. What queued up
// during one commit shares the next (group commit). synchronous=NORMAL: after a power cut the newest
// commits may be missing, never half there; they are replayed from the logs, which are what is durable.
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { applyBatch, applyRestored } from './apply-batch.ts';
import { CatalogError, type AppliedBatch, type RestoreStep } from './catalog.ts';
import { createSealer } from './seal.ts';
import { preparedStatements, text } from './sqlite-rows.ts';
import { SCHEMA, SCHEMA_VERSION } from './sqlite-schema.ts';
import { sqliteTables } from './sqlite-tables.ts';

export type WriterRequest =
  | { id: number; kind: 'apply'; batch: AppliedBatch }
  | { id: number; kind: 'restore'; restore: RestoreStep }
  | { id: number; kind: 'setting'; name: string; value: Uint8Array | null }
  | { id: number; kind: 'close' };
export interface WriterResult {
  id: number;
  error: { code: CatalogError['code']; message: string } | null;
}

const { path, secret } = workerData as { path: string; secret: Uint8Array };
const port = parentPort;
if (port === null) throw new Error('sqlite-writer.ts runs as a worker thread');

const db = open();
const sealer = createSealer(secret);
const tables = sqliteTables(preparedStatements(db), sealer);
let queue: WriterRequest[] = [];

port.on('message', (request: WriterRequest) => {
  queue.push(request);
  if (queue.length === 1) setImmediate(commit);
});
port.postMessage('open');

function open(): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000');
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version === SCHEMA_VERSION) return database;
  const names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  database.exec('BEGIN');
  for (const row of names) database.exec(`DROP TABLE "${text(row, 'name')}"`);
  database.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
  return database;
}

function commit(): void {
  const requests = queue;
  queue = [];
  let results: WriterResult[];
  try {
    db.exec('BEGIN IMMEDIATE');
    results = requests.map(attempt);
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    results = requests.map(({ id }) => ({ id, error: describe(error) }));
  }
  const closing = requests.some((request) => request.kind === 'close');
  if (closing) db.close();
  port?.postMessage(results);
  if (closing) port?.close();
}

/** One request in its savepoint, so that a bad one doesn't take the others along. */
function attempt(request: WriterRequest): WriterResult {
  if (request.kind === 'close') return { id: request.id, error: null };
  db.exec('SAVEPOINT one');
  try {
    if (request.kind === 'apply') applyBatch(tables, request.batch);
    else if (request.kind === 'restore') applyRestored(tables, request.restore);
    else saveSetting(request.name, request.value);
    db.exec('RELEASE one');
    return { id: request.id, error: null };
  } catch (error) {
    db.exec('ROLLBACK TO one; RELEASE one');
    return { id: request.id, error: describe(error) };
  }
}

function saveSetting(name: string, value: Uint8Array | null): void {
  if (value === null) db.prepare('DELETE FROM settings WHERE name = ?').run(name);
  else db.prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)').run(name, sealer.seal(`setting/${name}`, value));
}

function describe(error: unknown): { code: CatalogError['code']; message: string } {
  if (error instanceof CatalogError) return { code: error.code, message: error.message };
  return { code: 'Storage', message: error instanceof Error ? error.message : String(error) };
}
