// A segment file that nobody else writes to meanwhile, for copies of records.
import type { SegmentSet } from './segment-set.ts';
import { diskError, StoreError } from './store-error.ts';

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

/** A file of the caller's own, to copy records into. End it with `release`. */
export async function borrowSegment(files: SegmentSet): Promise<BorrowedSegment> {
  if (files.isClosed) throw new StoreError('Closed', 'The store is closed.');
  const segment = await files.take().catch((error: unknown) => {
    throw diskError(error);
  });
  let [isBroken, writtenTo] = [false, segment.tail];
  return {
    segment: segment.segment,
    life: segment.life,
    get tail() {
      return segment.tail;
    },
    isFull: () => files.isFull(segment),
    write: async (parts, position) => {
      try {
        writtenTo = parts.reduce((end, part) => end + part.length, position);
        await segment.file.write(parts, position);
      } catch (error) {
        isBroken = true;
        await files.afterFailure(segment, error);
        throw diskError(error);
      }
    },
    settle: async (tail, commit) => {
      try {
        await segment.file.datasync();
      } catch (error) {
        isBroken = true;
        await files.afterFailure(segment, error);
        throw diskError(error);
      }
      segment.tail = writtenTo = tail;
      files.settle(segment, [], commit);
    },
    release: async () => {
      if (isBroken) return;
      // Copies that don't count mustn't lie behind later records, where a start would find them.
      if (writtenTo > segment.tail) {
        await segment.file.truncate(segment.tail);
        segment.sizeBytes = segment.tail;
      }
      await files.giveBack(segment);
    },
  };
}
