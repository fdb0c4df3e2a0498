// The rules' storage (apply-batch.ts) on SQLite: used by the writer's thread, inside its transaction.
import { compareClocks, writtenAt } from '#node/core/log-merge.ts';
import type { Tables } from './apply-batch.ts';
import { portionOf, type Content } from './catalog.ts';
import { placementTag } from '#node/wire/placements.ts';
import { ACCOUNT_BUCKET_ID, type PutEntry, type SegmentPlacement } from '#node/wire/types.ts';
import { keyBytes, uploadPosition } from './key-order.ts';
import type { Sealer } from './seal.ts';
import { blob, number, text, type Row, type Statements } from './sqlite-rows.ts';

export function sqliteTables({ run, get, all }: Statements, sealer: Sealer): Tables {
  let restored = 0;
  return {
    position(owner, bucketId, logId) {
      const row = get('SELECT seq, hash FROM positions WHERE owner = ? AND bucket = ? AND log = ?', owner, bucketId, logId);
      return row === undefined ? null : { logId, seq: number(row, 'seq'), hash: text(row, 'hash') };
    },
    setPosition(owner, bucketId, { logId, seq, hash }) {
      run('INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)', owner, bucketId, logId, seq, hash);
    },

    bucketClock(bucketId) {
      const row = get('SELECT wall_ms, counter, log FROM buckets WHERE bucket = ?', bucketId);
      if (row === undefined) return null;
      return { clock: { wallMs: number(row, 'wall_ms'), counter: number(row, 'counter') }, logId: text(row, 'log') };
    },
    putBucket(owner, entry, logId) {
      run(
        'INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        entry.bucketId,
        owner,
        entry.name,
        entry.createdMs,
        entry.clock.wallMs,
        entry.clock.counter,
        logId,
        entry.deleted ? 1 : 0,
      );
    },

    liveVersions(bucketId, key) {
      const sql = `SELECT version, wall_ms, counter, log, size, segments, is_current, written_ms, written_counter
        FROM versions WHERE bucket = ? AND key = ?`;
      return all(sql, bucketId, keyBytes(key)).map((row) => ({
        versionId: text(row, 'version'),
        clock: { wallMs: number(row, 'wall_ms'), counter: number(row, 'counter') },
        logId: text(row, 'log'),
        writtenAt: { wallMs: number(row, 'written_ms'), counter: number(row, 'written_counter') },
        sizeBytes: number(row, 'size'),
        segmentIds: JSON.parse(text(row, 'segments')) as string[],
        isCurrent: row['is_current'] === 1,
      }));
    },
    addVersion(bucketId, entry, logId) {
      const content = contentOf(entry);
      const { wallMs, counter } = writtenAt(entry);
      const added = run(
        'INSERT OR IGNORE INTO versions VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        bucketId,
        keyBytes(entry.key),
        entry.versionId,
        entry.clock.wallMs,
        entry.clock.counter,
        logId,
        entry.sizeBytes,
        entry.etag,
        entry.modifiedMs,
        entry.checksums[0] === undefined ? '' : `${entry.checksums[0].algorithm} ${entry.checksums[0].type}`,
        JSON.stringify({ headers: entry.headers, checksums: entry.checksums, partSizes: entry.partSizes ?? null }),
        segmentIds(content),
        wallMs,
        counter,
      );
      if (added === 0) return false;
      const sealed = sealer.seal(`${bucketId}/${entry.versionId}`, content);
      run('INSERT INTO contents VALUES (?, ?, ?, ?)', bucketId, keyBytes(entry.key), entry.versionId, sealed);
      return true;
    },
    rewriteVersion(bucketId, entry, logId) {
      const { key, versionId } = entry;
      const content = contentOf(entry);
      const sealed = sealer.seal(`${bucketId}/${versionId}`, content);
      run(SET_CONTENT, sealed, bucketId, keyBytes(key), versionId);
      const { wallMs, counter } = writtenAt(entry);
      const sql = `UPDATE versions SET log = ?, segments = ?, written_ms = ?, written_counter = ?
        WHERE bucket = ? AND key = ? AND version = ?`;
      run(sql, logId, segmentIds(content), wallMs, counter, bucketId, keyBytes(key), versionId);
    },
    keepRewrite(bucketId, entry, logId) {
      const { key, versionId } = entry;
      const place = `${bucketId}/rewrite/${versionId}`;
      const kept = get(
        'SELECT sealed FROM rewrites WHERE bucket = ? AND key = ? AND version = ?',
        bucketId,
        keyBytes(key),
        versionId,
      );
      if (kept !== undefined) {
        const before = sealer.open(place, blob(kept, 'sealed')) as KeptRewrite;
        if (compareClocks(writtenAt(before.entry), writtenAt(entry)) >= 0) return;
      }
      const sealed = sealer.seal(place, { entry, logId } satisfies KeptRewrite);
      run('INSERT OR REPLACE INTO rewrites VALUES (?, ?, ?, ?)', bucketId, keyBytes(key), versionId, sealed);
    },
    takeRewrite(bucketId, key, versionId) {
      const where = 'WHERE bucket = ? AND key = ? AND version = ?';
      const row = get(`SELECT sealed FROM rewrites ${where}`, bucketId, keyBytes(key), versionId);
      if (row === undefined) return null;
      run(`DELETE FROM rewrites ${where}`, bucketId, keyBytes(key), versionId);
      return sealer.open(`${bucketId}/rewrite/${versionId}`, blob(row, 'sealed')) as KeptRewrite;
    },
    packVersion(bucketId, key, versionId, packed) {
      const place = `${bucketId}/${versionId}`;
      const sql = 'SELECT sealed FROM contents WHERE bucket = ? AND key = ? AND version = ?';
      const row = get(sql, bucketId, keyBytes(key), versionId);
      if (row === undefined) return;
      const { inline, packed: before } = sealer.open(place, blob(row, 'sealed')) as Content;
      if (inline === null && before === undefined) return;
      const sealed = sealer.seal(place, { inline: null, segments: [], packed } satisfies Content);
      run(SET_CONTENT, sealed, bucketId, keyBytes(key), versionId);
    },
    removeVersion(bucketId, key, versionId) {
      for (const table of ['versions', 'contents'])
        run(`DELETE FROM ${table} WHERE bucket = ? AND key = ? AND version = ?`, bucketId, keyBytes(key), versionId);
    },
    setCurrent(bucketId, key, versionId, isCurrent) {
      const sql = 'UPDATE versions SET is_current = ? WHERE bucket = ? AND key = ? AND version = ?';
      run(sql, isCurrent ? 1 : 0, bucketId, keyBytes(key), versionId);
    },
    takeTombstone(bucketId, key, versionId) {
      const sql = 'DELETE FROM tombstones WHERE bucket = ? AND key = ? AND version = ?';
      return run(sql, bucketId, keyBytes(key), versionId) > 0;
    },
    addTombstone(bucketId, key, versionId) {
      run('INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)', bucketId, keyBytes(key), versionId);
    },

    uploadState(bucketId, uploadId) {
      const row = get('SELECT state FROM uploads WHERE bucket = ? AND upload = ?', bucketId, uploadId);
      return row === undefined ? null : row['state'] === 'open' ? 'open' : 'closed';
    },
    putUpload(bucketId, entry) {
      const { headers, checksumAlgorithm = null, checksumType = null } = entry;
      const attributes = entry.state === 'closed' ? '' : JSON.stringify({ headers, checksumAlgorithm, checksumType });
      const { uploadId, key, state, createdMs } = entry;
      const sql = 'INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)';
      run(sql, bucketId, uploadId, uploadPosition(key, uploadId), key, state, createdMs, attributes);
    },
    part(bucketId, uploadId, partNumber) {
      const sql = 'SELECT wall_ms, counter, size, segments FROM parts WHERE bucket = ? AND upload = ? AND number = ?';
      const row = get(sql, bucketId, uploadId, partNumber);
      return row === undefined ? null : storedPart(row);
    },
    putPart(bucketId, entry) {
      const content = contentOf(entry);
      run(
        'INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        bucketId,
        entry.uploadId,
        entry.partNumber,
        entry.clock.wallMs,
        entry.clock.counter,
        entry.sizeBytes,
        entry.etag,
        entry.modifiedMs,
        JSON.stringify(entry.checksums),
        segmentIds(content),
        sealer.seal(`${bucketId}/${entry.uploadId}/${entry.partNumber}`, content),
      );
    },
    removeParts(bucketId, uploadId) {
      const rows = all('SELECT wall_ms, counter, size, segments FROM parts WHERE bucket = ? AND upload = ?', bucketId, uploadId);
      run('DELETE FROM parts WHERE bucket = ? AND upload = ?', bucketId, uploadId);
      return rows.map(storedPart);
    },

    addPlacement(bucketId, placement) {
      const sealed = sealer.seal(`${bucketId}/${placement.segmentId}`, placement);
      const sql = `INSERT INTO segments VALUES (?, ?, 0, ?, ?, ?) ON CONFLICT (bucket, segment)
        DO UPDATE SET sealed = excluded.sealed, required = excluded.required, optimal = excluded.optimal`;
      const { required, optimal } = placement.scheme;
      run(sql, bucketId, placement.segmentId, sealed, required, optimal);
    },
    addReferences(bucketId, segmentId, count) {
      const sql = `INSERT INTO segments VALUES (?, ?, ?, NULL, NULL, NULL) ON CONFLICT (bucket, segment) DO UPDATE SET refs = refs + excluded.refs`;
      run(sql, bucketId, segmentId, count);
      if (count > 0) return;
      const named = 'SELECT 1 FROM segments o WHERE o.segment = segments.segment AND o.refs > 0';
      run(`DELETE FROM segments WHERE segment = ? AND bucket = ? AND refs <= 0 AND EXISTS (${named})`, segmentId, bucketId);
    },
    keepReference(bucketId, segmentId) {
      const portion = portionOf(segmentId);
      run('INSERT INTO restored VALUES (?, ?, ?, ?)', bucketId, portion, restored++, Buffer.from(segmentId, 'hex'));
    },
    countReferences(bucketId, fromPortion, toPortion) {
      const where = 'bucket = ? AND portion >= ? AND portion < ?';
      const sql = `INSERT INTO segments SELECT bucket, lower(hex(segment)), count(*), NULL, NULL, NULL FROM restored
        WHERE ${where} GROUP BY segment ORDER BY segment
        ON CONFLICT (bucket, segment) DO UPDATE SET refs = refs + excluded.refs`;
      run(sql, bucketId, fromPortion, toPortion);
      run(`DELETE FROM restored WHERE ${where}`, bucketId, fromPortion, toPortion);
    },
    dropSegment(segmentId) {
      for (const row of all('SELECT bucket, sealed FROM segments WHERE segment = ? AND refs <= 0', segmentId)) {
        if (!(row['sealed'] instanceof Uint8Array)) continue;
        const { secret } = sealer.open(`${text(row, 'bucket')}/${segmentId}`, row['sealed']) as SegmentPlacement;
        run('DELETE FROM moves WHERE tag = ?', placementTag(secret));
      }
      run('DELETE FROM segments WHERE segment = ? AND refs <= 0', segmentId);
    },
    addMove(move) {
      run('INSERT OR IGNORE INTO moves VALUES (?, ?)', move.tag, move.sealed);
    },

    addUsage(bucketId, objects, bytes, uploadBytes) {
      const sql = `INSERT INTO usage VALUES (?, ?, ?, ?) ON CONFLICT (bucket) DO UPDATE SET objects = objects + excluded.objects,
        bytes = bytes + excluded.bytes, upload_bytes = upload_bytes + excluded.upload_bytes`;
      run(sql, bucketId, objects, bytes, uploadBytes);
    },

    checkpoints: (owner, bucketId) =>
      all('SELECT number, previous, segments FROM checkpoints WHERE owner = ? AND bucket = ?', owner, bucketId).map((row) => ({
        number: number(row, 'number'),
        previous: number(row, 'previous'),
        segments: JSON.parse(text(row, 'segments')) as string[],
      })),
    addCheckpoint(owner, bucketId, { number: one, previous, segments }) {
      run('INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)', owner, bucketId, one, previous, JSON.stringify(segments));
    },
    removeCheckpoint(owner, bucketId, one) {
      run('DELETE FROM checkpoints WHERE owner = ? AND bucket = ? AND number = ?', owner, bucketId, one);
    },
    addUncovered(owner, bucketId, bytes) {
      if (bytes === null) {
        run('DELETE FROM uncovered WHERE owner = ? AND bucket = ?', owner, bucketId);
        return;
      }
      const sql = `INSERT INTO uncovered VALUES (?, ?, ?, ?) ON CONFLICT (owner, bucket) DO UPDATE SET
        head_bytes = head_bytes + excluded.head_bytes, inline_bytes = inline_bytes + excluded.inline_bytes`;
      run(sql, owner, bucketId, bytes.headBytes, bytes.inlineBytes);
    },
    clear(owner, bucketId) {
      for (const table of ['positions', 'checkpoints', 'uncovered'])
        run(`DELETE FROM ${table} WHERE owner = ? AND bucket = ?`, owner, bucketId);
      // All accounts' own logs have one bucket id.
      if (bucketId === ACCOUNT_BUCKET_ID) {
        run('DELETE FROM buckets WHERE owner = ?', owner);
        return;
      }
      for (const table of ['usage', 'versions', 'contents', 'rewrites', 'tombstones', 'uploads', 'parts', 'segments', 'restored'])
        run(`DELETE FROM ${table} WHERE bucket = ?`, bucketId);
    },
  };
}

const SET_CONTENT = 'UPDATE contents SET sealed = ? WHERE bucket = ? AND key = ? AND version = ?';

interface KeptRewrite {
  entry: PutEntry;
  logId: string;
}

const contentOf = ({ inline, segments, packed }: Pick<PutEntry, 'inline' | 'segments' | 'packed'>): Content => ({
  inline: inline ?? null,
  segments: segments ?? [],
  ...(packed ? { packed } : {}),
});

const segmentIds = (content: Content): string => JSON.stringify(content.segments.map((segment) => segment.segmentId));

const storedPart = (row: Row) => ({
  clock: { wallMs: number(row, 'wall_ms'), counter: number(row, 'counter') },
  sizeBytes: number(row, 'size'),
  segmentIds: JSON.parse(text(row, 'segments')) as string[],
});
