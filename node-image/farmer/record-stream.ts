// Large records: each streams into a file that it has for itself meanwhile.
import {
  checksum,
  encodeRecordHeader,
  padding,
  RECORD_HEADER_BYTES,
  recordBytes,
  type RecordKind,
  type RecordRef,
} from './record.ts';
import type { About, OpenSegment } from './segment-file.ts';
import type { SegmentSet } from './segment-set.ts';
import { diskError, StoreError } from './store-error.ts';

/** A record whose body comes bit by bit. End it with `finish` or `abort`. */
export interface RecordStream {
  /** Throws StoreError; then only `abort` is left. The chunk may be reused afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Durable and in the index when this resolves. */
  finish(kind: RecordKind, meta: Uint8Array, about?: About): Promise<RecordRef>;
  abort(): Promise<void>;
}

/** A record into this file. `release` is called when it has ended. */
export function streamInto(files: SegmentSet, segment: OpenSegment, release: () => void): RecordStream {
  const start = segment.tail;
  let bodyBytes = 0;
  let sum = 0;
  let isEnded = false;
  const end = () => {
    if (isEnded) throw new StoreError('Closed', 'The stream has ended.');
    isEnded = true;
  };
  const fail = async (error: unknown) => {
    await files.afterFailure(segment, error);
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
      const stamp = files.nextStamp();
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
        files.settle(segment, [{ kind, ref, stamp, meta, about }]);
      } finally {
        await endStream(files, segment, release);
      }
      return ref;
    },
    abort: async () => {
      if (isEnded) return;
      end();
      try {
        const isLonger = start + RECORD_HEADER_BYTES + bodyBytes > segment.sizeBytes;
        if (bodyBytes > 0 && isLonger) await segment.file.truncate(segment.sizeBytes);
        await endStream(files, segment, release);
      } catch (error) {
        await segment.file.close().catch(() => {});
        release();
        throw diskError(error);
      }
    },
  };
}

async function endStream(files: SegmentSet, segment: OpenSegment, release: () => void): Promise<void> {
  if (files.isClosed) await segment.file.close();
  else await files.giveBack(segment);
  release();
}
