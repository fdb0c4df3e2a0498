// Where everything lies: an SQLite file beside the segment files. It is a view of them, behind by nothing
// when the store is closed well and by the tails of the files after a crash; lost, it is made anew from
// them. Commits don't wait for the disk; what they say was durable before they were made.
import { blake3 } from '#node/core/hash.ts';
import { fromHex, toHex } from '#node/core/ids.ts';
import { NO_HASH } from '#node/wire/batch.ts';
import type { BucketId, Hash, PieceId, PublicKey } from '#node/wire/types.ts';
import { IndexDb, type Row } from './index-db.ts';
import {
  decodeMeta,
  decodeNamed,
  type BatchMeta,
  type DropMeta,
  type PieceMeta,
  type SealMeta,
  type StatementMeta,
} from './record-meta.ts';
import { recordBytes, type RecordKind, type RecordRef } from './record.ts';
import type { FoundRecord, SegmentState } from './segment-file.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const PIECE_ID_BYTES = 32;
const MAX_OWNER_IDS = 4096;
const MAX_HELD_LOGS = 1024;
/** Files that are looked at in one round of the compaction. */
const DUE_AT_ONCE = 64;
/** Above every piece id. */
const PAST_ALL = new Uint8Array(PIECE_ID_BYTES + 1).fill(255);
/** Records of a start that are put in order at once. */
const REPLAY_ROWS = 1000;

export interface HeldPiece {
  ref: RecordRef;
  pieceRoot: Hash;
  storedMs: number;
  /** When it came into the trash; null = it isn't there. */
  trashedMs: number | null;
}
export interface ListedPiece {
  pieceId: PieceId;
  pieceRoot: Hash;
  sizeBytes: number;
  storedMs: number;
  trashedMs: number | null;
}
export interface PieceRangeAsked {
  owner: PublicKey;
  /** The first that counts; '' = from the lowest. */
  fromId: PieceId | '';
  /** The first that doesn't; '' = to the highest. */
  toId: PieceId | '';
  limit: number;
}
/** Of the pieces of a range that aren't in the trash. */
export interface RangeDigest {
  pieces: number;
  /** All ids xor-ed, hex. */
  xor: string;
  /** Where to go on; '' = the range is done. */
  nextId: PieceId | '';
}
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
export interface StoreTotals {
  /** Without the trash. */
  liveBytes: number;
  /** Without the trash. */
  pieces: number;
  logs: number;
  /** The highest of any record. */
  stamp: number;
}

export interface DueRule {
  /** What came into the trash before this day is out of it. */
  expiredDay: number;
  /** A file with trash of before this day is due, however little it is. */
  overdueDay: number;
  /** Of a file. */
  minShare: number;
  /** Of a file without such trash. */
  minDeadBytes: number;
}
export interface DueSegment {
  segment: number;
  /** What its records don't need. */
  freedBytes: number;
}

/** Days since 1970: the trash is counted by them. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

export class StoreIndex {
  readonly #db: IndexDb;
  /** Of owners that were asked for; they are never removed. */
  readonly #ownerIds = new Map<PublicKey, number>();
  /** Logs that are in use, as they are now: each batch asks several times. */
  readonly #heldLogs = new Map<string, HeldLog>();

  private constructor(db: IndexDb) {
    this.#db = db;
  }

  /** Opens or creates. Throws where the file isn't an index of this version: remove it and build anew. */
  static open(path: string): StoreIndex {
    return new StoreIndex(IndexDb.open(path));
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing. */
  transaction(work: () => void): void {
    try {
      this.#db.transaction(work);
    } catch (error) {
      this.#ownerIds.clear();
      this.#heldLogs.clear();
      throw error;
    }
  }

  // ---- segments and totals --------------------------------------------------------------------

  segments(): SegmentState[] {
    return this.#db.all('SELECT * FROM segments ORDER BY segment').map((row) => ({
      segment: number(row['segment']),
      life: Buffer.from(blob(row['life'])).readBigUInt64BE(),
      tail: number(row['tail']),
      phase: row['phase'] as SegmentState['phase'],
    }));
  }
  putSegment({ segment, life, tail, phase }: SegmentState): void {
    const lifeBytes = Buffer.alloc(8);
    lifeBytes.writeBigUInt64BE(life);
    this.#db.run(
      `INSERT INTO segments VALUES (?, ?, ?, ?)
        ON CONFLICT (segment) DO UPDATE SET life = excluded.life, tail = excluded.tail, phase = excluded.phase`,
      [segment, lifeBytes, tail, phase],
    );
  }
  removeSegment(segment: number): void {
    for (const table of ['segments', 'held', 'trash']) this.#db.run(`DELETE FROM ${table} WHERE segment = ?`, [segment]);
  }
  totals(): StoreTotals {
    const row = this.#db.get('SELECT * FROM totals')!;
    return {
      liveBytes: number(row['live_bytes']),
      pieces: number(row['pieces']),
      logs: number(row['logs']),
      stamp: number(row['stamp']),
    };
  }

  // ---- records, as they become durable. One that changes nothing is trash from the start. ------

  apply(record: FoundRecord): void {
    const { kind, ref, stamp, meta, body } = record;
    this.#db.sums.stamp = Math.max(this.#db.sums.stamp, stamp);
    switch (kind) {
      case 'piece':
        return this.#addPiece(ref, stamp, (record.about as PieceMeta | undefined) ?? decodeMeta('piece', meta));
      case 'batch':
        return this.#addBatch(ref, (record.about as BatchMeta | undefined) ?? decodeMeta('batch', meta));
      case 'seal':
        return this.#addSeal(ref, stamp, decodeMeta('seal', meta));
      case 'statement':
        return this.#addStatement(ref, stamp, decodeMeta('statement', meta), body!);
      case 'drop':
        return this.#drop(ref, stamp, decodeMeta('drop', meta));
      case 'trash':
      case 'restore':
        return this.#changePieces(record);
    }
  }

  /**
   * Found at a start: files are read one after the other, not in the order in which records were written.
   * What depends on others is set aside, durable like the rest, until `replayLate`.
   */
  applyFound(record: FoundRecord): void {
    const { kind, ref, stamp, meta, body } = record;
    if (kind !== 'batch' && kind !== 'trash' && kind !== 'restore') return this.apply(record);
    this.#db.sums.stamp = Math.max(this.#db.sums.stamp, stamp);
    const values = [stamp, kind, ...refValues(ref), meta, body ?? null];
    this.#db.run('INSERT OR REPLACE INTO late VALUES (?, ?, ?, ?, ?, ?, ?, ?)', values);
  }

  /** What was set aside, in the order in which it was written. */
  replayLate(): void {
    for (;;) {
      const rows = this.#db.all('SELECT * FROM late ORDER BY stamp LIMIT ?', [REPLAY_ROWS]);
      if (rows.length === 0) return;
      this.transaction(() => {
        for (const row of rows) {
          this.apply({
            kind: row['kind'] as RecordKind,
            ref: refOf(row),
            stamp: number(row['stamp']),
            meta: blob(row['meta']),
            ...(row['body'] === null ? {} : { body: blob(row['body']) }),
          });
        }
        this.#db.run('DELETE FROM late WHERE stamp <= ?', [number(rows.at(-1)!['stamp'])]);
      });
    }
  }

  #addPiece(ref: RecordRef, stamp: number, meta: PieceMeta): void {
    const owner = this.#ownerId(meta.owner);
    const id = fromHex(meta.pieceId);
    const sql = 'INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)';
    const values = [owner, id, fromHex(meta.pieceRoot), ...refValues(ref), meta.storedMs, stamp];
    if (!this.#db.run(sql, values)) {
      // Only where an old copy lies in a file that was about to be recycled.
      const row = this.#pieceRow(owner, id)!;
      if (number(row['stamp']) >= stamp) return;
      this.#removePiece(row);
      this.#db.run(sql, values);
    }
    this.#hold(ref);
    this.#countPiece(owner, ref, 1);
  }

  /** Out of the index; what the record took is free to be recycled. */
  #removePiece(row: Row): void {
    const [owner, ref] = [number(row['owner']), refOf(row)];
    this.#db.run('DELETE FROM pieces WHERE owner = ? AND piece = ?', [owner, blob(row['piece'])]);
    this.#unuse(number(row['stamp']));
    this.#letGo(ref);
    if (row['trashed_ms'] === null) return this.#countPiece(owner, ref, -1);
    this.#countTrash(ref, number(row['trashed_ms']), -1);
  }

  #changePieces({ kind, ref, stamp, meta, body }: FoundRecord): void {
    const { owner, trashedMs } =
      kind === 'trash' ? decodeMeta('trash', meta) : { ...decodeMeta('restore', meta), trashedMs: null };
    const ownerId = this.#ownerId(owner);
    let uses = 0;
    for (const { id, storedMs } of decodeNamed(body!)) {
      const row = this.#pieceRow(ownerId, id);
      if (!row || number(row['stamp']) >= stamp) continue;
      this.#changePiece(row, { trashedMs, storedMs, stamp });
      uses += 1;
    }
    if (uses > 0) this.#holdOther(ref, stamp, uses);
  }

  #changePiece(row: Row, next: { trashedMs: number | null; storedMs: number; stamp: number }): void {
    const [owner, ref] = [number(row['owner']), refOf(row)];
    this.#unuse(number(row['stamp']));
    if (row['trashed_ms'] === null) this.#countPiece(owner, ref, -1);
    else this.#countTrash(ref, number(row['trashed_ms']), -1);
    if (next.trashedMs === null) this.#countPiece(owner, ref, 1);
    else this.#countTrash(ref, next.trashedMs, 1);
    this.#db.run('UPDATE pieces SET trashed_ms = ?, stored_ms = ?, stamp = ? WHERE owner = ? AND piece = ?', [
      next.trashedMs,
      next.storedMs,
      next.stamp,
      owner,
      blob(row['piece']),
    ]);
  }

  /** Only the one after the head counts. */
  #addBatch(ref: RecordRef, meta: BatchMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (meta.seq !== log.seq + 1 || meta.prevHash !== log.hash) return;
    this.#db.run('INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)', [log.id, meta.seq, fromHex(meta.hash), ...refValues(ref)]);
    this.#db.run('UPDATE logs SET seq = ?, hash = ? WHERE id = ?', [meta.seq, fromHex(meta.hash), log.id]);
    this.#remember(meta.owner, { ...log, seq: meta.seq, hash: meta.hash });
    this.#hold(ref);
    this.#db.sums.liveBytes += recordBytes(ref);
  }

  /** A log that ends before goes on behind what was dropped: others have dropped what it lacks. */
  #drop(ref: RecordRef, stamp: number, { owner, bucketId, logId, firstSeq, prevHash }: DropMeta): void {
    const log = this.#logOrNew(owner, bucketId, logId);
    if (firstSeq <= log.firstSeq) return;
    for (const row of this.#db.all('SELECT * FROM batches WHERE log = ? AND seq < ?', [log.id, firstSeq])) {
      this.#letGo(refOf(row));
      this.#db.sums.liveBytes -= recordBytes(refOf(row));
    }
    this.#db.run('DELETE FROM batches WHERE log = ? AND seq < ?', [log.id, firstSeq]);
    const before = this.#db.get('SELECT drop_stamp FROM logs WHERE id = ?', [log.id])!['drop_stamp'];
    if (before !== null) this.#unuse(number(before));
    this.#db.run('UPDATE logs SET first_seq = ?, drop_stamp = ? WHERE id = ?', [firstSeq, stamp, log.id]);
    if (log.seq < firstSeq - 1) {
      this.#db.run('UPDATE logs SET seq = ?, hash = ? WHERE id = ?', [firstSeq - 1, fromHex(prevHash), log.id]);
    }
    this.#heldLogs.delete(nameOf(owner, logId));
    this.#holdOther(ref, stamp, 1);
  }

  #addSeal(ref: RecordRef, stamp: number, meta: SealMeta): void {
    const log = this.#logOrNew(meta.owner, meta.bucketId, meta.logId);
    if (log.sealed) return;
    this.#db.run('UPDATE logs SET sealed = 1 WHERE id = ?', [log.id]);
    this.#heldLogs.delete(nameOf(meta.owner, meta.logId));
    this.#holdOther(ref, stamp, 1);
  }

  #addStatement(ref: RecordRef, stamp: number, meta: StatementMeta, bytes: Uint8Array): void {
    const owner = this.#ownerId(meta.owner);
    if (!this.#db.run('INSERT OR IGNORE INTO statements VALUES (?, ?, ?, ?)', [owner, blake3(bytes), bytes, stamp])) return;
    for (const name of meta.names) this.#db.run('INSERT OR IGNORE INTO names VALUES (?, ?)', [fromHex(name), owner]);
    this.#holdOther(ref, stamp, 1);
  }

  /** One that a newer has overtaken. Its names stay: the newer one has the same. */
  removeStatement(owner: PublicKey, hash: Uint8Array): void {
    this.transaction(() => {
      const row = this.#db.get('SELECT id FROM owners WHERE owner = ?', [fromHex(owner)]);
      const sql = 'DELETE FROM statements WHERE owner = ? AND hash = ? RETURNING stamp';
      const gone = row && this.#db.get(sql, [number(row['id']), hash]);
      if (gone) this.#unuse(number(gone['stamp']));
    });
  }

  // ---- compaction -----------------------------------------------------------------------------

  /** Files of which a good part isn't needed any more, the worst first. Trash of days before `expiredDay` isn't needed. */
  dueSegments({ expiredDay, overdueDay, minShare, minDeadBytes }: DueRule): DueSegment[] {
    const rows = this.#db.all(
      `SELECT * FROM (
          SELECT s.segment AS segment, s.tail AS tail, s.tail - COALESCE(h.bytes, 0) AS dead,
            COALESCE((SELECT SUM(t.bytes) FROM trash t WHERE t.segment = s.segment AND t.day < ?), 0) AS expired,
            COALESCE((SELECT SUM(t.bytes) FROM trash t WHERE t.segment = s.segment AND t.day < ?), 0) AS overdue
          FROM segments s LEFT JOIN held h ON h.segment = s.segment WHERE s.phase <> 'spent')
        WHERE overdue > 0 OR ((expired > 0 OR dead >= ?) AND dead + expired >= ? * tail)
        ORDER BY 1.0 * (dead + expired) / tail DESC LIMIT ?`,
      [expiredDay, overdueDay, minDeadBytes, minShare, DUE_AT_ONCE],
    );
    return rows.map((row) => ({ segment: number(row['segment']), freedBytes: number(row['dead']) + number(row['expired']) }));
  }
  heldBytes(segment: number): number {
    return number(this.#db.get('SELECT bytes FROM held WHERE segment = ?', [segment])?.['bytes']);
  }

  /** What is to be done with a record that lies there. */
  fateOf({ kind, ref, stamp, meta }: FoundRecord, expiredDay: number): 'keep' | 'purge' | 'drop' {
    const row = this.#rowOf({ kind, stamp, meta });
    if (!row || !isAt(row, ref)) return 'drop';
    const trashedMs = row['trashed_ms'];
    return typeof trashedMs === 'number' && dayOf(trashedMs) < expiredDay ? 'purge' : 'keep';
  }

  /** A piece whose time in the trash is over, if that is still so. */
  purge({ ref, stamp, meta }: FoundRecord, expiredDay: number): void {
    const row = this.#rowOf({ kind: 'piece', stamp, meta });
    const trashedMs = row?.['trashed_ms'];
    if (row && isAt(row, ref) && typeof trashedMs === 'number' && dayOf(trashedMs) < expiredDay) this.#removePiece(row);
  }

  /** The record lies at `to` now; nothing happens where it has gone from its place meanwhile. */
  move({ kind, ref, stamp, meta }: FoundRecord, to: RecordRef): void {
    const row = this.#rowOf({ kind, stamp, meta });
    if (!row || !isAt(row, ref)) return;
    const place = [to.segment, to.offset];
    if (kind === 'piece') {
      const key = [number(row['owner']), blob(row['piece'])];
      this.#db.run('UPDATE pieces SET segment = ?, offset = ? WHERE owner = ? AND piece = ?', [...place, ...key]);
    } else if (kind === 'batch') {
      const key = [number(row['log']), number(row['seq'])];
      this.#db.run('UPDATE batches SET segment = ?, offset = ? WHERE log = ? AND seq = ?', [...place, ...key]);
    } else this.#db.run('UPDATE others SET segment = ?, offset = ? WHERE stamp = ?', [...place, stamp]);
    this.#letGo(ref);
    this.#hold(to);
    const trashedMs = row['trashed_ms'];
    if (typeof trashedMs !== 'number') return;
    this.#countTrash(ref, trashedMs, -1);
    this.#countTrash(to, trashedMs, 1);
  }

  /** What the index has of the thing that a record is about. */
  #rowOf({ kind, stamp, meta }: { kind: RecordKind; stamp: number; meta: Uint8Array }): Row | undefined {
    if (kind === 'piece') {
      const { owner, pieceId } = decodeMeta('piece', meta);
      return this.#pieceRow(this.#knownOwner(owner), fromHex(pieceId));
    }
    if (kind === 'batch') {
      const { owner, logId, seq } = decodeMeta('batch', meta);
      const log = this.log(owner, logId);
      return log ? this.#db.get('SELECT * FROM batches WHERE log = ? AND seq = ?', [log.id, seq]) : undefined;
    }
    return this.#db.get('SELECT * FROM others WHERE stamp = ?', [stamp]);
  }

  // ---- what is needed -------------------------------------------------------------------------

  #hold(ref: RecordRef, sign: 1 | -1 = 1): void {
    const { heldBytes } = this.#db.sums;
    heldBytes.set(ref.segment, (heldBytes.get(ref.segment) ?? 0) + sign * recordBytes(ref));
  }
  #letGo(ref: RecordRef): void {
    this.#hold(ref, -1);
  }
  #countPiece(owner: number, ref: RecordRef, sign: 1 | -1): void {
    const { sums } = this.#db;
    sums.liveBytes += sign * recordBytes(ref);
    sums.pieces += sign;
    const before = sums.owners.get(owner) ?? { pieces: 0, bytes: 0 };
    sums.owners.set(owner, { pieces: before.pieces + sign, bytes: before.bytes + sign * ref.bodyBytes });
  }
  #countTrash(ref: RecordRef, trashedMs: number, sign: 1 | -1): void {
    this.#db.run('INSERT INTO trash VALUES (?, ?, ?) ON CONFLICT (segment, day) DO UPDATE SET bytes = bytes + excluded.bytes', [
      ref.segment,
      Math.floor(trashedMs / DAY_MS),
      sign * recordBytes(ref),
    ]);
  }
  #holdOther(ref: RecordRef, stamp: number, uses: number): void {
    this.#db.run('INSERT INTO others VALUES (?, ?, ?, ?, ?, ?)', [stamp, ...refValues(ref), uses]);
    this.#hold(ref);
    this.#db.sums.liveBytes += recordBytes(ref);
  }
  /** One use less, where the record of this stamp counts its uses. */
  #unuse(stamp: number): void {
    const row = this.#db.get('UPDATE others SET uses = uses - 1 WHERE stamp = ? RETURNING *', [stamp]);
    if (!row || number(row['uses']) > 0) return;
    this.#db.run('DELETE FROM others WHERE stamp = ?', [stamp]);
    this.#letGo(refOf(row));
    this.#db.sums.liveBytes -= recordBytes(refOf(row));
  }

  // ---- questions --------------------------------------------------------------------------------

  piece(owner: PublicKey, pieceId: PieceId): HeldPiece | null {
    const row = this.#pieceRow(this.#knownOwner(owner), fromHex(pieceId));
    if (!row) return null;
    return { ref: refOf(row), pieceRoot: hexOf(row['root']), storedMs: number(row['stored_ms']), trashedMs: trashedOf(row) };
  }

  /** In the order of their ids, those in the trash too. */
  piecesInRange({ owner, limit, ...range }: PieceRangeAsked): ListedPiece[] {
    const sql = 'SELECT * FROM pieces WHERE owner = ? AND piece >= ? AND piece < ? ORDER BY piece LIMIT ?';
    return this.#db.all(sql, [this.#knownOwner(owner), ...rangeValues(range), limit]).map((row) => ({
      pieceId: hexOf(row['piece']),
      pieceRoot: hexOf(row['root']),
      sizeBytes: number(row['body_bytes']),
      storedMs: number(row['stored_ms']),
      trashedMs: trashedOf(row),
    }));
  }

  /** Looks at up to `limit` pieces; costs no object for each. */
  rangeDigest({ owner, limit, ...range }: PieceRangeAsked): RangeDigest {
    const row = this.#db.get(
      `SELECT COUNT(*) AS n, MAX(piece) AS last, CAST(GROUP_CONCAT(CASE WHEN trashed_ms IS NULL THEN piece END, '') AS BLOB) AS ids
        FROM (SELECT piece, trashed_ms FROM pieces WHERE owner = ? AND piece >= ? AND piece < ? ORDER BY piece LIMIT ?)`,
      [this.#knownOwner(owner), ...rangeValues(range), limit],
    )!;
    const ids = row['ids'] === null ? new Uint8Array(0) : blob(row['ids']);
    const nextId = number(row['n']) < limit ? '' : successor(blob(row['last']));
    return { pieces: ids.length / PIECE_ID_BYTES, xor: toHex(xorOf(ids)), nextId };
  }

  log(owner: PublicKey, logId: PublicKey): HeldLog | null {
    const known = this.#heldLogs.get(nameOf(owner, logId));
    if (known) return known;
    const row = this.#db.get('SELECT * FROM logs WHERE owner = ? AND log = ?', [this.#knownOwner(owner), fromHex(logId)]);
    if (!row) return null;
    const log = logOf(row);
    this.#remember(owner, log);
    return log;
  }
  #remember(owner: PublicKey, log: HeldLog): void {
    if (this.#heldLogs.size >= MAX_HELD_LOGS) this.#heldLogs.clear();
    this.#heldLogs.set(nameOf(owner, log.logId), log);
  }

  logs(owner: PublicKey, bucketId: BucketId): HeldLog[] {
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

  statements(owner: PublicKey): Uint8Array[] {
    return this.#db
      .all('SELECT s.bytes FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? ORDER BY s.hash', [fromHex(owner)])
      .map((row) => blob(row['bytes']));
  }
  hasStatement(owner: PublicKey, hash: Uint8Array): boolean {
    const sql = 'SELECT 1 FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? AND s.hash = ?';
    return this.#db.get(sql, [fromHex(owner), hash]) !== undefined;
  }
  statementCount(owner: PublicKey): number {
    const sql = 'SELECT COUNT(*) AS n FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ?';
    return number(this.#db.get(sql, [fromHex(owner)])?.['n']);
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
    return this.#db
      .all(`${sql} ORDER BY o.owner LIMIT ?`, [fromHex(name), fromHex(after), limit])
      .map((row) => hexOf(row['owner']));
  }
  /** Buckets of an owner of which a log is here. */
  bucketsWithLogs(): { owner: PublicKey; bucketId: BucketId }[] {
    return this.#db.all('SELECT DISTINCT o.owner, l.bucket FROM logs l JOIN owners o ON o.id = l.owner').map((row) => ({
      owner: hexOf(row['owner']),
      bucketId: hexOf(row['bucket']),
    }));
  }
  /** Owners of pieces. */
  holdings(): { owner: PublicKey; pieces: number; bytes: number }[] {
    return this.#db.all('SELECT owner, pieces, bytes FROM owners WHERE pieces > 0 ORDER BY owner').map((row) => ({
      owner: hexOf(row['owner']),
      pieces: number(row['pieces']),
      bytes: number(row['bytes']),
    }));
  }

  // ---- SQL --------------------------------------------------------------------------------------

  #owners(sql: string, [after, limit]: [PublicKey | '', number]): PublicKey[] {
    return this.#db.all(`${sql} ORDER BY owner LIMIT ?`, [fromHex(after), limit]).map((row) => hexOf(row['owner']));
  }

  #ownerId(owner: PublicKey): number {
    const known = this.#knownOwner(owner);
    if (known > 0) return known;
    this.#db.run('INSERT INTO owners (owner) VALUES (?)', [fromHex(owner)]);
    return this.#knownOwner(owner);
  }
  /** 0, which nobody has, where the owner is unknown. */
  #knownOwner(owner: PublicKey): number {
    const known = this.#ownerIds.get(owner);
    if (known !== undefined) return known;
    const id = number(this.#db.get('SELECT id FROM owners WHERE owner = ?', [fromHex(owner)])?.['id']);
    if (this.#ownerIds.size >= MAX_OWNER_IDS) this.#ownerIds.clear();
    if (id > 0) this.#ownerIds.set(owner, id);
    return id;
  }
  #pieceRow(owner: number, piece: Uint8Array): Row | undefined {
    return this.#db.get('SELECT * FROM pieces WHERE owner = ? AND piece = ?', [owner, piece]);
  }

  #logOrNew(owner: PublicKey, bucketId: BucketId, logId: PublicKey): HeldLog {
    const held = this.log(owner, logId);
    if (held) return held;
    const values = [this.#ownerId(owner), fromHex(bucketId), fromHex(logId), fromHex(NO_HASH)];
    this.#db.run(
      'INSERT INTO logs (owner, bucket, log, seq, hash, sealed, first_seq, drop_stamp) VALUES (?, ?, ?, 0, ?, 0, 1, NULL)',
      values,
    );
    this.#db.sums.logs += 1;
    return this.log(owner, logId)!;
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
function isAt(row: Row, { segment, offset }: RecordRef): boolean {
  return row['segment'] === segment && row['offset'] === offset;
}
function trashedOf(row: Row): number | null {
  return row['trashed_ms'] === null ? null : number(row['trashed_ms']);
}
function rangeValues({ fromId, toId }: { fromId: PieceId | ''; toId: PieceId | '' }): Uint8Array[] {
  return [fromHex(fromId), toId === '' ? PAST_ALL : fromHex(toId)];
}
/** The lowest id above; '' where there is none. */
function successor(id: Uint8Array): PieceId | '' {
  const next = Uint8Array.from(id);
  for (let at = next.length - 1; at >= 0; at--) {
    next[at]! += 1;
    if (next[at] !== 0) return toHex(next);
  }
  return '';
}
function xorOf(ids: Uint8Array): Uint8Array {
  const words = new Int32Array(ids.buffer, ids.byteOffset, ids.length / 4);
  const sum = new Int32Array(PIECE_ID_BYTES / 4);
  for (let at = 0; at < words.length; at++) sum[at & 7]! ^= words[at]!;
  return new Uint8Array(sum.buffer);
}
