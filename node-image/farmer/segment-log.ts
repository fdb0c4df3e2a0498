// Append-only segment files. Small records share one file and one fdatasync (group commit); a large one
// streams into a file that it has for itself meanwhile. The index hears of a record after it is durable.
import type { Disk } from './disk.ts';
import { readerCache, type ReaderCache } from './reader-cache.ts';
import {
  checksum,
  encodeRecordHeader,
  padding,
  RECORD_HEADER_BYTES,
  recordBytes,
  type RecordKind,
  type RecordRef,
} from './record.ts';
import {
  beginSegment,
  indexReadsBody,
  recoverSegment,
  segmentName,
  segmentOfName,
  type FoundRecord,
  type OpenSegment,
  type SegmentState,
} from './segment-file.ts';
import { slots } from './limits.ts';
import { diskError, StoreError } from './store-error.ts';

/** A file that has reached this takes no further record. */
const SEGMENT_BYTES = 256 * 1024 * 1024;
/** Records that stream at once; each has a file for itself. */
const MAX_STREAMS = 8;
const MAX_WAITING_STREAMS = 256;
/** Small records that wait for their write. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** One write and one fdatasync for so much. */
const GROUP_BYTES = 16 * 1024 * 1024;

export interface SegmentLogOptions {
  disk: Disk;
  /** What the index knows. */
  known: readonly SegmentState[];
  lastStamp: number;
  /** 64 random bits. */
  randomLife: () => bigint;
  /** Records of one file, durable, in their order, and the file's state after them. Synchronous. */
  onDurable: (records: readonly FoundRecord[], state: SegmentState) => void;
  segmentBytes?: number;
}

interface Queued {
  kind: RecordKind;
  body: readonly Uint8Array[];
  meta: Uint8Array;
  sizeBytes: number;
  resolve: (ref: RecordRef) => void;
  reject: (error: StoreError) => void;
}

/** A record whose body comes bit by bit. End it with `finish` or `abort`. */
export interface RecordStream {
  /** Throws StoreError; then only `abort` is left. The chunk may be reused afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Durable and in the index when this resolves. */
  finish(kind: RecordKind, meta: Uint8Array): Promise<RecordRef>;
  abort(): Promise<void>;
}

export class SegmentLog {
  readonly #options: SegmentLogOptions;
  readonly #disk: Disk;
  readonly #readers: ReaderCache;
  readonly #segmentBytes: number;
  readonly #streams = slots(
    MAX_STREAMS,
    MAX_WAITING_STREAMS,
    () => new StoreError('Busy', 'Too many transfers wait for the disk.'),
  );
  /** Tail of every file: what the store takes on the disk. */
  readonly #tails = new Map<number, number>();
  #nextSegment = 1;
  /** Of the newest record. */
  #stamp: number;
  /** With room, and nobody writes there now. */
  #idle: OpenSegment[] = [];
  #shared: OpenSegment | null = null;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #pumping: Promise<void> | null = null;
  #isClosed = false;

  private constructor(options: SegmentLogOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#stamp = options.lastStamp;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#readers = readerCache((segment) => options.disk.open(segmentName(segment), 'read'));
  }

  /** null where the files aren't those of the index: then it must be made anew, with nothing known. */
  static async open(options: SegmentLogOptions): Promise<SegmentLog | null> {
    const log = new SegmentLog(options);
    return (await log.#recover()) ? log : null;
  }

  /** Bytes of all files up to their tails. */
  usedBytes(): number {
    let sum = 0;
    for (const tail of this.#tails.values()) sum += tail;
    return sum;
  }

  /** A small record. Durable and in the index when this resolves; records are written in the order of the calls. */
  append(kind: RecordKind, body: readonly Uint8Array[], meta: Uint8Array): Promise<RecordRef> {
    const sizeBytes = body.reduce((sum, part) => sum + part.length, meta.length);
    if (this.#isClosed) return Promise.reject(new StoreError('Closed', 'The store is closed.'));
    if (this.#queuedBytes + sizeBytes > MAX_QUEUED_BYTES) {
      return Promise.reject(new StoreError('Busy', 'Too much waits for the disk.'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ kind, body, meta, sizeBytes, resolve, reject });
      this.#queuedBytes += sizeBytes;
      this.#pumping ??= this.#pump();
    });
  }

  /** Waits for a free file; a bounded number may wait. */
  async stream(signal: AbortSignal): Promise<RecordStream> {
    const release = await this.#streams.take(signal);
    try {
      if (this.#isClosed) throw new StoreError('Closed', 'The store is closed.');
      return this.#streamInto(await this.#takeSegment(), release);
    } catch (error) {
      release();
      throw diskError(error);
    }
  }

  /** Part of a record's body, from `position` in it, fills `into`. Rejects with Corrupt where the file is shorter. */
  async readBody(ref: RecordRef, position: number, into: Uint8Array): Promise<Uint8Array> {
    return await this.#read(ref, RECORD_HEADER_BYTES + position, into);
  }
  async readMeta(ref: RecordRef): Promise<Uint8Array> {
    return await this.#read(ref, RECORD_HEADER_BYTES + ref.bodyBytes, new Uint8Array(ref.metaBytes));
  }

  /** What is queued is still written. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pumping;
    const open = [...this.#idle, ...(this.#shared ? [this.#shared] : [])];
    await Promise.all([this.#readers.close(), ...open.map(({ file }) => file.close())]);
  }

  async #recover(): Promise<boolean> {
    const known = new Map(this.#options.known.map((state) => [state.segment, state]));
    const segments = (await this.#disk.list()).map(segmentOfName).filter((segment) => segment !== null);
    if (this.#options.known.some(({ segment }) => !segments.includes(segment))) return false;
    for (const segment of segments.toSorted((a, b) => a - b)) {
      this.#nextSegment = Math.max(this.#nextSegment, segment + 1);
      const state = known.get(segment);
      if (state?.sealed) {
        this.#tails.set(segment, state.tail);
        continue;
      }
      const recovered = await recoverSegment(this.#disk, segment, state);
      // Without an index to contradict, a file that can't be read is left alone, not taken for ours.
      if (recovered.kind === 'foreign' && state) return false;
      if (recovered.kind !== 'open') continue;
      const { segment: open, found } = recovered;
      for (const { stamp } of found) this.#stamp = Math.max(this.#stamp, stamp);
      this.#settle(open, found);
      await this.#giveBack(open);
    }
    return true;
  }

  #settle(segment: OpenSegment, records: readonly FoundRecord[]): void {
    this.#tails.set(segment.segment, segment.tail);
    if (segment.tail >= this.#segmentBytes) segment.sealed = true;
    const { file: _, ...state } = segment;
    this.#options.onDurable(records, state);
  }

  async #giveBack(segment: OpenSegment): Promise<void> {
    if (segment.sealed) await segment.file.close();
    else this.#idle.push(segment);
  }

  async #takeSegment(): Promise<OpenSegment> {
    const idle = this.#idle.shift();
    if (idle) return idle;
    const number = this.#nextSegment++;
    const segment = await beginSegment(this.#disk, number, this.#options.randomLife());
    this.#tails.set(number, segment.tail);
    return segment;
  }

  // ---- small records ------------------------------------------------------------------------

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        this.#shared ??= await this.#takeSegment();
        await this.#writeGroup(this.#shared, group);
      } catch (cause) {
        const error = diskError(cause);
        for (const one of group) one.reject(error);
      }
    }
    // In the same step as the last look at the queue: what comes later starts a pump of its own.
    this.#pumping = null;
  }

  #takeGroup(): Queued[] {
    let sizeBytes = 0;
    const end = this.#queue.findIndex((one, i) => (sizeBytes += one.sizeBytes) > GROUP_BYTES && i > 0);
    const group = this.#queue.splice(0, end < 0 ? this.#queue.length : end);
    for (const one of group) this.#queuedBytes -= one.sizeBytes;
    return group;
  }

  async #writeGroup(segment: OpenSegment, group: readonly Queued[]): Promise<void> {
    const parts: Uint8Array[] = [];
    const records: FoundRecord[] = [];
    let offset = segment.tail;
    for (const { kind, body, meta } of group) {
      const bodyBytes = body.reduce((sum, part) => sum + part.length, 0);
      const ref = { segment: segment.segment, offset, bodyBytes, metaBytes: meta.length };
      const sum = [...body, meta].reduce((before, part) => checksum(part, before), 0);
      const stamp = ++this.#stamp;
      const header = encodeRecordHeader({ kind, stamp, bodyBytes, metaBytes: meta.length, checksum: sum }, segment.life);
      parts.push(header, ...body, meta, padding(bodyBytes + meta.length));
      records.push({ kind, ref, stamp, meta, ...(indexReadsBody(kind) ? { body: Buffer.concat(body) } : {}) });
      offset += recordBytes(ref);
    }
    try {
      await segment.file.write([Buffer.concat(parts)], segment.tail);
      await segment.file.datasync();
    } catch (error) {
      this.#shared = null;
      await this.#afterFailure(segment, error);
      throw error;
    }
    segment.tail = offset;
    this.#settle(segment, records);
    if (segment.sealed) {
      this.#shared = null;
      await segment.file.close();
    }
    group.forEach(({ resolve }, i) => resolve(records[i]!.ref));
  }

  /** A full disk leaves a half-written end, which is cut. After any other failure nobody knows: the file is left alone. */
  async #afterFailure(segment: OpenSegment, error: unknown): Promise<void> {
    if (diskError(error).code === 'Full') {
      try {
        await segment.file.truncate(segment.tail);
        this.#idle.push(segment);
        return;
      } catch {
        // Left alone as well.
      }
    }
    await segment.file.close().catch(() => {});
  }

  // ---- large records ------------------------------------------------------------------------

  #streamInto(segment: OpenSegment, release: () => void): RecordStream {
    const start = segment.tail;
    let bodyBytes = 0;
    let sum = 0;
    let isEnded = false;
    const end = () => {
      if (isEnded) throw new StoreError('Closed', 'The stream has ended.');
      isEnded = true;
    };
    const fail = async (error: unknown) => {
      await this.#afterFailure(segment, error);
      release();
      throw diskError(error);
    };
    return {
      write: async (chunk) => {
        if (isEnded) throw new StoreError('Closed', 'The stream has ended.');
        try {
          await segment.file.write([chunk], start + RECORD_HEADER_BYTES + bodyBytes);
        } catch (error) {
          end();
          await fail(error);
        }
        sum = checksum(chunk, sum);
        bodyBytes += chunk.length;
      },
      finish: async (kind, meta) => {
        end();
        const ref = { segment: segment.segment, offset: start, bodyBytes, metaBytes: meta.length };
        const stamp = ++this.#stamp;
        const whole = { kind, stamp, bodyBytes, metaBytes: meta.length, checksum: checksum(meta, sum) };
        try {
          await segment.file.write([meta, padding(bodyBytes + meta.length)], start + RECORD_HEADER_BYTES + bodyBytes);
          await segment.file.write([encodeRecordHeader(whole, segment.life)], start);
          await segment.file.datasync();
        } catch (error) {
          await fail(error);
        }
        segment.tail = start + recordBytes(ref);
        try {
          this.#settle(segment, [{ kind, ref, stamp, meta }]);
        } finally {
          await this.#endStream(segment, release);
        }
        return ref;
      },
      abort: async () => {
        if (isEnded) return;
        end();
        try {
          if (bodyBytes > 0) await segment.file.truncate(segment.tail);
          await this.#endStream(segment, release);
        } catch (error) {
          await segment.file.close().catch(() => {});
          release();
          throw diskError(error);
        }
      },
    };
  }

  async #endStream(segment: OpenSegment, release: () => void): Promise<void> {
    if (this.#isClosed) await segment.file.close();
    else await this.#giveBack(segment);
    release();
  }

  async #read(ref: RecordRef, position: number, into: Uint8Array): Promise<Uint8Array> {
    if (this.#isClosed) throw new StoreError('Closed', 'The store is closed.');
    const got = await this.#readers
      .use(ref.segment, (file) => file.read(into, ref.offset + position))
      .catch((error: unknown) => {
        throw diskError(error);
      });
    if (got < into.length) throw new StoreError('Corrupt', `${segmentName(ref.segment)} ends inside a record.`);
    return into;
  }
}
