// Root statements in the index, and whom they name.
import { blake3 } from '#node/core/hash.ts';
import { fromHex } from '#node/core/ids.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { blob, hexOf, number, type IndexDb } from './index-db.ts';
import type { NeededTable } from './index-needed.ts';
import type { OwnerTable } from './index-owners.ts';
import type { StatementMeta } from './record-meta.ts';
import type { RecordRef } from './record.ts';

export class StatementTable {
  readonly #db: IndexDb;
  readonly #owners: OwnerTable;
  readonly #needed: NeededTable;

  constructor(db: IndexDb, owners: OwnerTable, needed: NeededTable) {
    this.#db = db;
    this.#owners = owners;
    this.#needed = needed;
  }

  add(ref: RecordRef, stamp: number, meta: StatementMeta, bytes: Uint8Array): void {
    const owner = this.#owners.idOf(meta.owner);
    if (!this.#db.run('INSERT OR IGNORE INTO statements VALUES (?, ?, ?, ?)', [owner, blake3(bytes), bytes, stamp])) return;
    for (const name of meta.names) this.#db.run('INSERT OR IGNORE INTO names VALUES (?, ?)', [fromHex(name), owner]);
    this.#needed.holdOther(ref, stamp, 1);
  }

  /** One that a newer has overtaken. Its names stay: the newer one has the same. */
  remove(owner: PublicKey, hash: Uint8Array): void {
    const row = this.#db.get('SELECT id FROM owners WHERE owner = ?', [fromHex(owner)]);
    const sql = 'DELETE FROM statements WHERE owner = ? AND hash = ? RETURNING stamp';
    const gone = row && this.#db.get(sql, [number(row['id']), hash]);
    if (gone) this.#needed.unuse(number(gone['stamp']));
  }

  of(owner: PublicKey): Uint8Array[] {
    return this.#db
      .all('SELECT s.bytes FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? ORDER BY s.hash', [fromHex(owner)])
      .map((row) => blob(row['bytes']));
  }
  has(owner: PublicKey, hash: Uint8Array): boolean {
    const sql = 'SELECT 1 FROM statements s JOIN owners o ON o.id = s.owner WHERE o.owner = ? AND s.hash = ?';
    return this.#db.get(sql, [fromHex(owner), hash]) !== undefined;
  }

  /** Owners with statements, in the order of their keys. */
  owners(after: PublicKey | '', limit: number): PublicKey[] {
    const sql = 'SELECT owner FROM owners o WHERE owner > ? AND EXISTS (SELECT 1 FROM statements s WHERE s.owner = o.id)';
    return this.#db.all(`${sql} ORDER BY owner LIMIT ?`, [fromHex(after), limit]).map((row) => hexOf(row['owner']));
  }
  /** Owners whose statements name this key. */
  ownersNaming(name: PublicKey, after: PublicKey | '', limit: number): PublicKey[] {
    const sql = 'SELECT o.owner FROM names n JOIN owners o ON o.id = n.owner WHERE n.name = ? AND o.owner > ?';
    return this.#db
      .all(`${sql} ORDER BY o.owner LIMIT ?`, [fromHex(name), fromHex(after), limit])
      .map((row) => hexOf(row['owner']));
  }
}
