// BLAKE3: the native add-on where there is one, WASM (seven times slower) where there isn't.
import type { IHasher } from 'hash-wasm';

export { hkdf } from './hkdf.ts';

/** Up to here, copying the parts together is cheaper than feeding a hasher object. */
const COPY_BYTES = 128 * 1024;

export interface Blake3 {
  readonly kind: 'native' | 'wasm';
  digest(bytes: Uint8Array): Uint8Array;
  digestParts(parts: readonly Uint8Array[]): Uint8Array;
}

/** The same bytes under the only type that the add-on takes. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function loadNative(): Promise<Blake3> {
  const { blake3: digest, Blake3Hasher } = await import('@napi-rs/blake-hash');
  return {
    kind: 'native',
    digest: (bytes) => digest(asBuffer(bytes)),
    digestParts(parts) {
      const hasher = new Blake3Hasher();
      for (const part of parts) hasher.update(asBuffer(part));
      return hasher.digestBuffer();
    },
  };
}

/** Exported so that a test can hold it against the native one. */
export async function loadWasm(): Promise<Blake3> {
  const { createBLAKE3 } = await import('hash-wasm');
  const hasher: IHasher = await createBLAKE3();
  const digestParts = (parts: readonly Uint8Array[]) => {
    hasher.init();
    for (const part of parts) hasher.update(part);
    return hasher.digest('binary');
  };
  return { kind: 'wasm', digest: (bytes) => digestParts([bytes]), digestParts };
}

const implementation = await loadNative().catch(loadWasm);
const scratch = new Uint8Array(COPY_BYTES);

/** Which BLAKE3 is in use: a busy node on the slow one says so at its start. */
export const blake3Kind = implementation.kind;

/** BLAKE3 of the parts one after the other, 32 bytes. */
export function blake3(...parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first && parts.length === 1) return plain(implementation.digest(first));
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.length;
  if (sizeBytes > COPY_BYTES) return plain(implementation.digestParts(parts));
  let offset = 0;
  for (const part of parts) {
    scratch.set(part, offset);
    offset += part.length;
  }
  return plain(implementation.digest(scratch.subarray(0, sizeBytes)));
}

/** A Buffer as what it is underneath, so that callers compare like with like. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
