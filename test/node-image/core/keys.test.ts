import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '#node/core/ids.ts';
import {
  boxPublicKey,
  bucketRepairKey,
  bucketSecret,
  entropyFromWords,
  keyPairFromSeed,
  openSealed,
  ownerFromEntropy,
  ownerPartKey,
  repairerSeed,
  repairKey,
  repairPartKey,
  sealTo,
  sign,
  verify,
  wordsFromEntropy,
  WordsError,
} from '#node/core/keys.ts';
import { OpenError } from '#node/core/sealing.ts';

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const seed = (fill: number) => new Uint8Array(32).fill(fill);

describe('signatures', () => {
  it('match RFC 8032, test 2', () => {
    const key = keyPairFromSeed(fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'));
    expect(key.publicKey).toBe('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
    expect(toHex(sign(key, Uint8Array.of(0x72)))).toBe(
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    );
  });

  it('hold for these bytes and this key only', () => {
    fc.assert(
      fc.property(bytes32, fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(), (from, message, at) => {
        const key = keyPairFromSeed(from);
        const signature = sign(key, message);
        expect(verify(key.publicKey, message, signature)).toBe(true);
        const other = Uint8Array.from(message);
        other[at % other.length]! ^= 1;
        expect(verify(key.publicKey, other, signature)).toBe(false);
        expect(verify(keyPairFromSeed(seed(9)).publicKey, message, signature)).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it('are just wrong when key or signature are none', () => {
    const key = keyPairFromSeed(seed(1));
    expect(verify('ff'.repeat(32), seed(0), sign(key, seed(0)))).toBe(false);
    expect(verify('nonsense', seed(0), sign(key, seed(0)))).toBe(false);
    expect(verify(key.publicKey, seed(0), new Uint8Array(63))).toBe(false);
    expect(verify(key.publicKey, seed(0), new Uint8Array(0))).toBe(false);
  });

  it('stay right when more keys pass by than are remembered', () => {
    const first = keyPairFromSeed(seed(1));
    const signature = sign(first, seed(7));
    for (let i = 0; i < 5000; i++) verify(toHex(Uint8Array.from({ length: 32 }, (_, at) => i >> at)), seed(0), signature);
    expect(verify(first.publicKey, seed(7), signature)).toBe(true);
  });
});

describe('boxes', () => {
  it('open for their reader only', () => {
    fc.assert(
      fc.property(bytes32, bytes32, fc.uint8Array({ maxLength: 100 }), (reader, random, plain) => {
        const sealed = sealTo(boxPublicKey(reader), plain, random);
        expect(openSealed(reader, sealed)).toEqual(new Uint8Array(plain));
        expect(() => openSealed(seed(77), sealed)).toThrow(OpenError);
      }),
      { numRuns: 30 },
    );
  });

  it('do not open when a byte changed or is missing', () => {
    const sealed = sealTo(boxPublicKey(seed(1)), seed(2), seed(3));
    for (let i = 0; i < sealed.length; i++) {
      const changed = Uint8Array.from(sealed);
      changed[i]! ^= 1;
      expect(() => openSealed(seed(1), changed)).toThrow(OpenError);
      expect(() => openSealed(seed(1), sealed.subarray(0, i))).toThrow(OpenError);
    }
  });

  it('refuse a key of small order', () => {
    const sealed = sealTo(boxPublicKey(seed(1)), seed(2), seed(3));
    sealed.fill(0, 1, 33);
    expect(() => openSealed(seed(1), sealed)).toThrow(OpenError);
  });
});

describe('words', () => {
  it('carry 32 bytes', () => {
    fc.assert(
      fc.property(bytes32, (entropy) => {
        const words = wordsFromEntropy(entropy);
        expect(words.split(' ')).toHaveLength(24);
        expect(entropyFromWords(`  ${words.toUpperCase().replaceAll(' ', '\n ')} `)).toEqual(new Uint8Array(entropy));
      }),
    );
  });

  it('name the word that is wrong', () => {
    const words = wordsFromEntropy(seed(1)).split(' ');
    words[6] = 'horsee';
    expect(() => entropyFromWords(words.join(' '))).toThrow(/Word 7 \("horsee"\)/);
  });

  it('notice missing and swapped words', () => {
    const words = wordsFromEntropy(Uint8Array.from({ length: 32 }, (_, i) => 7 * i)).split(' ');
    expect(() => entropyFromWords(words.slice(1).join(' '))).toThrow('got 23');
    expect(() => entropyFromWords('')).toThrow(WordsError);
    const swapped = [words[1], words[0], ...words.slice(2)].join(' ');
    expect(() => entropyFromWords(swapped)).toThrow('checksum');
  });
});

describe('the tree of secrets', () => {
  it('gives a different key to every use', () => {
    const { keyPair, accountSecret } = ownerFromEntropy(seed(1));
    const [bucketA, bucketB] = ['01'.repeat(16), '02'.repeat(16)];
    const [logA, logB] = ['0a'.repeat(32), '0b'.repeat(32)];
    const secretA = bucketSecret(accountSecret, bucketA);
    const all = [
      keyPair.seed,
      accountSecret,
      secretA,
      bucketSecret(accountSecret, bucketB),
      repairKey(accountSecret, 1),
      repairKey(accountSecret, 2),
      ownerPartKey(secretA, logA),
      ownerPartKey(secretA, logB),
      repairPartKey(secretA, logA),
      repairPartKey(repairKey(accountSecret, 1), logA),
      bucketRepairKey(repairKey(accountSecret, 1), bucketA),
      bucketRepairKey(repairKey(accountSecret, 1), bucketB),
      ...[0, 1, 2].map((number) => repairerSeed(seed(3), number)),
    ].map(toHex);
    expect(new Set(all).size).toBe(all.length);
  });

  it('comes from all of the words', () => {
    const [a, b] = [ownerFromEntropy(seed(1)), ownerFromEntropy(seed(2))];
    expect(a.keyPair.publicKey).not.toBe(b.keyPair.publicKey);
    expect(toHex(a.accountSecret)).not.toBe(toHex(b.accountSecret));
  });
});
