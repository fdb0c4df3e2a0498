// Small records: they share one file, and many of them one write and one fdatasync (group commit). While one group
// is on its way to the medium, the next one is written behind it.
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
/** Records of one write. */
interface Group {
  segment: OpenSegment;
  queued: readonly Queued[];
  records: FoundRecord[];
  /** Behind the last of them. */
  end: number;
  /** The error, or null. */
  written: Promise<unknown>;
}
/** On its way to the medium. */
interface SyncingGroup extends Group {
  /** The error, or null. */
  synced: Promise<unknown>;
}

export class RecordQueue {
  readonly #files: SegmentSet;
  #shared: OpenSegment | null = null;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #pumping: Promise<void> | null = null;
  #onEnough: () => void = () => {};

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
      if (this.#hasEnough()) this.#onEnough();
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
    let last: SyncingGroup | null = null;
    while (last !== null || this.#queue.length > 0) {
      last = last === null ? await this.#begin(this.#takeGroup()) : await this.#finish(last);
    }
    // In the same step as the last look at the queue: what comes later starts a pump of its own.
    this.#pumping = null;
  }

  /** Written, and on its way to the medium; null where it failed. */
  async #begin(queued: readonly Queued[]): Promise<SyncingGroup | null> {
    try {
      this.#shared ??= await this.#files.take();
    } catch (error) {
      return refuse(queued, error);
    }
    const group = this.#write(this.#shared, this.#shared.tail, queued);
    const error = await group.written;
    if (error !== null) return await this.#failed(group, error);
    return sync(group);
  }

  /** Waits until it is durable, and writes the next group behind it meanwhile if that is large enough to be worth it. */
  async #finish(group: SyncingGroup): Promise<SyncingGroup | null> {
    const { segment } = group;
    await Promise.race([group.synced, this.#enough()]);
    const hasRoom = !this.#files.isFull({ tail: group.end });
    const next = hasRoom && this.#hasEnough() ? this.#write(segment, group.end, this.#takeGroup()) : null;
    const [error, nextError] = await Promise.all([group.synced, next && next.written]);
    if (error !== null) {
      // What was written behind it is nowhere for sure: once more, and in another file.
      if (next) this.#putBack(next.queued);
      return await this.#failed(group, error);
    }
    // The index hears of these while the next ones are on their way to the medium.
    const following = next && nextError === null ? sync(next) : null;
    await this.#settle(group);
    return next && nextError !== null ? await this.#failed(next, nextError) : following;
  }

  /** Fewer wait for the fdatasync before them, and share the next one with what comes meanwhile. */
  #hasEnough(): boolean {
    return this.#queuedBytes >= this.#files.behindBytes;
  }
  #enough(): Promise<void> {
    if (this.#hasEnough()) return Promise.resolve();
    return new Promise((resolve) => (this.#onEnough = resolve));
  }

  #takeGroup(): Queued[] {
    let sizeBytes = 0;
    const end = this.#queue.findIndex((one, i) => (sizeBytes += one.sizeBytes) > GROUP_BYTES && i > 0);
    const group = this.#queue.splice(0, end < 0 ? this.#queue.length : end);
    for (const one of group) this.#queuedBytes -= one.sizeBytes;
    return group;
  }

  #putBack(queued: readonly Queued[]): void {
    this.#queue.unshift(...queued);
    for (const one of queued) this.#queuedBytes += one.sizeBytes;
  }

  #write(segment: OpenSegment, at: number, queued: readonly Queued[]): Group {
    const parts: Uint8Array[] = [];
    const records: FoundRecord[] = [];
    let offset = at;
    for (const { kind, body, meta, about } of queued) {
      const bodyBytes = body.reduce((sum, part) => sum + part.length, 0);
      const ref = { segment: segment.segment, offset, bodyBytes, metaBytes: meta.length };
      const sum = [...body, meta].reduce((before, part) => checksum(part, before), 0);
      const stamp = this.#files.nextStamp();
      const header = encodeRecordHeader({ kind, stamp, bodyBytes, metaBytes: meta.length, checksum: sum }, segment.life);
      parts.push(header, ...body, meta, padding(bodyBytes + meta.length));
      records.push({ kind, ref, stamp, meta, about, ...(indexReadsBody(kind) ? { body: Buffer.concat(body) } : {}) });
      offset += recordBytes(ref);
    }
    const written = errorOf(segment.file.write(parts, at));
    return { segment, queued, records, end: offset, written };
  }

  async #settle({ segment, queued, records, end }: Group): Promise<void> {
    segment.tail = end;
    try {
      this.#files.settle(segment, records);
      if (segment.phase === 'sealed') {
        this.#shared = null;
        await this.#files.giveBack(segment);
      }
    } catch (error) {
      refuse(queued, error);
      return;
    }
    queued.forEach(({ resolve }, i) => resolve(records[i]!.ref));
  }

  async #failed({ segment, queued }: Group, cause: unknown): Promise<SyncingGroup | null> {
    this.#shared = null;
    await this.#files.afterFailure(segment, cause);
    // The disk is full, but there may be a file with room of its own.
    const sizeBytes = queued.reduce((sum, one) => sum + one.sizeBytes, 0);
    if (diskError(cause).code !== 'Full' || this.#files.roomiestBytes() < 2 * sizeBytes) return refuse(queued, cause);
    return await this.#begin(queued);
  }
}

function sync(group: Group): SyncingGroup {
  return { ...group, synced: errorOf(group.segment.file.datasync()) };
}

function refuse(queued: readonly Queued[], cause: unknown): null {
  const error = diskError(cause);
  for (const one of queued) one.reject(error);
  return null;
}

/** Null where all went well. */
async function errorOf(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return null;
  } catch (error) {
    return error;
  }
}
