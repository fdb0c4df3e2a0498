// The segments of checkpoints, by the client's transfers.
import type { SegmentStore } from '#node/log/segment-store.ts';
import type { PublicKey, SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { getRange } from './segment-reader.ts';
import { putSegments } from './segment-writer.ts';

/** `findMoves`: asked for a segment of which too few holders answer. */
export function segmentStore(
  client: Client,
  owner: PublicKey,
  findMoves?: (placement: SegmentPlacement, signal: AbortSignal) => Promise<ReadonlyMap<number, readonly PublicKey[]>>,
): SegmentStore {
  return {
    put: async (source, signal) => (await putSegments(client, { owner, source, signal })).segments,
    async read(segments, offset, sizeBytes, signal) {
      const bytes = new Uint8Array(sizeBytes);
      let at = 0;
      const order = { owner, segments, offset, length: sizeBytes, signal, ...(findMoves ? { findMoves } : {}) };
      for await (const chunk of getRange(client, order)) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      return bytes;
    },
  };
}
