// Encryption of segments: each has a random key of its own for one attempt. AES-256-GCM in records, each
// exactly one leaf of 64 KiB with its tag (the last may be shorter); nonce = record number.
import { createCipheriv, createDecipheriv, timingSafeEqual } from 'node:crypto';
import { copyInto } from './bytes.ts';
import { hkdf } from './hkdf.ts';
import { OpenError, TAG_BYTES } from './sealing.ts';
import { FORMAT_VERSION, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';

/** A segment's key and what follows from it; made once for a segment, used for each record. */
export interface SegmentCipher {
  /** 32 bytes. */
  key: Uint8Array;
  /** Names pieces, finds and seals placement entries; opens nothing. 32 bytes. */
  secret: Uint8Array;
  /** Kept beside the key, checked before decrypting. 16 bytes. */
  commitment: Uint8Array;
}

/** A new segment's key out of 32 fresh random bytes. */
export function newSegmentKey(random32: Uint8Array): SegmentCipher {
  if (random32.length !== 32) throw new RangeError(`A segment key has 32 bytes, not ${random32.length}.`);
  return { key: random32, secret: segmentSecret(random32), commitment: keyCommitment(random32) };
}

/** The cipher of a stored key. Throws OpenError where key and commitment don't belong together. */
export function segmentCipher(stored: { key: Uint8Array; commitment: Uint8Array }): SegmentCipher {
  const cipher = newSegmentKey(stored.key);
  const isSame = stored.commitment.length === 16 && timingSafeEqual(cipher.commitment, stored.commitment);
  if (!isSame) throw new OpenError("The segment's key doesn't fit its commitment: the entry is damaged.");
  return cipher;
}

function segmentSecret(key: Uint8Array): Uint8Array {
  return hkdf(key, 'storj/1 segment secret', 32);
}

/** Ties a ciphertext to one key (GCM alone doesn't): 16 bytes. */
function keyCommitment(key: Uint8Array): Uint8Array {
  return hkdf(key, 'storj/1 segment commitment', 16);
}

/**
 * Writes ciphertext and tag of one record to the front of `out` (which may be shared memory) and returns
 * how many bytes that is: `plain.length` + 16. All records but the last carry RECORD_PLAIN_BYTES.
 */
export function encryptRecord(cipher: SegmentCipher, record: number, last: boolean, plain: Uint8Array, out: Uint8Array): number {
  checkRecordBytes(plain.length, last);
  const gcm = createCipheriv('aes-256-gcm', cipher.key, recordNonce(record));
  gcm.setAAD(recordData(cipher.secret, record, last));
  const sealed = gcm.update(plain);
  gcm.final();
  copyInto(out, sealed);
  copyInto(out, gcm.getAuthTag(), plain.length);
  return plain.length + TAG_BYTES;
}

/** The reverse: plaintext in memory of its own; `sealed` is ciphertext and tag. Throws OpenError. */
export function decryptRecord(cipher: SegmentCipher, record: number, last: boolean, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  const plainBytes = sealed.length - TAG_BYTES;
  checkRecordBytes(plainBytes, last);
  const gcm = createDecipheriv('aes-256-gcm', cipher.key, recordNonce(record));
  gcm.setAAD(recordData(cipher.secret, record, last));
  gcm.setAuthTag(sealed.subarray(plainBytes));
  const plain = gcm.update(sealed.subarray(0, plainBytes));
  try {
    gcm.final();
  } catch (cause) {
    throw new OpenError(`Record ${record} does not open: another key, or changed bytes.`, { cause });
  }
  return new Uint8Array(plain.buffer, plain.byteOffset, plainBytes);
}

function checkRecordBytes(plainBytes: number, last: boolean): void {
  const fits = last ? plainBytes >= 1 && plainBytes <= RECORD_PLAIN_BYTES : plainBytes === RECORD_PLAIN_BYTES;
  if (!fits) throw new RangeError(`A ${last ? 'last' : 'full'} record doesn't have ${plainBytes} bytes of plaintext.`);
}

// Filled anew for each record: OpenSSL has its own copy before the next one.
const nonce = Buffer.alloc(12);
const data = Buffer.alloc(38);
data[0] = FORMAT_VERSION;

function recordNonce(record: number): Uint8Array {
  nonce.writeUInt32BE(record, 8);
  return nonce;
}

/** Version ‖ segment secret ‖ u32be record number ‖ last flag. */
function recordData(secret: Uint8Array, record: number, last: boolean): Uint8Array {
  data.set(secret, 1);
  data.writeUInt32BE(record, 33);
  data[37] = last ? 1 : 0;
  return data;
}
