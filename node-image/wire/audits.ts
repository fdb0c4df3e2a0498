// Audits: one farmer is asked for one random leaf of one piece and signs its answer. Whoever holds the
// segment's root can check the transcript, without keys and without asking anybody.
import { ascii } from '#node/core/bytes.ts';
import { blake3 } from '#node/core/hash.ts';
import { fromHex, toHex } from '#node/core/ids.ts';
import { leafHash, verifyRange, verifyRootPath } from '#node/core/merkle.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { PieceRange } from './calls.ts';
import { decodeAuditWord, signStatement, verifySigned } from './statements.ts';
import { WireError } from './codec.ts';
import type { AuditWord, Hash, PieceId, PublicKey } from './types.ts';

/** Whether the farmer says that it hasn't got the leaf: nothing follows then. Throws WireError. */
export function isDenial(word: Uint8Array): boolean {
  return decodeAuditWord(word).body.leafHash === null;
}

/** What was asked, and what the logs say of the piece. */
export interface AuditAsked {
  farmer: PublicKey;
  auditor: PublicKey;
  owner: PublicKey;
  pieceId: PieceId;
  /** Fresh: the answer can't have been made before. */
  nonce: Hash;
  leaf: number;
  /** Leaves of the piece. */
  leaves: number;
  leafBytes: number;
  pieceNumber: number;
  total: number;
  segmentRoot: Hash;
}

export interface AuditAnswer {
  /** Signed<AuditWord> bytes. */
  word: Uint8Array;
  /** What proves the leaf, and its bytes; null where the farmer says that it hasn't got it. */
  found: { range: PieceRange; leaf: Uint8Array } | null;
}

/** Only who has the leaf's bytes at that time can say this. */
function possession(nonce: Hash, leaf: Uint8Array): Hash {
  return toHex(blake3(ascii('storj-audit/1\0'), fromHex(nonce, 32), leaf));
}

/** The farmer's side. `leaf` null: it isn't here. */
export function signAuditWord(
  key: KeyPair,
  asked: Pick<AuditAsked, 'auditor' | 'owner' | 'pieceId' | 'leaf' | 'nonce'>,
  leaf: Uint8Array | null,
  atMs: number,
): Uint8Array {
  const { auditor, owner, pieceId, leaf: number, nonce } = asked;
  const said =
    leaf === null
      ? { leafHash: null, possession: null }
      : { leafHash: toHex(leafHash(leaf)), possession: possession(nonce, leaf) };
  const word: AuditWord = { kind: 'audit', farmer: key.publicKey, auditor, owner, pieceId, leaf: number, nonce, ...said, atMs };
  return signStatement(key, word).bytes;
}

/**
 * Pure: what a transcript says. Passed: the leaf that the segment's writer signed. Denied: the farmer signed that
 * it hasn't got it. Wrong: it signed other bytes. Nonsense: it signed nothing about this question, so it proves nothing.
 */
export function auditVerdict(asked: AuditAsked, answer: AuditAnswer): 'Passed' | 'Denied' | 'Wrong' | 'Nonsense' {
  const word = wordOn(asked, answer.word);
  if (word === null) return 'Nonsense';
  if (word.leafHash === null || word.possession === null) return 'Denied';
  if (answer.found === null) return 'Nonsense';
  const { range, leaf } = answer.found;
  const isSent = word.leafHash === toHex(leafHash(leaf)) && word.possession === possession(asked.nonce, leaf);
  if (!isSent) return 'Nonsense';
  return leaf.length === asked.leafBytes && isProven(asked, range, fromHex(word.leafHash, 32)) ? 'Passed' : 'Wrong';
}

function wordOn(asked: AuditAsked, bytes: Uint8Array): AuditWord | null {
  try {
    const signed = decodeAuditWord(bytes);
    const { body, signer } = signed;
    const names = ['farmer', 'auditor', 'owner', 'pieceId', 'leaf', 'nonce'] as const;
    const isOnThis = signer === asked.farmer && names.every((name) => body[name] === asked[name]);
    return isOnThis && verifySigned(signed) ? body : null;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

function isProven(asked: AuditAsked, range: PieceRange, hash: Uint8Array): boolean {
  const pieceRoot = fromHex(range.pieceRoot, 32);
  return (
    range.segmentRoot === asked.segmentRoot &&
    range.index === asked.pieceNumber &&
    range.firstLeaf === asked.leaf &&
    verifyRootPath(fromHex(asked.segmentRoot, 32), asked.total, asked.pieceNumber, pieceRoot, range.path) &&
    verifyRange(pieceRoot, asked.leaves, asked.leaf, [hash], range.proof)
  );
}
