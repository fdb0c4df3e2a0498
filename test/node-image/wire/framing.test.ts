import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '#node/core/ids.ts';
import { WireError } from '#node/wire/codec.ts';
import { collect, FooterReader, footerBytes, frameAll, FrameReader, readFirstPart, unframeAll } from '#node/wire/framing.ts';

const parts = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 });
/** The same bytes in pieces of any size. */
const chunked = (whole: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < whole.length; i++) {
    const size = sizes.length === 0 ? whole.length : sizes[i % sizes.length]!;
    chunks.push(whole.slice(at, at + size));
    at += size;
  }
  return chunks;
};
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 5 });
const hexAll = (all: readonly Uint8Array[]) => all.map(toHex);

async function* stream(chunks: readonly Uint8Array[], onEnd: () => void = () => {}) {
  try {
    yield* chunks;
  } finally {
    onEnd();
  }
}

describe('frames', () => {
  it('come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(parts, sizes, (all, cuts) => {
        const reader = new FrameReader(50);
        const got = chunked(frameAll(all), cuts).flatMap((chunk) => reader.push(chunk));
        reader.end();
        expect(hexAll(got)).toEqual(hexAll(all));
      }),
    );
  });

  it('may be large, and share no memory with what they came in', () => {
    const all = [700_000, 0, 262_144, 300_000].map((bytes, i) => new Uint8Array(bytes).fill(i + 1));
    const reader = new FrameReader(700_000);
    const got = chunked(frameAll(all), [16_384, 65_536, 3]).flatMap((chunk) => {
      const own = Uint8Array.from(chunk);
      const parts = reader.push(own);
      own.fill(99);
      return parts;
    });
    reader.end();
    expect(got.map(({ length }) => length)).toEqual(all.map(({ length }) => length));
    expect(got.every((part, i) => part.every((byte) => byte === i + 1))).toBe(true);
  });

  it('that are cut off or too long are refused', () => {
    expect(() => unframeAll(fromHex('00000002aa'), 10)).toThrow('inside a part');
    expect(() => unframeAll(fromHex('0000'), 10)).toThrow(WireError);
    expect(() => unframeAll(fromHex('0000000baa'), 10)).toThrow('11 bytes');
  });
});

describe('the first part of a stream', () => {
  it('and the rest, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 80 }), sizes, async (first, rest, cuts) => {
        const whole = Buffer.concat([frameAll([first]), rest]);
        const read = await readFirstPart(stream(chunked(whole, cuts)), 40);
        expect(toHex(read.part)).toBe(toHex(first));
        expect(toHex(await collect(read.rest, 1000))).toBe(toHex(rest));
      }),
      { numRuns: 50 },
    );
  });

  it('frees the stream when it is left early, refused or ends too soon', async () => {
    let ended = 0;
    const counted = (chunks: string[]) =>
      stream(
        chunks.map((one) => fromHex(one)),
        () => ended++,
      );
    const { rest } = await readFirstPart(counted(['00000001aabb', 'cc']), 10);
    await rest.return!();
    expect(ended).toBe(1);
    await expect(readFirstPart(counted(['0000ffff', 'aa']), 10)).rejects.toThrow(WireError);
    expect(ended).toBe(2);
    await expect(readFirstPart(counted(['00000005aa']), 10)).rejects.toThrow(WireError);
    expect(ended).toBe(3);
  });
});

describe('collecting', () => {
  it('stops at the limit and frees the stream', async () => {
    let ended = 0;
    const endless = stream(
      Array.from({ length: 1000 }, () => new Uint8Array(100)),
      () => ended++,
    );
    await expect(collect(endless, 250)).rejects.toThrow(WireError);
    expect(ended).toBe(1);
    expect(await collect(undefined, 10)).toHaveLength(0);
  });
});

describe('footers', () => {
  it('are found behind data of any length, however it is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 20 }), sizes, (data, footer, cuts) => {
        const reader = new FooterReader(20);
        const whole = Buffer.concat([data, footerBytes(footer)]);
        const got = chunked(whole, cuts).flatMap((chunk) => reader.push(chunk));
        const end = reader.end();
        expect(toHex(Buffer.concat([...got, end.data]))).toBe(toHex(data));
        expect(toHex(end.footer)).toBe(toHex(footer));
      }),
    );
  });

  it('that are missing or cut off are refused', () => {
    for (const body of ['', '0000', '00000015', 'aa00000002', 'ffffffff']) {
      const reader = new FooterReader(20);
      reader.push(fromHex(body));
      expect(() => reader.end()).toThrow(WireError);
    }
  });
});
