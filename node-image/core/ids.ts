// Ids, keys and hashes as text: lowercase hex in memory (map keys, ===), libp2p peer ids at the edges.
import type { PublicKey } from '#node/wire/types.ts';

export class IdError extends Error {
  readonly code = 'BadId';
  constructor(message: string) {
    super(message);
    this.name = 'IdError';
  }
}

/** Lowercase hex. Accepts any view, shared memory too. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Value of each lowercase digit by its character code; 16 for what is none. */
const DIGITS = new Uint8Array(256).fill(16);
for (let value = 0; value < 16; value++) DIGITS[value.toString(16).charCodeAt(0)] = value;

/**
 * The bytes of lowercase hex, in memory of their own; `bytes` demands a length. Throws IdError.
 * Digit by digit, since it is asked for dozens of times for each small object: for 32 bytes that takes a sixth of the
 * time of a check and Buffer's own reading.
 */
export function fromHex(hex: string, bytes?: number): Uint8Array<ArrayBuffer> {
  const sizeBytes = typeof hex === 'string' ? hex.length / 2 : NaN;
  if (!Number.isInteger(sizeBytes) || (bytes !== undefined && sizeBytes !== bytes)) throw notHex(hex, bytes);
  const out = new Uint8Array(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) {
    const high = DIGITS[hex.charCodeAt(2 * i)] ?? 16;
    const low = DIGITS[hex.charCodeAt(2 * i + 1)] ?? 16;
    if ((high | low) > 15) throw notHex(hex, bytes);
    out[i] = (high << 4) | low;
  }
  return out;
}

function notHex(hex: unknown, bytes?: number): IdError {
  const wanted = bytes === undefined ? 'lowercase hex' : `${bytes} bytes in lowercase hex`;
  return new IdError(`Expected ${wanted}, got ${JSON.stringify(String(hex).slice(0, 80))}.`);
}

/** Whether it is lowercase hex, of that many bytes where a length is given. */
export function isHex(value: unknown, bytes?: number): value is string {
  if (typeof value !== 'string' || value.length % 2 !== 0) return false;
  if (bytes !== undefined && value.length !== 2 * bytes) return false;
  return /^[0-9a-f]*$/.test(value);
}

export function isPublicKey(value: unknown): value is PublicKey {
  return isHex(value, 32);
}

// A libp2p peer id of an Ed25519 key is base58btc of the identity multihash (00 24) of the key's
// protobuf (type 1, 32 bytes of data): always 38 bytes with this prefix, always "12D3KooW…".
const PEER_ID_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);

/** libp2p peer id of an Ed25519 public key. */
export function peerIdOf(publicKey: PublicKey): string {
  return toBase58(Buffer.concat([PEER_ID_PREFIX, fromHex(publicKey, 32)]));
}

/** The key in a libp2p peer id. Throws IdError for anything but an Ed25519 peer id. */
export function publicKeyOf(peerId: string): PublicKey {
  const bytes = peerId.length <= 64 ? fromBase58(peerId) : null;
  const isEd25519 = bytes?.length === 38 && PEER_ID_PREFIX.every((byte, i) => bytes[i] === byte);
  if (!bytes || !isEd25519) throw new IdError(`Not the peer id of an Ed25519 key: ${JSON.stringify(peerId.slice(0, 80))}.`);
  return toHex(bytes.subarray(PEER_ID_PREFIX.length));
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

function toBase58(bytes: Uint8Array): string {
  let value = BigInt(`0x${toHex(bytes)}`);
  let text = '';
  for (; value > 0n; value /= 58n) text = BASE58.charAt(Number(value % 58n)) + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return '1'.repeat(zeros) + text;
}

function fromBase58(text: string): Uint8Array | null {
  let value = 0n;
  for (const letter of text) {
    const digit = BASE58.indexOf(letter);
    if (digit < 0) return null;
    value = value * 58n + BigInt(digit);
  }
  const hex = value.toString(16);
  const zeros = text.length - text.replace(/^1+/, '').length;
  return fromHex('00'.repeat(zeros) + (hex.length % 2 ? `0${hex}` : hex));
}
