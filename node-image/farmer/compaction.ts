// Segment files of which a good part isn't needed any more are read through: what is still needed is copied
// behind other records, what lay in the trash for its time goes, and the file serves again. The order makes it
// safe at every step: copies durable → the index says where they are → that is durable → the file is begun anew.
import { pause, type Runtime } from '#node/log/runtime.ts';
import { borrowSegment, type BorrowedSegment } from './borrowed-segment.ts';
import type { DueRule } from './index-compaction.ts';
import { dayOf } from './index-needed.ts';
import { encodeRecordHeader, padding, recordBytes, type RecordRef } from './record.ts';
import type { FoundRecord, ScannedRecord } from './segment-file.ts';
import type { Store } from './store.ts';

/** What is in the trash can be read and restored for so long at least. */
const TRASH_DAYS = 7;
/** Then it goes with its file; after so many days more even where the file is needed for the rest. */
const OVERDUE_DAYS = 7;
/** A quarter of the disk at most is taken by what nobody needs. */
const DUE_SHARE = 0.25;
/** Where little is free, less is worth the work. */
const SCARCE_SHARE = 0.03;
const SCARCE_FILES = 4;
/** A file that isn't full yet is left alone for less. */
const DUE_FILE_SHARE = 1 / 16;

/** Copied with one fdatasync. */
const STEP_BYTES = 4 * 1024 * 1024;
const COPY_BYTES = 1024 * 1024;
/** Renters come first. */
const BYTES_PER_SECOND = 32 * 1024 * 1024;
const EVERY_MS = 60_000;
const AFTER_FAILURE_MS = 10 * 60_000;

export interface CompactionSeen {
  /** Copied, since it is needed. */
  movedBytes: number;
  /** For new records now. */
  freedBytes: number;
  /** Out of the trash for good. */
  purgedPieces: number;
}

export interface CompactionOptions {
  store: Store;
  runtime: Runtime;
  segmentBytes: number;
  everyMs?: number;
  /** One file has been worked through. */
  observe?: (seen: CompactionSeen) => void;
  onError?: (error: unknown) => void;
}

export interface Compaction {
  /** Every file that is due. Rejects with StoreError; what was done until then stays done. */
  now(signal: AbortSignal): Promise<void>;
  /** In the background until the signal fires. */
  forEver(signal: AbortSignal): Promise<void>;
}

export function compaction(options: CompactionOptions): Compaction {
  const { store, runtime, everyMs = EVERY_MS, observe, onError } = options;
  /** Something in them couldn't be read, and perhaps somebody knows better one day: they stay. */
  const unreadable = new Set<number>();
  const now = async (signal: AbortSignal) => {
    const rule = await ruleNow(options);
    await recycleSpent(store);
    for (const { segment } of store.index.compaction.due(rule)) {
      if (signal.aborted) return;
      if (unreadable.has(segment) || !(await store.log.seal(segment))) continue;
      const seen = await moveNeeded(options, segment, rule, signal);
      if (store.index.compaction.heldBytes(segment) > 0) unreadable.add(segment);
      else store.log.files.spend(segment);
      await recycleSpent(store);
      observe?.(seen);
    }
  };
  return {
    now,
    async forEver(signal) {
      while (!signal.aborted) {
        await pause(runtime, everyMs, signal);
        // A full or failing disk: nothing is lost, and it is tried again.
        const isDone = await now(signal).then(
          () => true,
          (error: unknown) => {
            if (!signal.aborted) onError?.(error);
            return false;
          },
        );
        if (!isDone) await pause(runtime, AFTER_FAILURE_MS, signal);
      }
    },
  };
}

async function ruleNow({ store, runtime, segmentBytes }: CompactionOptions): Promise<DueRule> {
  const isScarce = (await store.space.freeBytes()) < SCARCE_FILES * segmentBytes;
  const today = dayOf(runtime.nowMs());
  return {
    expiredDay: today - TRASH_DAYS,
    overdueDay: today - TRASH_DAYS - OVERDUE_DAYS,
    minShare: isScarce ? SCARCE_SHARE : DUE_SHARE,
    minDeadBytes: segmentBytes * (isScarce ? SCARCE_SHARE : DUE_FILE_SHARE),
  };
}

async function moveNeeded(
  options: CompactionOptions,
  segment: number,
  rule: DueRule,
  signal: AbortSignal,
): Promise<CompactionSeen> {
  const { log, index } = options.store;
  const seen = { movedBytes: 0, freedBytes: log.files.fileBytes(segment), purgedPieces: 0 };
  if (index.compaction.heldBytes(segment) === 0) return seen;
  const mover = new Mover(options, rule, seen);
  try {
    for await (const record of log.files.scan(segment)) {
      signal.throwIfAborted();
      await mover.take(record, signal);
    }
    await mover.step(signal);
  } finally {
    await mover.release();
  }
  return seen;
}

async function recycleSpent({ log, checkpoints }: Store): Promise<void> {
  const spent = log.files.spent();
  if (spent.length > 0) await checkpoints.now();
  for (const segment of spent) await log.files.recycle(segment);
}

/** Copies what is needed, some megabytes with one fdatasync, into a file that takes nothing else meanwhile. */
class Mover {
  readonly #options: CompactionOptions;
  readonly #rule: DueRule;
  readonly #seen: CompactionSeen;
  #target: BorrowedSegment | null = null;
  /** Behind what was copied so far. */
  #tail = 0;
  #moved: { record: FoundRecord; to: RecordRef }[] = [];
  #purged: FoundRecord[] = [];
  /** Small records until they are written together. */
  #parts: Uint8Array[] = [];
  #partsAt = 0;
  #stepBytes = 0;

  constructor(options: CompactionOptions, rule: DueRule, seen: CompactionSeen) {
    this.#options = options;
    this.#rule = rule;
    this.#seen = seen;
  }

  async take(scanned: ScannedRecord, signal: AbortSignal): Promise<void> {
    const { header, ref, meta } = scanned;
    const record = { kind: header.kind, stamp: header.stamp, ref, meta };
    const fate = this.#options.store.index.compaction.fateOf(record, this.#rule.expiredDay);
    if (fate === 'purge') this.#purged.push(record);
    if (fate === 'keep') await this.#copy(scanned, record);
    if (this.#stepBytes >= STEP_BYTES || this.#purged.length >= 1000) await this.step(signal);
  }

  /** The checksum is the one that was written first: a copy of spoilt bytes doesn't pass for whole. */
  async #copy({ header, ref, meta, body }: ScannedRecord, record: FoundRecord): Promise<void> {
    if (!this.#target) {
      this.#target = await borrowSegment(this.#options.store.log.files);
      this.#tail = this.#target.tail;
    }
    const { segment, life } = this.#target;
    const to = { ...ref, segment, offset: this.#tail };
    if (this.#parts.length === 0) this.#partsAt = to.offset;
    this.#parts.push(encodeRecordHeader(header, life));
    for (let at = 0; at < ref.bodyBytes; at += COPY_BYTES) {
      this.#parts.push(Uint8Array.from(await body(at, Math.min(COPY_BYTES, ref.bodyBytes - at))));
      if (at + COPY_BYTES < ref.bodyBytes) await this.#write();
    }
    this.#parts.push(meta, padding(ref.bodyBytes + ref.metaBytes));
    this.#tail += recordBytes(ref);
    this.#stepBytes += recordBytes(ref);
    this.#moved.push({ record, to });
  }

  async #write(): Promise<void> {
    if (this.#parts.length === 0) return;
    const bytes = Buffer.concat(this.#parts.splice(0));
    await this.#target!.write([bytes], this.#partsAt);
    this.#partsAt += bytes.length;
  }

  /** What was copied counts from now on. */
  async step(signal: AbortSignal): Promise<void> {
    const { store, runtime } = this.#options;
    const [moved, purged] = [this.#moved.splice(0), this.#purged.splice(0)];
    const commit = () => {
      for (const { record, to } of moved) store.index.compaction.move(record, to);
      for (const record of purged) store.index.compaction.purge(record, this.#rule.expiredDay);
    };
    if (moved.length === 0) store.index.transaction(commit);
    else {
      await this.#write();
      await this.#target!.settle(this.#tail, commit);
      if (this.#target!.isFull()) await this.release();
    }
    this.#seen.purgedPieces += purged.length;
    this.#seen.movedBytes += this.#stepBytes;
    this.#seen.freedBytes -= this.#stepBytes;
    const waitMs = (1000 * this.#stepBytes) / BYTES_PER_SECOND;
    this.#stepBytes = 0;
    await pause(runtime, waitMs, signal);
  }

  async release(): Promise<void> {
    const target = this.#target;
    this.#target = null;
    await target?.release();
  }
}
