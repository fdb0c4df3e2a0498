// Append-only segment files. Small records share one file and one fdatasync (group commit); a large one
// streams into a file that it has for itself meanwhile. The index hears of a record after it is durable.
import { slots } from './limits.ts';
import { RecordQueue } from './record-queue.ts';
import { streamInto, type RecordStream } from './record-stream.ts';
import { RECORD_HEADER_BYTES, type RecordKind, type RecordRef } from './record.ts';
import { segmentName, type About } from './segment-file.ts';
import { SegmentSet, type SegmentSetOptions } from './segment-set.ts';
import { diskError, StoreError } from './store-error.ts';

/** Records that stream at once; each has a file for itself. */
const MAX_STREAMS = 8;
const MAX_WAITING_STREAMS = 256;

/** Reads one record. Rejects with Moved where it lies elsewhere now (ask the index again), Corrupt where the file is shorter. */
export interface RecordReader {
  /** Of this record alone, for ever: where it lies, and in which life of the file. */
  readonly name: string;
  /** Part of the body, from `position` in it, fills `into`. */
  body(position: number, into: Uint8Array): Promise<Uint8Array>;
  meta(): Promise<Uint8Array>;
}

export class SegmentLog {
  readonly files: SegmentSet;
  readonly #small: RecordQueue;
  readonly #streams = slots(
    MAX_STREAMS,
    MAX_WAITING_STREAMS,
    () => new StoreError('Busy', 'Too many transfers wait for the disk.'),
  );

  private constructor(files: SegmentSet) {
    this.files = files;
    this.#small = new RecordQueue(files);
  }

  /** null where the files aren't those of the index: then it must be made anew, with nothing known. */
  static async open(options: SegmentSetOptions): Promise<SegmentLog | null> {
    const files = await SegmentSet.open(options);
    return files && new SegmentLog(files);
  }

  /**
   * A small record. Durable and in the index when this resolves; records are written in the order of the calls.
   * `about`: what its meta says. Body and meta mustn't change meanwhile.
   */
  append(kind: RecordKind, body: readonly Uint8Array[], meta: Uint8Array, about?: About): Promise<RecordRef> {
    if (this.files.isClosed) return Promise.reject(new StoreError('Closed', 'The store is closed.'));
    return this.#small.append(kind, body, meta, about);
  }

  /** Waits for a free file; a bounded number may wait. */
  async stream(signal: AbortSignal): Promise<RecordStream> {
    const release = await this.#streams.take(signal);
    try {
      if (this.files.isClosed) throw new StoreError('Closed', 'The store is closed.');
      return streamInto(this.files, await this.files.take(), release);
    } catch (error) {
      release();
      throw diskError(error);
    }
  }

  /** Call it in the step in which the index said where the record lies. */
  reader(ref: RecordRef): RecordReader {
    const life = this.files.lifeOf(ref.segment);
    return {
      name: `${ref.segment} ${life} ${ref.offset}`,
      body: (position, into) => this.#read(ref, life, RECORD_HEADER_BYTES + position, into),
      meta: () => this.#read(ref, life, RECORD_HEADER_BYTES + ref.bodyBytes, new Uint8Array(ref.metaBytes)),
    };
  }

  async #read(ref: RecordRef, life: bigint | undefined, position: number, into: Uint8Array): Promise<Uint8Array> {
    if (this.files.isClosed) throw new StoreError('Closed', 'The store is closed.');
    const hasMoved = () => this.files.lifeOf(ref.segment) !== life;
    const moved = () => new StoreError('Moved', `The record in ${segmentName(ref.segment)} was moved.`);
    if (hasMoved()) throw moved();
    const got = await this.files.readers
      .use(ref.segment, (file) => file.read(into, ref.offset + position))
      .catch((error: unknown) => {
        throw hasMoved() ? moved() : diskError(error);
      });
    if (hasMoved()) throw moved();
    if (got < into.length) throw new StoreError('Corrupt', `${segmentName(ref.segment)} ends inside a record.`);
    return into;
  }

  /** Nothing is written to this file any more. False where that can't be said now, since it is in use. */
  async seal(segment: number): Promise<boolean> {
    this.#small.letGo(segment);
    return await this.files.seal(segment);
  }

  /** What is queued is still written. */
  async close(): Promise<void> {
    this.files.isClosed = true;
    await this.#small.end();
    await this.files.close();
  }
}
