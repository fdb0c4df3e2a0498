// What nodes and clients say to each other, as plain data. PROTOCOL.md gives the bytes.
//
// In memory: ids, hashes and public keys are lowercase hex strings (so they can be map keys and be
// compared with ===); secrets and payloads are Uint8Array. On the wire all of them are byte strings.
// Times are integer milliseconds since 1970 (`…Ms`), sizes are bytes (`…Bytes`).

/** 32-byte Ed25519 public key, hex. Farmers, owners, bridges, repairers and logs are named by theirs. */
export type PublicKey = string;
/** 32-byte BLAKE3 hash, hex. */
export type Hash = string;
/** 16 random bytes, hex. The account's own log lives under `ACCOUNT_BUCKET_ID`. */
export type BucketId = string;
/** HMAC-SHA-256(segment secret, piece number), 32 bytes, hex. Says nothing to who lacks the secret. */
export type PieceId = string;
/** 32 bytes, hex: hash over piece-root tree, scheme and sizes (see `core/segments.ts`). */
export type SegmentId = string;

export const FORMAT_VERSION = 1;
export const ACCOUNT_BUCKET_ID: BucketId = '0'.repeat(32);

/** Unit of striping, of Merkle leaves and of encryption records: a record's ciphertext with its tag is exactly one leaf. */
export const LEAF_BYTES = 64 * 1024;
/** Plaintext in one full record: a leaf less the 16-byte GCM tag. */
export const RECORD_PLAIN_BYTES = LEAF_BYTES - 16;
/** A segment holds at most this much ciphertext. */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;
/** Objects up to this size live in log batches instead of segments. */
export const MAX_INLINE_BYTES = 64 * 1024;
/** As in S3. */
export const MAX_KEY_BYTES = 1024;
/** One log batch, header and both parts. */
export const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** A warrant carries the repair keys of at most this many epochs. */
export const MAX_REPAIR_EPOCHS = 64;
/** CBOR head of a call or an answer. */
export const MAX_HEAD_BYTES = 8 * 1024;
/** Replicas refuse batches whose time lies further ahead than this. */
export const MAX_CLOCK_SKEW_MS = 5 * 60_000;

/** Storj's four numbers. required ≤ repair ≤ optimal ≤ total ≤ 255. f = min(4, optimal − required). */
export interface Scheme {
  required: number;
  repair: number;
  optimal: number;
  total: number;
}

/** What the repair part says of a segment: enough to find, check and rebuild it, nothing to open it. */
export interface SegmentPlacement {
  segmentId: SegmentId;
  /** HKDF(segment key, "secret"), 32 bytes: names pieces, finds and seals placement entries. */
  secret: Uint8Array;
  scheme: Scheme;
  /** Ciphertext bytes, tags included, before padding to whole stripes. */
  sizeBytes: number;
  /** Merkle root over all n piece roots. */
  root: Hash;
  /** Holder of each piece by piece number; null where none was stored. Length = scheme.total. */
  farmers: (PublicKey | null)[];
  createdMs: number;
}

/** What the owner part says of a segment: what opens it. */
export interface SegmentKey {
  segmentId: SegmentId;
  /** AES-256 key, 32 bytes, random for one attempt. */
  key: Uint8Array;
  /** 16 bytes, checked before decrypting. */
  commitment: Uint8Array;
  plainBytes: number;
}

/** Hybrid logical clock: (wallMs, counter), ties by the writer's log id. */
export interface Clock {
  wallMs: number;
  counter: number;
}

/** A version of an object, as an owner entry. `replaces` names the versions that it supersedes. */
export interface PutEntry {
  kind: 'put';
  key: string;
  /** 16 random bytes, hex. */
  versionId: string;
  clock: Clock;
  replaces: string[];
  sizeBytes: number;
  /** Without quotes. */
  etag: string;
  modifiedMs: number;
  /** System and user metadata by lower-case header name: content-type, cache-control, x-amz-meta-… */
  headers: Record<string, string>;
  /** S3 checksums: {algorithm: CRC32|CRC32C|CRC64NVME|SHA1|SHA256, value: base64 (with -N for composite), type: FULL_OBJECT|COMPOSITE}. */
  checksums: { algorithm: string; value: string; type: string }[];
  /** Exactly one of inline, segments and packed carries the bytes; an empty object has inline of length 0. */
  inline?: Uint8Array;
  segments?: SegmentKey[];
  /** Sizes of multipart parts, in order, where there were any. */
  partSizes?: number[];
  /** The same version once more, its bytes in other segments, as of this clock. `clock` stays what it was. */
  rewritten?: Clock;
  /** Only in checkpoints: where they put what had come inline. */
  packed?: PackedBytes;
}
/** A small object's bytes inside a pack: AES-256-GCM under a key of its own, `sizeBytes` + 16 from `offset` on. */
export interface PackedBytes {
  /** The pack. */
  segment: SegmentKey;
  /** Among the pack's plaintext. */
  offset: number;
  /** 32 bytes, of this object alone. */
  key: Uint8Array;
}
export interface DeleteEntry {
  kind: 'delete';
  key: string;
  clock: Clock;
  /** The versions that go. A named version never wins, whatever its clock. */
  names: string[];
}
/** Only in the account's log. */
export interface BucketEntry {
  kind: 'bucket';
  bucketId: BucketId;
  name: string;
  clock: Clock;
  createdMs: number;
  deleted: boolean;
}
/** Open multipart uploads outlive a bridge: parts are entries of the bucket's log. */
export interface UploadEntry {
  kind: 'upload';
  uploadId: string;
  key: string;
  clock: Clock;
  createdMs: number;
  headers: Record<string, string>;
  /** 'closed' when completed or aborted. */
  state: 'open' | 'closed';
  checksumAlgorithm?: string;
  checksumType?: string;
}
export interface PartEntry {
  kind: 'part';
  uploadId: string;
  partNumber: number;
  clock: Clock;
  sizeBytes: number;
  etag: string;
  modifiedMs: number;
  checksums: { algorithm: string; value: string; type: string }[];
  inline?: Uint8Array;
  segments?: SegmentKey[];
}
/**
 * A checkpoint is about to be published: what it is made of is named by this entry and by nothing else. It
 * and the one it names as `previous` stay, all others let go.
 */
export interface CheckpointEntry {
  kind: 'checkpoint';
  /** Rises by one with each attempt. */
  number: number;
  clock: Clock;
  /** The newest that was published then; 0 = none. */
  previous: number;
  /** Runs, packs and the manifests. */
  segments: SegmentId[];
}
export type OwnerEntry = PutEntry | DeleteEntry | BucketEntry | UploadEntry | PartEntry | CheckpointEntry;

/** The repair part: segments that owner entries of the same batch brought in, and those they let go. */
export interface RepairPart {
  added: SegmentPlacement[];
  /** Let go by a delete or a replacement; other entries may still name them. A hint: only a cut lets go for good. */
  released: SegmentId[];
  /** Only in the account's own log. */
  cuts?: Cut[];
}

/** Up to where one of the owner's logs was read before a cut. */
export interface CutHead {
  bucketId: BucketId;
  logId: PublicKey;
  seq: number;
  hash: Hash;
}
/** As of these heads of all the owner's logs no live version, open upload or copy names the dropped segments. */
export interface Cut {
  /** Signed<CutStatement> bytes: what farmers ask for before they move a piece to trash. */
  statement: Uint8Array;
  heads: CutHead[];
  dropped: SegmentId[];
}

/** Found by tag, opened with the segment's secret: a repairer's word that one more farmer holds a piece. */
export interface SealedPlacement {
  /** HKDF(secret, "tag"), 16 bytes hex. */
  tag: string;
  /** 12-byte nonce ‖ AES-256-GCM of CBOR PlacementEntry under HKDF(secret, "placement"). */
  sealed: Uint8Array;
}
export interface PlacementEntry {
  pieceNumber: number;
  farmer: PublicKey;
  /** Signed receipt of the new holder. */
  receipt: Uint8Array;
  /** From the piece root that the receipt names up to the segment's root: the receipt is for the right bytes. */
  path: Uint8Array[];
}

/** Header of a batch: clear, signed with the rest by the log's key. */
export interface BatchHeader {
  version: number;
  /** `entries` = owner part and repair part; `placements` = a repairer's log, entries sealed one by one. */
  kind: 'entries' | 'placements';
  logId: PublicKey;
  /** From 1, without gaps. */
  seq: number;
  /** Hash of the batch before; 64 zeros for the first. */
  prevHash: Hash;
  timeMs: number;
  /** 32 fresh random bytes: the parts' keys are HKDF(log key, salt). */
  salt: Uint8Array;
}

// ---- statements -----------------------------------------------------------------------------

/** Anything signed: CBOR body, signer, Ed25519 over "storj-<kind>/1\0" ‖ body. */
export interface Signed<Body> {
  body: Body;
  signer: PublicKey;
  /** The exact bytes: version, body, signer, signature. What is stored, hashed and passed on. */
  bytes: Uint8Array;
}

/** Key W has role R on bucket B (or all). Signed by the owner; doesn't expire. */
export interface RoleStatement {
  kind: 'role';
  owner: PublicKey;
  subject: PublicKey;
  role: 'keeper' | 'writer' | 'reader';
  bucketId: BucketId | '*';
  /** The account secret sealed to the subject's X25519 key, so that a bridge that lost its disk goes on. */
  sealedSecret: Uint8Array;
  issuedMs: number;
}
/** A writer's key names its log. A repairer's (under a warrant) names its placement log. */
export interface LogOpenedStatement {
  kind: 'log-opened';
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  writer: PublicKey;
  openedMs: number;
  /** Bytes of the grant chain (wire/grants.ts) under which a writer without a role opens or goes on with its log. */
  grant: Uint8Array | null;
}
/** The log counts up to here and no further. Signed by a keeper or the owner. */
export interface LogClosedStatement {
  kind: 'log-closed';
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  lastSeq: number;
  lastHash: Hash;
  closedMs: number;
}
/** Where all logs of a bucket lie. The highest epoch counts. Signed by a keeper or the owner. */
export interface ReplicaSetStatement {
  kind: 'replica-set';
  owner: PublicKey;
  bucketId: BucketId;
  epoch: number;
  f: number;
  members: PublicKey[];
  issuedMs: number;
}
/** The owner's side lets a repairer move and rebuild pieces. One for an owner; the newest counts. */
export interface WarrantStatement {
  kind: 'warrant';
  owner: PublicKey;
  repairer: PublicKey;
  repairEpoch: number;
  /** The repair keys of this epoch and those before it, newest first, 32 bytes each, sealed to the repairer's X25519 key: what was written under earlier epochs is repaired too. */
  sealedRepairKey: Uint8Array;
  /** Who may become a holder: members of these farms (control keys), and these farmers by name. */
  farms: PublicKey[];
  farmers: PublicKey[];
  issuedMs: number;
}
/** Grants are taken back: all whose chain has this link, or that went through the hands of this key until then. Signed by a keeper or the owner. */
export interface RevocationStatement {
  kind: 'revocation';
  owner: PublicKey;
  bucketId: BucketId | '*';
  /** Id of a link, or the key of an audience. */
  revoked: Hash;
  /** Up to where logs that were opened under such a grant count; those that aren't named don't count at all. */
  logs: { logId: PublicKey; lastSeq: number }[];
  issuedMs: number;
}
/** A log made for one app, kept up to date from a bucket: `shareId` is used like a bucket's id. Signed by a keeper or the owner. */
export interface ShareStatement {
  kind: 'share';
  owner: PublicKey;
  shareId: BucketId;
  bucketId: BucketId;
  /** The app. */
  audience: PublicKey;
  /** What is shared, sealed under the share's secret. */
  sealedTerms: Uint8Array;
  issuedMs: number;
}
/**
 * Where the newest checkpoint of a bucket begins. The highest number counts; the one before is kept for who
 * is reading it. Signed by a keeper or the owner.
 */
export interface CheckpointStatement {
  kind: 'checkpoint';
  owner: PublicKey;
  bucketId: BucketId;
  number: number;
  /** Entries that it doesn't cover count only if their clock isn't before this. */
  horizonMs: number;
  /** How far it covers each log of which replicas may still hold batches. */
  covers: { logId: PublicKey; seq: number }[];
  /** The owner manifest, sealed for who may read the bucket. */
  ownerManifest: Uint8Array;
  /** The repair manifest, sealed for repairers. */
  repairManifest: Uint8Array;
  issuedMs: number;
}
/**
 * A farm was restored whole and lies below what was acknowledged: these heads are what there is. Readers
 * that have seen more forget it. Signed by the owner alone.
 */
export interface ResetStatement {
  kind: 'reset';
  owner: PublicKey;
  bucketId: BucketId;
  heads: { logId: PublicKey; seq: number }[];
  issuedMs: number;
}
export type RootStatement =
  | RoleStatement
  | LogOpenedStatement
  | LogClosedStatement
  | ReplicaSetStatement
  | WarrantStatement
  | RevocationStatement
  | ShareStatement
  | CheckpointStatement
  | ResetStatement;

export type Verb = 'read' | 'list' | 'write' | 'delete' | 'share';

/** One link of a grant: its signer lets `audience` do this. */
export interface GrantStatement {
  kind: 'grant';
  owner: PublicKey;
  audience: PublicKey;
  bucketId: BucketId | '*';
  /** Of keys that may be written and deleted. */
  prefix: string;
  verbs: Verb[];
  notBeforeMs: number;
  expiresMs: number;
  /** What the holder may store at most. */
  budgetBytes: number | null;
  /** Id of the link before this one; null in the first. */
  parent: Hash | null;
  /** 16 bytes, hex: two grants on the same terms are two. */
  nonce: string;
}

/** The farm's control key says: this farmer is one of ours. */
export interface Membership {
  kind: 'membership';
  /** Control key of the farm. */
  farm: PublicKey;
  farmer: PublicKey;
  issuedMs: number;
}

type DurabilityClass = 'fsynced' | 'page-cache';

/** A farmer's word: this piece, this root, this durability class, this time. Signed by the farmer. */
export interface Receipt {
  kind: 'receipt';
  farmer: PublicKey;
  owner: PublicKey;
  pieceId: PieceId;
  pieceRoot: Hash;
  sizeBytes: number;
  durability: DurabilityClass;
  storedMs: number;
  /** Signed<Membership> bytes, where the farmer belongs to a farm. */
  membership: Uint8Array | null;
}

/** A farmer's signed answer to an audit. */
export interface AuditWord {
  kind: 'audit';
  farmer: PublicKey;
  /** Who asked. */
  auditor: PublicKey;
  owner: PublicKey;
  pieceId: PieceId;
  leaf: number;
  /** 32 fresh bytes of the auditor. */
  nonce: Hash;
  /** Null, both: it isn't here. */
  leafHash: Hash | null;
  /** Over nonce and leaf, see `audits.ts`. */
  possession: Hash | null;
  atMs: number;
}

/** The owner's side has read all of the owner's logs. Signed by the owner or a keeper of all buckets. */
export interface CutStatement {
  kind: 'cut';
  owner: PublicKey;
  /** Before the first head was asked for. */
  cutMs: number;
  /** Over heads and dropped segments, see `cuts.ts`. */
  contentHash: Hash;
}

/** The owner's side orders replicas to accept nothing more. Signed by a keeper, the owner or the log's writer. */
export interface SealOrder {
  kind: 'seal';
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  issuedMs: number;
}
