// The catalog: the bridge's ordered index. It is a view of the logs and nothing else: every row comes from
// a batch, and the applied sequence of each log is kept in the same transaction, so a lost or old catalog
// is rebuilt by applying what is missing. Names, sizes and times lie in clear; whatever opens content
// (segment keys, segment secrets, inline bytes, settings) is sealed with the bridge's key.
// Adapters: sqlite-catalog.ts (the real one) and memory-catalog.ts. Exam: test/suites/catalog.ts.
import type {
  BucketId,
  Clock,
  Hash,
  OwnerEntry,
  PackedBytes,
  PublicKey,
  RepairPart,
  Scheme,
  SealedPlacement,
  SegmentId,
  SegmentKey,
  SegmentPlacement,
} from '#node/wire/types.ts';
import type { OwnerRecord, RepairRecord } from '#node/wire/checkpoints.ts';

/** What a batch of a log says, opened. `placements` come from repairers' logs. */
export interface AppliedBatch {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  seq: number;
  hash: Hash;
  entries: readonly OwnerEntry[];
  repair: RepairPart | null;
  placements: readonly SealedPlacement[];
}

export interface LogPosition {
  logId: PublicKey;
  seq: number;
  hash: Hash;
}

export interface Checksum {
  algorithm: string;
  value: string;
  type: string;
}

/** A version without what opens it. */
export interface VersionRow {
  key: string;
  versionId: string;
  clock: Clock;
  logId: PublicKey;
  sizeBytes: number;
  etag: string;
  modifiedMs: number;
  headers: Record<string, string>;
  checksums: Checksum[];
  partSizes: number[] | null;
}

export type VersionName = Pick<VersionRow, 'key' | 'versionId'>;

/** What a listing tells of an object. */
export type ListRow = Pick<VersionRow, 'key' | 'sizeBytes' | 'etag' | 'modifiedMs'> & {
  checksum: { algorithm: string; type: string } | null;
};

/** What a cut states: as of these positions of all the owner's logs, nothing names these segments. */
export interface CutFacts {
  heads: (LogPosition & { bucketId: BucketId })[];
  dropped: SegmentId[];
}

/** What opens a version or a part: inline, packed or segments. An empty object has inline of length 0. */
export interface Content {
  inline: Uint8Array | null;
  segments: SegmentKey[];
  /** Where a checkpoint put a small object's bytes. */
  packed?: PackedBytes;
}

/** About how many bytes of entries the newest checkpoint doesn't cover: without inline bytes, and these. */
export interface Uncovered {
  headBytes: number;
  inlineBytes: number;
}

/** Segments' ids in portions of about the same size. */
export const PORTIONS = 256;
/** By the first byte of the id. */
export function portionOf(segmentId: SegmentId): number {
  return Number.parseInt(segmentId.slice(0, 2), 16);
}

/**
 * A bucket taken over from a checkpoint, in many steps: begin forgets what there was, end makes it count. What restored
 * versions name is counted behind all records, in portions of the segments' ids: in the order in which segments lie.
 */
export interface RestoreStep {
  owner: PublicKey;
  bucketId: BucketId;
  step:
    | { kind: 'begin' }
    | { kind: 'records'; ownerRecords: readonly OwnerRecord[]; repairRecords: readonly RepairRecord[] }
    | { kind: 'references'; fromPortion: number; toPortion: number }
    | { kind: 'end'; positions: readonly LogPosition[] }
    /** At any other time: a checkpoint has put what lies inline here into packs. */
    | { kind: 'packed'; versions: readonly { key: string; versionId: string; packed: PackedBytes }[] };
}

export interface BucketRow {
  bucketId: BucketId;
  owner: PublicKey;
  name: string;
  createdMs: number;
}

export interface UploadRow {
  uploadId: string;
  key: string;
  createdMs: number;
  headers: Record<string, string>;
  checksumAlgorithm: string | null;
  checksumType: string | null;
}

export interface PartRow {
  partNumber: number;
  sizeBytes: number;
  etag: string;
  modifiedMs: number;
  checksums: Checksum[];
}

/** Exact, over the current versions; `uploadBytes` are parts of open uploads. */
export interface Usage {
  objects: number;
  bytes: number;
  uploadBytes: number;
}

export interface ListQuery {
  prefix: string;
  /** Empty = none. Any string. */
  delimiter: string;
  /** Start after this key (exclusive). If it lies inside a common prefix, that prefix is not told again. */
  after: string;
  limit: number;
}
export interface ListPage {
  /** In byte order of UTF-8, objects and common prefixes mixed. */
  items: ({ kind: 'object'; object: ListRow } | { kind: 'prefix'; prefix: string })[];
  /** Give it as `after` to go on; null at the end. */
  next: string | null;
}

export interface UploadQuery extends ListQuery {
  /** Only with `after`: within that key, start after this upload id. */
  afterUploadId: string;
}
export interface UploadPage {
  items: ({ kind: 'upload'; upload: UploadRow } | { kind: 'prefix'; prefix: string })[];
  next: { key: string; uploadId: string } | null;
}

export interface Catalog {
  /**
   * Makes batches visible; resolves when they are. A batch that is already applied changes nothing. Many
   * calls share one commit; calls for one log must be made in order.
   * Errors: CatalogError Gap (the batch before is missing), Closed.
   */
  apply(batch: AppliedBatch): Promise<void>;
  /**
   * Takes a bucket over from a checkpoint. Until its end the bucket has no positions: who stops in between begins
   * again. What is read meanwhile is not whole.
   */
  restore(step: RestoreStep): Promise<void>;
  uncovered(owner: PublicKey, bucketId: BucketId): Uncovered;
  /** Positions of all logs of a bucket. */
  positions(owner: PublicKey, bucketId: BucketId): LogPosition[];

  buckets(owner: PublicKey): BucketRow[];
  deletedBuckets(owner: PublicKey): BucketId[];
  /** Oldest first, where owners chose the same name. */
  bucketsNamed(name: string): BucketRow[];
  usage(bucketId: BucketId): Usage;

  /** The current version of a key. */
  current(bucketId: BucketId, key: string): VersionRow | null;
  /** Every version of the key that nothing has named: what a replacement or a delete has to name. */
  liveVersions(bucketId: BucketId, key: string): string[];
  content(bucketId: BucketId, key: string, versionId: string): Content | null;
  /** One that is live, current or not. */
  version(bucketId: BucketId, key: string, versionId: string): VersionRow | null;
  /** Live versions whose bytes are in segments, by key and version, after that one. */
  segmented(bucketId: BucketId, after: VersionName | null, limit: number): VersionName[];
  list(bucketId: BucketId, query: ListQuery): ListPage;

  upload(bucketId: BucketId, uploadId: string): UploadRow | null;
  uploads(bucketId: BucketId, query: UploadQuery): UploadPage;
  parts(bucketId: BucketId, uploadId: string, afterPart: number, limit: number): PartRow[];
  part(bucketId: BucketId, uploadId: string, partNumber: number): (PartRow & Content) | null;

  /** Of one moment. A segment is told until a cut that drops it is applied; at most `limit` at once. */
  cut(owner: PublicKey, limit: number): CutFacts;

  placement(bucketId: BucketId, segmentId: string): SegmentPlacement | null;
  /** Of the segments that something names: each pair of numbers once. */
  schemes(bucketId: BucketId): Pick<Scheme, 'required' | 'optimal'>[];
  /** How many versions and parts name the segment. */
  references(bucketId: BucketId, segmentId: string): number;
  /** Placement entries by tag (`wire/placements.ts`), sealed as they came; a copy in another bucket shares them. */
  moves(tag: string): SealedPlacement[];

  /** Small named values of the bridge itself, sealed at rest: account secrets, desired buckets. */
  setting(name: string): Uint8Array | null;
  saveSetting(name: string, value: Uint8Array | null): Promise<void>;

  close(): Promise<void>;
}

/** What a reader of the logs gives the catalog, in order. */
export type CatalogNews = AppliedBatch | RestoreStep;

export function takeNews(catalog: Catalog, news: CatalogNews): Promise<void> {
  return 'step' in news ? catalog.restore(news) : catalog.apply(news);
}

export class CatalogError extends Error {
  readonly code: 'Gap' | 'Closed' | 'Storage';
  constructor(code: CatalogError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'CatalogError';
    this.code = code;
  }
}
