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
  SEGMENT_HEADER_BYTES,
  type RecordKind,
  type RecordRef,
} from './record.ts';
import {
  beginAnew,
  beginSegment,
  indexReadsBody,
  recoverSegment,
  scanRecords,
  segmentName,
  segmentOfName,
  type About,
  type FoundRecord,
  type OpenSegment,
  type ScannedRecord,
  type SegmentState,
} from './segment-file.ts';
import { slots } from './limits.ts';
import { diskError, StoreError } from './store-error.ts';

/** A file that has reached this takes no further record. */
export const SEGMENT_BYTES = 256 * 1024 * 1024;
/** Records that stream at once; each has a file for itself. */
const MAX_STREAMS = 8;
const MAX_WAITING_STREAMS = 256;
/** Small records that wait for their write. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** One write and one fdatasync for so much. */
const GROUP_BYTES = 16 * 1024 * 1024;
/** Files whose space waits on the disk for new records; spent ones beyond that are removed. */
const MAX_SPARE = 8;
/** That of no file. */
const NO_LIFE = -1n;

export interface SegmentLogOptions {
  disk: Disk;
  /** What the index knows. */
  known: readonly SegmentState[];
  lastStamp: number;
  /** 64 random bits. */
  randomLife: () => bigint;
  /** Records of one file, durable, in their order, and the file's state after them. Synchronous. */
  onDurable: (records: readonly FoundRecord[], state: SegmentState, alsoDo?: () => void) => void;
  /** Found at a start, durable. Synchronous. */
  onFound: (records: readonly FoundRecord[]) => void;
  /** A file's state without a record. Synchronous. */
  onState: (state: SegmentState) => void;
  /** A spent file that has been removed. Synchronous. */
  onRemoved: (segment: number) => void;
  segmentBytes?: number;
}

interface Queued {
  kind: RecordKind;
  body: readonly Uint8Array[];
  meta: Uint8Array;
  about: About | undefined;
  sizeBytes: number;
  resolve: (ref: RecordRef) => void;
  reject: (error: StoreError) => void;
}

/** A record whose body comes bit by bit. End it with `finish` or `abort`. */
export interface RecordStream {
  /** Throws StoreError; then only `abort` is left. The chunk may be reused afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Durable and in the index when this resolves. */
  finish(kind: RecordKind, meta: Uint8Array, about?: About): Promise<RecordRef>;
  abort(): Promise<void>;
}

/** Reads one record. Rejects with Moved where it lies elsewhere now (ask the index again), Corrupt where the file is shorter. */
export interface RecordReader {
  /** Of this record alone, for ever: where it lies, and in which life of the file. */
  readonly name: string;
  /** Part of the body, from `position` in it, fills `into`. */
  body(position: number, into: Uint8Array): Promise<Uint8Array>;
  meta(): Promise<Uint8Array>;
}

/** A file into which records are copied. After a rejection only `release` is left. */
export interface BorrowedSegment {
  readonly segment: number;
  readonly life: bigint;
  readonly tail: number;
  isFull(): boolean;
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** What was written up to `tail` is durable, and `commit` part of the index's same step. */
  settle(tail: number, commit: () => void): Promise<void>;
  release(): Promise<void>;
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
  readonly #files = new Map<number, SegmentState | OpenSegment>();
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
    for (const { tail } of this.#files.values()) sum += tail;
    return sum;
  }
  /** Bytes behind the tails: on the disk already, and free for new records. */
  spareBytes(): number {
    let sum = 0;
    for (const file of this.#files.values()) if ('file' in file) sum += Math.max(0, spareOf(file));
    return sum;
  }

  /**
   * A small record. Durable and in the index when this resolves; records are written in the order of the calls.
   * `about`: what its meta says. Body and meta mustn't change meanwhile.
   */
  append(kind: RecordKind, body: readonly Uint8Array[], meta: Uint8Array, about?: About): Promise<RecordRef> {
    const sizeBytes = body.reduce((sum, part) => sum + part.length, meta.length);
    if (this.#isClosed) return Promise.reject(new StoreError('Closed', 'The store is closed.'));
    if (this.#queuedBytes + sizeBytes > MAX_QUEUED_BYTES) {
      return Promise.reject(new StoreError('Busy', 'Too much waits for the disk.'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ kind, body, meta, about, sizeBytes, resolve, reject });
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

  /** Call it in the step in which the index said where the record lies. */
  reader(ref: RecordRef): RecordReader {
    const life = this.#files.get(ref.segment)?.life;
    return {
      name: `${ref.segment} ${life} ${ref.offset}`,
      body: (position, into) => this.#read(ref, life, RECORD_HEADER_BYTES + position, into),
      meta: () => this.#read(ref, life, RECORD_HEADER_BYTES + ref.bodyBytes, new Uint8Array(ref.metaBytes)),
    };
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
    const isMissing = ({ segment, phase }: SegmentState) => phase !== 'spent' && !segments.includes(segment);
    if (this.#options.known.some(isMissing)) return false;
    // The crash may have come between the beginning of a file and this.
    await this.#disk.syncFolder();
    for (const { segment, phase } of this.#options.known) {
      if (phase === 'spent' && !segments.includes(segment)) this.#options.onRemoved(segment);
    }
    for (const segment of segments.toSorted((a, b) => a - b)) {
      this.#nextSegment = Math.max(this.#nextSegment, segment + 1);
      const state = known.get(segment);
      if (state?.phase === 'sealed') this.#files.set(segment, state);
      else if (!(await this.#continue(segment, state))) return false;
    }
    return true;
  }

  /** Whether the file is what the index thinks. */
  async #continue(segment: number, state: SegmentState | undefined): Promise<boolean> {
    const recovered = await recoverSegment(this.#disk, segment, state, (records) => {
      for (const { stamp } of records) this.#stamp = Math.max(this.#stamp, stamp);
      this.#options.onFound(records);
    });
    // Without an index to contradict, a file that can't be read is left alone, not taken for ours.
    if (recovered.kind === 'foreign') return state === undefined;
    if (recovered.kind === 'spent') await this.#renew(segment);
    if (recovered.kind !== 'open') return true;
    this.#settle(recovered.segment, []);
    await this.#giveBack(recovered.segment);
    return true;
  }

  // ---- files ----------------------------------------------------------------------------------

  #settle(segment: OpenSegment, records: readonly FoundRecord[], alsoDo?: () => void): void {
    segment.sizeBytes = Math.max(segment.sizeBytes, segment.tail);
    this.#files.set(segment.segment, segment);
    if (segment.tail >= this.#segmentBytes) segment.phase = 'sealed';
    this.#options.onDurable(records, stateOf(segment), alsoDo);
  }

  async #giveBack(segment: OpenSegment): Promise<void> {
    if (segment.phase === 'open') {
      this.#idle.push(segment);
      return;
    }
    const { file, ...state } = segment;
    this.#files.set(segment.segment, stateOf(segment));
    // One that was begun anew may have been larger before.
    if (state.sizeBytes > state.tail) await file.truncate(state.tail).catch(() => {});
    await file.close();
  }

  async #takeSegment(): Promise<OpenSegment> {
    const idle = this.#roomiest();
    this.#idle = this.#idle.filter((one) => one !== idle);
    if (idle) return idle;
    const number = this.#nextSegment++;
    const segment = await beginSegment(this.#disk, number, this.#options.randomLife());
    this.#files.set(number, segment);
    return segment;
  }

  /** Of the files that nobody writes to: what is on the disk already costs the least. */
  #roomiest(): OpenSegment | undefined {
    return this.#idle.toSorted((a, b) => spareOf(b) - spareOf(a))[0];
  }

  /** A spent file serves again, or goes where enough others wait. */
  async #renew(segment: number): Promise<void> {
    if (this.#idle.length >= MAX_SPARE) {
      this.#files.delete(segment);
      await this.#disk.remove(segmentName(segment));
      // Back again, it would be taken for a file of the store.
      await this.#disk.syncFolder();
      this.#options.onRemoved(segment);
      return;
    }
    const fresh = await beginAnew(this.#disk, segment, this.#options.randomLife());
    this.#settle(fresh, []);
    await this.#giveBack(fresh);
  }

  // ---- for the compaction -----------------------------------------------------------------------

  /** Nothing is written to this file any more. False where that can't be said now, since it is in use. */
  async seal(segment: number): Promise<boolean> {
    const file = this.#files.get(segment);
    if (file?.phase === 'sealed') return true;
    if (this.#shared?.segment === segment && !this.#pumping) {
      this.#idle.push(this.#shared);
      this.#shared = null;
    }
    const open = this.#idle.find((one) => one.segment === segment);
    if (!open) return false;
    this.#idle = this.#idle.filter((one) => one !== open);
    open.phase = 'sealed';
    this.#options.onState(stateOf(open));
    await this.#giveBack(open);
    return true;
  }

  /** Up to its tail. */
  fileBytes(segment: number): number {
    return this.#files.get(segment)!.tail;
  }
  /** All records of a sealed file. */
  async *scan(segment: number): AsyncGenerator<ScannedRecord, void, undefined> {
    const { life, tail } = this.#files.get(segment)!;
    const read = (into: Uint8Array, position: number) => this.#readers.use(segment, (file) => file.read(into, position));
    yield* scanRecords({ read }, { segment, life, from: SEGMENT_HEADER_BYTES, end: tail, isSearched: true });
  }

  /** A file of the caller's own, to copy records into. End it with `release`. */
  async borrow(): Promise<BorrowedSegment> {
    if (this.#isClosed) throw new StoreError('Closed', 'The store is closed.');
    const segment = await this.#takeSegment().catch((error: unknown) => {
      throw diskError(error);
    });
    let [isBroken, writtenTo] = [false, segment.tail];
    return {
      segment: segment.segment,
      life: segment.life,
      get tail() {
        return segment.tail;
      },
      isFull: () => segment.tail >= this.#segmentBytes,
      write: async (parts, position) => {
        try {
          writtenTo = parts.reduce((end, part) => end + part.length, position);
          await segment.file.write(parts, position);
        } catch (error) {
          isBroken = true;
          await this.#afterFailure(segment, error);
          throw diskError(error);
        }
      },
      settle: async (tail, commit) => {
        try {
          await segment.file.datasync();
        } catch (error) {
          isBroken = true;
          await this.#afterFailure(segment, error);
          throw diskError(error);
        }
        segment.tail = writtenTo = tail;
        this.#settle(segment, [], commit);
      },
      release: async () => {
        if (isBroken) return;
        // Copies that don't count mustn't lie behind later records, where a start would find them.
        if (writtenTo > segment.tail) {
          await segment.file.truncate(segment.tail);
          segment.sizeBytes = segment.tail;
        }
        await this.#giveBack(segment);
      },
    };
  }

  /** Nothing in this sealed file is needed any more. */
  spend(segment: number): void {
    const state: SegmentState = { ...stateOf(this.#files.get(segment)!), phase: 'spent' };
    this.#options.onState(state);
    this.#files.set(segment, state);
  }

  /** Files that are spent and don't serve again yet. */
  spent(): number[] {
    return [...this.#files.values()].filter(({ phase }) => phase === 'spent').map(({ segment }) => segment);
  }

  /** It serves again. That it is spent must be durable in the index. Who reads there now is told that it moved. */
  async recycle(segment: number): Promise<void> {
    const state = this.#files.get(segment)!;
    this.#files.set(segment, { ...state, life: NO_LIFE, tail: SEGMENT_HEADER_BYTES });
    this.#readers.forget(segment);
    await this.#renew(segment).catch((error: unknown) => {
      throw diskError(error);
    });
  }

  // ---- small records ------------------------------------------------------------------------

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        this.#shared ??= await this.#takeSegment();
        await this.#writeGroup(this.#shared, group).catch(async (error: unknown) => {
          // The disk is full, but there may be a file with room of its own.
          const sizeBytes = group.reduce((sum, one) => sum + one.sizeBytes, 0);
          if (diskError(error).code !== 'Full' || spareOf(this.#roomiest()) < 2 * sizeBytes) throw error;
          this.#shared = await this.#takeSegment();
          await this.#writeGroup(this.#shared, group);
        });
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
    for (const { kind, body, meta, about } of group) {
      const bodyBytes = body.reduce((sum, part) => sum + part.length, 0);
      const ref = { segment: segment.segment, offset, bodyBytes, metaBytes: meta.length };
      const sum = [...body, meta].reduce((before, part) => checksum(part, before), 0);
      const stamp = ++this.#stamp;
      const header = encodeRecordHeader({ kind, stamp, bodyBytes, metaBytes: meta.length, checksum: sum }, segment.life);
      parts.push(header, ...body, meta, padding(bodyBytes + meta.length));
      records.push({ kind, ref, stamp, meta, about, ...(indexReadsBody(kind) ? { body: Buffer.concat(body) } : {}) });
      offset += recordBytes(ref);
    }
    try {
      await segment.file.write(parts, segment.tail);
      await segment.file.datasync();
    } catch (error) {
      this.#shared = null;
      await this.#afterFailure(segment, error);
      throw error;
    }
    segment.tail = offset;
    this.#settle(segment, records);
    if (segment.phase === 'sealed') {
      this.#shared = null;
      await this.#giveBack(segment);
    }
    group.forEach(({ resolve }, i) => resolve(records[i]!.ref));
  }

  /** A full disk leaves a half-written end, which is cut. After any other failure nobody knows: the file is left alone. */
  async #afterFailure(segment: OpenSegment, error: unknown): Promise<void> {
    if (diskError(error).code === 'Full') {
      try {
        await segment.file.truncate(segment.tail);
        segment.sizeBytes = segment.tail;
        this.#idle.push(segment);
        return;
      } catch {
        // Left alone as well.
      }
    }
    this.#files.set(segment.segment, stateOf(segment));
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
      finish: async (kind, meta, about) => {
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
          this.#settle(segment, [{ kind, ref, stamp, meta, about }]);
        } finally {
          await this.#endStream(segment, release);
        }
        return ref;
      },
      abort: async () => {
        if (isEnded) return;
        end();
        try {
          const isLonger = start + RECORD_HEADER_BYTES + bodyBytes > segment.sizeBytes;
          if (bodyBytes > 0 && isLonger) await segment.file.truncate(segment.sizeBytes);
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

  async #read(ref: RecordRef, life: bigint | undefined, position: number, into: Uint8Array): Promise<Uint8Array> {
    if (this.#isClosed) throw new StoreError('Closed', 'The store is closed.');
    const hasMoved = () => this.#files.get(ref.segment)?.life !== life;
    const moved = () => new StoreError('Moved', `The record in ${segmentName(ref.segment)} was moved.`);
    if (hasMoved()) throw moved();
    const got = await this.#readers
      .use(ref.segment, (file) => file.read(into, ref.offset + position))
      .catch((error: unknown) => {
        throw hasMoved() ? moved() : diskError(error);
      });
    if (hasMoved()) throw moved();
    if (got < into.length) throw new StoreError('Corrupt', `${segmentName(ref.segment)} ends inside a record.`);
    return into;
  }
}

function spareOf(segment: OpenSegment | undefined): number {
  return segment ? segment.sizeBytes - segment.tail : 0;
}

function stateOf({ segment, life, tail, phase }: SegmentState): SegmentState {
  return { segment, life, tail, phase };
}
