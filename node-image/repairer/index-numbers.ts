// Short numbers of owners, farmers, buckets and logs: rows name them instead of 32 bytes each.
import { fromHex } from '#node/core/ids.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import { num, type IndexDatabase } from './index-database.ts';

export class IndexNumbers {
  readonly #db: IndexDatabase;
  readonly #farmers = new Map<PublicKey, number>();
  readonly #owners = new Map<PublicKey, number>();
  readonly #buckets = new Map<string, number>();
  readonly #logs = new Map<string, number>();

  constructor(db: IndexDatabase) {
    this.#db = db;
  }

  /** Rows that gave some of them are gone: by a transaction, or because it was rolled back. */
  forget(): void {
    for (const known of [this.#farmers, this.#owners, this.#buckets, this.#logs]) known.clear();
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
    const name = `${bucketNo}/${logId}`;
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const none = new Uint8Array(32);
    const insert = 'INSERT INTO logs (bucket_no, log_id, seq, hash) VALUES (?, ?, 0, ?) ON CONFLICT DO NOTHING';
    this.#db.run(insert, bucketNo, fromHex(logId), none);
    const row = this.#db.get('SELECT log_no FROM logs WHERE bucket_no = ? AND log_id = ?', bucketNo, fromHex(logId));
    const no = num(row!['log_no']);
    this.#logs.set(name, no);
    return no;
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
    const name = `${owner}/${bucketId}`;
    const known = this.#buckets.get(name);
    if (known !== undefined) return known;
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
    const no = num(row!['bucket_no']);
    this.#buckets.set(name, no);
    return no;
  }
}
