// Pieces in the index: where each lies, since when, and whether it is in the trash.
import { fromHex, toHex } from '#node/core/ids.ts';
import type { Hash, PieceId, PublicKey } from '#node/wire/types.ts';
import { blob, hexOf, number, refOf, refValues, type IndexDb, type Row } from './index-db.ts';
import type { NeededTable } from './index-needed.ts';
import type { OwnerTable } from './index-owners.ts';
import { decodeMeta, decodeNamed, type PieceMeta } from './record-meta.ts';
import type { RecordRef } from './record.ts';
import type { FoundRecord } from './segment-file.ts';

const PIECE_ID_BYTES = 32;
/** Above every piece id. */
const PAST_ALL = new Uint8Array(PIECE_ID_BYTES + 1).fill(255);

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

export class PieceTable {
  readonly #db: IndexDb;
  readonly #owners: OwnerTable;
  readonly #needed: NeededTable;

  constructor(db: IndexDb, owners: OwnerTable, needed: NeededTable) {
    this.#db = db;
    this.#owners = owners;
    this.#needed = needed;
  }

  add(ref: RecordRef, stamp: number, meta: PieceMeta): void {
    const owner = this.#owners.idOf(meta.owner);
    const id = fromHex(meta.pieceId);
    const sql = 'INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)';
    const values = [owner, id, fromHex(meta.pieceRoot), ...refValues(ref), meta.storedMs, stamp];
    if (!this.#db.run(sql, values)) {
      // Only where an old copy lies in a file that was about to be recycled.
      const row = this.#row(owner, id)!;
      if (number(row['stamp']) >= stamp) return;
      this.remove(row);
      this.#db.run(sql, values);
    }
    this.#needed.hold(ref);
    this.#needed.countPiece(owner, ref, 1);
  }

  /** Out of the index; what the record took is free to be recycled. */
  remove(row: Row): void {
    const [owner, ref] = [number(row['owner']), refOf(row)];
    this.#db.run('DELETE FROM pieces WHERE owner = ? AND piece = ?', [owner, blob(row['piece'])]);
    this.#needed.unuse(number(row['stamp']));
    this.#needed.letGo(ref);
    if (row['trashed_ms'] === null) return this.#needed.countPiece(owner, ref, -1);
    this.#needed.countTrash(ref, number(row['trashed_ms']), -1);
  }

  /** Into the trash, or out of it. */
  change({ kind, ref, stamp, meta, body }: FoundRecord): void {
    const { owner, trashedMs } =
      kind === 'trash' ? decodeMeta('trash', meta) : { ...decodeMeta('restore', meta), trashedMs: null };
    const ownerId = this.#owners.idOf(owner);
    let uses = 0;
    for (const { id, storedMs } of decodeNamed(body!)) {
      const row = this.#row(ownerId, id);
      if (!row || number(row['stamp']) >= stamp) continue;
      this.#changeOne(row, { trashedMs, storedMs, stamp });
      uses += 1;
    }
    if (uses > 0) this.#needed.holdOther(ref, stamp, uses);
  }

  #changeOne(row: Row, next: { trashedMs: number | null; storedMs: number; stamp: number }): void {
    const [owner, ref] = [number(row['owner']), refOf(row)];
    this.#needed.unuse(number(row['stamp']));
    if (row['trashed_ms'] === null) this.#needed.countPiece(owner, ref, -1);
    else this.#needed.countTrash(ref, number(row['trashed_ms']), -1);
    if (next.trashedMs === null) this.#needed.countPiece(owner, ref, 1);
    else this.#needed.countTrash(ref, next.trashedMs, 1);
    this.#db.run('UPDATE pieces SET trashed_ms = ?, stored_ms = ?, stamp = ? WHERE owner = ? AND piece = ?', [
      next.trashedMs,
      next.storedMs,
      next.stamp,
      owner,
      blob(row['piece']),
    ]);
  }

  get(owner: PublicKey, pieceId: PieceId): HeldPiece | null {
    const row = this.rowOf(owner, pieceId);
    if (!row) return null;
    return { ref: refOf(row), pieceRoot: hexOf(row['root']), storedMs: number(row['stored_ms']), trashedMs: trashedOf(row) };
  }

  /** In the order of their ids, those in the trash too. */
  inRange({ owner, limit, ...range }: PieceRangeAsked): ListedPiece[] {
    const sql = 'SELECT * FROM pieces WHERE owner = ? AND piece >= ? AND piece < ? ORDER BY piece LIMIT ?';
    return this.#db.all(sql, [this.#owners.knownId(owner), ...rangeValues(range), limit]).map((row) => ({
      pieceId: hexOf(row['piece']),
      pieceRoot: hexOf(row['root']),
      sizeBytes: number(row['body_bytes']),
      storedMs: number(row['stored_ms']),
      trashedMs: trashedOf(row),
    }));
  }

  /** Looks at up to `limit` pieces; costs no object for each. */
  digest({ owner, limit, ...range }: PieceRangeAsked): RangeDigest {
    const row = this.#db.get(
      `SELECT COUNT(*) AS n, MAX(piece) AS last, CAST(GROUP_CONCAT(CASE WHEN trashed_ms IS NULL THEN piece END, '') AS BLOB) AS ids
        FROM (SELECT piece, trashed_ms FROM pieces WHERE owner = ? AND piece >= ? AND piece < ? ORDER BY piece LIMIT ?)`,
      [this.#owners.knownId(owner), ...rangeValues(range), limit],
    )!;
    const ids = row['ids'] === null ? new Uint8Array(0) : blob(row['ids']);
    const nextId = number(row['n']) < limit ? '' : successor(blob(row['last']));
    return { pieces: ids.length / PIECE_ID_BYTES, xor: toHex(xorOf(ids)), nextId };
  }

  /** As the index has it, for those who work on rows. */
  rowOf(owner: PublicKey, pieceId: PieceId): Row | undefined {
    return this.#row(this.#owners.knownId(owner), fromHex(pieceId));
  }
  #row(owner: number, piece: Uint8Array): Row | undefined {
    return this.#db.get('SELECT * FROM pieces WHERE owner = ? AND piece = ?', [owner, piece]);
  }
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
