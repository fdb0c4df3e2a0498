// Checkpoints, byte for byte: records of the two families of runs, blocks, manifests, and the sealed
// references in the statement. A run is a stream of blocks; a block is zstd over framed records, or over
// one index node; the last block is the root of the index.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ascii, concat } from '#node/core/bytes.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { NONCE_BYTES, open, OpenError, seal } from '#node/core/sealing.ts';
import {
  bool,
  bytesUpTo,
  decode,
  encode,
  hex,
  hex32,
  list,
  struct,
  text,
  uint,
  union,
  where,
  WireError,
  type Codec,
} from './codec.ts';
import { knownHead, ownerEntry, sealedPlacement, segmentKey, segmentPlacement, type KnownHead } from './entries.ts';
import { frameAll, unframeAll } from './framing.ts';
import {
  MAX_BATCH_BYTES,
  MAX_KEY_BYTES,
  type BucketId,
  type DeleteEntry,
  type OwnerEntry,
  type PublicKey,
  type SegmentId,
  type SegmentKey,
  type SegmentPlacement,
} from './types.ts';

// ---- records --------------------------------------------------------------------------------

/** What owner runs hold: entries with the log they came by, and versions that an entry named. */
export type OwnerRecord =
  | { kind: 'entry'; logId: PublicKey; entry: Exclude<OwnerEntry, DeleteEntry> }
  | { kind: 'gone'; key: string; versionId: string; wallMs: number };
/** What repair runs hold: segments and whether anything names them, and what repairers told of moves. */
export type RepairRecord =
  | { kind: 'segment'; segmentId: SegmentId; live: boolean; placement?: SegmentPlacement }
  | { kind: 'moves'; tag: string; sealed: Uint8Array[] };

/** Moves of one segment that are kept: more than it can have pieces, many times over. */
export const MAX_MOVES = 4096;

const recordEntry = where(ownerEntry as Codec<Exclude<OwnerEntry, DeleteEntry>>, (entry) => {
  if ((entry as OwnerEntry).kind === 'delete') return 'Runs hold names of deleted versions, no deletes.';
  return entry.kind === 'put' && entry.replaces.length > 0 ? 'Runs hold names of replaced versions beside the version.' : null;
});
const ownerRecord = union<OwnerRecord>({
  entry: struct({ logId: hex32, entry: recordEntry }),
  gone: struct({ key: text(MAX_KEY_BYTES), versionId: hex(16), wallMs: uint() }),
});
type SegmentRecord = Extract<RepairRecord, { kind: 'segment' }>;
const repairRecord = union<RepairRecord>({
  segment: struct<Omit<SegmentRecord, 'kind'>>({
    segmentId: hex32,
    live: bool,
    placement: { ...segmentPlacement, optional: true },
  }),
  moves: struct({ tag: hex(16), sealed: list(sealedPlacement, MAX_MOVES) }),
});

export const encodeOwnerRecord = (record: OwnerRecord): Uint8Array => encode(ownerRecord, record);
export const encodeRepairRecord = (record: RepairRecord): Uint8Array => encode(repairRecord, record);
/** Throw WireError. */
export const decodeOwnerRecord = (from: Uint8Array): OwnerRecord => decode(ownerRecord, from, MAX_BATCH_BYTES);
export const decodeRepairRecord = (from: Uint8Array): RepairRecord => decode(repairRecord, from, MAX_BATCH_BYTES);

// ---- blocks ---------------------------------------------------------------------------------

/** Where a block lies among the plaintext of a run. */
export interface BlockPlace {
  offset: number;
  sizeBytes: number;
}
/** One block below an index node, by the position of its first record. */
export interface IndexEntry extends BlockPlace {
  first: Uint8Array;
}

/** One record may be as large as a batch; otherwise blocks have some 64 KiB before compression. */
const MAX_BLOCK_BYTES = MAX_BATCH_BYTES + 64 * 1024;
/** Of a sort position: a key with every byte escaped, and what follows it. */
const MAX_POSITION_BYTES = 2 * MAX_KEY_BYTES + 128;

const indexNode = list(
  struct<IndexEntry>({ first: bytesUpTo(MAX_POSITION_BYTES), offset: uint(), sizeBytes: uint(MAX_BLOCK_BYTES, 1) }),
  100_000,
);

export function encodeRecordBlock(records: readonly Uint8Array[]): Uint8Array {
  return zstdCompressSync(frameAll(records));
}
export function encodeIndexBlock(entries: readonly IndexEntry[]): Uint8Array {
  return zstdCompressSync(encode(indexNode, [...entries]));
}
/** Throw WireError. */
export function decodeRecordBlock(block: Uint8Array): Uint8Array[] {
  return unframeAll(decompressed(block), MAX_BATCH_BYTES);
}
export function decodeIndexBlock(block: Uint8Array): IndexEntry[] {
  return decode(indexNode, decompressed(block), MAX_BLOCK_BYTES);
}

function decompressed(block: Uint8Array): Uint8Array {
  try {
    return zstdDecompressSync(block, { maxOutputLength: MAX_BLOCK_BYTES });
  } catch (cause) {
    throw new WireError('A block of a run does not decompress.', { cause });
  }
}

// ---- manifests ------------------------------------------------------------------------------

/** Stored bytes: what opens a segment and where it lies. */
export interface KeptSegment {
  key: SegmentKey;
  placement: SegmentPlacement;
}
export interface Run {
  segments: KeptSegment[];
  root: BlockPlace;
  /** Index nodes above the records; 0 = the root is a block of records. */
  depth: number;
  records: number;
  /** Before compression. */
  recordBytes: number;
}
export interface Manifest {
  number: number;
  horizonMs: number;
  /** How far each log is covered. */
  vector: KnownHead[];
  /** Newest first. */
  runs: Run[];
}
/** With the packs that the runs may still name. */
export interface OwnerManifest extends Manifest {
  packs: SegmentId[];
}

/** A run of 64 GiB. */
const MAX_RUN_SEGMENTS = 1024;
const MAX_RUNS = 64;
/** Logs that a bucket ever had: one for each life of a writer. */
const MAX_VECTOR = 100_000;
const MAX_PACKS = 100_000;
/** All of the above at once; a manifest of ten million objects has some 100 KiB. */
export const MAX_MANIFEST_BYTES = 32 * 1024 * 1024;

const keptSegment = struct<KeptSegment>({ key: segmentKey, placement: segmentPlacement });
const keptSegments = list(keptSegment, MAX_RUN_SEGMENTS);
const run = struct<Run>({
  segments: keptSegments,
  root: struct<BlockPlace>({ offset: uint(), sizeBytes: uint(MAX_BLOCK_BYTES, 1) }),
  depth: uint(8),
  records: uint(undefined, 1),
  recordBytes: uint(),
});
const common = { number: uint(undefined, 1), horizonMs: uint(), vector: list(knownHead, MAX_VECTOR), runs: list(run, MAX_RUNS) };
const repairManifest = struct<Manifest>(common);
const ownerManifest = struct<OwnerManifest>({ ...common, packs: list(hex32, MAX_PACKS) });

export const encodeOwnerManifest = (manifest: OwnerManifest): Uint8Array => encode(ownerManifest, manifest);
export const encodeRepairManifest = (manifest: Manifest): Uint8Array => encode(repairManifest, manifest);
/** Throw WireError. */
export const decodeOwnerManifest = (from: Uint8Array): OwnerManifest => decode(ownerManifest, from, MAX_MANIFEST_BYTES);
export const decodeRepairManifest = (from: Uint8Array): Manifest => decode(repairManifest, from, MAX_MANIFEST_BYTES);

// ---- references -----------------------------------------------------------------------------

export interface CheckpointName {
  owner: PublicKey;
  bucketId: BucketId;
  number: number;
}

/** Opens owner manifests of a bucket. */
export function ownerManifestKey(secretOfBucket: Uint8Array): Uint8Array {
  return hkdf(secretOfBucket, 'storj/1 owner manifest', 32);
}
/** Opens repair manifests of a bucket that were made under one repair epoch. */
export function repairManifestKey(bucketRepairKey: Uint8Array): Uint8Array {
  return hkdf(bucketRepairKey, 'storj/1 repair manifest', 32);
}

/** nonce ‖ ciphertext ‖ tag, bound to the checkpoint's name. `nonce12` must be fresh. */
export function sealReference(
  key: Uint8Array,
  name: CheckpointName,
  segments: readonly KeptSegment[],
  nonce12: Uint8Array,
): Uint8Array {
  return concat(nonce12, seal(key, nonce12, encode(keptSegments, [...segments]), nameBytes(name)));
}

/** The segments of a manifest; null where the key is another's. Throws WireError. */
export function openReference(key: Uint8Array, name: CheckpointName, sealed: Uint8Array): KeptSegment[] | null {
  let plain: Uint8Array;
  try {
    plain = open(key, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), nameBytes(name));
  } catch (error) {
    if (error instanceof OpenError) return null;
    throw new WireError('A reference is cut off.', { cause: error });
  }
  return decode(keptSegments, plain, MAX_MANIFEST_BYTES);
}

export const checkpointName = struct<CheckpointName>({ owner: hex32, bucketId: hex(16), number: uint(undefined, 1) });
function nameBytes({ owner, bucketId, number }: CheckpointName): Uint8Array {
  return encode(checkpointName, { owner, bucketId, number });
}

// ---- packs ----------------------------------------------------------------------------------

const PACKED_NONCE = new Uint8Array(NONCE_BYTES);
const PACKED_DATA = ascii('storj/1 packed');

/** `key` is fresh for each object, so the nonce may be zero. */
export function sealPacked(key: Uint8Array, plain: Uint8Array): Uint8Array {
  return seal(key, PACKED_NONCE, plain, PACKED_DATA);
}
/** Throws OpenError. */
export function openPacked(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  return open(key, PACKED_NONCE, sealed, PACKED_DATA);
}
