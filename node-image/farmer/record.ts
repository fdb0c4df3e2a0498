// Bytes of a segment file of the store: a header, then records, each aligned to 8:
//   header 40 ‖ body ‖ meta ‖ zeros
// A record's header comes to the disk last or together with the rest; its checksums tell a whole record
// from a torn one. `life` is drawn at random when a file is begun or recycled and never leaves the farmer,
// so neither a file's former life nor a piece made to look like records can pass for a record. `stamp` counts
// up over all records of a store; a record that is moved keeps it. Of two that say something about the same
// thing the one with the higher stamp holds, in whatever order the files are read.
import { crc32c } from '@node-rs/crc32';

export const RECORD_HEADER_BYTES = 40;
export const SEGMENT_HEADER_BYTES = 32;
const SEGMENT_MAGIC = 0x31474553; // "SEG1"
const RECORD_MAGIC = 0x31434552; // "REC1"
const VERSION = 1;
export const ALIGN_BYTES = 8;

export type RecordKind = 'piece' | 'batch' | 'seal' | 'statement' | 'trash' | 'restore' | 'drop';
const KINDS: readonly RecordKind[] = ['piece', 'batch', 'seal', 'statement', 'trash', 'restore', 'drop'];

export interface SegmentHeader {
  segment: number;
  life: bigint;
}
export interface RecordHeader {
  kind: RecordKind;
  stamp: number;
  bodyBytes: number;
  metaBytes: number;
  /** CRC-32C over body ‖ meta. */
  checksum: number;
}
/** Where a record lies. */
export interface RecordRef {
  segment: number;
  offset: number;
  bodyBytes: number;
  metaBytes: number;
}

export function encodeSegmentHeader({ segment, life }: SegmentHeader): Uint8Array {
  const out = Buffer.alloc(SEGMENT_HEADER_BYTES);
  out.writeUInt32LE(SEGMENT_MAGIC, 0);
  out.writeUInt8(VERSION, 4);
  out.writeBigUInt64LE(life, 8);
  out.writeUInt32LE(segment, 16);
  return sealHeader(out);
}

/** null where the bytes aren't the header of this segment. */
export function decodeSegmentHeader(bytes: Uint8Array, segment: number): SegmentHeader | null {
  const view = headerView(bytes, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC);
  return view?.readUInt32LE(16) === segment ? { segment, life: view.readBigUInt64LE(8) } : null;
}

export function encodeRecordHeader({ kind, stamp, bodyBytes, metaBytes, checksum }: RecordHeader, life: bigint): Uint8Array {
  const out = Buffer.alloc(RECORD_HEADER_BYTES);
  out.writeUInt32LE(RECORD_MAGIC, 0);
  out.writeUInt8(VERSION, 4);
  out.writeUInt8(KINDS.indexOf(kind), 5);
  out.writeBigUInt64LE(life, 8);
  out.writeBigUInt64LE(BigInt(stamp), 16);
  out.writeUInt32LE(bodyBytes, 24);
  out.writeUInt32LE(metaBytes, 28);
  out.writeUInt32LE(checksum, 32);
  return sealHeader(out);
}

/** null where no record of this life begins. */
export function decodeRecordHeader(bytes: Uint8Array, life: bigint): RecordHeader | null {
  const view = headerView(bytes, RECORD_HEADER_BYTES, RECORD_MAGIC);
  const kind = view && KINDS[view.readUInt8(5)];
  if (!view || !kind || view.readBigUInt64LE(8) !== life) return null;
  return {
    kind,
    stamp: Number(view.readBigUInt64LE(16)),
    bodyBytes: view.readUInt32LE(24),
    metaBytes: view.readUInt32LE(28),
    checksum: view.readUInt32LE(32),
  };
}

/** Whether it is worth a closer look. */
export function mayBeRecord(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === (RECORD_MAGIC & 255) && bytes[at + 1] === ((RECORD_MAGIC >> 8) & 255);
}

function sealHeader(out: Buffer): Uint8Array {
  const end = out.length - 4;
  out.writeUInt32LE(crc32c(out.subarray(0, end)), end);
  return out;
}

function headerView(bytes: Uint8Array, sizeBytes: number, magic: number): Buffer | null {
  if (bytes.length < sizeBytes) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, sizeBytes);
  const end = sizeBytes - 4;
  const isWhole = view.readUInt32LE(end) === crc32c(view.subarray(0, end));
  return isWhole && view.readUInt32LE(0) === magic && view.readUInt8(4) === VERSION ? view : null;
}

/** From one record to the next. */
export function recordBytes({ bodyBytes, metaBytes }: { bodyBytes: number; metaBytes: number }): number {
  return RECORD_HEADER_BYTES + bodyBytes + metaBytes + paddingBytes(bodyBytes + metaBytes);
}

export function padding(contentBytes: number): Uint8Array {
  return new Uint8Array(paddingBytes(contentBytes));
}

function paddingBytes(contentBytes: number): number {
  return (ALIGN_BYTES - (contentBytes % ALIGN_BYTES)) % ALIGN_BYTES;
}

/** Goes on from `before`. */
export function checksum(part: Uint8Array, before = 0): number {
  return crc32c(part, before);
}
