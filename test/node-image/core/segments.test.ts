import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  dataShardsFor,
  isSegmentSize,
  MAX_SEGMENT_PLAIN_BYTES,
  neededFor,
  pieceBytes,
  pieceId,
  plainToCipherBytes,
  recordCipherBytes,
  recordsOf,
  segmentGeometry,
  segmentId,
  shardBytes,
  stripeCipherBytes,
} from '#node/core/segments.ts';
import { LEAF_BYTES, MAX_SEGMENT_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';

// Often near the edges, where records and stripes end.
const plainBytes = fc.oneof(
  fc.integer({ min: 1, max: MAX_SEGMENT_PLAIN_BYTES }),
  fc
    .tuple(fc.integer({ min: 1, max: 1024 }), fc.integer({ min: -2, max: 2 }))
    .map(([records, delta]) => Math.min(MAX_SEGMENT_PLAIN_BYTES, Math.max(1, records * RECORD_PLAIN_BYTES + delta))),
);
const required = fc.integer({ min: 1, max: 29 });

describe('geometry', () => {
  it('is reversible, and shares ciphertext out with little waste', () => {
    fc.assert(
      fc.property(plainBytes, required, (plain, k) => {
        const cipher = plainToCipherBytes(plain);
        const geometry = segmentGeometry(cipher, k);
        expect(geometry.plainBytes).toBe(plain);
        expect(geometry.pieceBytes % 16).toBe(0);
        expect(geometry.pieceBytes).toBe(pieceBytes(cipher, k));
        expect(k * geometry.pieceBytes).toBeGreaterThanOrEqual(cipher);
        expect(k * geometry.pieceBytes - cipher).toBeLessThan(16 * k + k);
        expect(Math.ceil(geometry.pieceBytes / LEAF_BYTES)).toBe(geometry.stripes);
      }),
    );
  });

  it('stripes hold all ciphertext and all records, each once', () => {
    fc.assert(
      fc.property(plainBytes, required, (plain, k) => {
        const geometry = segmentGeometry(plainToCipherBytes(plain), k);
        let cipher = 0;
        let pieces = 0;
        let record = 0;
        for (let stripe = 0; stripe < geometry.stripes; stripe++) {
          const { first, end } = recordsOf(geometry, stripe);
          expect(first).toBe(record);
          let inStripe = 0;
          for (record = first; record < end; record++) inStripe += recordCipherBytes(geometry, record);
          expect(inStripe).toBe(stripeCipherBytes(geometry, stripe));
          expect(inStripe).toBeLessThanOrEqual(k * shardBytes(geometry, stripe));
          cipher += inStripe;
          pieces += shardBytes(geometry, stripe);
        }
        expect([record, cipher, pieces]).toEqual([geometry.records, geometry.cipherBytes, geometry.pieceBytes]);
      }),
      { numRuns: 50 },
    );
  });

  it('a whole segment is 64 MiB of ciphertext, and no more', () => {
    expect(plainToCipherBytes(MAX_SEGMENT_PLAIN_BYTES)).toBe(MAX_SEGMENT_BYTES);
    expect(segmentGeometry(MAX_SEGMENT_BYTES, 4)).toMatchObject({ records: 1024, stripes: 256, pieceBytes: 16 * 1024 * 1024 });
    expect(isSegmentSize(MAX_SEGMENT_BYTES + 17)).toBe(false);
  });

  it('knows which sizes no segment has', () => {
    const impossible = [0, 1, 16, LEAF_BYTES + 1, LEAF_BYTES + 16, 17.5, -17, Number.NaN];
    expect(impossible.filter(isSegmentSize)).toEqual([]);
    expect([17, LEAF_BYTES, LEAF_BYTES + 17].filter((size) => !isSegmentSize(size))).toEqual([]);
    expect(() => segmentGeometry(16, 4)).toThrow(RangeError);
    expect(() => segmentGeometry(17, 0)).toThrow(RangeError);
  });
});

describe('ranges', () => {
  const ranges = fc.tuple(plainBytes, required, fc.nat(), fc.nat()).map(([plain, k, a, b]) => {
    const offset = a % plain;
    return { geometry: segmentGeometry(plainToCipherBytes(plain), k), offset, length: 1 + (b % (plain - offset)) };
  });

  it('need just the records that carry them, and the stripes of those', () => {
    fc.assert(
      fc.property(ranges, ({ geometry, offset, length }) => {
        const needed = neededFor(geometry, offset, length);
        const start = needed.firstRecord * RECORD_PLAIN_BYTES;
        const end = needed.endRecord * RECORD_PLAIN_BYTES;
        expect(start + needed.skipBytes).toBe(offset);
        expect(needed.skipBytes).toBeLessThan(RECORD_PLAIN_BYTES);
        expect(end).toBeGreaterThanOrEqual(offset + length);
        expect(end - (offset + length)).toBeLessThan(RECORD_PLAIN_BYTES);
        expect(recordsOf(geometry, needed.firstStripe).first).toBeLessThanOrEqual(needed.firstRecord);
        expect(recordsOf(geometry, needed.endStripe - 1).end).toBeGreaterThanOrEqual(needed.endRecord);
      }),
    );
  });

  it('need one shard for one record of a full stripe', () => {
    const geometry = segmentGeometry(plainToCipherBytes(9 * RECORD_PLAIN_BYTES), 4);
    expect(geometry.stripes).toBe(3);
    expect(dataShardsFor(geometry, 1, 6, 7)).toEqual([2]);
    expect(dataShardsFor(geometry, 0, 0, 100)).toEqual([0, 1, 2, 3]);
    // The last stripe holds one record, shared out over all four.
    expect(dataShardsFor(geometry, 2, 8, 9)).toEqual([0, 1, 2, 3]);
  });

  it('the shards that are named hold every byte of the records', () => {
    fc.assert(
      fc.property(ranges, ({ geometry, offset, length }) => {
        const { firstRecord, endRecord, firstStripe, endStripe } = neededFor(geometry, offset, length);
        for (const stripe of new Set([firstStripe, endStripe - 1])) {
          const { first, end } = recordsOf(geometry, stripe);
          const shards = dataShardsFor(geometry, stripe, firstRecord, endRecord);
          const size = shardBytes(geometry, stripe);
          const from = (Math.max(first, firstRecord) - first) * LEAF_BYTES;
          const lastRecord = Math.min(end, endRecord) - 1;
          const to = (lastRecord - first) * LEAF_BYTES + recordCipherBytes(geometry, lastRecord);
          expect(shards[0]).toBe(Math.floor(from / size));
          expect(shards.at(-1)).toBe(Math.floor((to - 1) / size));
          expect(shards.at(-1)).toBeLessThan(geometry.required);
        }
      }),
    );
  });

  it('outside the segment are refused', () => {
    const geometry = segmentGeometry(plainToCipherBytes(100), 2);
    expect(() => neededFor(geometry, 0, 0)).toThrow(RangeError);
    expect(() => neededFor(geometry, 50, 51)).toThrow(RangeError);
    expect(() => neededFor(geometry, -1, 5)).toThrow(RangeError);
  });
});

describe('names', () => {
  const secret = new Uint8Array(32).fill(4);
  const scheme = { required: 4, repair: 5, optimal: 6, total: 6 };
  const root = 'ab'.repeat(32);

  it('pieces of one segment are all named differently, and by the secret', () => {
    const names = Array.from({ length: 255 }, (_, i) => pieceId(secret, i));
    expect(new Set(names).size).toBe(255);
    expect(pieceId(new Uint8Array(32), 0)).not.toBe(names[0]);
  });

  it("a segment's id depends on root, scheme and size", () => {
    const ids = [
      segmentId(root, scheme, 1000),
      segmentId('ba'.repeat(32), scheme, 1000),
      segmentId(root, { ...scheme, repair: 4 }, 1000),
      segmentId(root, scheme, 1001),
    ];
    expect(new Set(ids).size).toBe(4);
  });
});
