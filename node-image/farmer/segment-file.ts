// One segment file: begun, begun anew, continued after a start, and read through from record to record.
import type { Disk, DiskFile } from './disk.ts';
import type { BatchMeta, PieceMeta } from './record-meta.ts';
import {
  ALIGN_BYTES,
  checksum,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  mayBeRecord,
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
  /** Sealed: nothing is written here any more. Spent: nothing in it is needed, it is about to be begun anew or removed. */
  phase: 'open' | 'sealed' | 'spent';
}
export interface OpenSegment extends SegmentState {
  file: DiskFile;
  /** What the file takes on the disk, up to the tail or, where it was begun anew, beyond. */
  sizeBytes: number;
}
/** Of the records of which there are many: what was just encoded need not be decoded for the index. */
export type About = PieceMeta | BatchMeta;
export interface FoundRecord {
  kind: RecordKind;
  ref: RecordRef;
  stamp: number;
  meta: Uint8Array;
  /** Of kinds whose body the index reads: small ones. */
  body?: Uint8Array;
  /** What `meta` says, where that is known already. */
  about?: About | undefined;
}

/** Statements are kept whole in the index, the others name pieces. */
export function indexReadsBody(kind: RecordKind): boolean {
  return kind === 'statement' || kind === 'trash' || kind === 'restore';
}

const READ_BYTES = 1024 * 1024;
/** Records of a start that the index hears of in one step. */
const FOUND_AT_ONCE = 1000;

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
  return { segment, life, tail: SEGMENT_HEADER_BYTES, phase: 'open', file, sizeBytes: SEGMENT_HEADER_BYTES };
}

/** A spent file with a new life: what was in it means nothing from now on, its space is on the disk already. */
export async function beginAnew(disk: Disk, segment: number, life: bigint): Promise<OpenSegment> {
  const file = await disk.open(segmentName(segment), 'write');
  try {
    await file.write([encodeSegmentHeader({ segment, life })], 0);
    await file.datasync();
    return { segment, life, tail: SEGMENT_HEADER_BYTES, phase: 'open', file, sizeBytes: await file.sizeBytes() };
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

export type Recovered =
  | { kind: 'open'; segment: OpenSegment }
  /** No header: the crash came while it was begun. It holds nothing and is removed. */
  | { kind: 'unborn' }
  /** The crash came before it was begun anew. */
  | { kind: 'spent' }
  /** It isn't what the index thinks: the index has to be made anew. */
  | { kind: 'foreign' };

/**
 * Continues a file: finds the records behind the known tail, cuts what was torn and makes the rest durable.
 * Without a known tail all is read, and where a header was spoilt the next one is searched for.
 */
export async function recoverSegment(
  disk: Disk,
  segment: number,
  known: SegmentState | undefined,
  onFound: (records: readonly FoundRecord[]) => void,
): Promise<Recovered> {
  const file = await disk.open(segmentName(segment), 'write');
  let isKept = false;
  try {
    const sizeBytes = await file.sizeBytes();
    const header = decodeSegmentHeader(await readAt(file, 0, SEGMENT_HEADER_BYTES), segment);
    if (!header && !known && sizeBytes <= SEGMENT_HEADER_BYTES) {
      await disk.remove(segmentName(segment));
      return { kind: 'unborn' };
    }
    const isSpent = known?.phase === 'spent';
    if (isSpent && header?.life === known.life) return { kind: 'spent' };
    if (!header) return { kind: isSpent ? 'spent' : 'foreign' };
    if (known && !isSpent && (known.life !== header.life || known.tail > sizeBytes)) return { kind: 'foreign' };
    const from = known && !isSpent ? known.tail : SEGMENT_HEADER_BYTES;
    const extent = { ...header, from, end: sizeBytes, isSearched: !known };
    // What the index hears of is on the medium. Where it knew nothing all was written long ago.
    if (known) extent.end = await findTail(file, extent);
    if (known && extent.end > from) await writeAgain(file, from, extent.end);
    await file.datasync();
    let tail = from;
    for await (const records of findRecords(file, extent)) {
      onFound(records);
      const last = records.at(-1)!.ref;
      tail = last.offset + recordBytes(last);
    }
    if (sizeBytes > tail) {
      await file.truncate(tail);
      await file.datasync();
    }
    isKept = true;
    return { kind: 'open', segment: { ...header, tail, phase: 'open', file, sizeBytes: tail } };
  } finally {
    if (!isKept) await file.close();
  }
}

/** After a failed fdatasync the kernel may take pages for clean that never reached the medium. */
async function writeAgain(file: DiskFile, from: number, end: number): Promise<void> {
  for (let at = from; at < end; at += READ_BYTES) {
    await file.write([await readAt(file, at, Math.min(READ_BYTES, end - at))], at);
  }
}

interface Extent {
  segment: number;
  life: bigint;
  from: number;
  end: number;
  /** Whether to look for a record behind bytes that are none. */
  isSearched: boolean;
}

/** Behind the last whole record. */
async function findTail(file: DiskFile, extent: Extent): Promise<number> {
  let tail = extent.from;
  for await (const { ref, isWhole } of scanRecords(file, extent)) {
    if (await isWhole()) tail = ref.offset + recordBytes(ref);
  }
  return tail;
}

/** Some at a time. */
async function* findRecords(file: DiskFile, extent: Extent): AsyncGenerator<FoundRecord[], void, undefined> {
  let found: FoundRecord[] = [];
  for await (const { header, ref, meta, body, isWhole } of scanRecords(file, extent)) {
    // A whole header over a wrong body is a record that was never acknowledged, or one that the disk spoilt.
    if (!(await isWhole())) continue;
    const { kind, stamp } = header;
    const read = indexReadsBody(kind) ? { body: Uint8Array.from(await body(0, ref.bodyBytes)) } : {};
    found.push({ kind, ref, stamp, meta, ...read });
    if (found.length < FOUND_AT_ONCE) continue;
    yield found;
    found = [];
  }
  if (found.length > 0) yield found;
}

/** Good until the next one is asked for. */
export interface ScannedRecord {
  header: RecordHeader;
  ref: RecordRef;
  /** In memory of its own. */
  meta: Uint8Array;
  /** A part of at most 1 MiB; the bytes change with the next call. */
  body(position: number, sizeBytes: number): Promise<Uint8Array>;
  isWhole(): Promise<boolean>;
}

/** Record by record, through a window of 1 MiB: small ones cost no read each. */
export async function* scanRecords(
  file: Pick<DiskFile, 'read'>,
  { segment, life, from, end, isSearched }: Extent,
): AsyncGenerator<ScannedRecord, void, undefined> {
  const window = fileWindow(file);
  for (let offset = from; offset + RECORD_HEADER_BYTES <= end;) {
    const header = decodeRecordHeader(await window(offset, RECORD_HEADER_BYTES), life);
    if (!header || offset + recordBytes(header) > end) {
      if (!isSearched) return;
      offset = await nextRecord(window, offset + ALIGN_BYTES, end, life);
      continue;
    }
    const { bodyBytes, metaBytes } = header;
    const start = offset + RECORD_HEADER_BYTES;
    const body = (position: number, sizeBytes: number) => window(start + position, sizeBytes);
    // Read in front of the meta, so that the window goes forward only.
    const whole = bodyBytes + metaBytes <= READ_BYTES ? await window(start, bodyBytes + metaBytes) : null;
    const meta = Uint8Array.from(whole ? whole.subarray(bodyBytes) : await window(start + bodyBytes, metaBytes));
    const isWhole = async () => {
      let sum = 0;
      for (let at = 0; at < bodyBytes; at += READ_BYTES)
        sum = checksum(await body(at, Math.min(READ_BYTES, bodyBytes - at)), sum);
      return checksum(meta, sum) === header.checksum;
    };
    yield { header, ref: { segment, offset, bodyBytes, metaBytes }, meta, body, isWhole };
    offset += recordBytes(header);
  }
}

/** Where the next record of this life begins; `end` where there is none. Nothing else looks like one by chance or by will. */
async function nextRecord(window: FileWindow, from: number, end: number, life: bigint): Promise<number> {
  for (let at = from; at + RECORD_HEADER_BYTES <= end; at += READ_BYTES - RECORD_HEADER_BYTES) {
    const bytes = await window(at, Math.min(READ_BYTES, end - at));
    for (let i = 0; i + RECORD_HEADER_BYTES <= bytes.length; i += ALIGN_BYTES) {
      if (mayBeRecord(bytes, i) && decodeRecordHeader(bytes.subarray(i), life)) return at + i;
    }
  }
  return end;
}

type FileWindow = (position: number, sizeBytes: number) => Promise<Uint8Array>;
/** Parts of a file, at most READ_BYTES each; less than asked for only at its end. */
function fileWindow(file: Pick<DiskFile, 'read'>): FileWindow {
  const buffer = new Uint8Array(READ_BYTES);
  let [start, filled] = [0, 0];
  return async (position, sizeBytes) => {
    if (position < start || position + sizeBytes > start + filled) {
      start = position;
      filled = await file.read(buffer, position);
    }
    return buffer.subarray(position - start, Math.min(filled, position - start + sizeBytes));
  };
}

async function readAt(file: DiskFile, position: number, sizeBytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(sizeBytes);
  return into.subarray(0, await file.read(into, position));
}
