import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blake3 } from '#node/core/hash.ts';
import { toHex } from '#node/core/ids.ts';
import {
  leafHash,
  leafHashInPlace,
  leafHashes,
  nodeHash,
  pieceRoot,
  rangeProof,
  rootPath,
  verifyRange,
  verifyRootPath,
} from '#node/core/merkle.ts';

const hashes = (count: number) => Array.from({ length: count }, (_, i) => leafHash(Uint8Array.of(i, i >> 8)));
const range = fc
  .tuple(fc.integer({ min: 1, max: 70 }), fc.nat(), fc.nat())
  .map(([total, a, b]) => ({ total, first: a % total, count: 1 + (b % (total - (a % total))) }));

describe('tree', () => {
  it('hashes leaves and nodes under different prefixes', () => {
    const [a, b] = hashes(2);
    expect(toHex(leafHash(a!))).toBe(toHex(blake3(Uint8Array.of(0, ...a!))));
    expect(toHex(nodeHash(a!, b!))).toBe(toHex(blake3(Uint8Array.of(1, ...a!, ...b!))));
  });

  it('proofs with remembered nodes are the same', () => {
    const known = new Map<number, Uint8Array>();
    const all = hashes(37);
    for (const [first, count] of [
      [0, 1],
      [5, 9],
      [36, 1],
      [0, 37],
      [16, 16],
      [5, 9],
    ] as const) {
      expect(rangeProof(all, first, count, known)).toEqual(rangeProof(all, first, count));
    }
    expect(known.size).toBeGreaterThan(10);
  });

  it('a leaf is hashed in place as elsewhere, and the byte before it comes back', () => {
    const memory = new Uint8Array(new SharedArrayBuffer(100)).fill(7);
    for (const leaf of [memory.subarray(1, 50), memory.subarray(0, 50), memory.subarray(99)]) {
      expect(leafHashInPlace(leaf)).toEqual(leafHash(leaf));
      expect(memory.every((byte) => byte === 7)).toBe(true);
    }
  });

  it('splits at the largest power of two below n', () => {
    const [a, b, c, d, e] = hashes(5) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    expect(pieceRoot([a])).toEqual(a);
    expect(pieceRoot([a, b, c])).toEqual(nodeHash(nodeHash(a, b), c));
    expect(pieceRoot([a, b, c, d, e])).toEqual(nodeHash(nodeHash(nodeHash(a, b), nodeHash(c, d)), e));
    expect(() => pieceRoot([])).toThrow(RangeError);
  });

  it('cuts a piece into leaves of 64 KiB, the last as long as it is', () => {
    const piece = new Uint8Array(2 * 65536 + 16).fill(3);
    const expected = [piece.subarray(0, 65536), piece.subarray(65536, 131072), piece.subarray(131072)].map(leafHash);
    expect(leafHashes(piece)).toEqual(expected);
  });
});

describe('proofs', () => {
  it('show any range, with at most two hashes a level', () => {
    fc.assert(
      fc.property(range, ({ total, first, count }) => {
        const all = hashes(total);
        const proof = rangeProof(all, first, count);
        expect(proof.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(total)));
        expect(verifyRange(pieceRoot(all), total, first, all.slice(first, first + count), proof)).toBe(true);
      }),
    );
  });

  it('fail when anything is changed', () => {
    fc.assert(
      fc.property(range, fc.nat(), ({ total, first, count }, at) => {
        const all = hashes(total);
        const root = pieceRoot(all);
        const proof = rangeProof(all, first, count);
        const part = all.slice(first, first + count);
        const wrong = part.with(at % count, leafHash(Uint8Array.of(99, 99, 99)));
        expect(verifyRange(root, total, first, wrong, proof)).toBe(false);
        expect(verifyRange(root, total, first, part, [...proof, part[0]!])).toBe(false);
        expect(verifyRange(root, total, first, part, proof.slice(1))).toBe(proof.length === 0);
        expect(verifyRange(root, total, first + 1, part, proof)).toBe(false);
        if (count > 1) expect(verifyRange(root, total, first, part.slice(1), proof)).toBe(false);
      }),
    );
  });

  it('of an index or total that can not be are just false', () => {
    const all = hashes(4);
    const root = pieceRoot(all);
    for (const [total, first] of [
      [4, -1],
      [4, 4],
      [0, 0],
      [2 ** 30, 0],
      [Number.NaN, 0],
      [4.5, 0],
    ] as const) {
      expect(verifyRange(root, total, first, [all[0]!], rangeProof(all, 0, 1))).toBe(false);
    }
    expect(verifyRange(root, 4, 0, [], [root])).toBe(false);
  });

  it('lead from a piece root to the segment root at its own place only', () => {
    const roots = hashes(6);
    const root = pieceRoot(roots);
    for (const [i, one] of roots.entries()) {
      expect(verifyRootPath(root, 6, i, one, rootPath(roots, i))).toBe(true);
      expect(verifyRootPath(root, 6, (i + 1) % 6, one, rootPath(roots, i))).toBe(false);
    }
  });
});
