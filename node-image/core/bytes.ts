/** Parts one after the other, in memory of their own: never a slice of Node's buffer pool, which is shared. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.length;
  const out = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** As `into.set(bytes, at)`, which goes word by word where `into` is shared memory; this doesn't. */
export function copyInto(into: Uint8Array, bytes: Uint8Array, at = 0): void {
  Buffer.prototype.copy.call(bytes, into, at);
}

/** ASCII label as bytes. */
export function ascii(label: string): Uint8Array {
  return Uint8Array.from(label, (letter) => letter.charCodeAt(0));
}
