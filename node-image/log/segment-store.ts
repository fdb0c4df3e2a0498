// Where checkpoints keep their bytes: ordinary segments, written as they stream by, read by ranges. The
// client library is behind it (client/segment-store.ts); tests have one in memory.
import type { KeptSegment } from '#node/wire/checkpoints.ts';

export interface SegmentStore {
  /** Reads the source once, with backpressure. Resolves when all of it keeps the farm's promise. */
  put(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<KeptSegment[]>;
  /** A range of their plaintext, one after the other. */
  read(segments: readonly KeptSegment[], offset: number, sizeBytes: number, signal: AbortSignal): Promise<Uint8Array>;
}
