// Which pieces a farmer should have, in the order of their ids: what its own list is compared with.
import { fromHex } from '#node/core/ids.ts';
import type { PieceId, PublicKey } from '#node/wire/types.ts';
import { hex, num, type IndexDatabase } from './index-database.ts';
import type { IndexNumbers } from './index-numbers.ts';

const PAST_ALL_IDS = new Uint8Array(33).fill(255);

/** Missing = its farmer said so itself, and may say otherwise; WrongBytes = only a new receipt mends it. */
export type Suspicion = 'None' | 'Missing' | 'WrongBytes';
export const SUSPICIONS: readonly Suspicion[] = ['None', 'Missing', 'WrongBytes'];

/** A piece that a farmer should have. */
export interface NamedPiece {
  pieceId: PieceId;
  segment: number;
  pieceNumber: number;
  suspicion: Suspicion;
}

export class InventoryTable {
  readonly #db: IndexDatabase;
  readonly #numbers: IndexNumbers;

  constructor(db: IndexDatabase, numbers: IndexNumbers) {
    this.#db = db;
    this.#numbers = numbers;
  }

  /** Pieces that this farmer should have. */
  count(owner: PublicKey, farmer: PublicKey): number {
    const sql = 'SELECT count(*) AS n FROM pieces WHERE farmer_no = ? AND owner_no = ?';
    return num(this.#db.get(sql, this.#numbers.farmer(farmer), this.#numbers.owner(owner))!['n']);
  }
  /** In the order of ids. */
  inRange(owner: PublicKey, farmer: PublicKey, { fromId, toId }: { fromId: PieceId; toId: PieceId | '' }): NamedPiece[] {
    return this.#db
      .all(
        `SELECT piece_id, segment, piece_number, suspect FROM pieces INDEXED BY pieces_by_id
         WHERE farmer_no = ? AND owner_no = ? AND piece_id >= ? AND piece_id < ? ORDER BY piece_id`,
        this.#numbers.farmer(farmer),
        this.#numbers.owner(owner),
        fromHex(fromId),
        toId === '' ? PAST_ALL_IDS : fromHex(toId),
      )
      .map((row) => ({
        pieceId: hex(row['piece_id']),
        segment: num(row['segment']),
        pieceNumber: num(row['piece_number']),
        suspicion: SUSPICIONS[num(row['suspect'])]!,
      }));
  }
  /** Whether a cut has dropped its segment. */
  isDropped(owner: PublicKey, id: PieceId): boolean {
    const sql = 'SELECT 1 FROM dropped_pieces WHERE owner_no = ? AND piece_id = ?';
    return this.#db.get(sql, this.#numbers.owner(owner), fromHex(id)) !== undefined;
  }

  /** The first piece from this id on, in a circle, that the farmer should have and that can be asked for; null without any. */
  after(owner: PublicKey, farmer: PublicKey, fromId: PieceId): NamedPiece | null {
    const from = this.#firstNamed(owner, farmer, fromHex(fromId));
    return from ?? this.#firstNamed(owner, farmer, new Uint8Array(32));
  }
  #firstNamed(owner: PublicKey, farmer: PublicKey, from: Uint8Array): NamedPiece | null {
    const row = this.#db.get(
      `SELECT piece_id, segment, piece_number FROM pieces INDEXED BY pieces_by_id
       WHERE farmer_no = ? AND owner_no = ? AND piece_id >= ? AND suspect = 0
         AND (SELECT refs FROM segments WHERE id = segment) > 0 ORDER BY piece_id LIMIT 1`,
      this.#numbers.farmer(farmer),
      this.#numbers.owner(owner),
      from,
    );
    if (!row) return null;
    const { piece_id: id, segment, piece_number: number } = row;
    return { pieceId: hex(id), segment: num(segment), pieceNumber: num(number), suspicion: 'None' };
  }
}
