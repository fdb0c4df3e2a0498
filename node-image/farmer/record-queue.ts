// Small records: they share one file, and many of them one write and one fdatasync (group commit).
import { checksum, encodeRecordHeader, padding, recordBytes, type RecordKind, type RecordRef } from './record.ts';
import { indexReadsBody, type About, type FoundRecord, type OpenSegment } from './segment-file.ts';
import type { SegmentSet } from './segment-set.ts';
import { diskError, StoreError } from './store-error.ts';

/** Small records that wait for their write. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** One write and one fdatasync for so much. */
const GROUP_BYTES = 16 * 1024 * 1024;

interface Queued {
  kind: RecordKind;
  body: readonly Uint8Array[];
  meta: Uint8Array;
  about: About | undefined;
  sizeBytes: number;
  resolve: (ref: RecordRef) => void;
  reject: (error: StoreError) => void;
}

export class RecordQueue {
  readonly #files: SegmentSet;
  #shared: OpenSegment | null = null;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #pumping: Promise<void> | null = null;

  constructor(files: SegmentSet) {
    this.#files = files;
  }

  /** Durable and in the index when this resolves; records are written in the order of the calls. */
  append(kind: RecordKind, body: readonly Uint8Array[], meta: Uint8Array, about?: About): Promise<RecordRef> {
    const sizeBytes = body.reduce((sum, part) => sum + part.length, meta.length);
    if (this.#queuedBytes + sizeBytes > MAX_QUEUED_BYTES) {
      return Promise.reject(new StoreError('Busy', 'Too much waits for the disk.'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ kind, body, meta, about, sizeBytes, resolve, reject });
      this.#queuedBytes += sizeBytes;
      this.#pumping ??= this.#pump();
    });
  }

  /** This file may be taken by others, unless it is being written to. */
  letGo(segment: number): void {
    if (this.#shared?.segment !== segment || this.#pumping) return;
    this.#files.keep(this.#shared);
    this.#shared = null;
  }

  /** What is queued is still written. Nothing may come meanwhile. */
  async end(): Promise<void> {
    await this.#pumping;
    if (this.#shared) this.letGo(this.#shared.segment);
  }

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        this.#shared ??= await this.#files.take();
        await this.#writeGroup(this.#shared, group).catch(async (error: unknown) => {
          // The disk is full, but there may be a file with room of its own.
          const sizeBytes = group.reduce((sum, one) => sum + one.sizeBytes, 0);
          if (diskError(error).code !== 'Full' || this.#files.roomiestBytes() < 2 * sizeBytes) throw error;
          this.#shared = await this.#files.take();
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
      const stamp = this.#files.nextStamp();
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
      await this.#files.afterFailure(segment, error);
      throw error;
    }
    segment.tail = offset;
    this.#files.settle(segment, records);
    if (segment.phase === 'sealed') {
      this.#shared = null;
      await this.#files.giveBack(segment);
    }
    group.forEach(({ resolve }, i) => resolve(records[i]!.ref));
  }
}
