import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeRow, inverse, invert, multiply } from '#node/core/galois.ts';

/** Schoolbook: shift, add, reduce by 0x11d. */
function slowMultiply(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) sum ^= a << bit;
  for (let bit = 15; bit >= 8; bit--) if ((sum >> bit) & 1) sum ^= 0x11d << (bit - 8);
  return sum;
}

describe('GF(2^8)', () => {
  it('multiplies as on paper', () => {
    for (let a = 0; a < 256; a++) for (let b = 0; b < 256; b++) expect(multiply(a, b)).toBe(slowMultiply(a, b));
  });

  it('inverts every element but zero', () => {
    for (let a = 1; a < 256; a++) expect(multiply(a, inverse(a))).toBe(1);
    expect(() => inverse(0)).toThrow(RangeError);
  });

  it('inverts any k rows of the code', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(20), fc.infiniteStream(fc.nat()), (k, parity, order) => {
        const all = Array.from({ length: k + parity }, (_, i) => ({ i, key: order.next().value }));
        const rows = all
          .toSorted((a, b) => a.key - b.key)
          .slice(0, k)
          .map(({ i }) => codeRow(k, i));
        const back = invert(rows);
        for (const [i, row] of rows.entries()) {
          const product = Array.from({ length: k }, (_, x) => row.reduce((sum, one, j) => sum ^ multiply(one, back[j]![x]!), 0));
          expect(product).toEqual(Array.from({ length: k }, (_, x) => (x === i ? 1 : 0)));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('says when a matrix has no inverse', () => {
    expect(() => invert([Uint8Array.of(1, 2), Uint8Array.of(1, 2)])).toThrow(RangeError);
  });
});
