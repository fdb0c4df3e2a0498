// What a public edge (s3/) asks of the rest of the bridge: buckets, objects, uploads, as plain calls.
// object-store.ts is the implementation; the edge knows nothing of logs, segments or farmers.
import type {
  BucketRow,
  Checksum,
  ListPage,
  ListQuery,
  PartRow,
  UploadPage,
  UploadQuery,
  UploadRow,
  VersionRow,
} from '#node/catalog/catalog.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** Who asks, as its access key says. */
export interface Account {
  accessKeyId: string;
  owner: PublicKey;
  /** Of the owner, for people. */
  displayName: string;
  /** The only bucket that the key opens; null = the whole account. */
  bucketName: string | null;
}

/** What is known of a body once it has been read to its end and found right. */
export interface BodyFacts {
  /** Without quotes. */
  etag: string;
  checksums: Checksum[];
}
export interface IncomingBody {
  /** Throws where the body isn't what was announced; then nothing may be stored. Read it once. */
  source: AsyncIterable<Uint8Array>;
  sizeBytes: number;
  /** Only after `source` has ended. */
  facts: () => BodyFacts;
}

/** Decided exactly among concurrent requests, against the version that is current at the decision. */
export interface WriteConditions {
  /** If-None-Match: *. */
  onlyIfAbsent?: boolean;
  /** If-Match: the etag that has to be there; `*` = any. */
  onlyIfEtag?: string;
}

export interface PutOrder {
  key: string;
  headers: Record<string, string>;
  body: IncomingBody;
  conditions: WriteConditions;
}
interface CopyOrder {
  from: BucketRow;
  /** As it was when the request's conditions were checked. */
  source: VersionRow;
  key: string;
  headers: Record<string, string>;
  conditions: WriteConditions;
}
interface CompleteOrder {
  upload: UploadRow;
  /** In ascending order of number; each must be stored under this etag. */
  parts: { partNumber: number; etag: string }[];
  facts: BodyFacts;
  conditions: WriteConditions;
}
export interface Range {
  offset: number;
  length: number;
}

/** All reject with ObjectsError. */
export interface Objects {
  /**
   * Null where what a request on this bucket (null = on the account) needs has been read from the farmers. Else resolves
   * when it has, or after 10 s: the call itself throws SlowDown then.
   */
  untilReady(account: Account, bucketName: string | null, signal: AbortSignal): Promise<void> | null;
  listBuckets(account: Account): BucketRow[];
  /** Throws AccessDenied or NoSuchBucket. */
  bucket(account: Account, name: string): BucketRow;
  createBucket(account: Account, name: string, signal: AbortSignal): Promise<BucketRow>;
  /** Throws BucketNotEmpty. Open uploads go with it. */
  deleteBucket(bucket: BucketRow, signal: AbortSignal): Promise<void>;

  find(bucket: BucketRow, key: string): VersionRow | null;
  /** Throws NoSuchKey. */
  head(bucket: BucketRow, key: string): VersionRow;
  read(bucket: BucketRow, version: VersionRow, range: Range, signal: AbortSignal): AsyncIterable<Uint8Array>;
  put(bucket: BucketRow, order: PutOrder, signal: AbortSignal): Promise<VersionRow>;
  copy(bucket: BucketRow, order: CopyOrder, signal: AbortSignal): Promise<VersionRow>;
  /** Nothing there is fine, unless a condition asks for something. */
  delete(bucket: BucketRow, key: string, conditions: WriteConditions, signal: AbortSignal): Promise<void>;
  list(bucket: BucketRow, query: ListQuery): ListPage;

  createUpload(bucket: BucketRow, upload: Omit<UploadRow, 'uploadId' | 'createdMs'>, signal: AbortSignal): Promise<UploadRow>;
  /** Throws NoSuchUpload. */
  upload(bucket: BucketRow, key: string, uploadId: string): UploadRow;
  putPart(bucket: BucketRow, upload: UploadRow, partNumber: number, body: IncomingBody, signal: AbortSignal): Promise<PartRow>;
  parts(bucket: BucketRow, uploadId: string, afterPart: number, limit: number): PartRow[];
  completeUpload(bucket: BucketRow, order: CompleteOrder, signal: AbortSignal): Promise<VersionRow>;
  abortUpload(bucket: BucketRow, upload: UploadRow, signal: AbortSignal): Promise<void>;
  uploads(bucket: BucketRow, query: UploadQuery): UploadPage;
  /** Aborts all of them. */
  closeUploads(bucket: BucketRow): Promise<void>;
}

export type ObjectsErrorCode =
  | 'AccessDenied'
  | 'BucketAlreadyExists' // another owner has the name on this bridge
  | 'BucketAlreadyOwnedByYou'
  | 'BucketNotEmpty'
  | 'InvalidPart'
  | 'NoSuchBucket'
  | 'NoSuchKey'
  | 'NoSuchUpload'
  | 'PreconditionFailed'
  | 'QuotaExceeded'
  | 'TooLarge' // more parts or segments than one entry holds
  | 'SlowDown' // too few farmers, or too much at once: try again
  | 'Unreadable'; // too few pieces answer

export class ObjectsError extends Error {
  readonly code: ObjectsErrorCode;
  constructor(code: ObjectsErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ObjectsError';
    this.code = code;
  }
}
