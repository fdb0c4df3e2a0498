// The repairer's index, SQLite on disk: which segments live, who holds their pieces, how they stand, and
// so the queue. A view of the logs; memory stays small however many segments there are.
import { fromHex } from '#node/core/ids.ts';
import { pieceId } from '#node/core/segments.ts';
import { urgency, type SegmentHealth } from '#node/core/segment-health.ts';
import type { BucketId, Hash, PublicKey, Scheme, SegmentId, SegmentPlacement } from '#node/wire/types.ts';
import { AuditTable } from './index-audits.ts';
import { CutTable } from './index-cuts.ts';
import { bytes, hex, IndexDatabase, num, schemeOf, type Row } from './index-database.ts';
import { FigureTable, HEALTH_STATES } from './index-figures.ts';
import { InventoryTable, SUSPICIONS, type Suspicion } from './index-inventory.ts';
import { IndexNumbers } from './index-numbers.ts';
import { QueueTable } from './index-queue.ts';

/** Of SQLite. */
const NO_LIMIT = -1;

/** A live segment with its holders (suspects left out), as planning and reading need it. */
export interface IndexedSegment {
  id: number;
  owner: PublicKey;
  segmentId: SegmentId;
  secret: Uint8Array;
  root: Hash;
  sizeBytes: number;
  pieceBytes: number;
  scheme: Scheme;
  /** By piece number. */
  holders: PublicKey[][];
  attempts: number;
  isInSeveralBuckets: boolean;
}
export interface LogPosition {
  seq: number;
  hash: Hash;
}
export interface UntoldMove {
  id: number;
  owner: PublicKey;
  tag: string;
  bucketId: BucketId;
  move: Move;
}
export interface Move {
  pieceNumber: number;
  farmer: PublicKey;
  /** The sealed entry: the same for every bucket that names the segment. */
  sealed: Uint8Array;
}

/** What the pieces of a segment have in common. */
interface PiecesOf {
  ownerNo: number;
  secret: Uint8Array;
  pieceBytes: number;
  isLive: boolean;
}

export class SegmentIndex {
  readonly #db: IndexDatabase;
  readonly #numbers: IndexNumbers;
  /** What audits said of farmers. */
  readonly audits: AuditTable;
  readonly queue: QueueTable;
  readonly figures: FigureTable;
  readonly inventory: InventoryTable;
  readonly cuts: CutTable;

  /** `path` may be ':memory:'. A damaged file, or one of another version, starts empty. */
  constructor(path: string) {
    this.#db = new IndexDatabase(path);
    this.#numbers = new IndexNumbers(this.#db);
    this.audits = new AuditTable(this.#db, this.#numbers);
    this.queue = new QueueTable(this.#db);
    this.figures = new FigureTable(this.#db);
    this.inventory = new InventoryTable(this.#db, this.#numbers);
    const count = (id: number, sign: 1 | -1) => this.#count(id, sign);
    this.cuts = new CutTable(this.#db, this.#numbers, { transaction: (work) => this.transaction(work), count });
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing; a nested call joins. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work, () => this.#numbers.forget());
  }

  // ---- logs ---------------------------------------------------------------------------------

  positions(owner: PublicKey, bucketId: BucketId): Map<PublicKey, LogPosition> {
    const rows = this.#db.all(
      'SELECT log_id, seq, hash FROM logs WHERE bucket_no = ? AND seq > 0',
      this.#numbers.bucket(owner, bucketId),
    );
    return new Map(rows.map((row) => [hex(row['log_id']), { seq: num(row['seq']), hash: hex(row['hash']) }]));
  }

  setPosition(owner: PublicKey, bucketId: BucketId, logId: PublicKey, { seq, hash }: LogPosition): void {
    const bucketNo = this.#numbers.bucket(owner, bucketId);
    this.#db.run(
      'INSERT INTO logs (bucket_no, log_id, seq, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash',
      bucketNo,
      fromHex(logId),
      seq,
      fromHex(hash),
    );
  }

  owners(): PublicKey[] {
    return this.#db.all('SELECT DISTINCT owner FROM buckets').map((row) => hex(row['owner']));
  }

  /** Forgets everything of an owner, to read it again (a log was cut back) or because the warrant is gone. */
  forgetOwner(owner: PublicKey): void {
    this.transaction(() => {
      this.#db.run(
        `UPDATE farmers SET pieces = pieces - n, piece_bytes = piece_bytes - bytes
         FROM (SELECT farmer_no AS no, count(*) AS n, sum(g.piece_bytes) AS bytes
               FROM segments g JOIN pieces ON segment = g.id WHERE g.owner = ? AND g.refs > 0 GROUP BY farmer_no) WHERE farmer_no = no`,
        fromHex(owner),
      );
      const ofSegments = '(SELECT id FROM segments WHERE owner = ?)';
      const ofBuckets = '(SELECT bucket_no FROM buckets WHERE owner = ?)';
      for (const table of ['pieces', 'moves', 'namings']) {
        this.#db.run(`DELETE FROM ${table} WHERE segment IN ${ofSegments}`, fromHex(owner));
      }
      for (const table of ['cuts', 'dropped_pieces']) {
        this.#db.run(`DELETE FROM ${table} WHERE owner_no = ?`, this.#numbers.owner(owner));
      }
      for (const table of ['logs', 'placements_waiting', 'checkpoints']) {
        this.#db.run(`DELETE FROM ${table} WHERE bucket_no IN ${ofBuckets}`, fromHex(owner));
      }
      this.#db.run('DELETE FROM segments WHERE owner = ?', fromHex(owner));
      this.#db.run('DELETE FROM buckets WHERE owner = ?', fromHex(owner));
      this.#numbers.forget();
    });
  }

  // ---- segments -----------------------------------------------------------------------------

  /** One more entry names the segment. `tag` finds its placement entries. Answers the segment's number. */
  addSegment(
    owner: PublicKey,
    bucketId: BucketId,
    placement: SegmentPlacement,
    derived: { tag: string; pieceBytes: number },
    from: { logId: PublicKey; seq: number },
  ): number {
    const { scheme, secret, segmentId } = placement;
    const content = [
      fromHex(derived.tag),
      secret,
      fromHex(placement.root),
      placement.sizeBytes,
      derived.pieceBytes,
      scheme.required,
      scheme.repair,
      scheme.optimal,
      scheme.total,
      placement.createdMs,
    ];
    const added = this.#db.get(
      `INSERT INTO segments (owner, segment_id, refs, tag, secret, root, size_bytes, piece_bytes, required, repair, optimal, total, created_ms)
       VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
      fromHex(owner),
      fromHex(segmentId),
      ...content,
    );
    const id = added ? num(added['id']) : this.#reference(owner, segmentId, 1);
    this.#name(id, this.#numbers.bucket(owner, bucketId), from);
    this.cuts.undrop(owner, placement);
    if (!added) {
      this.#db.run(
        `UPDATE segments SET tag = ?, secret = ?, root = ?, size_bytes = ?, piece_bytes = ?, required = ?, repair = ?,
           optimal = ?, total = ?, created_ms = ? WHERE id = ? AND secret IS NULL`,
        ...content,
        id,
      );
      this.#noteSeveralBuckets(id);
    }
    const ownerNo = this.#numbers.owner(owner);
    const of = added ? { ownerNo, secret, pieceBytes: derived.pieceBytes, isLive: true } : this.#piecesOf(id).of;
    for (const [pieceNumber, farmer] of placement.farmers.entries()) {
      if (farmer !== null && pieceNumber < scheme.total) this.#addPiece(id, of, pieceNumber, farmer);
    }
    return id;
  }

  /** One entry less names it, by a hint of that time. It lives on while another does. */
  releaseSegment(owner: PublicKey, segmentId: SegmentId, releasedMs: number): void {
    const id = this.#reference(owner, segmentId, -1);
    this.#db.run('UPDATE segments SET released_ms = max(released_ms, ?) WHERE id = ?', releasedMs, id);
  }

  #name(id: number, bucketNo: number, { logId, seq }: { logId: PublicKey; seq: number }): void {
    this.#db.run(
      'INSERT INTO namings (segment, log_no, bucket_no, seq) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)',
      id,
      this.#numbers.log(bucketNo, logId),
      bucketNo,
      seq,
    );
  }

  #noteSeveralBuckets(id: number): void {
    this.#db.run(
      'UPDATE segments SET several_buckets = 1 WHERE id = ?1 AND several_buckets = 0 AND (SELECT count(DISTINCT bucket_no) FROM namings WHERE segment = ?1) > 1',
      id,
    );
  }

  /** Counters follow liveness: pieces of a segment that nothing names aren't on a farmer's account. */
  #reference(owner: PublicKey, segmentId: SegmentId, by: 1 | -1): number {
    this.#db.run(
      'INSERT INTO segments (owner, segment_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
      fromHex(owner),
      fromHex(segmentId),
    );
    const row = this.#db.get(
      'UPDATE segments SET refs = refs + ? WHERE owner = ? AND segment_id = ? RETURNING id, refs',
      by,
      fromHex(owner),
      fromHex(segmentId),
    )!;
    const [id, refs] = [num(row['id']), num(row['refs'])];
    if (refs === 1 && by === 1) this.#count(id, 1);
    if (refs === 0 && by === -1) this.#count(id, -1);
    if (refs <= 0) this.#db.run('UPDATE segments SET queued = 0 WHERE id = ?', id);
    return id;
  }

  #count(id: number, sign: 1 | -1): void {
    this.#db.run(
      `UPDATE farmers SET pieces = pieces + ?1 * n, piece_bytes = piece_bytes + ?1 * n * bytes
       FROM (SELECT farmer_no AS no, count(*) AS n, (SELECT piece_bytes FROM segments WHERE id = ?2) AS bytes
             FROM pieces WHERE segment = ?2 GROUP BY farmer_no) WHERE farmer_no = no`,
      sign,
      id,
    );
    if (sign < 0) this.#db.run('UPDATE pieces SET to_move = 0 WHERE segment = ?', id);
  }

  #piecesOf(id: number): { owner: PublicKey; of: PiecesOf } {
    const row = this.#db.get('SELECT owner, secret, piece_bytes, refs FROM segments WHERE id = ?', id)!;
    const owner = hex(row['owner']);
    const isLive = num(row['refs']) > 0;
    const of = { ownerNo: this.#numbers.owner(owner), secret: bytes(row['secret']), pieceBytes: num(row['piece_bytes']), isLive };
    return { owner, of };
  }

  #addPiece(id: number, of: PiecesOf, pieceNumber: number, farmer: PublicKey): void {
    const farmerNo = this.#numbers.farmer(farmer);
    const added = this.#db.run(
      'INSERT INTO pieces (segment, piece_number, farmer_no, owner_no, piece_id) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      id,
      pieceNumber,
      farmerNo,
      of.ownerNo,
      fromHex(pieceId(of.secret, pieceNumber)),
    );
    if (added === 0 || !of.isLive) return;
    this.#db.run(
      'UPDATE farmers SET pieces = pieces + 1, piece_bytes = piece_bytes + ? WHERE farmer_no = ?',
      of.pieceBytes,
      farmerNo,
    );
  }

  // ---- moves --------------------------------------------------------------------------------

  /** Segments that a placement entry may be about. */
  segmentsByTag(owner: PublicKey, tag: string): number[] {
    return this.#db
      .all('SELECT id FROM segments WHERE tag = ? AND owner = ?', fromHex(tag), fromHex(owner))
      .map((row) => num(row['id']));
  }

  /** A placement entry that came before its segment. */
  keepWaiting(owner: PublicKey, bucketId: BucketId, tag: string, sealed: Uint8Array): void {
    this.#db.run(
      'INSERT INTO placements_waiting (tag, bucket_no, sealed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
      fromHex(tag),
      this.#numbers.bucket(owner, bucketId),
      sealed,
    );
  }

  takeWaiting(owner: PublicKey, tag: string): { bucketId: BucketId; sealed: Uint8Array }[] {
    const rows = this.#db.all(
      `SELECT bucket_no, bucket_id, sealed FROM placements_waiting JOIN buckets USING (bucket_no) WHERE tag = ? AND owner = ?`,
      fromHex(tag),
      fromHex(owner),
    );
    for (const row of rows) {
      this.#db.run(
        'DELETE FROM placements_waiting WHERE tag = ? AND bucket_no = ? AND sealed = ?',
        fromHex(tag),
        row['bucket_no']!,
        row['sealed']!,
      );
    }
    return rows.map((row) => ({ bucketId: hex(row['bucket_id']), sealed: bytes(row['sealed']) }));
  }

  /** One more holder, told in the log of this bucket. */
  addMove(id: number, bucketId: BucketId, move: Move): void {
    const { owner, of } = this.#piecesOf(id);
    this.#addPiece(id, of, move.pieceNumber, move.farmer);
    this.#db.run(
      'INSERT INTO moves (segment, piece_number, farmer_no, bucket_no, sealed) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET sealed = excluded.sealed',
      id,
      move.pieceNumber,
      this.#numbers.farmer(move.farmer),
      this.#numbers.bucket(owner, bucketId),
      move.sealed,
    );
  }

  /** What is wrong with the piece that this farmer should have. */
  setSuspect(id: number, pieceNumber: number, farmer: PublicKey, suspect: Suspicion): void {
    this.#db.run(
      'UPDATE pieces SET suspect = ? WHERE segment = ? AND piece_number = ? AND farmer_no = ?',
      SUSPICIONS.indexOf(suspect),
      id,
      pieceNumber,
      this.#numbers.farmer(farmer),
    );
  }

  /** Buckets whose readers must hear of this segment's moves. */
  bucketsOf(id: number): BucketId[] {
    return this.#db
      .all('SELECT DISTINCT bucket_id FROM namings JOIN buckets USING (bucket_no) WHERE segment = ?', id)
      .map((row) => hex(row['bucket_id']));
  }

  /** Moves that a bucket's readers haven't heard of: a copy made after the move, or a crash in between. */
  untoldMoves(limit: number): UntoldMove[] {
    return this.#untold('TRUE', limit);
  }
  untoldMovesOf({ id }: IndexedSegment): UntoldMove[] {
    return this.#untold('g.id = ?', id, NO_LIMIT);
  }

  #untold(where: string, ...values: number[]): UntoldMove[] {
    return this.#db
      .all(
        `SELECT m.segment AS id, b.owner AS owner, g.tag AS tag, b.bucket_id AS bucket_id, m.piece_number AS piece_number, f.farmer AS farmer, m.sealed AS sealed
       FROM segments g INDEXED BY segments_in_several_buckets JOIN moves m ON m.segment = g.id
       JOIN namings s ON s.segment = g.id AND s.bucket_no <> m.bucket_no
       JOIN buckets b ON b.bucket_no = s.bucket_no JOIN farmers f ON f.farmer_no = m.farmer_no
       WHERE ${where} AND g.several_buckets = 1 AND NOT EXISTS (SELECT 1 FROM moves o WHERE o.segment = m.segment AND o.piece_number = m.piece_number
         AND o.farmer_no = m.farmer_no AND o.bucket_no = s.bucket_no)
       GROUP BY m.segment, m.piece_number, m.farmer_no, s.bucket_no LIMIT ?`,
        ...values,
      )
      .map((row) => ({
        id: num(row['id']),
        owner: hex(row['owner']),
        tag: hex(row['tag']),
        bucketId: hex(row['bucket_id']),
        move: { pieceNumber: num(row['piece_number']), farmer: hex(row['farmer']), sealed: bytes(row['sealed']) },
      }));
  }

  // ---- health -------------------------------------------------------------------------------

  /** Null when nothing names it any more. */
  segment(id: number): IndexedSegment | null {
    return this.#segment(this.#db.get('SELECT * FROM segments WHERE id = ? AND refs > 0 AND secret IS NOT NULL', id));
  }
  /** Also one that nothing names, or nothing names yet. */
  knownSegment(id: number): IndexedSegment | null {
    return this.#segment(this.#db.get('SELECT * FROM segments WHERE id = ? AND secret IS NOT NULL', id));
  }

  #segment(row: Row | undefined): IndexedSegment | null {
    if (!row) return null;
    const id = num(row['id']);
    const total = num(row['total']);
    const holders: PublicKey[][] = Array.from({ length: total }, () => []);
    const pieces = this.#db.all(
      'SELECT piece_number, farmer FROM pieces JOIN farmers USING (farmer_no) WHERE segment = ? AND suspect = 0',
      id,
    );
    for (const piece of pieces) holders[num(piece['piece_number'])]?.push(hex(piece['farmer']));
    return {
      id,
      owner: hex(row['owner']),
      segmentId: hex(row['segment_id']),
      secret: bytes(row['secret']),
      root: hex(row['root']),
      sizeBytes: num(row['size_bytes']),
      pieceBytes: num(row['piece_bytes']),
      scheme: schemeOf(row),
      holders,
      attempts: num(row['attempts']),
      isInSeveralBuckets: num(row['several_buckets']) === 1,
    };
  }

  /** `moving`: holders whose piece must find another one. A segment that isn't queued yet waits from `nowMs` on. */
  setHealth(id: number, health: SegmentHealth, moving: { pieceNumber: number; farmer: PublicKey }[], nowMs: number): void {
    this.#db.run(
      `UPDATE segments SET margin = ?, state = ?, queued_ms = CASE queued WHEN 0 THEN ? ELSE queued_ms END, queued = ?, urgency = ?
       WHERE id = ?`,
      health.margin,
      HEALTH_STATES.indexOf(health.state),
      nowMs,
      health.queued ? 1 : 0,
      urgency(health),
      id,
    );
    this.#db.run('UPDATE pieces SET to_move = 0 WHERE segment = ? AND to_move = 1', id);
    for (const { pieceNumber, farmer } of moving) {
      this.#db.run(
        'UPDATE pieces SET to_move = 1 WHERE segment = ? AND piece_number = ? AND farmer_no = ?',
        id,
        pieceNumber,
        this.#numbers.farmer(farmer),
      );
    }
  }

  /** Live segments with a piece on this farmer, a page at a time: start after 0, go on after the last. */
  segmentsOn(farmer: PublicKey, after: number, limit: number): number[] {
    return this.#db
      .all(
        'SELECT DISTINCT segment FROM pieces WHERE farmer_no = ? AND segment > ? ORDER BY segment LIMIT ?',
        this.#numbers.farmer(farmer),
        after,
        limit,
      )
      .map((row) => num(row['segment']));
  }

  /** All farmers that ever held a piece. */
  farmers(): PublicKey[] {
    return this.#db.all('SELECT farmer FROM farmers').map((row) => hex(row['farmer']));
  }

  allSegments(after: number, limit: number): number[] {
    return this.#db
      .all('SELECT id FROM segments WHERE id > ? AND refs > 0 ORDER BY id LIMIT ?', after, limit)
      .map((row) => num(row['id']));
  }
}
