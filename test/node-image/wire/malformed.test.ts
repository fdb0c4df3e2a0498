// Whatever comes from outside: it is either taken, and then it has just this one encoding, or it is
// refused with WireError. Nothing else ever comes out of a decoder.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { encode, WireError } from '#node/wire/codec.ts';
import { ownerPart, repairPart } from '#node/wire/entries.ts';
import { decoders } from './decoders.ts';
import * as samples from './samples.ts';

/** What an attacker does to bytes. */
const damage = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, by]) => (bytes: Uint8Array) => {
    const out = Uint8Array.from(bytes);
    if (out.length > 0) out[at % out.length]! ^= by;
    return out;
  }),
  fc.nat().map((at) => (bytes: Uint8Array) => bytes.slice(0, at % (bytes.length + 1))),
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 9 })).map(([at, extra]) => (bytes: Uint8Array) => {
    const cut = at % (bytes.length + 1);
    return Uint8Array.from([...bytes.subarray(0, cut), ...extra, ...bytes.subarray(cut)]);
  }),
  fc.uint8Array({ maxLength: 60 }).map((noise) => () => Uint8Array.from(noise)),
);

describe('malformed input', () => {
  it.each(decoders)('$name: taken as it is, or refused with one error', ({ valid, read }) => {
    const first = read(valid);
    if (first) expect(toHex(first)).toBe(toHex(valid));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 2 }), (steps) => {
        const bytes = steps.reduce((sofar, step) => step(sofar), valid);
        let again: Uint8Array | null;
        try {
          again = read(bytes);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          return;
        }
        if (again) expect(toHex(again)).toBe(toHex(bytes));
      }),
      { numRuns: 300 },
    );
  });

  it('a segment that no geometry allows is refused where it is read', () => {
    const wrong = { ...samples.placement, sizeBytes: 65_537 };
    expect(() => encode(repairPart, { added: [wrong], released: [] })).toThrow(WireError);
    const renamed = { ...samples.placement, segmentId: samples.id(1) };
    expect(() => encode(repairPart, { added: [renamed], released: [] })).toThrow("doesn't follow");
  });

  it('an object carries its bytes in exactly one way', () => {
    const [put] = samples.entries;
    const both = { ...put, inline: new Uint8Array(1) } as (typeof samples.entries)[number];
    expect(() => encode(ownerPart, { entries: [both], heads: [] })).toThrow('Exactly one');
  });
});
