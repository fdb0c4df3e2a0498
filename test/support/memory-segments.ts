// Segments in memory for what keeps runs: counts what is read, and keeps nothing but bytes.
import { toHex } from '#node/core/ids.ts';
import { segmentId } from '#node/core/segments.ts';
import type { SegmentStore } from '#node/log/segment-store.ts';

export interface MemorySegments extends SegmentStore {
  reads: number;
  readBytes: number;
  storedBytes: number;
}

const SCHEME = { required: 1, repair: 1, optimal: 1, total: 1 };

/** `maxBytes`: of one segment; longer streams become several. */
export function memorySegments(maxBytes = 1 << 20): MemorySegments {
  const kept = new Map<string, Buffer>();
  let count = 0;
  const store: MemorySegments = {
    reads: 0,
    readBytes: 0,
    storedBytes: 0,
    async put(source) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) chunks.push(chunk.slice());
      const all = Buffer.concat(chunks);
      store.storedBytes += all.length;
      const segments = [];
      for (let at = 0; at < all.length; at += maxBytes) {
        const bytes = all.subarray(at, at + maxBytes);
        const root = toHex(Uint8Array.from({ length: 32 }, (_, i) => (++count >> (8 * (i % 4))) & 255));
        const placement = {
          segmentId: segmentId(root, SCHEME, 100),
          secret: new Uint8Array(32),
          scheme: SCHEME,
          sizeBytes: 100,
          root,
          farmers: [null],
          createdMs: 1,
        };
        kept.set(placement.segmentId, bytes);
        const key = {
          segmentId: placement.segmentId,
          key: new Uint8Array(32),
          commitment: new Uint8Array(16),
          plainBytes: bytes.length,
        };
        segments.push({ key, placement });
      }
      return segments;
    },
    async read(segments, offset, sizeBytes) {
      const all = segments.map(({ key }) => kept.get(key.segmentId)!);
      store.reads += 1;
      store.readBytes += sizeBytes;
      let at = offset;
      const out: Uint8Array[] = [];
      for (const bytes of all) {
        if (at < bytes.length)
          out.push(bytes.subarray(Math.max(0, at), at + sizeBytes - out.reduce((sum, one) => sum + one.length, 0)));
        at = Math.max(0, at - bytes.length);
        if (out.reduce((sum, one) => sum + one.length, 0) >= sizeBytes) break;
      }
      return new Uint8Array(Buffer.concat(out));
    },
  };
  return store;
}
