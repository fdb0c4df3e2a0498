// What the compaction asks of the index, and tells it: which segment files are due, what of them is still needed,
// and where it lies now.
import { blob, number, type IndexDb, type Row } from './index-db.ts';
import type { LogTable } from './index-logs.ts';
import { dayOf, type NeededTable } from './index-needed.ts';
import type { PieceTable } from './index-pieces.ts';
import { decodeMeta } from './record-meta.ts';
import type { RecordKind, RecordRef } from './record.ts';
import type { FoundRecord } from './segment-file.ts';

/** Files that are looked at in one round of the compaction. */
const DUE_AT_ONCE = 64;

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

export class CompactionTable {
  readonly #db: IndexDb;
  readonly #needed: NeededTable;
  readonly #pieces: PieceTable;
  readonly #logs: LogTable;

  constructor(db: IndexDb, needed: NeededTable, tables: { pieces: PieceTable; logs: LogTable }) {
    this.#db = db;
    this.#needed = needed;
    this.#pieces = tables.pieces;
    this.#logs = tables.logs;
  }

  /** Files of which a good part isn't needed any more, the worst first. Trash of days before `expiredDay` isn't needed. */
  due({ expiredDay, overdueDay, minShare, minDeadBytes }: DueRule): DueSegment[] {
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
    if (row && isAt(row, ref) && typeof trashedMs === 'number' && dayOf(trashedMs) < expiredDay) this.#pieces.remove(row);
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
    this.#needed.letGo(ref);
    this.#needed.hold(to);
    const trashedMs = row['trashed_ms'];
    if (typeof trashedMs !== 'number') return;
    this.#needed.countTrash(ref, trashedMs, -1);
    this.#needed.countTrash(to, trashedMs, 1);
  }

  /** What the index has of the thing that a record is about. */
  #rowOf({ kind, stamp, meta }: { kind: RecordKind; stamp: number; meta: Uint8Array }): Row | undefined {
    if (kind === 'piece') {
      const { owner, pieceId } = decodeMeta('piece', meta);
      return this.#pieces.rowOf(owner, pieceId);
    }
    if (kind === 'batch') {
      const { owner, logId, seq } = decodeMeta('batch', meta);
      return this.#logs.batchRow(owner, logId, seq);
    }
    return this.#db.get('SELECT * FROM others WHERE stamp = ?', [stamp]);
  }
}

function isAt(row: Row, { segment, offset }: RecordRef): boolean {
  return row['segment'] === segment && row['offset'] === offset;
}
