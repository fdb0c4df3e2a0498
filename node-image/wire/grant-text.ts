// Grants and asks as text that people can pass on: `sj-grant/1:…` has everything that is needed to use a
// bucket from an empty machine, `sj-ask/1:…` what an app would like to have.
import { VERBS } from '#node/core/grants.ts';
import {
  bytes,
  bytesUpTo,
  decode,
  encode,
  hex32,
  list,
  nullable,
  oneOf,
  struct,
  text,
  uint,
  where,
  WireError,
  type Codec,
} from './codec.ts';
import { address, type Referral } from './calls.ts';
import { MAX_CHAIN_BYTES } from './grants.ts';
import { MAX_KEY_BYTES, MAX_REPAIR_EPOCHS, type PublicKey, type Verb } from './types.ts';

/** Read and write, each with its own terms, and some to spare. */
export const MAX_CHAINS = 4;
/** Any one of them tells of the others. */
export const MAX_GRANT_FARMERS = 9;
const MAX_NAME_BYTES = 255;
const MAX_TEXT_BYTES = 128 * 1024;

export interface GrantText {
  /** All for one holder and one bucket. */
  chains: Uint8Array[];
  /** A box for the holder around GrantKeys. */
  sealedKeys: Uint8Array;
  /** Control key of the farm. */
  farm: PublicKey;
  farmers: Referral[];
  /** Of the holder's key, where whoever has the text is the holder. */
  seed: Uint8Array | null;
}
/** What the grant opens. */
export interface GrantKeys {
  /** For people. */
  bucketName: string;
  bucketSecret: Uint8Array;
  /** The bucket's repair keys, newest epoch first. */
  repairKeys: { epoch: number; key: Uint8Array }[];
}
/** An app's wish; the owner answers with a share (to read) or a grant. */
export interface GrantAsk {
  audience: PublicKey;
  /** X25519 key that belongs to it: what the answer is sealed to. */
  box: string;
  /** Of the app, for people. */
  name: string;
  bucketName: string;
  prefix: string;
  verbs: Verb[];
  budgetBytes: number | null;
  forMs: number;
}

const grantText = struct<GrantText>({
  chains: list(bytesUpTo(MAX_CHAIN_BYTES), MAX_CHAINS),
  sealedKeys: bytesUpTo(8 * 1024),
  farm: hex32,
  farmers: list(address, MAX_GRANT_FARMERS),
  seed: nullable(bytes(32)),
});
const grantKeys = struct<GrantKeys>({
  bucketName: text(MAX_NAME_BYTES),
  bucketSecret: bytes(32),
  repairKeys: list(struct<GrantKeys['repairKeys'][number]>({ epoch: uint(), key: bytes(32) }), MAX_REPAIR_EPOCHS + 1),
});
const grantAsk = where(
  struct<GrantAsk>({
    audience: hex32,
    box: hex32,
    name: text(MAX_NAME_BYTES),
    bucketName: text(MAX_NAME_BYTES),
    prefix: text(MAX_KEY_BYTES),
    verbs: list(oneOf(...VERBS), VERBS.length),
    budgetBytes: nullable(uint()),
    forMs: uint(),
  }),
  ({ verbs }) => (verbs.length > 0 ? null : 'An app asks for one verb at least.'),
);

export const encodeGrantKeys = (keys: GrantKeys): Uint8Array => encode(grantKeys, keys);
/** Throws WireError. */
export const decodeGrantKeys = (from: Uint8Array): GrantKeys => decode(grantKeys, from, MAX_TEXT_BYTES);

export const encodeGrantText = (grant: GrantText): string => toText('sj-grant/1:', grantText, grant);
/** Throws WireError. */
export const decodeGrantText = (from: string): GrantText => fromText('sj-grant/1:', grantText, from);
export const encodeAsk = (ask: GrantAsk): string => toText('sj-ask/1:', grantAsk, ask);
/** Throws WireError. */
export const decodeAsk = (from: string): GrantAsk => fromText('sj-ask/1:', grantAsk, from);

function toText<T>(scheme: string, codec: Codec<T>, value: T): string {
  return scheme + Buffer.from(encode(codec, value)).toString('base64url');
}

function fromText<T>(scheme: string, codec: Codec<T>, from: string): T {
  const trimmed = from.trim();
  if (!trimmed.startsWith(scheme)) throw new WireError(`The text begins with ${scheme}, or it is something else.`);
  const encoded = trimmed.slice(scheme.length);
  if (!/^[A-Za-z0-9_-]*$/.test(encoded) || encoded.length > 2 * MAX_TEXT_BYTES) {
    throw new WireError('The text was damaged on its way: it has letters that it never had.');
  }
  return decode(codec, new Uint8Array(Buffer.from(encoded, 'base64url')), MAX_TEXT_BYTES);
}
