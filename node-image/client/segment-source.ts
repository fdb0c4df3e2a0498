// A stream of bytes as segments of records. The records of a segment stay in shared memory until it is
// stored, so that a piece can be sent again to another farmer, or all of them under another scheme. A
// segment ends early where the common budget has nothing left: nobody waits while holding.
import { copyInto } from '#node/core/bytes.ts';
import { MAX_SEGMENT_PLAIN_BYTES } from '#node/core/segments.ts';
import { RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import type { BlockPool } from './block-pool.ts';
import type { ByteBudget } from './byte-budget.ts';

/** Records in one block of memory: 1 MiB. */
const BLOCK_RECORDS = 16;
const MAX_RECORDS = MAX_SEGMENT_PLAIN_BYTES / RECORD_PLAIN_BYTES;

export interface SegmentRecords {
  /** Record `index`, read from the source if nobody has before; null behind the last. */
  record(index: number): Promise<Uint8Array | null>;
  /** Whether this record is the segment's last; true or false as soon as `record(index)` has resolved. */
  isLast(index: number): boolean;
  /** Bytes so far; all of them once the last record was read. */
  readonly plainBytes: number;
  /** Resolves when the last record was read: the next segment may begin. */
  readonly complete: Promise<void>;
  /** The memory goes back to the budget. */
  free(): void;
}

export interface SourceOptions {
  source: AsyncIterable<Uint8Array>;
  /** Where it is known, no more memory than this is asked for. */
  sizeBytes: number | null;
  budget: ByteBudget;
  blocks: BlockPool;
  /** What a segment needs beside its records, from its start: leaves on their way. */
  overheadBytes: number;
  signal: AbortSignal;
}

/** The next segment of the source; null where nothing is left. One at a time, each read to its end. */
export class SegmentSource {
  readonly #options: SourceOptions;
  readonly #input: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #ended = false;
  /** Bytes read from the source. */
  #readBytes = 0;
  /** Bytes that went into segments. */
  #usedBytes = 0;

  constructor(options: SourceOptions) {
    this.#options = options;
    this.#input = options.source[Symbol.asyncIterator]();
  }

  get readBytes(): number {
    return this.#readBytes;
  }

  async next(): Promise<SegmentRecords | null> {
    if (!(await this.#hasMore())) return null;
    const { budget, overheadBytes, signal } = this.#options;
    const firstBytes = this.#blockBytes() + overheadBytes;
    await budget.take(firstBytes, signal);
    return new Segment(this, budget, overheadBytes);
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#input.return?.();
  }

  /** Room for the next block: no larger than what is known to come. */
  #blockBytes(): number {
    const { sizeBytes } = this.#options;
    const restBytes = sizeBytes === null ? Infinity : Math.max(1, sizeBytes - this.#usedBytes);
    return Math.min(BLOCK_RECORDS * RECORD_PLAIN_BYTES, Math.ceil(restBytes / RECORD_PLAIN_BYTES) * RECORD_PLAIN_BYTES);
  }
  /** For segments: another block of memory that is paid for already. */
  newBlock(): Uint8Array {
    return this.#options.blocks.take(this.#blockBytes());
  }
  /** For segments: nobody uses these any more. */
  giveBlocks(blocks: readonly Uint8Array[]): void {
    for (const block of blocks) this.#options.blocks.give(block);
  }
  /** For segments: pays for another block; null = nothing left to pay with. */
  payBlock(budget: ByteBudget): number | null {
    const bytes = this.#blockBytes();
    return budget.tryTake(bytes) ? bytes : null;
  }

  /** Whether at least one more byte comes. Rejects with the source's error or the signal's reason. */
  async #hasMore(): Promise<boolean> {
    while (this.#chunk.length === 0 && !this.#ended) {
      this.#options.signal.throwIfAborted();
      const next = await orAborted(this.#input.next(), this.#options.signal);
      if (next.done) this.#ended = true;
      else {
        this.#chunk = next.value;
        this.#readBytes += next.value.length;
      }
    }
    return this.#chunk.length > 0;
  }
  hasMore(): Promise<boolean> {
    return this.#hasMore();
  }

  /** Fills `record` as far as there are bytes; returns how many. */
  async fill(record: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < record.length && (await this.#hasMore())) {
      const part = this.#chunk.subarray(0, record.length - filled);
      copyInto(record, part, filled);
      this.#chunk = this.#chunk.subarray(part.length);
      filled += part.length;
    }
    this.#usedBytes += filled;
    return filled;
  }
}

class Segment implements SegmentRecords {
  readonly #source: SegmentSource;
  readonly #budget: ByteBudget;
  #paidBytes: number;
  readonly #blocks: Uint8Array[];
  #blockUsed = 0;
  readonly #records: Uint8Array[] = [];
  #reading: Promise<void> | null = null;
  #isComplete = false;
  #isFreed = false;
  #resolveComplete!: () => void;
  readonly complete: Promise<void>;
  plainBytes = 0;

  constructor(source: SegmentSource, budget: ByteBudget, overheadBytes: number) {
    this.#source = source;
    this.#budget = budget;
    this.#blocks = [source.newBlock()];
    this.#paidBytes = this.#block.length + overheadBytes;
    this.complete = new Promise((resolve) => (this.#resolveComplete = resolve));
  }

  get #block(): Uint8Array {
    return this.#blocks.at(-1)!;
  }

  async record(index: number): Promise<Uint8Array | null> {
    // An attempt that was given up may still be waiting for the same record.
    while (index >= this.#records.length && !this.#isComplete) {
      this.#reading ??= this.#readNext().finally(() => (this.#reading = null));
      await this.#reading;
    }
    return this.#records[index] ?? null;
  }
  isLast(index: number): boolean {
    return this.#isComplete && index === this.#records.length - 1;
  }
  free(): void {
    this.#budget.give(this.#paidBytes);
    this.#paidBytes = 0;
    this.#records.length = 0;
    this.#isComplete = true;
    this.#isFreed = true;
    // What is still being filled (for an attempt that was given up) is left to the garbage collector.
    if (this.#reading === null) this.#source.giveBlocks(this.#blocks);
    this.#blocks.length = 0;
  }

  async #readNext(): Promise<void> {
    const place = this.#block.subarray(this.#blockUsed, this.#blockUsed + RECORD_PLAIN_BYTES);
    const filled = await this.#source.fill(place);
    this.#blockUsed += filled;
    this.plainBytes += filled;
    this.#records.push(place.subarray(0, filled));
    const isFull = filled === RECORD_PLAIN_BYTES && this.#records.length < MAX_RECORDS;
    const goesOn = isFull && (await this.#source.hasMore()) && !this.#isFreed && this.#grow();
    if (goesOn) return;
    this.#isComplete = true;
    this.#resolveComplete();
  }

  /** Room for one more record; false where the segment has to end here. */
  #grow(): boolean {
    if (this.#blockUsed + RECORD_PLAIN_BYTES <= this.#block.length) return true;
    const paid = this.#source.payBlock(this.#budget);
    if (paid === null) return false;
    this.#paidBytes += paid;
    this.#blocks.push(this.#source.newBlock());
    this.#blockUsed = 0;
    return true;
  }
}

/** The source may hang for ever; the signal doesn't. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
