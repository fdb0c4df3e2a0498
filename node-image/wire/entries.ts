// What lies inside a batch: owner entries, the repair part, placement entries, as CBOR by schema.
import { isSegmentSize, MAX_SEGMENT_PLAIN_BYTES, segmentId } from '#node/core/segments.ts';
import {
  bool,
  bytes,
  bytesUpTo,
  hex,
  hex32,
  list,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  textRecord,
  uint,
  union,
  where,
} from './codec.ts';
import { cutCodec } from './cuts.ts';
import {
  MAX_INLINE_BYTES,
  MAX_KEY_BYTES,
  MAX_SEGMENT_BYTES,
  type BucketEntry,
  type CheckpointEntry,
  type Clock,
  type DeleteEntry,
  type OwnerEntry,
  type PackedBytes,
  type PartEntry,
  type PlacementEntry,
  type PublicKey,
  type PutEntry,
  type RepairPart,
  type Scheme,
  type SealedPlacement,
  type SegmentKey,
  type SegmentPlacement,
  type UploadEntry,
} from './types.ts';

/** 5 TiB in whole segments, and some. A batch's 8 MiB end sooner. */
const MAX_SEGMENTS = 100_000;
const MAX_PARTS = 10_000;
/** A checkpoint of 100 million small objects has some ten thousand: mostly packs. */
const MAX_CHECKPOINT_SEGMENTS = 100_000;
/** Entries in a batch; versions that an entry names. */
const MAX_ENTRIES = 100_000;
const MAX_CHECKSUMS = 8;
/** Cuts that share a batch. */
const MAX_CUTS = 16;

const ms = uint();
const size = uint();
const key = text(MAX_KEY_BYTES);
const versionId = hex(16);
const uploadId = text(64);
const headers = textRecord({ entries: 256, nameBytes: 256, valueBytes: 8192 });
const checksums = list(
  struct<{ algorithm: string; value: string; type: string }>({ algorithm: text(16), value: text(128), type: text(16) }),
  MAX_CHECKSUMS,
);
const clock = struct<Clock>({ wallMs: ms, counter: uint(0xffff_ffff) });

export const segmentKey = struct<SegmentKey>({
  segmentId: hex32,
  key: bytes(32),
  commitment: bytes(16),
  plainBytes: uint(MAX_SEGMENT_PLAIN_BYTES, 1),
});
const segments = list(segmentKey, MAX_SEGMENTS);
const inline = bytesUpTo(MAX_INLINE_BYTES);

const packed = struct<PackedBytes>({ segment: segmentKey, offset: uint(MAX_SEGMENT_PLAIN_BYTES), key: bytes(32) });

const carries = (value: { inline?: unknown; segments?: unknown; packed?: unknown }) =>
  [value.inline, value.segments, value.packed].filter((one) => one !== undefined).length === 1
    ? null
    : 'Exactly one of inline, segments and packed carries the bytes.';

const put = struct<Omit<PutEntry, 'kind'>>({
  key,
  versionId,
  clock,
  replaces: list(versionId, MAX_ENTRIES),
  sizeBytes: size,
  etag: text(128),
  modifiedMs: ms,
  headers,
  checksums,
  inline: { ...inline, optional: true },
  segments: { ...segments, optional: true },
  partSizes: { ...list(size, MAX_PARTS), optional: true },
  rewritten: { ...clock, optional: true },
  packed: { ...packed, optional: true },
});
const remove = struct<Omit<DeleteEntry, 'kind'>>({ key, clock, names: list(versionId, MAX_ENTRIES) });
const bucket = struct<Omit<BucketEntry, 'kind'>>({
  bucketId: hex(16),
  name: text(255),
  clock,
  createdMs: ms,
  deleted: bool,
});
const upload = struct<Omit<UploadEntry, 'kind'>>({
  uploadId,
  key,
  clock,
  createdMs: ms,
  headers,
  state: oneOf('open', 'closed'),
  checksumAlgorithm: { ...text(16), optional: true },
  checksumType: { ...text(16), optional: true },
});
const part = struct<Omit<PartEntry, 'kind'>>({
  uploadId,
  partNumber: uint(MAX_PARTS, 1),
  clock,
  sizeBytes: size,
  etag: text(128),
  modifiedMs: ms,
  checksums,
  inline: { ...inline, optional: true },
  segments: { ...segments, optional: true },
});

const checkpoint = struct<Omit<CheckpointEntry, 'kind'>>({
  number: uint(undefined, 1),
  clock,
  previous: uint(),
  segments: list(hex32, MAX_CHECKPOINT_SEGMENTS),
});

export const ownerEntry = where(union<OwnerEntry>({ put, delete: remove, bucket, upload, part, checkpoint }), (entry) =>
  entry.kind === 'put' || entry.kind === 'part' ? carries(entry) : null,
);
const loggedEntry = where(ownerEntry, (entry) =>
  entry.kind === 'put' && entry.packed ? 'Only checkpoints hold packed bytes.' : null,
);

/** Newest head of another log of the owner, as the writer of this batch knew it: rolling one back needs all. */
export interface KnownHead {
  logId: PublicKey;
  seq: number;
  hash: string;
}
export interface OwnerPart {
  entries: OwnerEntry[];
  heads: KnownHead[];
}
export const knownHead = struct<KnownHead>({ logId: hex32, seq: uint(), hash: hex32 });
export const ownerPart = struct<OwnerPart>({
  entries: list(loggedEntry, MAX_ENTRIES),
  heads: list(knownHead, 1000),
});

export const scheme = where(
  struct<Scheme>({ required: uint(255, 1), repair: uint(255, 1), optimal: uint(255, 1), total: uint(255, 1) }),
  (one) =>
    one.required <= one.repair && one.repair <= one.optimal && one.optimal <= one.total
      ? null
      : 'A scheme satisfies required ≤ repair ≤ optimal ≤ total.',
);

export const segmentPlacement = where(
  struct<SegmentPlacement>({
    segmentId: hex32,
    secret: bytes(32),
    scheme,
    sizeBytes: uint(MAX_SEGMENT_BYTES),
    root: hex32,
    farmers: list(nullable(hex32), 255),
    createdMs: ms,
  }),
  (one) => {
    if (one.farmers.length !== one.scheme.total) return `${one.scheme.total} pieces, but ${one.farmers.length} places.`;
    if (!isSegmentSize(one.sizeBytes)) return `No segment has ${one.sizeBytes} bytes of ciphertext.`;
    const isNamedRight = one.segmentId === segmentId(one.root, one.scheme, one.sizeBytes);
    return isNamedRight ? null : "The segment's id doesn't follow from its root, scheme and size.";
  },
);
export const repairPart = struct<RepairPart>({
  added: list(segmentPlacement, MAX_SEGMENTS),
  released: list(hex32, 2 * MAX_SEGMENTS),
  cuts: optional(list(cutCodec, MAX_CUTS)),
});

/** A receipt with a membership inside has about 420 bytes. */
const MAX_RECEIPT_BYTES = 1024;
export const placementEntry = struct<PlacementEntry>({
  pieceNumber: uint(254),
  farmer: hex32,
  receipt: bytesUpTo(MAX_RECEIPT_BYTES),
  path: list(bytes(32), 8),
});
export const sealedPlacement = bytesUpTo(MAX_RECEIPT_BYTES + 512);
export const sealedPlacements = list(struct<SealedPlacement>({ tag: hex(16), sealed: sealedPlacement }), MAX_ENTRIES);
