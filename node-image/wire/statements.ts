// Everything signed: statements of owners, memberships, receipts, seal orders. One shape for all:
// 01 ‖ CBOR [body, signer, signature]; body = CBOR [kind, …fields]; Ed25519 over "storj-<kind>/1\0" ‖ body.
import { ascii, concat } from '#node/core/bytes.ts';
import { VERBS } from '#node/core/grants.ts';
import { sign, verify, type KeyPair } from '#node/core/keys.ts';
import {
  bytes,
  bytesUpTo,
  decode,
  encode,
  hex,
  hex32,
  list,
  nullable,
  oneOf,
  struct,
  text,
  uint,
  union,
  where,
  WireError,
  type Codec,
} from './codec.ts';
import {
  FORMAT_VERSION,
  type AuditWord,
  MAX_KEY_BYTES,
  type BucketId,
  type CutStatement,
  type GrantStatement,
  type CheckpointStatement,
  type LogClosedStatement,
  type LogOpenedStatement,
  type Membership,
  type Receipt,
  type ReplicaSetStatement,
  type ResetStatement,
  type RevocationStatement,
  type RoleStatement,
  type RootStatement,
  type SealOrder,
  type ShareStatement,
  type Signed,
  type Verb,
  type WarrantStatement,
} from './types.ts';

/** A sealed account secret or repair key: a box around 32 bytes has 81. */
const MAX_SEALED_BYTES = 256;
/** A box with the repair keys of up to MAX_REPAIR_EPOCHS epochs, 32 bytes each. */
const MAX_SEALED_KEYS_BYTES = 4096;
/** 2f + 1 with f ≤ 4 is 9; a repairer may add copies. */
const MAX_SET_MEMBERS = 32;
/** A warrant with this many is still one small statement (farms come by their control key). */
const MAX_WARRANT_NAMES = 1000;
const MAX_MEMBERSHIP_BYTES = 512;
export const MAX_CUT_STATEMENT_BYTES = 256;
/** Logs of one writer; each start of one may open another. */
const MAX_REVOKED_LOGS = 1000;
/** A prefix and a name, sealed. */
const MAX_SHARE_TERMS_BYTES = 2048;
/** One link: a prefix and some 400 bytes. */
export const MAX_GRANT_BYTES = 2048;
/** Five of them (wire/grants.ts). */
const MAX_CHAIN_BYTES = 11 * 1024;
/** Logs whose batches replicas may still hold; with 45 bytes each they fit into a statement. */
export const MAX_COVERED_LOGS = 1500;
/** A sealed reference to a manifest: key and placement of one segment, with up to 255 pieces. */
const MAX_REFERENCE_BYTES = 10 * 1024;
/** The largest is a warrant with all its names. */
export const MAX_STATEMENT_BYTES = 96 * 1024;
/** A bridge that opens a log every ten minutes for months stays below. */
export const MAX_STATEMENTS = 20_000;

const ms = uint();
const bucketId = hex(16);
const bucketOrAll: Codec<BucketId | '*'> = {
  toCbor: (value) => (value === '*' ? '*' : bucketId.toCbor(value)),
  fromCbor: (value) => (value === '*' ? '*' : bucketId.fromCbor(value)),
};

const role = struct<Omit<RoleStatement, 'kind'>>({
  owner: hex32,
  subject: hex32,
  role: oneOf('keeper', 'writer', 'reader'),
  bucketId: bucketOrAll,
  sealedSecret: bytesUpTo(MAX_SEALED_BYTES),
  issuedMs: ms,
});
const logOpened = struct<Omit<LogOpenedStatement, 'kind'>>({
  owner: hex32,
  bucketId,
  logId: hex32,
  writer: hex32,
  openedMs: ms,
  grant: nullable(bytesUpTo(MAX_CHAIN_BYTES)),
});
const logClosed = struct<Omit<LogClosedStatement, 'kind'>>({
  owner: hex32,
  bucketId,
  logId: hex32,
  lastSeq: uint(),
  lastHash: hex32,
  closedMs: ms,
});
const distinct = (names: readonly string[]) => (new Set(names).size === names.length ? null : 'A farmer is named twice.');
const replicaSet = struct<Omit<ReplicaSetStatement, 'kind'>>({
  owner: hex32,
  bucketId,
  epoch: uint(),
  f: uint(4),
  members: where(list(hex32, MAX_SET_MEMBERS), distinct),
  issuedMs: ms,
});
const warrant = struct<Omit<WarrantStatement, 'kind'>>({
  owner: hex32,
  repairer: hex32,
  repairEpoch: uint(),
  sealedRepairKey: bytesUpTo(MAX_SEALED_KEYS_BYTES),
  farms: list(hex32, MAX_WARRANT_NAMES),
  farmers: list(hex32, MAX_WARRANT_NAMES),
  issuedMs: ms,
});
const revocation = struct<Omit<RevocationStatement, 'kind'>>({
  owner: hex32,
  bucketId: bucketOrAll,
  revoked: hex32,
  logs: list(struct<RevocationStatement['logs'][number]>({ logId: hex32, lastSeq: uint() }), MAX_REVOKED_LOGS),
  issuedMs: ms,
});
const share = struct<Omit<ShareStatement, 'kind'>>({
  owner: hex32,
  shareId: bucketId,
  bucketId,
  audience: hex32,
  sealedTerms: bytesUpTo(MAX_SHARE_TERMS_BYTES),
  issuedMs: ms,
});
const inOrder = (verbs: readonly Verb[]) =>
  verbs.length > 0 && verbs.every((verb, i) => i === 0 || VERBS.indexOf(verbs[i - 1]!) < VERBS.indexOf(verb))
    ? null
    : 'Verbs are named once each, in their order, and one at least.';
const grant = struct<Omit<GrantStatement, 'kind'>>({
  owner: hex32,
  audience: hex32,
  bucketId: bucketOrAll,
  prefix: text(MAX_KEY_BYTES),
  verbs: where(list(oneOf(...VERBS), VERBS.length), inOrder),
  notBeforeMs: ms,
  expiresMs: ms,
  budgetBytes: nullable(uint()),
  parent: nullable(hex32),
  nonce: hex(16),
});
const logSeqs = list(struct<{ logId: string; seq: number }>({ logId: hex32, seq: uint() }), MAX_COVERED_LOGS);
const reset = struct<Omit<ResetStatement, 'kind'>>({ owner: hex32, bucketId, heads: logSeqs, issuedMs: ms });
const checkpoint = struct<Omit<CheckpointStatement, 'kind'>>({
  owner: hex32,
  bucketId,
  number: uint(undefined, 1),
  horizonMs: ms,
  covers: logSeqs,
  ownerManifest: bytesUpTo(MAX_REFERENCE_BYTES),
  repairManifest: bytesUpTo(MAX_REFERENCE_BYTES),
  issuedMs: ms,
});
const membership = struct<Omit<Membership, 'kind'>>({ farm: hex32, farmer: hex32, issuedMs: ms });
const receipt = struct<Omit<Receipt, 'kind'>>({
  farmer: hex32,
  owner: hex32,
  pieceId: hex32,
  pieceRoot: hex32,
  sizeBytes: uint(),
  durability: oneOf('fsynced', 'page-cache'),
  storedMs: ms,
  membership: nullable(bytesUpTo(MAX_MEMBERSHIP_BYTES)),
});
const cut = struct<Omit<CutStatement, 'kind'>>({ owner: hex32, cutMs: ms, contentHash: hex32 });
const audit = struct<Omit<AuditWord, 'kind'>>({
  farmer: hex32,
  auditor: hex32,
  owner: hex32,
  pieceId: hex32,
  leaf: uint(),
  nonce: hex32,
  leafHash: nullable(hex32),
  possession: nullable(hex32),
  atMs: ms,
});
const sealOrder = struct<Omit<SealOrder, 'kind'>>({ owner: hex32, bucketId, logId: hex32, issuedMs: ms });

const rootStatement = union<RootStatement>({
  role,
  'log-opened': logOpened,
  'log-closed': logClosed,
  'replica-set': replicaSet,
  warrant,
  revocation,
  share,
  checkpoint,
  reset,
});
export type SignedBody = RootStatement | Membership | Receipt | SealOrder | CutStatement | AuditWord | GrantStatement;
const anyBody = union<SignedBody>({
  role,
  'log-opened': logOpened,
  'log-closed': logClosed,
  'replica-set': replicaSet,
  warrant,
  revocation,
  share,
  grant,
  checkpoint,
  reset,
  membership,
  receipt,
  seal: sealOrder,
  cut,
  audit,
});

const envelope = struct<{ body: Uint8Array; signer: string; signature: Uint8Array }>({
  body: bytesUpTo(MAX_STATEMENT_BYTES),
  signer: hex32,
  signature: bytes(64),
});

/** Signs a body with the key whose word it is. */
export function signStatement<Body extends SignedBody>(key: KeyPair, body: Body): Signed<Body> {
  const bodyBytes = encode(anyBody, body);
  const signature = sign(key, signedBytes(body.kind, bodyBytes));
  const inner = encode(envelope, { body: bodyBytes, signer: key.publicKey, signature });
  return { body, signer: key.publicKey, bytes: concat(Uint8Array.of(FORMAT_VERSION), inner) };
}

/** Well-formed, signature not checked yet: see `verifySigned`. Throw WireError. */
export const decodeRootStatement = (from: Uint8Array): Signed<RootStatement> => decodeSigned(rootStatement, from);
/** A link of a grant. */
export const decodeGrant = (from: Uint8Array): Signed<GrantStatement> => decodeSigned(union<GrantStatement>({ grant }), from);
export const decodeMembership = (from: Uint8Array): Signed<Membership> => decodeSigned(union<Membership>({ membership }), from);
export const decodeReceipt = (from: Uint8Array): Signed<Receipt> => decodeSigned(union<Receipt>({ receipt }), from);
export const decodeSealOrder = (from: Uint8Array): Signed<SealOrder> => decodeSigned(union<SealOrder>({ seal: sealOrder }), from);
export const decodeAuditWord = (from: Uint8Array): Signed<AuditWord> => decodeSigned(union<AuditWord>({ audit }), from);
export const decodeCutStatement = (from: Uint8Array): Signed<CutStatement> => decodeSigned(union<CutStatement>({ cut }), from);

function decodeSigned<Body extends SignedBody>(codec: Codec<Body>, from: Uint8Array): Signed<Body> {
  if (from[0] !== FORMAT_VERSION) throw new WireError(`A statement of version ${from[0]}; this program knows ${FORMAT_VERSION}.`);
  const outer = decode(envelope, from.subarray(1), MAX_STATEMENT_BYTES);
  // A copy: it is kept, and `verifySigned` remembers it; the caller's buffer may be used again.
  return { body: decode(codec, outer.body, MAX_STATEMENT_BYTES), signer: outer.signer, bytes: from.slice() };
}

const verified = new WeakSet<Uint8Array>();

/** Whether the named signer signed exactly these bytes. Checked once for each byte array: don't change it afterwards. */
export function verifySigned(signed: Signed<SignedBody>): boolean {
  if (verified.has(signed.bytes)) return true;
  const outer = decode(envelope, signed.bytes.subarray(1), MAX_STATEMENT_BYTES);
  if (!verify(outer.signer, signedBytes(signed.body.kind, outer.body), outer.signature)) return false;
  verified.add(signed.bytes);
  return true;
}

/** The farm's control key says so itself. */
export function verifyMembership(signed: Signed<Membership>): boolean {
  return signed.signer === signed.body.farm && verifySigned(signed);
}

/** The farmer says so itself. */
export function verifyReceipt(signed: Signed<Receipt>): boolean {
  return signed.signer === signed.body.farmer && verifySigned(signed);
}

function signedBytes(kind: string, body: Uint8Array): Uint8Array {
  return concat(ascii(`storj-${kind}/1\0`), body);
}
