// Segments of checkpoints as files of a folder: however much is stored, the process holds one chunk of it. What is
// stored and read is counted.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MAX_SEGMENT_PLAIN_BYTES, plainToCipherBytes, segmentId } from '#node/core/segments.ts';
import type { SegmentStore } from '#node/log/segment-store.ts';
import type { KeptSegment } from '#node/wire/checkpoints.ts';
import { FARMERS, SCHEME } from './scale-bucket.ts';

export interface FolderSegments extends SegmentStore {
  storedBytes: number;
  readBytes: number;
}

export function folderSegments(folder: string): FolderSegments {
  mkdirSync(folder, { recursive: true });
  const write = async (chunks: AsyncIterable<Uint8Array>, name: string): Promise<number> => {
    await using file = await open(join(folder, name), 'w');
    let bytes = 0;
    for await (const chunk of chunks) bytes += (await file.write(chunk)).bytesWritten;
    return bytes;
  };
  const store: FolderSegments = {
    storedBytes: 0,
    readBytes: 0,
    async put(source) {
      const kept: KeptSegment[] = [];
      const parts = new Parts(source);
      while (await parts.hasMore()) {
        const root = randomBytes(32).toString('hex');
        const plainBytes = await write(parts.next(MAX_SEGMENT_PLAIN_BYTES), root);
        const sizeBytes = plainToCipherBytes(plainBytes);
        const id = segmentId(root, SCHEME, sizeBytes);
        const placement = {
          segmentId: id,
          secret: randomBytes(32),
          scheme: SCHEME,
          sizeBytes,
          root,
          farmers: FARMERS,
          createdMs: 1,
        };
        kept.push({ key: { segmentId: id, key: randomBytes(32), commitment: randomBytes(16), plainBytes }, placement });
        store.storedBytes += plainBytes;
      }
      return kept;
    },
    async read(segments, offset, sizeBytes) {
      store.readBytes += sizeBytes;
      const bytes = new Uint8Array(sizeBytes);
      let [from, filled] = [offset, 0];
      for (const { key, placement } of segments) {
        if (from < key.plainBytes && filled < sizeBytes) {
          await using file = await open(join(folder, placement.root), 'r');
          filled += (await file.read(bytes, filled, Math.min(sizeBytes - filled, key.plainBytes - from), from)).bytesRead;
        }
        from = Math.max(0, from - key.plainBytes);
      }
      if (filled < sizeBytes) throw new RangeError(`${filled} of ${sizeBytes} bytes are there.`);
      return bytes;
    },
  };
  return store;
}

/** A stream cut into parts of a size, without holding one. */
class Parts {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }
  async hasMore(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return false;
      this.#rest = next.value;
    }
    return true;
  }
  async *next(maxBytes: number): AsyncGenerator<Uint8Array> {
    for (let left = maxBytes; left > 0 && (await this.hasMore());) {
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }
}
