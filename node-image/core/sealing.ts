// AES-256-GCM with the tag behind the ciphertext: the one cipher of all sealed things.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { concat } from './bytes.ts';

export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
/** For keys that seal exactly one thing. */
export const ZERO_NONCE = new Uint8Array(NONCE_BYTES);

/** Doesn't open: another key, or changed bytes. */
export class OpenError extends Error {
  readonly code = 'CannotOpen';
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'OpenError';
  }
}

/** Ciphertext and tag of `plain`; `associated` is bound to it without being in it. */
export function seal(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array, associated: Uint8Array): Uint8Array {
  return concat(...sealedParts(key, nonce, plain, associated));
}

/** The same in two parts, for callers that put it together with more. */
export function sealedParts(
  key: Uint8Array,
  nonce: Uint8Array,
  plain: Uint8Array,
  associated: Uint8Array,
): [ciphertext: Uint8Array, tag: Uint8Array] {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated);
  const ciphertext = cipher.update(plain);
  cipher.final();
  return [ciphertext, cipher.getAuthTag()];
}

/** The plaintext. Throws OpenError. */
export function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array {
  if (sealed.length < TAG_BYTES)
    throw new OpenError(`A sealed thing has at least ${TAG_BYTES} bytes, this one ${sealed.length}.`);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(associated);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return concat(decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final());
  } catch (cause) {
    throw new OpenError('It does not open: another key sealed it, or its bytes were changed.', { cause });
  }
}
