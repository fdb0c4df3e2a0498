// Large pieces of shared memory, used again and again: making and dropping them for each transfer would keep
// the garbage collector busier than the transfers themselves.

/** In front of leaves, so that the first one too can be hashed in place; aligned as they are. */
const MARGIN_BYTES = 64;
/** Sixteen leaves, or sixteen records with a little to spare. */
const BLOCK_BYTES = 1024 * 1024 + MARGIN_BYTES;

export interface BlockPool {
  /** At least one block's worth where `sizeBytes` is about that, else memory of exactly that size. Not zeroed. */
  take(sizeBytes: number): Uint8Array;
  /** Nobody may read or write it any more. */
  give(block: Uint8Array): void;
}

/** `maxFreeBytes` is asked each time: more may be kept while transfers run than when all is quiet. */
export function blockPool(maxFreeBytes: () => number): BlockPool {
  const free: SharedArrayBuffer[] = [];
  return {
    take(sizeBytes) {
      if (sizeBytes > BLOCK_BYTES || sizeBytes < BLOCK_BYTES / 2) return new Uint8Array(new SharedArrayBuffer(sizeBytes));
      return new Uint8Array(free.pop() ?? new SharedArrayBuffer(BLOCK_BYTES), 0, sizeBytes);
    },
    give({ buffer }) {
      if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength !== BLOCK_BYTES) return;
      free.push(buffer);
      while (free.length * BLOCK_BYTES > maxFreeBytes()) free.pop();
    },
  };
}

/** Memory for the leaves of one fetch: taken as they come, given back together. */
export class LeafMemory {
  readonly #pool: BlockPool;
  readonly #blocks: Uint8Array[] = [];
  #restBytes: number;
  #usedBytes = 0;

  /** `totalBytes`: of all leaves together. */
  constructor(pool: BlockPool, totalBytes: number) {
    this.#pool = pool;
    this.#restBytes = totalBytes;
  }

  next(sizeBytes: number): Uint8Array {
    let block = this.#blocks.at(-1);
    if (!block || this.#usedBytes + sizeBytes > block.length) {
      block = this.#pool.take(Math.max(sizeBytes + MARGIN_BYTES, Math.min(BLOCK_BYTES, this.#restBytes + MARGIN_BYTES)));
      this.#blocks.push(block);
      this.#usedBytes = MARGIN_BYTES;
    }
    const leaf = block.subarray(this.#usedBytes, this.#usedBytes + sizeBytes);
    this.#usedBytes += sizeBytes;
    this.#restBytes -= sizeBytes;
    return leaf;
  }
  /** Only when nobody fills or reads the leaves any more; without it the garbage collector does it. */
  release(): void {
    for (const block of this.#blocks.splice(0)) this.#pool.give(block);
  }
}
