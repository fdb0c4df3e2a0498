// A chunk is its sender's again when the next one is asked for (net.ts), but a stream may still hold it then.
import { LEAF_BYTES } from '#node/wire/types.ts';

/**
 * The chunk for a stream whose `write` is waited for where it returns false. A chunk as large as a stream's
 * high-water mark (64 KiB) always makes it do so, and has gone by then; a smaller one is copied.
 */
export function ownChunk(chunk: Uint8Array): Uint8Array {
  return chunk.length < LEAF_BYTES ? new Uint8Array(chunk) : chunk;
}

export async function* ownChunks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield ownChunk(chunk);
}
