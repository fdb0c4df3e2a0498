// Where everything lies: an SQLite file beside the segment files. It is a view of them, behind by nothing
// when the store is closed well and by the tails of the files after a crash; lost, it is made anew from
// them. Commits don't wait for the disk; what they say was durable before they were made.
import { CompactionTable } from './index-compaction.ts';
import { blob, IndexDb, number, refOf, refValues } from './index-db.ts';
import { LogTable } from './index-logs.ts';
import { NeededTable } from './index-needed.ts';
import { OwnerTable } from './index-owners.ts';
import { PieceTable } from './index-pieces.ts';
import { StatementTable } from './index-statements.ts';
import { decodeMeta, type BatchMeta, type PieceMeta } from './record-meta.ts';
import type { RecordKind } from './record.ts';
import type { FoundRecord, SegmentState } from './segment-file.ts';

/** Records of a start that are put in order at once. */
const REPLAY_ROWS = 1000;

export interface StoreTotals {
  /** Without the trash. */
  liveBytes: number;
  /** Without the trash. */
  pieces: number;
  logs: number;
  /** The highest of any record. */
  stamp: number;
}

export class StoreIndex {
  readonly #db: IndexDb;
  readonly owners: OwnerTable;
  readonly pieces: PieceTable;
  readonly logs: LogTable;
  readonly statements: StatementTable;
  readonly compaction: CompactionTable;

  private constructor(db: IndexDb) {
    this.#db = db;
    this.owners = new OwnerTable(db);
    const needed = new NeededTable(db);
    this.pieces = new PieceTable(db, this.owners, needed);
    this.logs = new LogTable(db, this.owners, needed);
    this.statements = new StatementTable(db, this.owners, needed);
    this.compaction = new CompactionTable(db, needed, { pieces: this.pieces, logs: this.logs });
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
      this.owners.forget();
      this.logs.forget();
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
        return this.pieces.add(ref, stamp, (record.about as PieceMeta | undefined) ?? decodeMeta('piece', meta));
      case 'batch':
        return this.logs.addBatch(ref, (record.about as BatchMeta | undefined) ?? decodeMeta('batch', meta));
      case 'seal':
        return this.logs.seal(ref, stamp, decodeMeta('seal', meta));
      case 'statement':
        return this.statements.add(ref, stamp, decodeMeta('statement', meta), body!);
      case 'drop':
        return this.logs.drop(ref, stamp, decodeMeta('drop', meta));
      case 'trash':
      case 'restore':
        return this.pieces.change(record);
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
}
