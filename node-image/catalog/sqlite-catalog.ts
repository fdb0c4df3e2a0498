// The SQLite catalog: reads here, on a connection of its own (WAL: they never wait for the writer), writes
// in sqlite-writer.ts.
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import type { SegmentPlacement } from '#node/wire/types.ts';
import {
  CatalogError,
  type BucketRow,
  type Catalog,
  type Checksum,
  type Content,
  type CutFacts,
  type ListRow,
  type PartRow,
  type UploadRow,
  type VersionRow,
} from './catalog.ts';
import { justAfter, keyBytes } from './key-order.ts';
import { listPage, uploadPage } from './pages.ts';
import { createSealer } from './seal.ts';
import type { Seek } from './skip-scan.ts';
import { blob, number, preparedStatements, text, type Row } from './sqlite-rows.ts';
import type { WriterRequest, WriterResult } from './sqlite-writer.ts';

const VERSION_COLUMNS = 'key, version, wall_ms, counter, log, size, etag, modified_ms, attributes';
const MAX_FETCH_ROWS = 1024;
const MAX_CACHED_NAMES = 1000;

/** `secret` seals what opens content; with another one the catalog can't be read and must be rebuilt. */
export async function openSqliteCatalog({ path, secret }: { path: string; secret: Uint8Array }): Promise<Catalog> {
  const writer = await startWriter(path, secret);
  return createReader(path, secret, writer);
}

interface Writer {
  send(request: DistributiveOmit<WriterRequest, 'id'>): Promise<void>;
}
type DistributiveOmit<Union, Key extends PropertyKey> = Union extends unknown ? Omit<Union, Key> : never;

async function startWriter(path: string, secret: Uint8Array): Promise<Writer> {
  const worker = new Worker(new URL('./sqlite-writer.ts', import.meta.url), { workerData: { path, secret } });
  const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  let nextId = 1;
  let ended: CatalogError | null = null;
  const opened = Promise.withResolvers<void>();
  const end = (error: CatalogError) => {
    ended ??= error;
    opened.reject(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (message: 'open' | WriterResult[]) => {
    if (message === 'open') return opened.resolve();
    for (const { id, error } of message) {
      const caller = waiting.get(id);
      waiting.delete(id);
      if (error === null) caller?.resolve();
      else caller?.reject(new CatalogError(error.code, error.message));
    }
  });
  worker.on('error', (cause) => end(new CatalogError('Storage', `the catalog at ${path} failed: ${String(cause)}`, cause)));
  worker.on('exit', () => end(new CatalogError('Closed', 'the catalog is closed')));
  await opened.promise;
  return {
    send(request) {
      if (ended !== null) return Promise.reject(ended);
      const id = nextId++;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.set(id, { resolve, reject });
      worker.postMessage({ ...request, id }, []);
      return promise;
    },
  };
}

function createReader(path: string, secret: Uint8Array, writer: Writer): Catalog {
  const db = new DatabaseSync(path, { readOnly: true });
  db.exec('PRAGMA cache_size = -64000; PRAGMA mmap_size = 268435456');
  const sealer = createSealer(secret);
  const { get, all } = preparedStatements(db);
  const open = (place: string, sealed: SQLOutputValue | undefined): unknown =>
    sealed instanceof Uint8Array ? sealer.open(place, sealed) : null;

  /** Fetches in runs, about as long as what will be taken and longer when that wasn't enough. */
  const seek = <Result>(
    sql: string,
    position: (row: Row) => Uint8Array,
    toRow: (row: Row) => Result,
    bucketId: string,
  ): Seek<Result> =>
    function* rows(from, end, expected) {
      let next = from;
      for (let limit = Math.min(expected, MAX_FETCH_ROWS); ; limit = Math.min(4 * limit, MAX_FETCH_ROWS)) {
        const found = all(sql, bucketId, next, end ?? Buffer.of(0xff), limit);
        for (const row of found) yield toRow(row);
        const last = found.at(-1);
        if (last === undefined || found.length < limit) return;
        next = justAfter(Buffer.from(position(last)));
      }
    };
  // Asked for by every request, changed by next to none; all changes come through `apply`.
  const named = new Map<string, BucketRow[]>();

  return {
    async apply(batch) {
      await writer.send({ kind: 'apply', batch });
      if (batch.entries.some(({ kind }) => kind === 'bucket')) named.clear();
    },
    async restore(restore) {
      await writer.send({ kind: 'restore', restore });
      named.clear();
    },
    uncovered(owner, bucketId) {
      const row = get('SELECT head_bytes, inline_bytes FROM uncovered WHERE owner = ? AND bucket = ?', owner, bucketId);
      if (row === undefined) return { headBytes: 0, inlineBytes: 0 };
      return { headBytes: number(row, 'head_bytes'), inlineBytes: number(row, 'inline_bytes') };
    },
    positions: (owner, bucketId) =>
      all('SELECT log, seq, hash FROM positions WHERE owner = ? AND bucket = ?', owner, bucketId).map((row) => ({
        logId: text(row, 'log'),
        seq: number(row, 'seq'),
        hash: text(row, 'hash'),
      })),

    deletedBuckets: (owner) =>
      all('SELECT bucket FROM buckets WHERE owner = ? AND deleted = 1 ORDER BY bucket', owner).map((row) => text(row, 'bucket')),
    buckets: (owner) => all('SELECT * FROM buckets WHERE owner = ? AND deleted = 0 ORDER BY name', owner).map(bucketRow),
    bucketsNamed(name) {
      const known = named.get(name);
      if (known !== undefined) return known;
      const found = all('SELECT * FROM buckets WHERE name = ? AND deleted = 0 ORDER BY created_ms, bucket', name).map(bucketRow);
      if (named.size >= MAX_CACHED_NAMES) named.clear();
      named.set(name, found);
      return found;
    },
    usage(bucketId) {
      const row = get('SELECT objects, bytes, upload_bytes FROM usage WHERE bucket = ?', bucketId);
      if (row === undefined) return { objects: 0, bytes: 0, uploadBytes: 0 };
      return { objects: number(row, 'objects'), bytes: number(row, 'bytes'), uploadBytes: number(row, 'upload_bytes') };
    },

    current(bucketId, key) {
      const sql = `SELECT ${VERSION_COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND is_current = 1`;
      const row = get(sql, bucketId, keyBytes(key));
      return row === undefined ? null : versionRow(row);
    },
    version(bucketId, key, versionId) {
      const sql = `SELECT ${VERSION_COLUMNS} FROM versions WHERE bucket = ? AND key = ? AND version = ?`;
      const row = get(sql, bucketId, keyBytes(key), versionId);
      return row === undefined ? null : versionRow(row);
    },
    segmented(bucketId, after, limit) {
      const sql = `SELECT key, version FROM versions
        WHERE bucket = ?1 AND key >= ?2 AND (key > ?2 OR version > ?3) AND segments <> '[]' ORDER BY key, version LIMIT ?4`;
      return all(sql, bucketId, after === null ? Buffer.alloc(0) : keyBytes(after.key), after?.versionId ?? '', limit).map(
        (row) => ({
          key: Buffer.from(blob(row, 'key')).toString('utf8'),
          versionId: text(row, 'version'),
        }),
      );
    },
    liveVersions: (bucketId, key) =>
      all('SELECT version FROM versions WHERE bucket = ? AND key = ?', bucketId, keyBytes(key)).map((row) =>
        text(row, 'version'),
      ),
    content(bucketId, key, versionId) {
      const sql = 'SELECT sealed FROM contents WHERE bucket = ? AND key = ? AND version = ?';
      return open(`${bucketId}/${versionId}`, get(sql, bucketId, keyBytes(key), versionId)?.['sealed']) as Content | null;
    },
    list(bucketId, query) {
      // The key as text in the statement itself: a blob for each row would cost more than all the rest.
      const sql = `SELECT CAST(key AS TEXT) AS name, size, etag, modified_ms, checksum FROM versions
        WHERE bucket = ? AND key >= ? AND key < ? AND is_current = 1 ORDER BY key LIMIT ?`;
      return listPage(
        query,
        seek(sql, (row) => keyBytes(text(row, 'name')), listRow, bucketId),
      );
    },

    upload(bucketId, uploadId) {
      const row = get(`SELECT * FROM uploads WHERE bucket = ? AND upload = ? AND state = 'open'`, bucketId, uploadId);
      return row === undefined ? null : uploadRow(row);
    },
    uploads(bucketId, query) {
      const sql = `SELECT upload, position, name, created_ms, attributes FROM uploads INDEXED BY uploads_by_position
        WHERE bucket = ? AND position >= ? AND position < ? AND state = 'open' ORDER BY position LIMIT ?`;
      return uploadPage(
        query,
        seek(sql, (row) => blob(row, 'position'), uploadRow, bucketId),
      );
    },
    parts: (bucketId, uploadId, afterPart, limit) =>
      all(
        'SELECT number, size, etag, modified_ms, checksums FROM parts WHERE bucket = ? AND upload = ? AND number > ? ORDER BY number LIMIT ?',
        bucketId,
        uploadId,
        afterPart,
        limit,
      ).map(partRow),
    part(bucketId, uploadId, partNumber) {
      const row = get('SELECT * FROM parts WHERE bucket = ? AND upload = ? AND number = ?', bucketId, uploadId, partNumber);
      const content = open(`${bucketId}/${uploadId}/${partNumber}`, row?.['sealed']) as Content | null;
      return row === undefined || content === null ? null : { ...partRow(row), ...content };
    },

    cut(owner, limit) {
      // One transaction: the writer's thread may commit between two statements.
      db.exec('BEGIN');
      try {
        const heads = all('SELECT bucket, log, seq, hash FROM positions WHERE owner = ?', owner).map(cutHead);
        const dropped = all(UNNAMED, owner, limit).map((row) => text(row, 'segment'));
        return { heads, dropped };
      } finally {
        db.exec('COMMIT');
      }
    },
    placement(bucketId, segmentId) {
      const row = get('SELECT sealed FROM segments WHERE bucket = ? AND segment = ?', bucketId, segmentId);
      return open(`${bucketId}/${segmentId}`, row?.['sealed']) as SegmentPlacement | null;
    },
    schemes(bucketId) {
      // One seek for each scheme, however many segments there are.
      const sql = `SELECT optimal, required FROM segments INDEXED BY segments_by_scheme
        WHERE bucket = ? AND refs > 0 AND (optimal, required) > (?, ?) ORDER BY optimal, required LIMIT 1`;
      const found: { required: number; optimal: number }[] = [];
      for (;;) {
        const last = found.at(-1);
        const row = get(sql, bucketId, last?.optimal ?? 0, last?.required ?? 0);
        if (row === undefined) return found;
        found.push({ required: number(row, 'required'), optimal: number(row, 'optimal') });
      }
    },
    references: (bucketId, segmentId) =>
      Number(get('SELECT refs FROM segments WHERE bucket = ? AND segment = ?', bucketId, segmentId)?.['refs'] ?? 0),
    moves: (tag) =>
      all('SELECT sealed FROM moves WHERE tag = ?', tag).map((row) => ({
        tag,
        sealed: blob(row, 'sealed'),
      })),

    setting: (name) =>
      open(`setting/${name}`, get('SELECT sealed FROM settings WHERE name = ?', name)?.['sealed']) as Uint8Array | null,
    saveSetting: (name, value) => writer.send({ kind: 'setting', name, value }),

    async close() {
      await writer.send({ kind: 'close' }).catch((error: unknown) => {
        if (!(error instanceof CatalogError && error.code === 'Closed')) throw error;
      });
      if (db.isOpen) db.close();
    },
  };
}

const UNNAMED = `SELECT DISTINCT s.segment FROM (SELECT DISTINCT bucket FROM positions WHERE owner = ?) b
  JOIN segments s INDEXED BY segments_unnamed ON s.bucket = b.bucket AND s.refs <= 0
  WHERE NOT EXISTS (SELECT 1 FROM segments o WHERE o.segment = s.segment AND o.refs > 0) LIMIT ?`;

const cutHead = (row: Row): CutFacts['heads'][number] => ({
  bucketId: text(row, 'bucket'),
  logId: text(row, 'log'),
  seq: number(row, 'seq'),
  hash: text(row, 'hash'),
});

const bucketRow = (row: Row): BucketRow => ({
  bucketId: text(row, 'bucket'),
  owner: text(row, 'owner'),
  name: text(row, 'name'),
  createdMs: number(row, 'created_ms'),
});

function versionRow(row: Row): VersionRow {
  const attributes = JSON.parse(text(row, 'attributes')) as Pick<VersionRow, 'headers' | 'checksums' | 'partSizes'>;
  return {
    key: Buffer.from(blob(row, 'key')).toString('utf8'),
    versionId: text(row, 'version'),
    clock: { wallMs: number(row, 'wall_ms'), counter: number(row, 'counter') },
    logId: text(row, 'log'),
    sizeBytes: number(row, 'size'),
    etag: text(row, 'etag'),
    modifiedMs: number(row, 'modified_ms'),
    ...attributes,
  };
}

function listRow(row: Row): ListRow {
  const [algorithm = '', type = ''] = text(row, 'checksum').split(' ');
  return {
    key: text(row, 'name'),
    sizeBytes: number(row, 'size'),
    etag: text(row, 'etag'),
    modifiedMs: number(row, 'modified_ms'),
    checksum: algorithm === '' ? null : { algorithm, type },
  };
}

const uploadRow = (row: Row): UploadRow => ({
  uploadId: text(row, 'upload'),
  key: text(row, 'name'),
  createdMs: number(row, 'created_ms'),
  ...(JSON.parse(text(row, 'attributes')) as Pick<UploadRow, 'headers' | 'checksumAlgorithm' | 'checksumType'>),
});

const partRow = (row: Row): PartRow => ({
  partNumber: number(row, 'number'),
  sizeBytes: number(row, 'size'),
  etag: text(row, 'etag'),
  modifiedMs: number(row, 'modified_ms'),
  checksums: JSON.parse(text(row, 'checksums')) as Checksum[],
});
