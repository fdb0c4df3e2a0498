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

/** Set aside for a part before its first byte has come: what a peer only claims costs no more, and pages that nobody touches cost nothing. */
const FIRST_BYTES = 1024 * 1024;

/** Cuts a stream into its parts, however the bytes arrive. Parts are memory of their own. */
export class FrameReader {
  readonly #maxPartBytes: number;
  readonly #length = new Uint8Array(4);
  #lengthFilled = 0;
  /** The part that is being filled; null while its length isn't known. */
  #part: Uint8Array | null = null;
  #partBytes = 0;
  #filled = 0;

  constructor(maxPartBytes: number) {
    this.#maxPartBytes = maxPartBytes;
  }

  /** The parts that are complete now. Throws WireError for one above the limit. */
  push(chunk: Uint8Array): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < chunk.length;) {
      at += this.#part ? this.#fill(this.#part, chunk.subarray(at)) : this.#measure(chunk.subarray(at));
      if (!this.#part || this.#filled < this.#partBytes) continue;
      parts.push(this.#part);
      this.#part = null;
      this.#lengthFilled = 0;
    }
    return parts;
  }

  /** The stream is over. Throws WireError if a part is cut off. */
  end(): void {
    const heldBytes = this.#lengthFilled + (this.#part ? this.#filled : 0);
    if (heldBytes > 0) throw new WireError(`The body ends inside a part (${heldBytes} bytes of it).`);
  }

  /** Takes the length's bytes; with the last one the part begins. */
  #measure(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, 4 - this.#lengthFilled);
    this.#length.set(taken, this.#lengthFilled);
    this.#lengthFilled += taken.length;
    if (this.#lengthFilled < 4) return taken.length;
    this.#partBytes = readU32(this.#length, 0);
    if (this.#partBytes > this.#maxPartBytes) {
      throw new WireError(`A part of ${this.#partBytes} bytes, where at most ${this.#maxPartBytes} are taken.`);
    }
    this.#part = new Uint8Array(Math.min(this.#partBytes, FIRST_BYTES));
    this.#filled = 0;
    return taken.length;
  }

  #fill(part: Uint8Array, bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.#partBytes - this.#filled);
    const needed = this.#filled + taken.length;
    if (needed > part.length) {
      this.#part = new Uint8Array(Math.min(this.#partBytes, Math.max(needed, 2 * part.length)));
      this.#part.set(part.subarray(0, this.#filled));
    }
    this.#part!.set(taken, this.#filled);
    this.#filled = needed;
    return taken.length;
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

/** Big endian. */
export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}
