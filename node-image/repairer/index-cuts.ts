// Cuts in the index: which wait for logs to be read, which segments they let go, and what pieces these had.
import { fromHex } from '#node/core/ids.ts';
import { pieceId } from '#node/core/segments.ts';
import type { BucketId, Cut, CutHead, PublicKey, SegmentId, SegmentPlacement } from '#node/wire/types.ts';
import { bytes, num, type IndexDatabase } from './index-database.ts';
import type { IndexNumbers } from './index-numbers.ts';

/** A farmer that was away for longer keeps nothing in its trash any more; its orphans are old enough to go as such. */
const REMEMBER_DROPPED_MS = 30 * 24 * 3_600_000;

/** What a checkpoint names stands in no batch: it has a log of its own in the index, which holds just this batch. */
export const IN_CHECKPOINT = { logId: '00'.repeat(32), seq: 1 };

/** Segments that one transaction brings back. */
const REVIVED_AT_ONCE = 500;

/** Log id → its last batch that counts, Infinity while it is open. A log that isn't there has none. */
export type LogEnds = ReadonlyMap<PublicKey, number>;

interface Index {
  transaction<T>(work: () => T): T;
  /** The segment's pieces go onto the accounts of their farmers, or off them. */
  count(id: number, sign: 1 | -1): void;
}

export class CutTable {
  readonly #db: IndexDatabase;
  readonly #numbers: IndexNumbers;
  readonly #index: Index;

  constructor(db: IndexDatabase, numbers: IndexNumbers, index: Index) {
    this.#db = db;
    this.#numbers = numbers;
    this.#index = index;
  }

  /** How far the checkpoint that this bucket is read from covers each log. */
  setCheckpoint(owner: PublicKey, bucketId: BucketId, vector: ReadonlyMap<PublicKey, { seq: number }>): void {
    this.#db.run(
      'INSERT INTO checkpoints (bucket_no, vector) VALUES (?, ?) ON CONFLICT DO UPDATE SET vector = excluded.vector',
      this.#numbers.bucket(owner, bucketId),
      JSON.stringify([...vector].map(([logId, { seq }]) => [logId, seq])),
    );
  }

  /** Waits until all logs are read up to its heads. */
  keep(owner: PublicKey, cutMs: number, { statement, heads, dropped }: Cut): void {
    this.#db.run(
      'INSERT INTO cuts (owner_no, cut_ms, statement, heads, dropped) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      this.#numbers.owner(owner),
      cutMs,
      statement,
      JSON.stringify(heads),
      JSON.stringify(dropped),
    );
  }

  /** Oldest first, one at a time: each may name many segments. */
  *waiting(owner: PublicKey): Generator<Cut & { cutMs: number }, void, undefined> {
    const sql = `SELECT * FROM cuts WHERE owner_no = ? AND heads IS NOT NULL AND (cut_ms, statement) > (?, ?)
      ORDER BY cut_ms, statement LIMIT 1`;
    let last: { cutMs: number; statement: Uint8Array } = { cutMs: -1, statement: new Uint8Array(0) };
    for (;;) {
      const row = this.#db.get(sql, this.#numbers.owner(owner), last.cutMs, last.statement);
      if (!row) return;
      last = { cutMs: num(row['cut_ms']), statement: bytes(row['statement']) };
      const heads = JSON.parse(String(row['heads'])) as CutHead[];
      yield { ...last, heads, dropped: JSON.parse(String(row['dropped'])) as SegmentId[] };
    }
  }
  forget(owner: PublicKey, statement: Uint8Array): void {
    this.#db.run('DELETE FROM cuts WHERE owner_no = ? AND statement = ?', this.#numbers.owner(owner), statement);
  }

  /** The newest that was applied: what farmers are shown. */
  applied(owner: PublicKey): { cutMs: number; statement: Uint8Array } | null {
    const sql = 'SELECT cut_ms, statement FROM cuts WHERE owner_no = ? AND heads IS NULL ORDER BY cut_ms DESC LIMIT 1';
    const row = this.#db.get(sql, this.#numbers.owner(owner));
    return row ? { cutMs: num(row['cut_ms']), statement: bytes(row['statement']) } : null;
  }

  /**
   * Lets go what the cut drops, but for segments that batches above its heads, or a checkpoint that knows more than
   * they do, brought in again. All logs are read up to the heads. `ends`: of each log of the owner, how much of it counts.
   */
  apply(owner: PublicKey, { cutMs, statement, heads, dropped }: Cut & { cutMs: number }, ends: LogEnds): void {
    this.#index.transaction(() => {
      const ofOwner = 'bucket_no IN (SELECT bucket_no FROM buckets WHERE owner = ?)';
      this.#db.run(`UPDATE logs SET cut_seq = 0 WHERE cut_seq > 0 AND ${ofOwner}`, fromHex(owner));
      const cover = (bucketNo: number, logId: PublicKey, seq: number) =>
        this.#db.run('UPDATE logs SET cut_seq = ? WHERE log_no = ?', seq, this.#numbers.log(bucketNo, logId));
      for (const [bucketId, ofBucket] of Map.groupBy(heads, (head) => head.bucketId)) {
        const bucketNo = this.#numbers.bucket(owner, bucketId);
        for (const { logId, seq } of ofBucket) cover(bucketNo, logId, seq);
        if (this.#knowsCheckpoint(bucketNo, ofBucket, ends)) cover(bucketNo, IN_CHECKPOINT.logId, IN_CHECKPOINT.seq);
      }
      for (const segmentId of dropped) this.#dropIfCovered(owner, segmentId, cutMs);
      const ownerNo = this.#numbers.owner(owner);
      this.#db.run('DELETE FROM cuts WHERE owner_no = ? AND heads IS NULL AND cut_ms <= ?', ownerNo, cutMs);
      this.#db.run('UPDATE cuts SET heads = NULL, dropped = NULL WHERE owner_no = ? AND statement = ?', ownerNo, statement);
      this.#db.run('DELETE FROM dropped_pieces WHERE owner_no = ? AND cut_ms < ?', ownerNo, cutMs - REMEMBER_DROPPED_MS);
    });
  }

  /** Whoever stated a cut with these heads had everything that the checkpoint covers. */
  #knowsCheckpoint(bucketNo: number, heads: readonly CutHead[], ends: LogEnds): boolean {
    const row = this.#db.get('SELECT vector FROM checkpoints WHERE bucket_no = ?', bucketNo);
    if (!row) return false;
    const known = new Map(heads.map(({ logId, seq }) => [logId, seq]));
    const vector = JSON.parse(String(row['vector'])) as [PublicKey, number][];
    return vector.every(([logId, seq]) => (known.get(logId) ?? 0) >= Math.min(seq, ends.get(logId) ?? 0));
  }

  #dropIfCovered(owner: PublicKey, segmentId: SegmentId, cutMs: number): void {
    const sql = 'SELECT id, refs, secret, total FROM segments WHERE owner = ? AND segment_id = ?';
    const row = this.#db.get(sql, fromHex(owner), fromHex(segmentId));
    if (!row || row['secret'] === null) return;
    const id = num(row['id']);
    const covered = 'seq <= (SELECT cut_seq FROM logs WHERE logs.log_no = namings.log_no)';
    this.#db.run(`DELETE FROM namings WHERE segment = ? AND ${covered}`, id);
    if (this.#db.get('SELECT 1 FROM namings WHERE segment = ?', id)) return;
    if (num(row['refs']) > 0) this.#index.count(id, -1);
    for (let number = 0; number < num(row['total']); number++) {
      this.#db.run(
        'INSERT INTO dropped_pieces (owner_no, piece_id, cut_ms) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cut_ms = excluded.cut_ms',
        this.#numbers.owner(owner),
        fromHex(pieceId(bytes(row['secret']), number)),
        cutMs,
      );
    }
    for (const table of ['pieces', 'moves', 'namings']) this.#db.run(`DELETE FROM ${table} WHERE segment = ?`, id);
    this.#db.run('DELETE FROM segments WHERE id = ?', id);
  }

  /** It is named again. */
  undrop(owner: PublicKey, { secret, scheme }: SegmentPlacement): void {
    const ownerNo = this.#numbers.owner(owner);
    if (!this.#db.get('SELECT 1 FROM dropped_pieces WHERE owner_no = ? LIMIT 1', ownerNo)) return;
    for (let number = 0; number < scheme.total; number++) {
      const id = fromHex(pieceId(secret, number));
      this.#db.run('DELETE FROM dropped_pieces WHERE owner_no = ? AND piece_id = ?', ownerNo, id);
    }
  }

  /**
   * Hints from before this time that no cut has confirmed were wrong: these segments live. Answers them. What
   * such hints let go that nothing brought in is forgotten. A page at a time: start after 0, go on after the last.
   */
  reviveReleased(owner: PublicKey, beforeMs: number, after = 0): number[] {
    return this.#index.transaction(() => {
      const where = 'owner = ? AND refs <= 0 AND released_ms < ?';
      this.#db.run(`DELETE FROM segments WHERE ${where} AND secret IS NULL`, fromHex(owner), beforeMs);
      const sql = `SELECT id FROM segments WHERE ${where} AND id > ? ORDER BY id LIMIT ?`;
      const ids = this.#db.all(sql, fromHex(owner), beforeMs, after, REVIVED_AT_ONCE).map((row) => num(row['id']));
      for (const id of ids) {
        this.#db.run('UPDATE segments SET refs = (SELECT count(*) FROM namings WHERE segment = ?1) WHERE id = ?1', id);
        this.#index.count(id, 1);
      }
      return ids;
    });
  }
}
