// Short numbers of owners, farmers, buckets and logs: rows name them instead of 32 bytes each.
import { fromHex } from '#node/core/ids.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import { num, type IndexDatabase } from './index-database.ts';

export class IndexNumbers {
  readonly #db: IndexDatabase;
  readonly #farmers = new Map<PublicKey, number>();
  readonly #owners = new Map<PublicKey, number>();

  constructor(db: IndexDatabase) {
    this.#db = db;
  }

  /** A transaction that gave some of them was rolled back. */
  forget(): void {
    this.#farmers.clear();
    this.#owners.clear();
  }

  owner(owner: PublicKey): number {
    const known = this.#owners.get(owner);
    if (known !== undefined) return known;
    this.#db.run('INSERT INTO owners (owner) VALUES (?) ON CONFLICT DO NOTHING', fromHex(owner));
    const no = num(this.#db.get('SELECT owner_no FROM owners WHERE owner = ?', fromHex(owner))!['owner_no']);
    this.#owners.set(owner, no);
    return no;
  }

  log(bucketNo: number, logId: PublicKey): number {
    const none = new Uint8Array(32);
    const insert = 'INSERT INTO logs (bucket_no, log_id, seq, hash) VALUES (?, ?, 0, ?) ON CONFLICT DO NOTHING';
    this.#db.run(insert, bucketNo, fromHex(logId), none);
    const row = this.#db.get('SELECT log_no FROM logs WHERE bucket_no = ? AND log_id = ?', bucketNo, fromHex(logId));
    return num(row!['log_no']);
  }

  farmer(farmer: PublicKey): number {
    const known = this.#farmers.get(farmer);
    if (known !== undefined) return known;
    this.#db.run('INSERT INTO farmers (farmer) VALUES (?) ON CONFLICT DO NOTHING', fromHex(farmer));
    const no = num(this.#db.get('SELECT farmer_no FROM farmers WHERE farmer = ?', fromHex(farmer))!['farmer_no']);
    this.#farmers.set(farmer, no);
    return no;
  }

  bucket(owner: PublicKey, bucketId: BucketId): number {
    this.#db.run(
      'INSERT INTO buckets (owner, bucket_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
      fromHex(owner),
      fromHex(bucketId),
    );
    const row = this.#db.get(
      'SELECT bucket_no FROM buckets WHERE owner = ? AND bucket_id = ?',
      fromHex(owner),
      fromHex(bucketId),
    );
    return num(row!['bucket_no']);
  }
}
