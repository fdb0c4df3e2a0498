import * as fc from 'fast-check';
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id';
import { publicKeyFromRaw } from '@libp2p/crypto/keys';
import { describe, expect, it } from 'vitest';
import { fromHex, IdError, isPublicKey, peerIdOf, publicKeyOf, toHex } from '#node/core/ids.ts';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('ids', () => {
  it('hex goes there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(fromHex(toHex(bytes))).toEqual(new Uint8Array(bytes));
      }),
    );
  });

  it.each(['AB', 'a', 'zz', '0x12', ' 12', '12\n'])('refuses %j', (text) => {
    expect(() => fromHex(text)).toThrow(IdError);
    expect(isPublicKey(text)).toBe(false);
  });

  it('demands a length where one is given', () => {
    expect(() => fromHex('abcd', 3)).toThrow('3 bytes');
    expect(fromHex('abcd', 2)).toEqual(Uint8Array.of(0xab, 0xcd));
  });

  it('gives the same peer ids as libp2p, both ways', () => {
    fc.assert(
      fc.property(key, (bytes) => {
        const theirs = peerIdFromPublicKey(publicKeyFromRaw(bytes)).toString();
        expect(peerIdOf(toHex(bytes))).toBe(theirs);
        expect(publicKeyOf(theirs)).toBe(toHex(bytes));
      }),
      { numRuns: 50 },
    );
  });

  it('knows no key in the peer id of another kind of key', () => {
    const secp256k1 = '16Uiu2HAm3FBsnmrcNTEaiuugJJAWt6ZoSQ9f6oRYTvvgdkXyZDW3';
    expect(peerIdFromString(secp256k1).type).toBe('secp256k1');
    expect(() => publicKeyOf(secp256k1)).toThrow(IdError);
    expect(() => publicKeyOf('12D3KooW0OIl')).toThrow(IdError);
    expect(() => publicKeyOf('')).toThrow(IdError);
    expect(() => publicKeyOf('1'.repeat(5000))).toThrow(IdError);
  });
});
