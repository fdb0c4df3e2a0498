// The repairer's index, SQLite on disk: which segments live, who holds their pieces, how they stand, and
// so the queue. A view of the logs; memory stays small however many segments there are.
import { fromHex } from '#node/core/ids.ts';
import { pieceId } from '#node/core/segments.ts';
import { schemeText } from '#node/core/schemes.ts';
import { CROWDED_URGENCY, urgency, type HealthState, type SegmentHealth } from '#node/core/segment-health.ts';
import type { BucketId, Cut, CutHead, Hash, PieceId, PublicKey, Scheme, SegmentId, SegmentPlacement } from '#node/wire/types.ts';
import { AuditTable } from './index-audits.ts';
import { bytes, hex, IndexDatabase, num, type Row } from './index-database.ts';

const PAST_ALL_IDS = new Uint8Array(33).fill(255);
/** A farmer that was away for longer keeps nothing in its trash any more; its orphans are old enough to go as such. */
const REMEMBER_DROPPED_MS = 30 * 24 * 3_600_000;
const HEALTH_STATES: readonly HealthState[] = ['Healthy', 'Degraded', 'AtRisk', 'Unreadable'];

/** Missing = its farmer said so itself, and may say otherwise; WrongBytes = only a new receipt mends it. */
export type Suspicion = 'None' | 'Missing' | 'WrongBytes';
const SUSPICIONS: readonly Suspicion[] = ['None', 'Missing', 'WrongBytes'];

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
}
/** A piece that a farmer should have. */
export interface NamedPiece {
  pieceId: PieceId;
  segment: number;
  pieceNumber: number;
  suspicion: Suspicion;
}
export interface LogPosition {
  seq: number;
  hash: Hash;
}
export interface Move {
  pieceNumber: number;
  farmer: PublicKey;
  /** The sealed entry: the same for every bucket that names the segment. */
  sealed: Uint8Array;
}
export interface IndexTotals {
  segments: number;
  queued: number;
  /** Of those: only because a failure domain has too many of their pieces. */
  crowded: number;
  byState: Record<HealthState, number>;
  /** Least margin over live segments; null without any. */
  margin: number | null;
  /** By `schemeText`. */
  byScheme: Record<string, number>;
}
export interface FarmerCounts {
  pieces: number;
  pieceBytes: number;
  piecesToMove: number;
}

export class SegmentIndex {
  readonly #db: IndexDatabase;
  /** What audits said of farmers. */
  readonly audits: AuditTable;
  readonly #farmerNos = new Map<PublicKey, number>();
  readonly #ownerNos = new Map<PublicKey, number>();

  /** `path` may be ':memory:'. A damaged file, or one of another version, starts empty. */
  constructor(path: string) {
    this.#db = new IndexDatabase(path);
    this.audits = new AuditTable(this.#db, (farmer) => this.#farmerNo(farmer));
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing; a nested call joins. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work, () => {
      this.#farmerNos.clear();
      this.#ownerNos.clear();
    });
  }

  // ---- logs ---------------------------------------------------------------------------------

  positions(owner: PublicKey, bucketId: BucketId): Map<PublicKey, LogPosition> {
    const rows = this.#db.all(
      'SELECT log_id, seq, hash FROM logs WHERE bucket_no = ? AND seq > 0',
      this.#bucketNo(owner, bucketId),
    );
    return new Map(rows.map((row) => [hex(row['log_id']), { seq: num(row['seq']), hash: hex(row['hash']) }]));
  }

  setPosition(owner: PublicKey, bucketId: BucketId, logId: PublicKey, { seq, hash }: LogPosition): void {
    const bucketNo = this.#bucketNo(owner, bucketId);
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
      for (const { id } of this.#db.all('SELECT id FROM segments WHERE owner = ? AND refs > 0', fromHex(owner)))
        this.#count(num(id), -1);
      const ofSegments = '(SELECT id FROM segments WHERE owner = ?)';
      const ofBuckets = '(SELECT bucket_no FROM buckets WHERE owner = ?)';
      for (const table of ['pieces', 'moves', 'namings']) {
        this.#db.run(`DELETE FROM ${table} WHERE segment IN ${ofSegments}`, fromHex(owner));
      }
      for (const table of ['cuts', 'dropped_pieces']) {
        this.#db.run(`DELETE FROM ${table} WHERE owner_no = ?`, this.#ownerNo(owner));
      }
      for (const table of ['logs', 'placements_waiting']) {
        this.#db.run(`DELETE FROM ${table} WHERE bucket_no IN ${ofBuckets}`, fromHex(owner));
      }
      this.#db.run('DELETE FROM segments WHERE owner = ?', fromHex(owner));
      this.#db.run('DELETE FROM buckets WHERE owner = ?', fromHex(owner));
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
    const { scheme } = placement;
    const id = this.#reference(owner, placement.segmentId, 1);
    this.#name(id, this.#bucketNo(owner, bucketId), from);
    this.#undrop(owner, placement);
    this.#db.run(
      `UPDATE segments SET tag = ?, secret = ?, root = ?, size_bytes = ?, piece_bytes = ?, required = ?, repair = ?,
         optimal = ?, total = ?, created_ms = ? WHERE id = ? AND secret IS NULL`,
      fromHex(derived.tag),
      placement.secret,
      fromHex(placement.root),
      placement.sizeBytes,
      derived.pieceBytes,
      scheme.required,
      scheme.repair,
      scheme.optimal,
      scheme.total,
      placement.createdMs,
      id,
    );
    for (const [pieceNumber, farmer] of placement.farmers.entries()) {
      if (farmer !== null && pieceNumber < scheme.total) this.#addPiece(id, pieceNumber, farmer);
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
      this.#logNo(bucketNo, logId),
      bucketNo,
      seq,
    );
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
      'SELECT id, refs FROM segments WHERE owner = ? AND segment_id = ?',
      fromHex(owner),
      fromHex(segmentId),
    )!;
    const id = num(row['id']);
    const before = num(row['refs']);
    this.#db.run('UPDATE segments SET refs = refs + ? WHERE id = ?', by, id);
    if (before === 0 && by === 1) this.#count(id, 1);
    if (before === 1 && by === -1) this.#count(id, -1);
    if (before + by <= 0) this.#db.run('UPDATE segments SET queued = 0 WHERE id = ?', id);
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

  #addPiece(id: number, pieceNumber: number, farmer: PublicKey): void {
    const farmerNo = this.#farmerNo(farmer);
    const { owner, secret } = this.#db.get('SELECT owner, secret FROM segments WHERE id = ?', id)!;
    const added = this.#db.run(
      'INSERT INTO pieces (segment, piece_number, farmer_no, owner_no, piece_id) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      id,
      pieceNumber,
      farmerNo,
      this.#ownerNo(hex(owner)),
      fromHex(pieceId(bytes(secret), pieceNumber)),
    );
    if (added === 0) return;
    this.#db.run(
      `UPDATE farmers SET pieces = pieces + 1, piece_bytes = piece_bytes + (SELECT piece_bytes FROM segments WHERE id = ?1)
       WHERE farmer_no = ?2 AND (SELECT refs FROM segments WHERE id = ?1) > 0`,
      id,
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
      this.#bucketNo(owner, bucketId),
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
    const owner = hex(this.#db.get('SELECT owner FROM segments WHERE id = ?', id)!['owner']);
    this.#addPiece(id, move.pieceNumber, move.farmer);
    this.#db.run(
      'INSERT INTO moves (segment, piece_number, farmer_no, bucket_no, sealed) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET sealed = excluded.sealed',
      id,
      move.pieceNumber,
      this.#farmerNo(move.farmer),
      this.#bucketNo(owner, bucketId),
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
      this.#farmerNo(farmer),
    );
  }

  /** Buckets whose readers must hear of this segment's moves. */
  bucketsOf(id: number): BucketId[] {
    return this.#db
      .all('SELECT DISTINCT bucket_id FROM namings JOIN buckets USING (bucket_no) WHERE segment = ?', id)
      .map((row) => hex(row['bucket_id']));
  }

  /** Moves that a bucket's readers haven't heard of: a copy made after the move, or a crash in between. */
  untoldMoves(limit: number): { id: number; owner: PublicKey; tag: string; bucketId: BucketId; move: Move }[] {
    return this.#db
      .all(
        `SELECT m.segment AS id, b.owner AS owner, g.tag AS tag, b.bucket_id AS bucket_id, m.piece_number AS piece_number, f.farmer AS farmer, m.sealed AS sealed
       FROM segments g INDEXED BY segments_in_several_buckets JOIN moves m ON m.segment = g.id
       JOIN namings s ON s.segment = g.id AND s.bucket_no <> m.bucket_no
       JOIN buckets b ON b.bucket_no = s.bucket_no JOIN farmers f ON f.farmer_no = m.farmer_no
       WHERE g.several_buckets = 1 AND NOT EXISTS (SELECT 1 FROM moves o WHERE o.segment = m.segment AND o.piece_number = m.piece_number
         AND o.farmer_no = m.farmer_no AND o.bucket_no = s.bucket_no)
       GROUP BY m.segment, m.piece_number, m.farmer_no, s.bucket_no LIMIT ?`,
        limit,
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
        this.#farmerNo(farmer),
      );
    }
  }

  /** Live segments with a piece on this farmer, a page at a time: start after 0, go on after the last. */
  segmentsOn(farmer: PublicKey, after: number, limit: number): number[] {
    return this.#db
      .all(
        'SELECT DISTINCT segment FROM pieces WHERE farmer_no = ? AND segment > ? ORDER BY segment LIMIT ?',
        this.#farmerNo(farmer),
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

  // ---- queue --------------------------------------------------------------------------------

  /** Most endangered first, those that wait for another try left out. */
  queued(nowMs: number, limit: number): number[] {
    return this.#db
      .all(
        'SELECT id FROM segments INDEXED BY segments_queue WHERE queued = 1 AND retry_ms <= ? ORDER BY urgency, id LIMIT ?',
        nowMs,
        limit,
      )
      .map((row) => num(row['id']));
  }

  /** Since when a queued segment waits. */
  queuedMs(id: number): number {
    return num(this.#db.get('SELECT queued_ms FROM segments WHERE id = ?', id)?.['queued_ms'] ?? 0);
  }

  retryLater(id: number, retryMs: number): void {
    this.#db.run('UPDATE segments SET attempts = attempts + 1, retry_ms = ? WHERE id = ?', retryMs, id);
  }
  /** Not its fault: it isn't this segment's turn yet. */
  postpone(id: number, retryMs: number): void {
    this.#db.run('UPDATE segments SET retry_ms = ? WHERE id = ?', retryMs, id);
  }
  retryFresh(id: number): void {
    this.#db.run('UPDATE segments SET attempts = 0, retry_ms = 0 WHERE id = ?', id);
  }
  /** The farm changed: everything may be tried at once. */
  retryAll(): void {
    this.#db.run('UPDATE segments SET attempts = 0, retry_ms = 0 WHERE queued = 1 AND retry_ms > 0');
  }

  // ---- figures ------------------------------------------------------------------------------

  totals(): IndexTotals {
    const byState: Record<HealthState, number> = { Healthy: 0, Degraded: 0, AtRisk: 0, Unreadable: 0 };
    const byScheme: Record<string, number> = {};
    let segments = 0;
    let margin: number | null = null;
    const rows = this.#db.all(
      `SELECT state, required, repair, optimal, total, min(margin) AS margin, count(*) AS n FROM segments WHERE refs > 0
       GROUP BY state, required, repair, optimal, total`,
    );
    for (const row of rows) {
      const n = num(row['n']);
      segments += n;
      byState[HEALTH_STATES[num(row['state'])]!] += n;
      if (num(row['required']) > 0) {
        const name = schemeText(schemeOf(row));
        byScheme[name] = (byScheme[name] ?? 0) + n;
      }
      margin = Math.min(margin ?? Infinity, num(row['margin']));
    }
    const queued = num(this.#db.get('SELECT count(*) AS n FROM segments WHERE queued = 1')!['n']);
    const crowded = num(
      this.#db.get(
        'SELECT count(*) AS n FROM segments WHERE queued = 1 AND urgency >= ? AND urgency < ?',
        CROWDED_URGENCY.from,
        CROWDED_URGENCY.below,
      )!['n'],
    );
    return { segments, queued, crowded, byState, margin, byScheme };
  }

  farmerCounts(farmer: PublicKey): FarmerCounts {
    const row = this.#db.get('SELECT farmer_no, pieces, piece_bytes FROM farmers WHERE farmer = ?', fromHex(farmer));
    if (!row) return { pieces: 0, pieceBytes: 0, piecesToMove: 0 };
    const toMove = this.#db.get('SELECT count(*) AS n FROM pieces WHERE to_move = 1 AND farmer_no = ?', row['farmer_no']!)!;
    return { pieces: num(row['pieces']), pieceBytes: num(row['piece_bytes']), piecesToMove: num(toMove['n']) };
  }

  // ---- inventory ----------------------------------------------------------------------------

  /** Pieces that this farmer should have. */
  namedCount(owner: PublicKey, farmer: PublicKey): number {
    const sql = 'SELECT count(*) AS n FROM pieces WHERE farmer_no = ? AND owner_no = ?';
    return num(this.#db.get(sql, this.#farmerNo(farmer), this.#ownerNo(owner))!['n']);
  }
  /** In the order of ids. */
  namedInRange(owner: PublicKey, farmer: PublicKey, { fromId, toId }: { fromId: PieceId; toId: PieceId | '' }): NamedPiece[] {
    return this.#db
      .all(
        `SELECT piece_id, segment, piece_number, suspect FROM pieces INDEXED BY pieces_by_id
         WHERE farmer_no = ? AND owner_no = ? AND piece_id >= ? AND piece_id < ? ORDER BY piece_id`,
        this.#farmerNo(farmer),
        this.#ownerNo(owner),
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
    return this.#db.get(sql, this.#ownerNo(owner), fromHex(id)) !== undefined;
  }

  /** The first piece from this id on, in a circle, that the farmer should have and that can be asked for; null without any. */
  namedAfter(owner: PublicKey, farmer: PublicKey, fromId: PieceId): NamedPiece | null {
    const from = this.#firstNamed(owner, farmer, fromHex(fromId));
    return from ?? this.#firstNamed(owner, farmer, new Uint8Array(32));
  }
  #firstNamed(owner: PublicKey, farmer: PublicKey, from: Uint8Array): NamedPiece | null {
    const row = this.#db.get(
      `SELECT piece_id, segment, piece_number FROM pieces INDEXED BY pieces_by_id
       WHERE farmer_no = ? AND owner_no = ? AND piece_id >= ? AND suspect = 0
         AND (SELECT refs FROM segments WHERE id = segment) > 0 ORDER BY piece_id LIMIT 1`,
      this.#farmerNo(farmer),
      this.#ownerNo(owner),
      from,
    );
    if (!row) return null;
    const { piece_id: id, segment, piece_number: number } = row;
    return { pieceId: hex(id), segment: num(segment), pieceNumber: num(number), suspicion: 'None' };
  }

  // ---- cuts ---------------------------------------------------------------------------------

  /** Waits until all logs are read up to its heads. */
  keepCut(owner: PublicKey, cutMs: number, { statement, heads, dropped }: Cut): void {
    this.#db.run(
      'INSERT INTO cuts (owner_no, cut_ms, statement, heads, dropped) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      this.#ownerNo(owner),
      cutMs,
      statement,
      JSON.stringify(heads),
      JSON.stringify(dropped),
    );
  }

  /** Oldest first. */
  waitingCuts(owner: PublicKey): (Cut & { cutMs: number })[] {
    const sql = 'SELECT * FROM cuts WHERE owner_no = ? AND heads IS NOT NULL ORDER BY cut_ms';
    return this.#db.all(sql, this.#ownerNo(owner)).map((row) => ({
      cutMs: num(row['cut_ms']),
      statement: bytes(row['statement']),
      heads: JSON.parse(String(row['heads'])) as CutHead[],
      dropped: JSON.parse(String(row['dropped'])) as SegmentId[],
    }));
  }
  forgetCut(owner: PublicKey, statement: Uint8Array): void {
    this.#db.run('DELETE FROM cuts WHERE owner_no = ? AND statement = ?', this.#ownerNo(owner), statement);
  }

  /** The newest that was applied: what farmers are shown. */
  appliedCut(owner: PublicKey): { cutMs: number; statement: Uint8Array } | null {
    const sql = 'SELECT cut_ms, statement FROM cuts WHERE owner_no = ? AND heads IS NULL ORDER BY cut_ms DESC LIMIT 1';
    const row = this.#db.get(sql, this.#ownerNo(owner));
    return row ? { cutMs: num(row['cut_ms']), statement: bytes(row['statement']) } : null;
  }

  /** Lets go what the cut drops, but for segments that batches above its heads brought in again. All logs are read up to them. */
  applyCut(owner: PublicKey, { cutMs, statement, heads, dropped }: Cut & { cutMs: number }): void {
    this.transaction(() => {
      const ofOwner = 'bucket_no IN (SELECT bucket_no FROM buckets WHERE owner = ?)';
      this.#db.run(`UPDATE logs SET cut_seq = 0 WHERE cut_seq > 0 AND ${ofOwner}`, fromHex(owner));
      for (const { bucketId, logId, seq } of heads) {
        const logNo = this.#logNo(this.#bucketNo(owner, bucketId), logId);
        this.#db.run('UPDATE logs SET cut_seq = ? WHERE log_no = ?', seq, logNo);
      }
      for (const segmentId of dropped) this.#dropIfCovered(owner, segmentId, cutMs);
      const ownerNo = this.#ownerNo(owner);
      this.#db.run('DELETE FROM cuts WHERE owner_no = ? AND heads IS NULL AND cut_ms <= ?', ownerNo, cutMs);
      this.#db.run('UPDATE cuts SET heads = NULL, dropped = NULL WHERE owner_no = ? AND statement = ?', ownerNo, statement);
      this.#db.run('DELETE FROM dropped_pieces WHERE owner_no = ? AND cut_ms < ?', ownerNo, cutMs - REMEMBER_DROPPED_MS);
    });
  }

  #dropIfCovered(owner: PublicKey, segmentId: SegmentId, cutMs: number): void {
    const sql = 'SELECT id, refs, secret, total FROM segments WHERE owner = ? AND segment_id = ?';
    const row = this.#db.get(sql, fromHex(owner), fromHex(segmentId));
    if (!row || row['secret'] === null) return;
    const id = num(row['id']);
    const covered = 'seq <= (SELECT cut_seq FROM logs WHERE logs.log_no = namings.log_no)';
    this.#db.run(`DELETE FROM namings WHERE segment = ? AND ${covered}`, id);
    if (this.#db.get('SELECT 1 FROM namings WHERE segment = ?', id)) return;
    if (num(row['refs']) > 0) this.#count(id, -1);
    for (let number = 0; number < num(row['total']); number++) {
      this.#db.run(
        'INSERT INTO dropped_pieces (owner_no, piece_id, cut_ms) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cut_ms = excluded.cut_ms',
        this.#ownerNo(owner),
        fromHex(pieceId(bytes(row['secret']), number)),
        cutMs,
      );
    }
    for (const table of ['pieces', 'moves', 'namings']) this.#db.run(`DELETE FROM ${table} WHERE segment = ?`, id);
    this.#db.run('DELETE FROM segments WHERE id = ?', id);
  }

  /** It is named again. */
  #undrop(owner: PublicKey, { secret, scheme }: SegmentPlacement): void {
    const ownerNo = this.#ownerNo(owner);
    if (!this.#db.get('SELECT 1 FROM dropped_pieces WHERE owner_no = ? LIMIT 1', ownerNo)) return;
    for (let number = 0; number < scheme.total; number++) {
      const id = fromHex(pieceId(secret, number));
      this.#db.run('DELETE FROM dropped_pieces WHERE owner_no = ? AND piece_id = ?', ownerNo, id);
    }
  }

  /**
   * Hints from before this time that no cut has confirmed were wrong: these segments live. Answers them. What
   * such hints let go that nothing brought in is forgotten.
   */
  reviveReleased(owner: PublicKey, beforeMs: number): number[] {
    return this.transaction(() => {
      const where = 'owner = ? AND refs <= 0 AND released_ms < ?';
      this.#db.run(`DELETE FROM segments WHERE ${where} AND secret IS NULL`, fromHex(owner), beforeMs);
      const ids = this.#db.all(`SELECT id FROM segments WHERE ${where}`, fromHex(owner), beforeMs).map((row) => num(row['id']));
      for (const id of ids) {
        this.#db.run('UPDATE segments SET refs = (SELECT count(*) FROM namings WHERE segment = ?1) WHERE id = ?1', id);
        this.#count(id, 1);
      }
      return ids;
    });
  }

  // ---- small helpers ------------------------------------------------------------------------

  #ownerNo(owner: PublicKey): number {
    const known = this.#ownerNos.get(owner);
    if (known !== undefined) return known;
    this.#db.run('INSERT INTO owners (owner) VALUES (?) ON CONFLICT DO NOTHING', fromHex(owner));
    const no = num(this.#db.get('SELECT owner_no FROM owners WHERE owner = ?', fromHex(owner))!['owner_no']);
    this.#ownerNos.set(owner, no);
    return no;
  }

  #logNo(bucketNo: number, logId: PublicKey): number {
    const none = new Uint8Array(32);
    const insert = 'INSERT INTO logs (bucket_no, log_id, seq, hash) VALUES (?, ?, 0, ?) ON CONFLICT DO NOTHING';
    this.#db.run(insert, bucketNo, fromHex(logId), none);
    const row = this.#db.get('SELECT log_no FROM logs WHERE bucket_no = ? AND log_id = ?', bucketNo, fromHex(logId));
    return num(row!['log_no']);
  }

  #farmerNo(farmer: PublicKey): number {
    const known = this.#farmerNos.get(farmer);
    if (known !== undefined) return known;
    this.#db.run('INSERT INTO farmers (farmer) VALUES (?) ON CONFLICT DO NOTHING', fromHex(farmer));
    const no = num(this.#db.get('SELECT farmer_no FROM farmers WHERE farmer = ?', fromHex(farmer))!['farmer_no']);
    this.#farmerNos.set(farmer, no);
    return no;
  }

  #bucketNo(owner: PublicKey, bucketId: BucketId): number {
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

function schemeOf(row: Row): Scheme {
  return {
    required: num(row['required']),
    repair: num(row['repair']),
    optimal: num(row['optimal']),
    total: num(row['total']),
  };
}
