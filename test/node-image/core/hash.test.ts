import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blake3, blake3Kind, hkdf, loadWasm } from '#node/core/hash.ts';
import { toHex } from '#node/core/ids.ts';

describe('blake3', () => {
  it('matches the published vectors', () => {
    const input = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);
    expect(toHex(blake3(input(0)))).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
    expect(toHex(blake3(input(1)))).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213');
    expect(toHex(blake3(input(102_400)))).toBe('bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085');
  });

  it('is native here, and the fallback agrees with it', async () => {
    expect(blake3Kind).toBe('native');
    const fallback = await loadWasm();
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 5 }), (parts) => {
        expect(toHex(fallback.digestParts(parts))).toBe(toHex(blake3(...parts)));
      }),
      { numRuns: 50 },
    );
  });

  it('takes parts of any size as one', () => {
    const large = Uint8Array.from({ length: 200_000 }, (_, i) => i);
    const whole = toHex(blake3(large));
    expect(toHex(blake3(large.subarray(0, 1), large.subarray(1)))).toBe(whole);
    expect(toHex(blake3(large.subarray(0, 70_000), large.subarray(70_000)))).toBe(whole);
    const small = large.subarray(0, 1000);
    expect(toHex(blake3(small.subarray(0, 10), small.subarray(10)))).toBe(toHex(blake3(small)));
  });

  it('reads shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(1000)).fill(5);
    expect(toHex(blake3(shared))).toBe(toHex(blake3(new Uint8Array(1000).fill(5))));
  });
});

describe('hkdf', () => {
  it('matches RFC 5869, case 3', () => {
    const okm = hkdf(new Uint8Array(22).fill(0x0b), '', 42);
    expect(toHex(okm)).toBe('8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8');
  });

  it('separates labels and salts', () => {
    const secret = new Uint8Array(32);
    const outputs = [hkdf(secret, 'a', 32), hkdf(secret, 'b', 32), hkdf(secret, 'a', 32, Uint8Array.of(1))].map(toHex);
    expect(new Set(outputs).size).toBe(3);
  });
});
