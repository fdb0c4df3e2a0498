// What stands behind a record's body: enough to make the index from the segment files alone.
import { bytes, bytesUpTo, decode, encode, hex, hex32, list, struct, uint, type Codec } from '#node/wire/codec.ts';
import type { BucketId, Hash, PieceId, PublicKey } from '#node/wire/types.ts';
import type { RecordKind } from './record.ts';

/** Body: the piece. */
export interface PieceMeta {
  owner: PublicKey;
  pieceId: PieceId;
  pieceRoot: Hash;
  segmentRoot: Hash;
  index: number;
  total: number;
  /** From pieceRoot to segmentRoot. */
  path: Uint8Array[];
  /** 32 bytes for each leaf of 64 KiB. */
  leafHashes: Uint8Array;
  storedMs: number;
}
/** Body: the batch. */
export interface BatchMeta {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  seq: number;
  hash: Hash;
  prevHash: Hash;
}
/** Body: the seal order. */
export interface SealMeta {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
}
/** Body: the statement. `names`: who is told by roots.owners that this owner exists. */
export interface StatementMeta {
  owner: PublicKey;
  names: PublicKey[];
}

/** Body: for each piece its id (32 bytes) and when it counts as stored (u64be ms). */
interface TrashMeta {
  owner: PublicKey;
  trashedMs: number;
}
/** Body as of trash. */
interface RestoreMeta {
  owner: PublicKey;
}
/** No body. What lies before `firstSeq` is not kept; `prevHash` is that of the batch before it. */
export interface DropMeta {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  firstSeq: number;
  prevHash: Hash;
}

export interface MetaOf {
  piece: PieceMeta;
  batch: BatchMeta;
  seal: SealMeta;
  statement: StatementMeta;
  trash: TrashMeta;
  restore: RestoreMeta;
  drop: DropMeta;
}

/** Pieces that one record of trash or restore names. */
export const MAX_NAMED_PIECES = 1000;
const NAMED_BYTES = 40;

export interface NamedPiece {
  pieceId: PieceId;
  storedMs: number;
}
export function encodeNamed(pieces: readonly NamedPiece[]): Uint8Array {
  const out = Buffer.alloc(NAMED_BYTES * pieces.length);
  pieces.forEach(({ pieceId, storedMs }, i) => {
    out.write(pieceId, NAMED_BYTES * i, 'hex');
    out.writeBigUInt64BE(BigInt(storedMs), NAMED_BYTES * i + 32);
  });
  return out;
}
export function* decodeNamed(body: Uint8Array): Generator<{ id: Uint8Array; storedMs: number }> {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = 0; at < body.length; at += NAMED_BYTES) {
    yield { id: body.subarray(at, at + 32), storedMs: Number(view.getBigUint64(at + 32)) };
  }
}
/** A whole segment on one farmer has 1024 leaves. */
const MAX_LEAF_HASH_BYTES = 32 * 1024;
/** A warrant and a replica set name few; more than this is no honest statement. */
const MAX_NAMES = 64;
const MAX_META_BYTES = 64 * 1024;

const ofLog = { owner: hex32, bucketId: hex(16), logId: hex32 };
const codecs: { [K in RecordKind]: Codec<MetaOf[K]> } = {
  piece: struct<PieceMeta>({
    owner: hex32,
    pieceId: hex32,
    pieceRoot: hex32,
    segmentRoot: hex32,
    index: uint(254),
    total: uint(255, 1),
    path: list(bytes(32), 8),
    leafHashes: bytesUpTo(MAX_LEAF_HASH_BYTES),
    storedMs: uint(),
  }),
  batch: struct<BatchMeta>({ ...ofLog, seq: uint(undefined, 1), hash: hex32, prevHash: hex32 }),
  seal: struct<SealMeta>(ofLog),
  statement: struct<StatementMeta>({ owner: hex32, names: list(hex32, MAX_NAMES) }),
  trash: struct<TrashMeta>({ owner: hex32, trashedMs: uint() }),
  restore: struct<RestoreMeta>({ owner: hex32 }),
  drop: struct<DropMeta>({ ...ofLog, firstSeq: uint(undefined, 2), prevHash: hex32 }),
};

export function encodeMeta<K extends RecordKind>(kind: K, meta: MetaOf[K]): Uint8Array {
  return encode<MetaOf[K]>(codecs[kind], meta);
}
/** Throws WireError: the record wasn't written by this program, or the disk lies. */
export function decodeMeta<K extends RecordKind>(kind: K, from: Uint8Array): MetaOf[K] {
  return decode<MetaOf[K]>(codecs[kind], from, MAX_META_BYTES);
}
