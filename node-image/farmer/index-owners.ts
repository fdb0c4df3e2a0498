// Owners in the index: short numbers, by which rows name them, and how many pieces each has.
import { fromHex } from '#node/core/ids.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { hexOf, number, type IndexDb } from './index-db.ts';

const MAX_OWNER_IDS = 4096;

export class OwnerTable {
  readonly #db: IndexDb;
  /** Of owners that were asked for; they are never removed. */
  readonly #ids = new Map<PublicKey, number>();

  constructor(db: IndexDb) {
    this.#db = db;
  }

  /** A transaction that gave some of them was rolled back. */
  forget(): void {
    this.#ids.clear();
  }

  idOf(owner: PublicKey): number {
    const known = this.knownId(owner);
    if (known > 0) return known;
    this.#db.run('INSERT INTO owners (owner) VALUES (?)', [fromHex(owner)]);
    return this.knownId(owner);
  }
  /** 0, which nobody has, where the owner is unknown. */
  knownId(owner: PublicKey): number {
    const known = this.#ids.get(owner);
    if (known !== undefined) return known;
    const id = number(this.#db.get('SELECT id FROM owners WHERE owner = ?', [fromHex(owner)])?.['id']);
    if (this.#ids.size >= MAX_OWNER_IDS) this.#ids.clear();
    if (id > 0) this.#ids.set(owner, id);
    return id;
  }

  /** Owners of pieces. */
  holdings(): { owner: PublicKey; pieces: number; bytes: number }[] {
    return this.#db.all('SELECT owner, pieces, bytes FROM owners WHERE pieces > 0 ORDER BY owner').map((row) => ({
      owner: hexOf(row['owner']),
      pieces: number(row['pieces']),
      bytes: number(row['bytes']),
    }));
  }
}
