import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCodec, createErasureMemory } from '#node/core/erasure.ts';
import { codeRow, multiply } from '#node/core/galois.ts';

const noise = (length: number, seed: number) => {
  let state = seed + 1;
  return Uint8Array.from({ length }, () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16);
};
const shards = (count: number, length: number, seed: number) => Array.from({ length: count }, (_, i) => noise(length, seed + i));
const empty = (count: number, length: number) => Array.from({ length: count }, () => new Uint8Array(length));

/** One output byte at a time, straight from the definition. */
function slowParity(data: readonly Uint8Array[], index: number): Uint8Array {
  const row = codeRow(data.length, index);
  return Uint8Array.from(data[0]!, (_, at) => data.reduce((sum, shard, j) => sum ^ multiply(row[j]!, shard[at]!), 0));
}

const CODES = [
  [1, 1],
  [1, 3],
  [2, 3],
  [4, 6],
  [6, 10],
  [8, 14],
  [20, 29],
  [29, 80],
  [3, 255],
] as const;

describe('encoding', () => {
  it.each(CODES)('%i of %i gives what the definition says, with both kernels', (k, n) => {
    for (const relaxed of [true, false]) {
      const codec = createCodec(k, n, createErasureMemory({ relaxed }));
      for (const length of [16, 48, 80, 1040]) {
        const data = shards(k, length, length);
        const parity = empty(n - k, length);
        codec.encode(data, parity);
        for (const [i, shard] of parity.entries()) {
          expect(Buffer.compare(shard, slowParity(data, k + i)), `piece ${k + i}`).toBe(0);
        }
      }
    }
  });

  it('in place and by copy give the same, also across strips', () => {
    const memory = createErasureMemory();
    const codec = createCodec(4, 6, memory);
    const length = 64 * 1024 - 16;
    const outside = shards(4, length, 1);
    const inside = outside.map((shard) => {
      const own = memory.take(length);
      own.set(shard);
      return own;
    });
    const parityInside = [memory.take(length), memory.take(length)];
    const parityOutside = empty(2, length);
    codec.encode(inside, parityInside);
    codec.encode(outside, parityOutside);
    expect(parityInside.map((one) => Buffer.from(one).equals(parityOutside[parityInside.indexOf(one)]!))).toEqual([true, true]);
    expect(Buffer.compare(parityOutside[1]!, slowParity(outside, 5))).toBe(0);
  });

  it('leaves bytes around the shards alone', () => {
    const memory = createErasureMemory();
    const codec = createCodec(2, 4, memory);
    const area = memory.take(4 * 48 + 64).fill(0xee);
    const at = (i: number) => area.subarray(16 + i * 48, 16 + i * 48 + 32);
    codec.encode([at(0), at(1)], [at(2), at(3)]);
    for (const [i, byte] of area.entries()) {
      const inParity = (i >= 112 && i < 144) || (i >= 160 && i < 192);
      if (!inParity) expect(byte, `byte ${i}`).toBe(0xee);
    }
  });
});

describe('reconstructing', () => {
  it('brings back any shards from any k', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CODES.filter(([, n]) => n < 255)),
        fc.integer({ min: 1, max: 20 }),
        fc.infiniteStream(fc.nat()),
        fc.boolean(),
        ([k, n], vectors, order, relaxed) => {
          const length = 16 * vectors;
          const codec = createCodec(k, n, createErasureMemory({ relaxed, sizeBytes: 2 ** 22 }));
          const data = shards(k, length, vectors);
          const all = [...data, ...empty(n - k, length)];
          codec.encode(data, all.slice(k));
          const shuffled = all
            .map((shard, index) => ({ index, shard, key: order.next().value }))
            .toSorted((a, b) => a.key - b.key);
          const want = shuffled.slice(k).map(({ index }) => index);
          const out = empty(want.length, length);
          codec.reconstruct(shuffled.slice(0, k), want, out);
          for (const [i, index] of want.entries()) expect(Buffer.compare(out[i]!, all[index]!), `shard ${index}`).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('goes on right when more loss patterns come than plans are kept', () => {
    const codec = createCodec(3, 12);
    const data = shards(3, 32, 5);
    const all = [...data, ...empty(9, 32)];
    codec.encode(data, all.slice(3));
    for (let round = 0; round < 2; round++) {
      for (let a = 0; a < 10; a++) {
        for (let b = a + 1; b < 11; b++) {
          const have = [a, b, 11].map((index) => ({ index, shard: all[index]! }));
          const out = empty(3, 32);
          codec.reconstruct(have, [0, 1, 2], out);
          expect(out.map((one, i) => Buffer.compare(one, data[i]!))).toEqual([0, 0, 0]);
        }
      }
    }
  });

  it('counts a shard once, however often it is given', () => {
    const codec = createCodec(2, 4);
    const shard = new Uint8Array(16);
    const twice = [0, 0].map((index) => ({ index, shard }));
    expect(() => codec.reconstruct(twice, [1], [new Uint8Array(16)])).toThrow('2 shards are needed, 1 are there');
  });
});

describe('refusals', () => {
  const codec = createCodec(2, 3);
  it('lengths that differ or are no multiple of 16', () => {
    expect(() => codec.encode(empty(2, 15), empty(1, 15))).toThrow('multiple of 16');
    expect(() => codec.encode(empty(2, 32), empty(1, 16))).toThrow('one length');
  });
  it('codes and shards that there are not', () => {
    expect(() => createCodec(0, 3)).toThrow(RangeError);
    expect(() => createCodec(4, 3)).toThrow(RangeError);
    expect(() => createCodec(4, 256)).toThrow(RangeError);
    expect(() => codec.encode(empty(1, 16), empty(1, 16))).toThrow(RangeError);
    const have = [0, 1].map((index) => ({ index, shard: new Uint8Array(16) }));
    expect(() => codec.reconstruct(have, [3], empty(1, 16))).toThrow(RangeError);
    expect(() => codec.reconstruct([{ index: 7, shard: new Uint8Array(16) }, ...have], [2], empty(1, 16))).toThrow(RangeError);
  });
  it('lends no more memory than there is', () => {
    const memory = createErasureMemory({ sizeBytes: 128 * 1024 });
    expect(memory.take(64 * 1024)).toHaveLength(64 * 1024);
    expect(() => memory.take(64 * 1024)).toThrow('larger sizeBytes');
  });
});
