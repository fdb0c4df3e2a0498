import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '#node/core/ids.ts';
import {
  bool,
  bytes,
  bytesUpTo,
  decode,
  encode,
  hex,
  list,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  textRecord,
  uint,
  union,
  where,
  WireError,
  type Codec,
} from '#node/wire/codec.ts';

interface Thing {
  id: string;
  count: number;
  note?: string;
  tags: string[];
  headers: Record<string, string>;
  parent: string | null;
  on: boolean;
  raw: Uint8Array;
}
const thing = struct<Thing>({
  id: hex(2),
  count: uint(),
  note: optional(text(20)),
  tags: list(text(8), 3),
  headers: textRecord({ entries: 4, nameBytes: 16, valueBytes: 16 }),
  parent: nullable(hex(2)),
  on: bool,
  raw: bytesUpTo(4),
});
const word = fc.string({ unit: 'binary', maxLength: 3 });
const things: fc.Arbitrary<Thing> = fc.record(
  {
    id: fc.uint8Array({ minLength: 2, maxLength: 2 }).map(toHex),
    count: fc.maxSafeNat(),
    note: word,
    tags: fc.array(fc.string({ maxLength: 8 }), { maxLength: 3 }),
    headers: fc.dictionary(word, word, { maxKeys: 4, noNullPrototype: true }),
    parent: fc.option(fc.constant('beef')),
    on: fc.boolean(),
    raw: fc.uint8Array({ maxLength: 4 }).map((one) => new Uint8Array(one)),
  },
  { requiredKeys: ['id', 'count', 'tags', 'headers', 'parent', 'on', 'raw'] },
);

describe('structs', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(things, (value) => {
        expect(decode(thing, encode(thing, value), 1000)).toEqual(value);
      }),
    );
  });

  it('have exactly one encoding, whatever the order of names', () => {
    fc.assert(
      fc.property(things, (value) => {
        const turned = { ...value, headers: Object.fromEntries(Object.entries(value.headers).toReversed()) };
        expect(toHex(encode(thing, turned))).toBe(toHex(encode(thing, value)));
      }),
    );
  });

  it('name the field that is wrong', () => {
    const value: Thing = { id: 'beef', count: 1, tags: ['far too long'], headers: {}, parent: null, on: true, raw: fromHex('') };
    expect(() => encode(thing, value)).toThrow(/^tags: Expected a text of at most 8 bytes/);
  });

  it('take no more fields than they know, unless they are open', () => {
    const [closed, open] = [struct<{ a: number }>({ a: uint() }), struct<{ a: number }>({ a: uint() }, { open: true })];
    const longer = encode(struct<{ a: number; b: number }>({ a: uint(), b: uint() }), { a: 1, b: 2 });
    expect(() => decode(closed, longer, 100)).toThrow('Expected 1 fields');
    expect(decode(open, longer, 100)).toEqual({ a: 1 });
    expect(() => decode(open, fromHex('80'), 100)).toThrow(WireError);
  });
});

describe('texts', () => {
  const any = text(100);
  it.each(['\ufeff', '\ufeffstarts with a mark, and is long enough for the other path', '\ufffd is a letter too', 'é\u0000🚢'])(
    'keeps %j to the letter',
    (value) => expect(decode(any, encode(any, value), 200)).toBe(value),
  );

  it('refuses what is no UTF-8', () => {
    expect(() => decode(any, fromHex('62c328'), 100)).toThrow(WireError);
    expect(() => encode(any, '\ud800')).toThrow(WireError);
  });

  it('names of a map may be anything', () => {
    const headers = textRecord({ entries: 2, nameBytes: 20, valueBytes: 20 });
    const value = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
    const back = decode(headers, encode(headers, value), 100);
    expect(Object.entries(back).toSorted()).toEqual(Object.entries(value).toSorted());
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
  });
});

describe('only one encoding is taken', () => {
  it.each([
    ['an integer in more bytes than needed', uint(), '1801'],
    ['a length in more bytes than needed', bytesUpTo(9), '580101'],
    ['an indefinite length', list(uint(), 9), '9f01ff'],
    ['a float', uint(), 'f93c00'],
    ['a negative integer', uint(), '20'],
    ['an integer beyond 2^53', uint(), '1b0020000000000000'],
    ['undefined', nullable(uint()), 'f7'],
    ['a tag', uint(), 'c101'],
    ['bytes behind the end', uint(), '0101'],
    ['nothing', uint(), ''],
    ['a break', uint(), 'ff'],
    ['less than announced', bytesUpTo(100), '5820aa'],
    ['more items than can be', list(uint(), 9), '9bffffffffffffffff'],
    ['names out of order', textRecord({ entries: 9, nameBytes: 9, valueBytes: 9 }), 'a26162616061616160'],
    ['a name twice', textRecord({ entries: 9, nameBytes: 9, valueBytes: 9 }), 'a26161606161 60'.replaceAll(' ', '')],
    ['brackets without end', list(uint(), 9), '81'.repeat(100_000)],
    ['maps without end', uint(), 'a161'.repeat(1000)],
  ] as [string, Codec<unknown>, string][])('not %s', (_, codec, bytesOfIt) => {
    expect(() => decode(codec, fromHex(bytesOfIt), 1_000_000)).toThrow(WireError);
  });

  it('brackets without end are refused for what they are, long before the stack ends', () => {
    expect(() => decode(list(uint(), 9), fromHex('81'.repeat(13)), 100)).toThrow('nested deeper than 12');
  });

  it('whatever is taken encodes to the same bytes again', () => {
    const any = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(any, (from) => {
        let value: Thing;
        try {
          value = decode(thing, from, 100);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
          return;
        }
        expect(toHex(encode(thing, value))).toBe(toHex(from));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('limits hold both ways', () => {
  it.each([
    [uint(5), 6],
    [uint(5, 2), 1],
    [bytes(2), fromHex('aa')],
    [bytesUpTo(1), fromHex('aabb')],
    [hex(2), 'aa'],
    [hex(2), 'AABB'],
    [text(2), 'é€'],
    [list(uint(), 1), [1, 2]],
    [oneOf('a', 'b'), 'c'],
    [textRecord({ entries: 1, nameBytes: 1, valueBytes: 1 }), { a: '', b: '' }],
    [where(uint(), (one) => (one % 2 ? 'odd' : null)), 3],
    [union<{ kind: 'a'; n: number }>({ a: struct({ n: uint() }) }), { kind: 'b', n: 1 }],
    [uint(), -0],
    [uint(), 1.5],
  ] as [Codec<unknown>, unknown][])('%#', (codec, value) => {
    expect(() => encode(codec, value)).toThrow(WireError);
  });

  it('in bytes as well', () => {
    expect(() => decode(uint(), fromHex('1818'), 1)).toThrow('At most 1 bytes');
    expect(() => decode(list(uint(), 1), fromHex('820102'), 10)).toThrow('a list of at most 1');
    expect(() => decode(union<{ kind: 'a'; n: number }>({ a: struct({ n: uint() }) }), fromHex('82616201'), 10)).toThrow(
      'Unknown kind',
    );
    expect(() =>
      decode(union<{ kind: 'a'; n: number }>({ a: struct({ n: uint() }) }), fromHex('82696861734f776e50726f01'), 20),
    ).toThrow(WireError);
  });
});
