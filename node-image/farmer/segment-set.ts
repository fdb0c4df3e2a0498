// The segment files of a store: found and continued at a start, taken for writing one by one, given back, sealed,
// spent and begun anew.
import type { Disk } from './disk.ts';
import { readerCache, type ReaderCache } from './reader-cache.ts';
import { SEGMENT_HEADER_BYTES } from './record.ts';
import {
  beginAnew,
  beginSegment,
  recoverSegment,
  scanRecords,
  segmentName,
  segmentOfName,
  type FoundRecord,
  type OpenSegment,
  type ScannedRecord,
  type SegmentState,
} from './segment-file.ts';
import { diskError } from './store-error.ts';

/** A file that has reached this takes no further record. */
export const SEGMENT_BYTES = 256 * 1024 * 1024;
/** Of a file: so much is worth a write of its own while what is before it becomes durable. 512 KiB of 256 MiB. */
const BEHIND_SHARE = 1 / 512;
/** Files whose space waits on the disk for new records; spent ones beyond that are removed. */
const MAX_SPARE = 8;
/** That of no file. */
const NO_LIFE = -1n;

export interface SegmentSetOptions {
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

export class SegmentSet {
  readonly #options: SegmentSetOptions;
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  readonly readers: ReaderCache;
  readonly #files = new Map<number, SegmentState | OpenSegment>();
  #nextSegment = 1;
  /** Of the newest record. */
  #stamp: number;
  /** With room, and nobody writes there now. */
  #idle: OpenSegment[] = [];
  /** The store is about to be closed: nothing is begun any more. */
  isClosed = false;

  private constructor(options: SegmentSetOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#stamp = options.lastStamp;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.readers = readerCache((segment) => options.disk.open(segmentName(segment), 'read'));
  }

  /** null where the files aren't those of the index. */
  static async open(options: SegmentSetOptions): Promise<SegmentSet | null> {
    const set = new SegmentSet(options);
    return (await set.#recover()) ? set : null;
  }

  /** Those that somebody writes to are closed by whoever that is. */
  async close(): Promise<void> {
    await Promise.all([this.readers.close(), ...this.#idle.map(({ file }) => file.close())]);
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

  /** Which life of the file it is; undefined where there is no such file. */
  lifeOf(segment: number): bigint | undefined {
    return this.#files.get(segment)?.life;
  }
  /** For a record that is about to be written. */
  nextStamp(): number {
    return ++this.#stamp;
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
    this.settle(recovered.segment, []);
    await this.giveBack(recovered.segment);
    return true;
  }

  // ---- files that are written to --------------------------------------------------------------

  /** What was written up to its tail is durable: the index hears of it. */
  settle(segment: OpenSegment, records: readonly FoundRecord[], alsoDo?: () => void): void {
    segment.sizeBytes = Math.max(segment.sizeBytes, segment.tail);
    this.#files.set(segment.segment, segment);
    if (this.isFull(segment)) segment.phase = 'sealed';
    this.#options.onDurable(records, stateOf(segment), alsoDo);
  }

  get behindBytes(): number {
    return this.#segmentBytes * BEHIND_SHARE;
  }
  isFull({ tail }: Pick<SegmentState, 'tail'>): boolean {
    return tail >= this.#segmentBytes;
  }
  /** Of the free file that has the most: bytes that are on the disk already. */
  roomiestBytes(): number {
    return spareOf(this.#roomiest());
  }

  /** One with room, to be written to by whoever takes it. */
  keep(segment: OpenSegment): void {
    this.#idle.push(segment);
  }
  /** Nobody writes there now. */
  async giveBack(segment: OpenSegment): Promise<void> {
    if (segment.phase === 'open') {
      this.keep(segment);
      return;
    }
    const { file, ...state } = segment;
    this.#files.set(segment.segment, stateOf(segment));
    // One that was begun anew may have been larger before.
    if (state.sizeBytes > state.tail) await file.truncate(state.tail).catch(() => {});
    await file.close();
  }

  /** A file of the caller's own, to write to. End it with `giveBack` or `afterFailure`. */
  async take(): Promise<OpenSegment> {
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
    this.settle(fresh, []);
    await this.giveBack(fresh);
  }

  /** A full disk leaves a half-written end, which is cut. After any other failure nobody knows: the file is left alone. */
  async afterFailure(segment: OpenSegment, error: unknown): Promise<void> {
    if (diskError(error).code === 'Full') {
      try {
        await segment.file.truncate(segment.tail);
        segment.sizeBytes = segment.tail;
        this.keep(segment);
        return;
      } catch {
        // Left alone as well.
      }
    }
    this.#files.set(segment.segment, stateOf(segment));
    await segment.file.close().catch(() => {});
  }

  // ---- for the compaction -----------------------------------------------------------------------

  /** Nothing is written to this file any more. False where that can't be said now, since it is in use. */
  async seal(segment: number): Promise<boolean> {
    const file = this.#files.get(segment);
    if (file?.phase === 'sealed') return true;
    const open = this.#idle.find((one) => one.segment === segment);
    if (!open) return false;
    this.#idle = this.#idle.filter((one) => one !== open);
    open.phase = 'sealed';
    this.#options.onState(stateOf(open));
    await this.giveBack(open);
    return true;
  }

  /** Up to its tail. */
  fileBytes(segment: number): number {
    return this.#files.get(segment)!.tail;
  }
  /** All records of a sealed file. */
  async *scan(segment: number): AsyncGenerator<ScannedRecord, void, undefined> {
    const { life, tail } = this.#files.get(segment)!;
    const read = (into: Uint8Array, position: number) => this.readers.use(segment, (file) => file.read(into, position));
    yield* scanRecords({ read }, { segment, life, from: SEGMENT_HEADER_BYTES, end: tail, isSearched: true });
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
    this.readers.forget(segment);
    await this.#renew(segment).catch((error: unknown) => {
      throw diskError(error);
    });
  }
}

function spareOf(segment: OpenSegment | undefined): number {
  return segment ? segment.sizeBytes - segment.tail : 0;
}

function stateOf({ segment, life, tail, phase }: SegmentState): SegmentState {
  return { segment, life, tail, phase };
}
