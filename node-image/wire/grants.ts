// sj-grant/1: a chain of signed links, from the owner or a keeper of the bucket to whoever holds the grant.
// Any farmer checks it against the identity on the other end of the connection, with nothing but the
// owner's root statements; the rules are in core/grants.ts.
import {
  chainRights,
  checkTime,
  GrantError,
  MAX_GRANT_LINKS,
  revocationsOf,
  VERBS,
  type GrantLink,
  type GrantRights,
} from '#node/core/grants.ts';
import { blake3 } from '#node/core/hash.ts';
import { toHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { concat } from '#node/core/bytes.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { NONCE_BYTES, open, OpenError, seal } from '#node/core/sealing.ts';
import { bytesUpTo, decode, encode, hex32, list, struct, text, WireError } from './codec.ts';
import { decodeGrant, MAX_GRANT_BYTES, signStatement, verifySigned } from './statements.ts';
import {
  MAX_KEY_BYTES,
  type BucketId,
  type GrantStatement,
  type Hash,
  type PublicKey,
  type RevocationStatement,
  type Signed,
  type Verb,
} from './types.ts';

export type GrantChain = readonly Signed<GrantStatement>[];

export const MAX_CHAIN_BYTES = MAX_GRANT_LINKS * (MAX_GRANT_BYTES + 8) + 8;
const chainCodec = struct<{ links: Uint8Array[] }>({ links: list(bytesUpTo(MAX_GRANT_BYTES), MAX_GRANT_LINKS) });

export function encodeGrantChain(chain: GrantChain): Uint8Array {
  return encode(chainCodec, { links: chain.map(({ bytes }) => bytes) });
}
/** Well-formed, nothing else checked. Throws WireError. */
export function decodeGrantChain(from: Uint8Array): GrantChain {
  return decode(chainCodec, from, MAX_CHAIN_BYTES).links.map(decodeGrant);
}

/** Names a link in a revocation. */
export function grantId(link: Signed<GrantStatement>): Hash {
  return toHex(blake3(link.bytes));
}

/** As the rules in core/grants.ts take it. */
export const grantLink = (link: Signed<GrantStatement>): GrantLink => ({
  body: link.body,
  issuer: link.signer,
  id: grantId(link),
});

export interface GrantCheck {
  owner: PublicKey;
  /** Whose connection it is. */
  holder: PublicKey;
  /** Whether the owner's statements let this key grant the bucket (`*` = all): the owner, a keeper. */
  isIssuer(issuer: PublicKey, bucketId: BucketId | '*'): boolean;
}

/** Everything about a chain but time and revocations. Throws GrantError. */
export function provenRights(chain: GrantChain, { owner, holder, isIssuer }: GrantCheck): GrantRights {
  const rights = chainRights(chain.map(grantLink));
  const first = chain[0]!;
  if (rights.owner !== owner) throw new GrantError('WrongOwner', 'The grant is for the data of another owner.');
  if (rights.holder !== holder) throw new GrantError('WrongHolder', 'The grant is for another key than that of this connection.');
  if (!isIssuer(first.signer, first.body.bucketId)) {
    throw new GrantError('UnknownIssuer', 'The grant was not issued by the owner or a keeper of the bucket.');
  }
  if (!chain.every((link) => verifySigned(link)))
    throw new GrantError('WrongSignature', 'A link of the grant is signed wrongly.');
  return rights;
}

/** What the holder may do now. Throws GrantError. */
export function verifyGrant(
  chain: GrantChain,
  check: GrantCheck & { nowMs: number; revocations: readonly RevocationStatement[] },
): GrantRights {
  const rights = provenRights(chain, check);
  checkTime(rights, check.nowMs);
  if (revocationsOf(rights, check.revocations).length > 0)
    throw new GrantError('Revoked', 'The grant was taken back. Ask for a new one.');
  return rights;
}

export interface GrantTerms {
  audience: PublicKey;
  bucketId: BucketId | '*';
  verbs: readonly Verb[];
  /** Of keys that may be written and deleted. */
  prefix?: string;
  notBeforeMs: number;
  expiresMs: number;
  budgetBytes?: number | null;
}

/**
 * One more link: the first one by the owner or a keeper, the next by the holder of `chain`. `nonce16` must be
 * fresh. Throws GrantError where the terms are wider than what the issuer has.
 */
export function extendGrant(
  chain: GrantChain,
  issuer: KeyPair,
  terms: GrantTerms & { owner: PublicKey; nonce16: Uint8Array },
): GrantChain {
  const { owner, audience, bucketId, prefix = '', notBeforeMs, expiresMs, budgetBytes = null } = terms;
  const last = chain.at(-1);
  const link = signStatement<GrantStatement>(issuer, {
    kind: 'grant',
    owner,
    audience,
    bucketId,
    prefix,
    verbs: VERBS.filter((verb) => terms.verbs.includes(verb)),
    notBeforeMs,
    expiresMs,
    budgetBytes,
    parent: last ? grantId(last) : null,
    nonce: toHex(terms.nonce16),
  });
  const extended = [...chain, link];
  chainRights(extended.map(grantLink));
  return extended;
}

// ---- shares ---------------------------------------------------------------------------------

/** What a share shows, known to those who hold its secret. */
export interface ShareTerms {
  /** For people. */
  name: string;
  /** Keys below it are in the share, and no others. */
  prefix: string;
  /** X25519 key of the app: whoever keeps the share renews its grant. */
  box: string;
}
export const shareTerms = struct<ShareTerms>({ name: text(255), prefix: text(MAX_KEY_BYTES), box: hex32 });
const NO_DATA = new Uint8Array(0);

/** `nonce12` must be fresh. */
export function sealShareTerms(shareSecret: Uint8Array, terms: ShareTerms, nonce12: Uint8Array): Uint8Array {
  return concat(nonce12, seal(termsKey(shareSecret), nonce12, encode(shareTerms, terms), NO_DATA));
}

/** Throws WireError where the secret is another's or the terms are malformed. */
export function openShareTerms(shareSecret: Uint8Array, sealed: Uint8Array): ShareTerms {
  let plain: Uint8Array;
  try {
    plain = open(termsKey(shareSecret), sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), NO_DATA);
  } catch (cause) {
    if (cause instanceof OpenError) throw new WireError('This secret does not open these terms.', { cause });
    throw new WireError('The terms are cut off.', { cause });
  }
  return decode(shareTerms, plain, 2 * MAX_KEY_BYTES);
}

function termsKey(shareSecret: Uint8Array): Uint8Array {
  return hkdf(shareSecret, 'storj/1 share terms', 32);
}
