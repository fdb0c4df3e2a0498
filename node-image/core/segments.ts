// The geometry of a segment, all of it integer arithmetic. Plaintext is cut into records, each encrypted
// to one leaf of 64 KiB (the last may be shorter). `required` leaves in a row make a stripe; leaf i of a
// full stripe is leaf `stripe` of piece i, byte for byte. The last stripe is shared out evenly: its
// shards have ceil(rest / required) bytes, rounded up to 16, the end filled with zeros.
import { createHmac } from 'node:crypto';
import { ascii } from './bytes.ts';
import { blake3 } from './hash.ts';
import { fromHex, toHex } from './ids.ts';
import {
  LEAF_BYTES,
  MAX_SEGMENT_BYTES,
  RECORD_PLAIN_BYTES,
  type Hash,
  type PieceId,
  type Scheme,
  type SegmentId,
} from '#node/wire/types.ts';

const RECORD_OVERHEAD_BYTES = LEAF_BYTES - RECORD_PLAIN_BYTES;
/** Shards are whole vectors of the erasure kernel. */
const SHARD_ALIGN_BYTES = 16;

/** A segment holds at most this much plaintext. */
export const MAX_SEGMENT_PLAIN_BYTES = (MAX_SEGMENT_BYTES / LEAF_BYTES) * RECORD_PLAIN_BYTES;

export interface SegmentGeometry {
  required: number;
  plainBytes: number;
  /** Ciphertext with tags: SegmentPlacement.sizeBytes. */
  cipherBytes: number;
  records: number;
  /** = leaves of each piece. */
  stripes: number;
  /** Shard of the last stripe; all others have LEAF_BYTES. */
  lastShardBytes: number;
  pieceBytes: number;
}

export function plainToCipherBytes(plainBytes: number): number {
  return plainBytes + RECORD_OVERHEAD_BYTES * Math.ceil(plainBytes / RECORD_PLAIN_BYTES);
}

/** Whether a segment can have that many bytes of ciphertext. */
export function isSegmentSize(cipherBytes: number): boolean {
  if (!Number.isSafeInteger(cipherBytes) || cipherBytes > MAX_SEGMENT_BYTES) return false;
  const plainBytes = cipherBytes - RECORD_OVERHEAD_BYTES * Math.ceil(cipherBytes / LEAF_BYTES);
  return plainBytes > 0 && plainToCipherBytes(plainBytes) === cipherBytes;
}

/** Everything that follows from the two numbers. Throws RangeError for sizes that no segment has. */
export function segmentGeometry(cipherBytes: number, required: number): SegmentGeometry {
  const records = Math.ceil(cipherBytes / LEAF_BYTES);
  const plainBytes = cipherBytes - RECORD_OVERHEAD_BYTES * records;
  if (!isSegmentSize(cipherBytes)) throw new RangeError(`No segment has ${cipherBytes} bytes of ciphertext.`);
  if (!Number.isInteger(required) || required < 1 || required > 255)
    throw new RangeError(`No scheme requires ${required} pieces.`);
  const stripes = Math.ceil(records / required);
  const restBytes = cipherBytes - (stripes - 1) * required * LEAF_BYTES;
  const lastShardBytes = roundUp(Math.ceil(restBytes / required), SHARD_ALIGN_BYTES);
  const pieceBytes = (stripes - 1) * LEAF_BYTES + lastShardBytes;
  return { required, plainBytes, cipherBytes, records, stripes, lastShardBytes, pieceBytes };
}

/** Bytes of each piece of a segment. */
export function pieceBytes(cipherBytes: number, required: number): number {
  return segmentGeometry(cipherBytes, required).pieceBytes;
}

/** Bytes of a shard in that stripe: the leaf of that number in each piece. */
export function shardBytes(geometry: SegmentGeometry, stripe: number): number {
  return stripe === geometry.stripes - 1 ? geometry.lastShardBytes : LEAF_BYTES;
}

/** Ciphertext bytes in that stripe, without the zeros at the end of the last. */
export function stripeCipherBytes(geometry: SegmentGeometry, stripe: number): number {
  const start = stripe * geometry.required * LEAF_BYTES;
  return Math.min(geometry.required * LEAF_BYTES, geometry.cipherBytes - start);
}

/** Ciphertext bytes of that record, tag included; LEAF_BYTES for all but the last. */
export function recordCipherBytes(geometry: SegmentGeometry, record: number): number {
  return Math.min(LEAF_BYTES, geometry.cipherBytes - record * LEAF_BYTES);
}

/** What a range of plaintext needs. Ends are exclusive. */
export interface NeededRange {
  firstRecord: number;
  endRecord: number;
  firstStripe: number;
  endStripe: number;
  /** Bytes to drop at the front of the first record's plaintext. */
  skipBytes: number;
}

/** Records and stripes (= leaves of each piece) under a range of plaintext. `lengthBytes` ≥ 1. */
export function neededFor(geometry: SegmentGeometry, offsetBytes: number, lengthBytes: number): NeededRange {
  const isInside = offsetBytes >= 0 && lengthBytes >= 1 && offsetBytes + lengthBytes <= geometry.plainBytes;
  if (!isInside) throw new RangeError(`Bytes ${offsetBytes}+${lengthBytes} are not inside a segment of ${geometry.plainBytes}.`);
  const firstRecord = Math.floor(offsetBytes / RECORD_PLAIN_BYTES);
  const endRecord = Math.floor((offsetBytes + lengthBytes - 1) / RECORD_PLAIN_BYTES) + 1;
  return {
    firstRecord,
    endRecord,
    firstStripe: Math.floor(firstRecord / geometry.required),
    endStripe: Math.floor((endRecord - 1) / geometry.required) + 1,
    skipBytes: offsetBytes - firstRecord * RECORD_PLAIN_BYTES,
  };
}

/** Records of a stripe. End exclusive. */
export function recordsOf(geometry: SegmentGeometry, stripe: number): { first: number; end: number } {
  const first = stripe * geometry.required;
  return { first, end: Math.min(geometry.records, first + geometry.required) };
}

/** Data shards of a stripe on which those of its records lie: one for one, except in the last stripe. */
export function dataShardsFor(geometry: SegmentGeometry, stripe: number, firstRecord: number, endRecord: number): number[] {
  const { first, end } = recordsOf(geometry, stripe);
  const size = shardBytes(geometry, stripe);
  const fromByte = (Math.max(firstRecord, first) - first) * LEAF_BYTES;
  const lastRecord = Math.min(endRecord, end) - 1;
  const endByte = (lastRecord - first) * LEAF_BYTES + recordCipherBytes(geometry, lastRecord);
  const shards: number[] = [];
  for (let shard = Math.floor(fromByte / size); shard * size < endByte; shard++) shards.push(shard);
  return shards;
}

/** Name of a piece: HMAC-SHA-256(segment secret, u32be piece number). Says nothing to who lacks the secret. */
export function pieceId(secret: Uint8Array, pieceNumber: number): PieceId {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(pieceNumber);
  return createHmac('sha256', secret).update(number).digest('hex');
}

const SEGMENT_LABEL = ascii('storj-segment/1\0');

/** BLAKE3 over root, scheme and size: two segments with one id are the same segment. */
export function segmentId(root: Hash, scheme: Scheme, sizeBytes: number): SegmentId {
  const numbers = Buffer.alloc(12);
  numbers.set([scheme.required, scheme.repair, scheme.optimal, scheme.total]);
  numbers.writeBigUInt64BE(BigInt(sizeBytes), 4);
  return toHex(blake3(SEGMENT_LABEL, fromHex(root, 32), numbers));
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
