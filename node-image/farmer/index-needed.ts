// Which records are needed, in sums: bytes of each segment file, of the trash by days, of owners, of all.
import { number, refOf, refValues, type IndexDb } from './index-db.ts';
import { recordBytes, type RecordRef } from './record.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** Days since 1970: the trash is counted by them. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

export class NeededTable {
  readonly #db: IndexDb;

  constructor(db: IndexDb) {
    this.#db = db;
  }

  hold(ref: RecordRef, sign: 1 | -1 = 1): void {
    const { heldBytes } = this.#db.sums;
    heldBytes.set(ref.segment, (heldBytes.get(ref.segment) ?? 0) + sign * recordBytes(ref));
  }
  letGo(ref: RecordRef): void {
    this.hold(ref, -1);
  }
  countPiece(owner: number, ref: RecordRef, sign: 1 | -1): void {
    const { sums } = this.#db;
    sums.liveBytes += sign * recordBytes(ref);
    sums.pieces += sign;
    const before = sums.owners.get(owner) ?? { pieces: 0, bytes: 0 };
    sums.owners.set(owner, { pieces: before.pieces + sign, bytes: before.bytes + sign * ref.bodyBytes });
  }
  countTrash(ref: RecordRef, trashedMs: number, sign: 1 | -1): void {
    this.#db.run('INSERT INTO trash VALUES (?, ?, ?) ON CONFLICT (segment, day) DO UPDATE SET bytes = bytes + excluded.bytes', [
      ref.segment,
      dayOf(trashedMs),
      sign * recordBytes(ref),
    ]);
  }
  holdOther(ref: RecordRef, stamp: number, uses: number): void {
    this.#db.run('INSERT INTO others VALUES (?, ?, ?, ?, ?, ?)', [stamp, ...refValues(ref), uses]);
    this.hold(ref);
    this.#db.sums.liveBytes += recordBytes(ref);
  }
  /** One use less, where the record of this stamp counts its uses. */
  unuse(stamp: number): void {
    const row = this.#db.get('UPDATE others SET uses = uses - 1 WHERE stamp = ? RETURNING *', [stamp]);
    if (!row || number(row['uses']) > 0) return;
    this.#db.run('DELETE FROM others WHERE stamp = ?', [stamp]);
    this.letGo(refOf(row));
    this.#db.sums.liveBytes -= recordBytes(refOf(row));
  }
}
