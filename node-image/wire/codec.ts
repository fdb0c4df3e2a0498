// Deterministic CBOR by schema. A struct is an array of its fields in a fixed order, a union starts with
// its kind, ids and keys are byte strings. Every length is bounded, in both directions, and whatever is
// wrong with bytes from outside comes out as one class: WireError.
import { decode as decodeCbor, encode as encodeCbor, Tokenizer, Type, type Token } from 'cborg';
import { fromHex, isHex, toHex } from '#node/core/ids.ts';

/** Bytes that no honest peer sends, or values that no honest peer would accept. */
export class WireError extends Error {
  readonly code = 'Malformed';
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'WireError';
  }
}

/** Between a value in memory and what cborg reads and writes. Both directions throw WireError. */
export interface Codec<T> {
  toCbor(value: T): unknown;
  fromCbor(value: unknown): T;
}
export interface OptionalCodec<T> extends Codec<T> {
  readonly optional: true;
}

// ---- bytes ----------------------------------------------------------------------------------

/** No message nests deeper; a flood of opening brackets ends here and not in the stack. */
const MAX_DEPTH = 12;
const READ_OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
  retainStringBytes: true,
  useMaps: true,
};

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = encodeCbor(codec.toCbor(value));
  // In Node cborg gives Buffers, small ones as slices of the shared pool.
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes);
}

/** Throws WireError for anything but the one encoding of a valid value of at most `maxBytes`. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array, maxBytes: number): T {
  if (bytes.length > maxBytes) throw new WireError(`At most ${maxBytes} bytes are taken here, got ${bytes.length}.`);
  let value: unknown;
  try {
    value = decodeCbor(bytes, { ...READ_OPTIONS, tokenizer: new StrictTokenizer(bytes) });
  } catch (cause) {
    throw new WireError(`Not deterministic CBOR: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  return codec.fromCbor(value);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** cborg's own, with a limit on depth and with texts read to the letter (it repairs bad UTF-8 and drops a BOM). */
class StrictTokenizer {
  readonly #inner: Tokenizer;
  /** How many items each open array or map still waits for. */
  readonly #open: number[] = [];

  constructor(bytes: Uint8Array) {
    this.#inner = new Tokenizer(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), READ_OPTIONS);
  }
  done(): boolean {
    return this.#inner.done();
  }
  pos(): number {
    return this.#inner.pos();
  }
  next(): Token {
    const token = this.#inner.next();
    this.#track(token);
    if (token.type === Type.float) throw new WireError('fractions are not used');
    if (token.type === Type.string && token.byteValue) exactText(token, token.byteValue);
    return token;
  }

  #track(token: Token): void {
    const last = this.#open.length - 1;
    if (last >= 0) this.#open[last]! -= 1;
    if (token.type === Type.array && token.value > 0) this.#open.push(token.value);
    else if (token.type === Type.map && token.value > 0) this.#open.push(2 * token.value);
    else while (this.#open.at(-1) === 0) this.#open.pop();
    if (this.#open.length > MAX_DEPTH) throw new WireError(`nested deeper than ${MAX_DEPTH}`);
  }
}

function exactText(token: Token, bytes: Uint8Array): void {
  const text: string = token.value;
  if (Buffer.byteLength(text) === bytes.length && !text.includes('\ufffd')) return;
  token.value = utf8.decode(bytes);
}

// ---- plain values ---------------------------------------------------------------------------

function checked<T>(what: string, isValid: (value: unknown) => value is T): Codec<T> {
  const check = (value: unknown): T => {
    if (!isValid(value)) throw new WireError(`Expected ${what}, got ${shown(value)}.`);
    return value;
  };
  return { toCbor: check, fromCbor: check };
}

function shown(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return value === null || typeof value !== 'object' ? String(value) : value.constructor.name;
}

/** Integer from 0 (or `min`) to `max`. */
export function uint(max: number = Number.MAX_SAFE_INTEGER, min = 0): Codec<number> {
  return checked(`an integer from ${min} to ${max}`, (value): value is number => {
    return typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0) && value >= min && value <= max;
  });
}

export const bool: Codec<boolean> = checked('true or false', (value) => typeof value === 'boolean');

/** Byte string of exactly `length`, or of up to `max`. */
export function bytes(length: number): Codec<Uint8Array> {
  return checked(`${length} bytes`, (value): value is Uint8Array => value instanceof Uint8Array && value.length === length);
}
export function bytesUpTo(max: number): Codec<Uint8Array> {
  return checked(`at most ${max} bytes`, (value): value is Uint8Array => value instanceof Uint8Array && value.length <= max);
}

/** Hex in memory, `length` bytes on the wire. */
export function hex(length: number): Codec<string> {
  const inner = bytes(length);
  return {
    toCbor(value) {
      if (!isHex(value, length)) throw new WireError(`Expected ${length} bytes in lowercase hex, got ${shown(value)}.`);
      return fromHex(value, length);
    },
    fromCbor: (value) => toHex(inner.fromCbor(value)),
  };
}
/** Public keys and hashes. */
export const hex32 = hex(32);

/** UTF-8 of at most `maxBytes`; lone surrogates can't be written. */
export function text(maxBytes: number): Codec<string> {
  return checked(`a text of at most ${maxBytes} bytes`, (value): value is string => {
    return typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= maxBytes;
  });
}

export function oneOf<const T extends string>(...values: readonly T[]): Codec<T> {
  return checked(`one of ${values.join(', ')}`, (value): value is T => (values as readonly unknown[]).includes(value));
}

// ---- made of others -------------------------------------------------------------------------

export function list<T>(item: Codec<T>, max: number): Codec<T[]> {
  const check = (value: unknown): unknown[] => {
    if (!Array.isArray(value) || value.length > max)
      throw new WireError(`Expected a list of at most ${max}, got ${shown(value)}.`);
    return value;
  };
  return {
    toCbor: (value) => check(value).map((one) => item.toCbor(one as T)),
    fromCbor: (value) => check(value).map((one) => item.fromCbor(one)),
  };
}

/** null on both sides. */
export function nullable<T>(item: Codec<T>): Codec<T | null> {
  return {
    toCbor: (value) => (value === null ? null : item.toCbor(value)),
    fromCbor: (value) => (value === null ? null : item.fromCbor(value)),
  };
}

/** A property that may be absent in memory; null on the wire. */
export function optional<T>(item: Codec<T>): OptionalCodec<T> {
  return { ...item, optional: true };
}

/** Texts by name: a CBOR map, shorter names first, then by bytes. */
export function textRecord(limits: { entries: number; nameBytes: number; valueBytes: number }): Codec<Record<string, string>> {
  const name = text(limits.nameBytes);
  const content = text(limits.valueBytes);
  const checkCount = (count: number) => {
    if (count > limits.entries) throw new WireError(`At most ${limits.entries} entries are taken here, got ${count}.`);
  };
  return {
    toCbor(value) {
      const entries = Object.entries(value);
      checkCount(entries.length);
      return new Map(entries.map(([key, one]) => [name.toCbor(key), content.toCbor(one)]));
    },
    fromCbor(value) {
      if (!(value instanceof Map)) throw new WireError(`Expected a map, got ${shown(value)}.`);
      checkCount(value.size);
      const entries = [...value].map(([key, one]): [string, string] => [name.fromCbor(key), content.fromCbor(one)]);
      const isSorted = entries.every(([key], i) => i === 0 || mapOrder(entries[i - 1]![0], key) < 0);
      if (!isSorted) throw new WireError('The names of a map are not in order.');
      // fromEntries defines properties, so that a name like __proto__ is just a name.
      return Object.fromEntries(entries);
    },
  };
}

function mapOrder(a: string, b: string): number {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length - right.length || Buffer.compare(left, right);
}

/** Fields in wire order. A property that may be absent needs `optional`. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? OptionalCodec<Exclude<T[K], undefined>> : Codec<T[K]>;
};
export interface StructCodec<T> extends Codec<T> {
  toCbor(value: T): unknown[];
}

/**
 * An array with exactly these fields, in the order written here. `open` structs (heads of calls) take
 * longer arrays too and ignore what they don't know; nothing signed or sealed is open.
 */
export function struct<T extends object>(fields: Fields<T>, options: { open?: boolean } = {}): StructCodec<T> {
  const entries = Object.entries(fields) as [string & keyof T, Codec<unknown> & { optional?: true }][];
  return {
    toCbor(value) {
      const out = Array.from<unknown>({ length: entries.length });
      eachField(entries, (name, codec, i) => {
        const one = value[name];
        out[i] = codec.optional && one === undefined ? null : codec.toCbor(one);
      });
      return out;
    },
    fromCbor(value) {
      const fits = Array.isArray(value) && (options.open ? value.length >= entries.length : value.length === entries.length);
      if (!fits) throw new WireError(`Expected ${entries.length} fields, got ${shown(value)}.`);
      const out: Partial<T> = {};
      eachField(entries, (name, codec, i) => {
        if (codec.optional && value[i] === null) return;
        out[name] = codec.fromCbor(value[i]) as T[typeof name];
      });
      return out as T;
    },
  };
}

function eachField<Name extends string, C>(entries: readonly [Name, C][], run: (name: Name, codec: C, i: number) => void): void {
  let i = 0;
  try {
    for (; i < entries.length; i++) run(entries[i]![0], entries[i]![1], i);
  } catch (cause) {
    throw named(entries[i]![0], cause);
  }
}

/** Says in which field it happened. */
function named(name: string, cause: unknown): unknown {
  return cause instanceof WireError ? new WireError(`${name}: ${cause.message}`, { cause: cause.cause }) : cause;
}

/** One of several structs, told apart by `kind`: [kind, …fields]. */
export function union<T extends { kind: string }>(kinds: {
  readonly [K in T['kind']]: StructCodec<Omit<Extract<T, { kind: K }>, 'kind'>>;
}): Codec<T> {
  const known = new Map(Object.entries(kinds) as [string, StructCodec<object>][]);
  const codecOf = (kind: unknown) => {
    const codec = known.get(kind as string);
    if (!codec) throw new WireError(`Unknown kind ${shown(kind)}.`);
    return codec;
  };
  return {
    toCbor: (value) => [value.kind, ...codecOf(value.kind).toCbor(value)],
    fromCbor(value) {
      if (!Array.isArray(value)) throw new WireError(`Expected a list that starts with its kind, got ${shown(value)}.`);
      const [kind, ...rest] = value as unknown[];
      const codec = codecOf(kind);
      try {
        return { kind, ...codec.fromCbor(rest) } as unknown as T;
      } catch (cause) {
        throw named(String(kind), cause);
      }
    },
  };
}

/** A codec with one more condition on its values. */
export function where<T>(codec: Codec<T>, problem: (value: T) => string | null): Codec<T> {
  const check = (value: T): T => {
    const wrong = problem(value);
    if (wrong) throw new WireError(wrong);
    return value;
  };
  return { toCbor: (value) => codec.toCbor(check(value)), fromCbor: (value) => check(codec.fromCbor(value)) };
}
