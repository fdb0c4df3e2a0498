// Who is who: Ed25519 key pairs from 32-byte seeds, boxes for one reader (X25519), the 24 words, and the
// tree of secrets that hangs from them. Bytes of chance are arguments.
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign as cryptoSign,
  verify as cryptoVerify,
  type KeyObject,
} from 'node:crypto';
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { concat } from './bytes.ts';
import { fromHex, toHex } from './ids.ts';
import { hkdf } from './hkdf.ts';
import { open, OpenError, seal, ZERO_NONCE } from './sealing.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';

export interface KeyPair {
  publicKey: PublicKey;
  /** 32 bytes. */
  seed: Uint8Array;
}

/** What the 24 words are worth. */
export interface Owner {
  keyPair: KeyPair;
  /** 32 bytes; opens everything the account stores. */
  accountSecret: Uint8Array;
}

export class WordsError extends Error {
  readonly code = 'BadWords';
  constructor(message: string) {
    super(message);
    this.name = 'WordsError';
  }
}

// ---- Ed25519 --------------------------------------------------------------------------------

// DER around 32 raw bytes: the fastest way into a KeyObject.
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');

const privateKeys = new WeakMap<Uint8Array, KeyObject>();
/** Importing a key costs a fifth of a verification; farmers see the same few thousand signers again and again. */
const MAX_CACHED_KEYS = 4096;
const publicKeys = new Map<PublicKey, KeyObject>();

export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  const key = privateKey(seed);
  return { publicKey: rawPublicKey(key), seed };
}

/** Ed25519, 64 bytes. The same key and bytes always give the same signature. */
export function sign(key: KeyPair, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(cryptoSign(null, bytes, privateKey(key.seed)));
}

/** False for a wrong signature, a wrong length and a public key that is none. */
export function verify(publicKey: PublicKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    return cryptoVerify(null, bytes, publicKeyObject(publicKey), signature);
  } catch {
    return false;
  }
}

function privateKey(seed: Uint8Array): KeyObject {
  let key = privateKeys.get(seed);
  if (!key) {
    key = importPrivate(PKCS8_ED25519, seed);
    privateKeys.set(seed, key);
  }
  return key;
}

function publicKeyObject(publicKey: PublicKey): KeyObject {
  let key = publicKeys.get(publicKey);
  if (!key) {
    key = importPublic(SPKI_ED25519, publicKey);
    if (publicKeys.size >= MAX_CACHED_KEYS) publicKeys.delete(publicKeys.keys().next().value ?? '');
    publicKeys.set(publicKey, key);
  }
  return key;
}

function importPrivate(prefix: Uint8Array, seed: Uint8Array): KeyObject {
  if (seed.length !== 32) throw new RangeError(`A seed has 32 bytes, not ${seed.length}.`);
  return createPrivateKey({ key: Buffer.from(concat(prefix, seed).buffer), format: 'der', type: 'pkcs8' });
}

function importPublic(prefix: Uint8Array, publicKey: string): KeyObject {
  return createPublicKey({ key: Buffer.from(concat(prefix, fromHex(publicKey, 32)).buffer), format: 'der', type: 'spki' });
}

function rawPublicKey(key: KeyObject): string {
  return toHex(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32));
}

// ---- boxes ----------------------------------------------------------------------------------

const BOX_VERSION = 1;
const BOX_HEADER_BYTES = 33;

/** X25519 public key (hex) that goes with an Ed25519 seed: what others seal to. */
export function boxPublicKey(seed: Uint8Array): string {
  return rawPublicKey(boxPrivateKey(seed));
}

/** Only the holder of the box's seed opens it. `random32` must be fresh. Version ‖ ephemeral key ‖ ciphertext ‖ tag. */
export function sealTo(boxKey: string, plain: Uint8Array, random32: Uint8Array): Uint8Array {
  const ephemeral = importPrivate(PKCS8_X25519, random32);
  const header = concat(Uint8Array.of(BOX_VERSION), fromHex(rawPublicKey(ephemeral), 32));
  const shared = diffieHellman({ privateKey: ephemeral, publicKey: importPublic(SPKI_X25519, boxKey) });
  const key = hkdf(shared, 'storj/1 box', 32, concat(header.subarray(1), fromHex(boxKey, 32)));
  return concat(header, seal(key, ZERO_NONCE, plain, header));
}

/** Throws OpenError. */
export function openSealed(seed: Uint8Array, sealed: Uint8Array): Uint8Array {
  if (sealed.length < BOX_HEADER_BYTES || sealed[0] !== BOX_VERSION) {
    throw new OpenError('Not a sealed box of a version that this program knows.');
  }
  const header = sealed.subarray(0, BOX_HEADER_BYTES);
  const own = boxPrivateKey(seed);
  let shared: Uint8Array;
  try {
    shared = diffieHellman({ privateKey: own, publicKey: importPublic(SPKI_X25519, toHex(header.subarray(1))) });
  } catch (cause) {
    throw new OpenError('The box names a key that is none.', { cause });
  }
  const key = hkdf(shared, 'storj/1 box', 32, concat(header.subarray(1), fromHex(rawPublicKey(own), 32)));
  return open(key, ZERO_NONCE, sealed.subarray(BOX_HEADER_BYTES), header);
}

function boxPrivateKey(seed: Uint8Array): KeyObject {
  return importPrivate(PKCS8_X25519, hkdf(seed, 'storj/1 box key', 32));
}

// ---- words ----------------------------------------------------------------------------------

const KNOWN_WORDS = new Set(wordlist);

/** 32 bytes as 24 words (BIP 39, English). */
export function wordsFromEntropy(entropy: Uint8Array): string {
  if (entropy.length !== 32) throw new RangeError(`24 words carry 32 bytes, not ${entropy.length}.`);
  return entropyToMnemonic(entropy, wordlist);
}

/** The 32 bytes. Case and spacing don't matter. Throws WordsError, which names the word that is wrong. */
export function entropyFromWords(words: string): Uint8Array {
  const list = words.normalize('NFKD').trim().toLowerCase().split(/\s+/);
  const bad = list.findIndex((word) => !KNOWN_WORDS.has(word));
  if (bad >= 0 && list[bad] !== '') {
    throw new WordsError(`Word ${bad + 1} ("${list[bad]?.slice(0, 32)}") isn't in the BIP 39 list. Check its spelling.`);
  }
  if (list.length !== 24 || list[0] === '') {
    throw new WordsError(`Expected 24 words, got ${list[0] === '' ? 0 : list.length}.`);
  }
  try {
    return mnemonicToEntropy(list.join(' '), wordlist);
  } catch {
    throw new WordsError("The 24 words are all known, but their checksum doesn't fit: one is wrong or two are swapped.");
  }
}

// ---- the tree of secrets --------------------------------------------------------------------

export function ownerFromEntropy(entropy: Uint8Array): Owner {
  if (entropy.length !== 32) throw new RangeError(`An owner comes from 32 bytes, not ${entropy.length}.`);
  return {
    keyPair: keyPairFromSeed(hkdf(entropy, 'storj/1 owner key', 32)),
    accountSecret: hkdf(entropy, 'storj/1 account secret', 32),
  };
}

/** Repairers of one farm have one Secret and a key each: the first that in the Secret, the others what follows from it. */
export function repairerSeed(seed: Uint8Array, number: number): Uint8Array {
  return number === 0 ? seed : hkdf(seed, `storj/1 repairer ${number}`, 32);
}

export function bucketSecret(accountSecret: Uint8Array, bucketId: BucketId): Uint8Array {
  return hkdf(accountSecret, 'storj/1 bucket secret', 32, fromHex(bucketId, 16));
}

/** A new warrant set starts a new epoch: the old repairer reads nothing new. */
export function repairKey(accountSecret: Uint8Array, repairEpoch: number): Uint8Array {
  const epoch = Buffer.alloc(8);
  epoch.writeBigUInt64BE(BigInt(repairEpoch));
  return hkdf(accountSecret, 'storj/1 repair key', 32, epoch);
}

/** One bucket's share of an epoch's key: what a writer of that bucket gets, and nothing of the others. */
export function bucketRepairKey(keyOfEpoch: Uint8Array, bucketId: BucketId): Uint8Array {
  return hkdf(keyOfEpoch, 'storj/1 bucket repair key', 32, fromHex(bucketId, 16));
}

export function ownerPartKey(secretOfBucket: Uint8Array, logId: PublicKey): Uint8Array {
  return hkdf(secretOfBucket, 'storj/1 owner part', 32, fromHex(logId, 32));
}

export function repairPartKey(keyOfBucket: Uint8Array, logId: PublicKey): Uint8Array {
  return hkdf(keyOfBucket, 'storj/1 repair part', 32, fromHex(logId, 32));
}
