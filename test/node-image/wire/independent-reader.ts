// A second implementation of PROTOCOL.md, for reading: node:crypto, hash-wasm's BLAKE3, a CBOR reader and
// a slow erasure code of its own. It imports nothing of the product, and takes the structs from the page.
import { createDecipheriv, createPublicKey, diffieHellman, hkdfSync, createPrivateKey, verify } from 'node:crypto';
import { createBLAKE3 } from 'hash-wasm';

// ---- bytes ----------------------------------------------------------------------------------

const blake3Hasher = await createBLAKE3();
export function blake3(...parts: Uint8Array[]): Buffer {
  blake3Hasher.init();
  for (const part of parts) blake3Hasher.update(part);
  return Buffer.from(blake3Hasher.digest('binary'));
}
export const unhex = (text: string): Buffer => Buffer.from(text, 'hex');
export function u32(value: number): Buffer {
  return unhex(value.toString(16).padStart(8, '0'));
}
export function u64(value: number): Buffer {
  return unhex(value.toString(16).padStart(16, '0'));
}
export function hkdf(secret: Uint8Array, label: string, length: number, salt: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, label, length));
}
export function openGcm(key: Uint8Array, nonce: Uint8Array, sealed: Buffer, data: Uint8Array): Buffer {
  const gcm = createDecipheriv('aes-256-gcm', key, nonce);
  gcm.setAAD(data);
  gcm.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([gcm.update(sealed.subarray(0, -16)), gcm.final()]);
}
export function isSigned(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') },
  });
  return verify(null, message, key, signature);
}
/** Box of section 2. `reader` is the public key that goes with the seed's box key. */
export function openBox(seed: Uint8Array, reader: Uint8Array, box: Buffer): Buffer {
  const jwk = (x: Uint8Array) => ({ kty: 'OKP', crv: 'X25519', x: Buffer.from(x).toString('base64url') });
  const d = hkdf(seed, 'storj/1 box key', 32).toString('base64url');
  const privateKey = createPrivateKey({ format: 'jwk', key: { ...jwk(reader), d } });
  const publicKey = createPublicKey({ format: 'jwk', key: jwk(box.subarray(1, 33)) });
  const shared = diffieHellman({ privateKey, publicKey });
  const key = hkdf(shared, 'storj/1 box', 32, Buffer.concat([box.subarray(1, 33), reader]));
  return openGcm(key, Buffer.alloc(12), box.subarray(33), box.subarray(0, 33));
}

// ---- CBOR -----------------------------------------------------------------------------------

/** Numbers, Buffers, strings, arrays, Maps, true, false, null. */
export function readCbor(bytes: Buffer): unknown {
  let at = 0;
  const take = (length: number) => {
    if (at + length > bytes.length) throw new Error('cut off');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const argument = (low: number) => {
    if (low < 24) return low;
    const length = { 24: 1, 25: 2, 26: 4, 27: 8 }[low];
    if (length === undefined) throw new Error('not deterministic');
    const value = Number(`0x${take(length).toString('hex')}`);
    if (value < { 1: 24, 2: 0x100, 4: 0x1_0000, 8: 0x1_0000_0000 }[length]!) throw new Error('longer than needed');
    return value;
  };
  const items = (count: number) => Array.from({ length: count }, value);
  function value(): unknown {
    const first = take(1)[0]!;
    const low = first & 31;
    switch (first >> 5) {
      case 0:
        return argument(low);
      case 2:
        return take(argument(low));
      case 3:
        return take(argument(low)).toString('utf8');
      case 4:
        return items(argument(low));
      case 5:
        return new Map(Array.from({ length: argument(low) }, () => [value(), value()]));
      default:
        if (first === 0xf4 || first === 0xf5) return first === 0xf5;
        if (first === 0xf6) return null;
        throw new Error(`type ${first} is not used`);
    }
  }
  const result = value();
  if (at !== bytes.length) throw new Error('bytes behind the end');
  return result;
}

// ---- the structs of the page ----------------------------------------------------------------

export type Reader = (value: unknown) => unknown;
/** A struct without its kind keeps names and values; bytes come as hex, absent values not at all. */
export function readersOf(page: string): Map<string, Reader> {
  const readers = new Map<string, Reader>();
  for (const [, block] of page.matchAll(/```struct\n([^]*?)```/g)) {
    for (const line of block!.split('\n').filter((one) => one.includes('='))) {
      const [name, definition] = line.split(/\s*=\s*/) as [string, string];
      readers.set(name.trim(), parse(definition.replace(/;.*/, '').trim(), readers));
    }
  }
  return readers;
}

function parse(type: string, readers: Map<string, Reader>): Reader {
  const choices = cut(type, '/');
  if (choices.length > 1) return oneOf(choices.map((one) => parse(one, readers)));
  if (type.endsWith('?')) {
    const inner = parse(type.slice(0, -1), readers);
    return (value) => (value === null ? undefined : inner(value));
  }
  if (type === '{text: text}') return (value) => Object.fromEntries(expect(value instanceof Map && value));
  if (type.startsWith('[')) {
    const inside = type.slice(1, -1).trim();
    const fields = inside === '' ? [] : cut(inside, ',');
    const isList = fields.length === 1 && !/^("|[\w-]+:)/.test(fields[0]!);
    return isList ? listOf(parse(inside, readers)) : structOf(fields, readers);
  }
  const sized = /^bytes(\d*)$/.exec(type);
  if (sized) {
    return (value) => {
      const bytes = expect(Buffer.isBuffer(value) && value);
      expect(sized[1] === '' || bytes.length === Number(sized[1]));
      return bytes.toString('hex');
    };
  }
  const typeOf = { uint: 'number', text: 'string', bool: 'boolean' }[type];
  if (typeOf) return (value) => (expect(typeof value === typeOf), value);
  return (value) => expect(readers.get(type))(value);
}

function structOf(fields: string[], readers: Map<string, Reader>): Reader {
  const parsed = fields.map((field) => {
    if (field.startsWith('"'))
      return { name: 'kind', read: (value: unknown) => (expect(`"${value as string}"` === field), value) };
    const [name, ...type] = field.split(':');
    return { name: name!, read: parse(type.join(':').trim(), readers) };
  });
  return (value) => {
    const items = expect(Array.isArray(value) && value);
    expect(items.length === parsed.length);
    const entries = parsed.map(({ name, read }, i) => [name, read(items[i])] as const);
    return Object.fromEntries(entries.filter(([, one]) => one !== undefined));
  };
}

function listOf(read: Reader): Reader {
  return (value) => expect(Array.isArray(value) && value).map((one: unknown) => read(one) ?? null);
}

function oneOf(readers: Reader[]): Reader {
  return (value) => {
    for (const read of readers) {
      try {
        return read(value);
      } catch {
        continue;
      }
    }
    throw new Error('none of the choices');
  };
}

/** Splits at a sign that is in no bracket. */
function cut(text: string, sign: string): string[] {
  const parts = [''];
  let depth = 0;
  for (const letter of text) {
    if ('[{'.includes(letter)) depth++;
    if (']}'.includes(letter)) depth--;
    if (letter === sign && depth === 0) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts.map((part) => part.trim());
}

function expect<T>(value: T | false | undefined): T {
  if (value === false || value === undefined) throw new Error('not as the page says');
  return value;
}

// ---- trees and codes ------------------------------------------------------------------------

export function treeRoot(hashes: Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0]!;
  let half = 1;
  while (half * 2 < hashes.length) half *= 2;
  return blake3(Buffer.of(1), treeRoot(hashes.slice(0, half)), treeRoot(hashes.slice(half)));
}

/** Root from a range of hashes and its proof, walking as section 3.3 says. */
export function rootFromProof(total: number, first: number, hashes: Buffer[], proof: Buffer[]): Buffer {
  const rest = [...proof];
  const walk = (from: number, to: number): Buffer => {
    if (to <= first || from >= first + hashes.length) return rest.shift()!;
    if (to - from === 1) return hashes[from - first]!;
    let half = 1;
    while (half * 2 < to - from) half *= 2;
    return blake3(Buffer.of(1), walk(from, from + half), walk(from + half, to));
  };
  return walk(0, total);
}

function times(a: number, b: number): number {
  let product = 0;
  for (let x = a, y = b; y > 0; y >>= 1) {
    if (y & 1) product ^= x;
    x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
  }
  return product;
}
function over(a: number): number {
  for (let b = 1; b < 256; b++) if (times(a, b) === 1) return b;
  throw new Error('zero');
}

/** Shard i ≥ k out of k data shards. */
export function parityShard(data: Buffer[], i: number): Buffer {
  const out = Buffer.alloc(data[0]!.length);
  for (const [j, shard] of data.entries()) {
    const factor = over(i ^ j);
    const products = Array.from({ length: 256 }, (_, value) => times(value, factor));
    for (let b = 0; b < out.length; b++) out[b]! ^= products[shard[b]!]!;
  }
  return out;
}

/** Pieces of a segment's ciphertext: section 3.2. */
export function cutPieces(cipher: Buffer, k: number, n: number): Buffer[] {
  const leaf = 65_536;
  const pieces = Array.from({ length: n }, () => [] as Buffer[]);
  for (let start = 0; start < cipher.length; start += k * leaf) {
    const stripe = cipher.subarray(start, start + k * leaf);
    const size = Math.ceil(Math.ceil(stripe.length / k) / 16) * 16;
    const padded = Buffer.concat([stripe, Buffer.alloc(k * size - stripe.length)]);
    const data = Array.from({ length: k }, (_, i) => padded.subarray(i * size, (i + 1) * size));
    for (const [i, piece] of pieces.entries()) piece.push(i < k ? data[i]! : parityShard(data, i));
  }
  return pieces.map((shards) => Buffer.concat(shards));
}
