// One segment file: begun, continued after a start, written at its tail.
import type { Disk, DiskFile } from './disk.ts';
import {
  checksum,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  recordBytes,
  SEGMENT_HEADER_BYTES,
  type RecordHeader,
  type RecordKind,
  type RecordRef,
} from './record.ts';

/** What the index knows of a segment file. */
export interface SegmentState {
  segment: number;
  life: bigint;
  /** Everything before is on the medium and in the index. */
  tail: number;
  /** Nothing is written here any more. */
  sealed: boolean;
}
export interface OpenSegment extends SegmentState {
  file: DiskFile;
}
export interface FoundRecord {
  kind: RecordKind;
  ref: RecordRef;
  stamp: number;
  meta: Uint8Array;
  /** Of kinds whose body the index reads: small ones. */
  body?: Uint8Array;
}

/** Statements are kept whole in the index, the others name pieces. */
export function indexReadsBody(kind: RecordKind): boolean {
  return kind === 'statement' || kind === 'trash' || kind === 'restore';
}

const READ_BYTES = 1024 * 1024;

export function segmentName(segment: number): string {
  return `${String(segment).padStart(10, '0')}.seg`;
}
/** null for other files. */
export function segmentOfName(name: string): number | null {
  return /^\d{10}\.seg$/.test(name) ? Number.parseInt(name, 10) : null;
}

/** A new file, whose name and header are on the medium. */
export async function beginSegment(disk: Disk, segment: number, life: bigint): Promise<OpenSegment> {
  const file = await disk.open(segmentName(segment), 'create');
  try {
    await file.write([encodeSegmentHeader({ segment, life })], 0);
    await file.datasync();
    await disk.syncFolder();
  } catch (error) {
    await file.close().catch(() => {});
    await disk.remove(segmentName(segment)).catch(() => {});
    throw error;
  }
  return { segment, life, tail: SEGMENT_HEADER_BYTES, sealed: false, file };
}

export type Recovered =
  | { kind: 'open'; segment: OpenSegment; found: FoundRecord[] }
  /** No header: the crash came while it was begun. It holds nothing and is removed. */
  | { kind: 'unborn' }
  /** It isn't what the index thinks: the index has to be made anew. */
  | { kind: 'foreign' };

/**
 * Continues a file: finds the records behind the known tail, cuts what was torn and makes the rest durable.
 * Without a known tail all is read, and a file with anything behind its last whole record is left as it is.
 */
export async function recoverSegment(disk: Disk, segment: number, known: SegmentState | undefined): Promise<Recovered> {
  const file = await disk.open(segmentName(segment), 'write');
  let isKept = false;
  try {
    const sizeBytes = await file.sizeBytes();
    const header = decodeSegmentHeader(await readAt(file, 0, SEGMENT_HEADER_BYTES), segment);
    if (!header && !known && sizeBytes <= SEGMENT_HEADER_BYTES) {
      await disk.remove(segmentName(segment));
      return { kind: 'unborn' };
    }
    if (!header || (known && (known.life !== header.life || known.tail > sizeBytes))) return { kind: 'foreign' };
    const found = await scan(file, { ...header, from: known?.tail ?? SEGMENT_HEADER_BYTES, sizeBytes });
    const last = found.at(-1);
    const tail = last ? last.ref.offset + recordBytes(last.ref) : (known?.tail ?? SEGMENT_HEADER_BYTES);
    const isTorn = sizeBytes > tail;
    if (isTorn && known) await file.truncate(tail);
    if (isTorn || found.length > 0) await file.datasync();
    isKept = true;
    return { kind: 'open', segment: { ...header, tail, sealed: isTorn && !known, file }, found };
  } finally {
    if (!isKept) await file.close();
  }
}

interface Scan {
  segment: number;
  life: bigint;
  from: number;
  sizeBytes: number;
}

async function scan(file: DiskFile, { segment, life, from, sizeBytes }: Scan): Promise<FoundRecord[]> {
  const found: FoundRecord[] = [];
  let offset = from;
  while (offset + RECORD_HEADER_BYTES <= sizeBytes) {
    const header = decodeRecordHeader(await readAt(file, offset, RECORD_HEADER_BYTES), life);
    if (!header || offset + recordBytes(header) > sizeBytes) break;
    const ref = { segment, offset, bodyBytes: header.bodyBytes, metaBytes: header.metaBytes };
    const meta = await readAt(file, offset + RECORD_HEADER_BYTES + header.bodyBytes, header.metaBytes);
    // A whole header over a wrong body is a record that was never acknowledged, or one that the disk spoilt.
    if (await isWhole(file, ref, header, meta)) {
      const { kind, stamp } = header;
      const body = indexReadsBody(kind) && (await readAt(file, offset + RECORD_HEADER_BYTES, header.bodyBytes));
      found.push({ kind, ref, stamp, meta, ...(body ? { body } : {}) });
    }
    offset += recordBytes(header);
  }
  return found;
}

async function isWhole(file: DiskFile, ref: RecordRef, header: RecordHeader, meta: Uint8Array): Promise<boolean> {
  let sum = 0;
  const start = ref.offset + RECORD_HEADER_BYTES;
  for (let done = 0; done < ref.bodyBytes; done += READ_BYTES) {
    sum = checksum(await readAt(file, start + done, Math.min(READ_BYTES, ref.bodyBytes - done)), sum);
  }
  return checksum(meta, sum) === header.checksum;
}

async function readAt(file: DiskFile, position: number, sizeBytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(sizeBytes);
  return into.subarray(0, await file.read(into, position));
}
