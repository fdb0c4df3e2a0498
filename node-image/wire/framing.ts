// Bodies that carry several things: each behind its length (u32, big endian), and the piece whose
// footer lies behind it. Nothing here holds more than the limit it is given.
import { concat } from '#node/core/bytes.ts';
import { WireError } from './codec.ts';

/** `part` behind its length. */
export function frame(part: Uint8Array): Uint8Array[] {
  return [u32(part.length), part];
}

/** All parts, each behind its length, in one buffer. */
export function frameAll(parts: readonly Uint8Array[]): Uint8Array {
  return concat(...parts.flatMap(frame));
}

/** The parts of a whole body. Throws WireError. */
export function unframeAll(body: Uint8Array, maxPartBytes: number): Uint8Array[] {
  const reader = new FrameReader(maxPartBytes);
  const parts = reader.push(body);
  reader.end();
  return parts;
}

/** Cuts a stream into its parts, however the bytes arrive. */
export class FrameReader {
  readonly #maxPartBytes: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(maxPartBytes: number) {
    this.#maxPartBytes = maxPartBytes;
  }

  /** The parts that are complete now. Throws WireError for one above the limit. */
  push(chunk: Uint8Array): Uint8Array[] {
    if (chunk.length === 0) return [];
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    const parts: Uint8Array[] = [];
    for (let needed = this.#needed(); needed !== null && this.#heldBytes >= needed; needed = this.#needed()) {
      const all = this.#joined();
      parts.push(all.subarray(4, needed));
      this.#held = needed < all.length ? [all.subarray(needed)] : [];
      this.#heldBytes -= needed;
    }
    return parts;
  }

  /** The stream is over. Throws WireError if a part is cut off. */
  end(): void {
    if (this.#heldBytes > 0) throw new WireError(`The body ends inside a part (${this.#heldBytes} bytes of it).`);
  }

  /** Bytes of the part at the front with its length; null while that isn't known. */
  #needed(): number | null {
    if (this.#heldBytes < 4) return null;
    if ((this.#held[0]?.length ?? 0) < 4) this.#joined();
    const length = readU32(this.#held[0]!, 0);
    if (length > this.#maxPartBytes) {
      throw new WireError(`A part of ${length} bytes, where at most ${this.#maxPartBytes} are taken.`);
    }
    return 4 + length;
  }

  #joined(): Uint8Array {
    const all = this.#held.length === 1 ? this.#held[0]! : concat(...this.#held);
    this.#held = [all];
    return all;
  }
}

/** The first part of a body, and the rest as a stream. Throws WireError. */
export async function readFirstPart(
  body: AsyncIterable<Uint8Array>,
  maxPartBytes: number,
): Promise<{ part: Uint8Array; rest: AsyncIterableIterator<Uint8Array> }> {
  const iterator = body[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let needed = 4;
  while (held.length < needed) {
    const next = await iterator.next();
    if (next.done) throw new WireError('The body ends before its first part is complete.');
    held = held.length === 0 ? next.value : concat(held, next.value);
    if (held.length < 4) continue;
    needed = 4 + readU32(held, 0);
    if (needed - 4 > maxPartBytes) {
      await iterator.return?.();
      throw new WireError(`A part of ${needed - 4} bytes, where at most ${maxPartBytes} are taken.`);
    }
  }
  return { part: held.subarray(4, needed), rest: withHead(held.subarray(needed), iterator) };
}

/** Written out rather than as a generator: `return` before the first `next` must still free the connection. */
function withHead(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncIterableIterator<Uint8Array> {
  let pending: Uint8Array | null = head.length > 0 ? head : null;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (pending === null) return await iterator.next();
      const value = pending;
      pending = null;
      return { done: false, value };
    },
    async return() {
      pending = null;
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}

/** A whole body of at most `maxBytes`. Throws WireError for a longer one, and lets go of the stream. */
export async function collect(body: AsyncIterable<Uint8Array> | undefined, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw new WireError(`A body of more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : concat(...chunks);
}

/**
 * Splits `data ‖ footer ‖ u32be footer length` as it streams by: `push` gives data that surely isn't
 * footer, `end` the last data and the footer. Holds back at most `maxFooterBytes` + 4 and one chunk.
 */
export class FooterReader {
  readonly #maxFooterBytes: number;
  #tail: Uint8Array = new Uint8Array(0);

  constructor(maxFooterBytes: number) {
    this.#maxFooterBytes = maxFooterBytes;
  }

  push(chunk: Uint8Array): Uint8Array[] {
    const keep = this.#maxFooterBytes + 4;
    if (chunk.length >= keep) {
      const out = [this.#tail, chunk.subarray(0, chunk.length - keep)];
      this.#tail = chunk.slice(chunk.length - keep);
      return out.filter((part) => part.length > 0);
    }
    const all = concat(this.#tail, chunk);
    const free = Math.max(0, all.length - keep);
    this.#tail = all.subarray(free);
    return free > 0 ? [all.subarray(0, free)] : [];
  }

  /** Throws WireError where there is no whole footer. */
  end(): { data: Uint8Array; footer: Uint8Array } {
    const tail = this.#tail;
    const footerBytes = tail.length >= 4 ? readU32(tail, tail.length - 4) : Infinity;
    if (footerBytes > this.#maxFooterBytes || footerBytes + 4 > tail.length) throw new WireError('The body has no whole footer.');
    const start = tail.length - 4 - footerBytes;
    return { data: tail.subarray(0, start), footer: tail.subarray(start, tail.length - 4) };
  }
}

/** `footer ‖ u32be footer length`: what goes behind the data. */
export function footerBytes(footer: Uint8Array): Uint8Array {
  return concat(footer, u32(footer.length));
}

function readU32(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset);
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}
