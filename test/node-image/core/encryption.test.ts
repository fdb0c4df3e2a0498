import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decryptRecord, encryptRecord, newSegmentKey, segmentCipher } from '#node/core/encryption.ts';
import { OpenError } from '#node/core/sealing.ts';
import { LEAF_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';

const cipher = newSegmentKey(new Uint8Array(32).fill(1));
const sealed = (record: number, last: boolean, plain: Uint8Array) => {
  const out = new Uint8Array(plain.length + 16);
  expect(encryptRecord(cipher, record, last, plain, out)).toBe(out.length);
  return out;
};

describe('records', () => {
  it('come back, also through shared memory', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(1023), (plain, record) => {
        const shared = new Uint8Array(new SharedArrayBuffer(plain.length + 16));
        encryptRecord(cipher, record, true, plain, shared);
        expect([...decryptRecord(cipher, record, true, shared)]).toEqual([...plain]);
      }),
    );
  });

  it('a full record is exactly one leaf', () => {
    const plain = new Uint8Array(RECORD_PLAIN_BYTES).fill(7);
    const full = sealed(3, false, plain);
    expect(full).toHaveLength(LEAF_BYTES);
    expect(Buffer.compare(decryptRecord(cipher, 3, false, full), plain)).toBe(0);
  });

  it('open at their own place, with their own flag and key only', () => {
    const plain = new Uint8Array(RECORD_PLAIN_BYTES).fill(7);
    const full = sealed(3, true, plain);
    const other = newSegmentKey(new Uint8Array(32).fill(2));
    expect(() => decryptRecord(cipher, 4, true, full)).toThrow(OpenError);
    expect(() => decryptRecord(cipher, 3, false, full)).toThrow(OpenError);
    expect(() => decryptRecord(other, 3, true, full)).toThrow(OpenError);
    const changed = Uint8Array.from(full);
    changed[5]! ^= 1;
    expect(() => decryptRecord(cipher, 3, true, changed)).toThrow(OpenError);
  });

  it('only the last may be short, and none is empty', () => {
    const out = new Uint8Array(LEAF_BYTES + 16);
    expect(() => encryptRecord(cipher, 0, false, new Uint8Array(5), out)).toThrow(RangeError);
    expect(() => encryptRecord(cipher, 0, true, new Uint8Array(0), out)).toThrow(RangeError);
    expect(() => encryptRecord(cipher, 0, true, new Uint8Array(RECORD_PLAIN_BYTES + 1), out)).toThrow(RangeError);
    expect(() => decryptRecord(cipher, 0, true, new Uint8Array(10))).toThrow(RangeError);
  });
});

describe('commitment', () => {
  it('is checked before a key is used', () => {
    const { key, commitment, secret } = cipher;
    expect(segmentCipher({ key, commitment }).secret).toEqual(secret);
    expect(() => segmentCipher({ key: new Uint8Array(32), commitment })).toThrow(OpenError);
    expect(() => segmentCipher({ key, commitment: commitment.subarray(1) })).toThrow(OpenError);
  });

  it('secret and commitment tell nothing of each other or of the key', () => {
    const parts = [cipher.key, cipher.secret, cipher.commitment].map((one) => Buffer.from(one).toString('hex').slice(0, 32));
    expect(new Set(parts).size).toBe(3);
  });
});
