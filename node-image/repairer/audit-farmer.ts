// One audit: a random leaf of a random piece that this farmer should have, asked for under a fresh nonce and
// checked against the root that the segment's writer signed.
import { segmentGeometry, shardBytes } from '#node/core/segments.ts';
import type { AuditOutcome } from '#node/core/audit-scores.ts';
import { toHex } from '#node/core/ids.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { CallError, type FarmerAddress } from '#node/net/net.ts';
import { auditVerdict, isDenial, type AuditAnswer, type AuditAsked } from '#node/wire/audits.ts';
import { decodeAnswerHead, encodeCallHead, pieceRange } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { collect, readFirstPart } from '#node/wire/framing.ts';
import { LEAF_BYTES, type PublicKey } from '#node/wire/types.ts';
import type { NamedPiece } from './index-inventory.ts';
import type { SegmentIndex } from './segment-index.ts';

/** A signed answer that proves a failure, with what it was an answer to: anyone can check it. */
export interface AuditEvidence {
  asked: AuditAsked;
  word: Uint8Array;
}
export interface Audit {
  outcome: AuditOutcome;
  /** Whose piece it was, and what is to be believed of it. */
  piece: NamedPiece;
  verdict: ReturnType<typeof auditVerdict> | 'Refused' | 'Silent';
  /** Where the farmer signed something that proves the failure. */
  evidence: AuditEvidence | null;
}

export interface AuditInput {
  link: LogLink;
  index: SegmentIndex;
  farmer: FarmerAddress;
  owner: PublicKey;
  /** Waits for its share of bandwidth. */
  spend(bytes: number, signal: AbortSignal): Promise<void>;
  signal: AbortSignal;
}

/** Null where the index names no piece there that could be asked for. */
export async function auditFarmer(input: AuditInput): Promise<Audit | null> {
  const { link, index, farmer, owner, signal } = input;
  const piece = index.inventory.after(owner, farmer.farmer, toHex(link.runtime.random(32)));
  const segment = piece && index.segment(piece.segment);
  if (!piece || !segment) return null;
  const geometry = segmentGeometry(segment.sizeBytes, segment.scheme.required);
  const leaf = Buffer.from(link.runtime.random(4)).readUInt32BE() % geometry.stripes;
  const asked: AuditAsked = {
    farmer: farmer.farmer,
    auditor: link.network.self,
    owner,
    pieceId: piece.pieceId,
    nonce: toHex(link.runtime.random(32)),
    leaf,
    leaves: geometry.stripes,
    leafBytes: shardBytes(geometry, leaf),
    pieceNumber: piece.pieceNumber,
    total: segment.scheme.total,
    segmentRoot: segment.root,
  };
  await input.spend(asked.leafBytes, signal);
  try {
    const answer = await ask(input, asked);
    const verdict = auditVerdict(asked, answer);
    const isFailed = verdict === 'Denied' || verdict === 'Wrong';
    const outcome = verdict === 'Passed' ? 'Passed' : isFailed ? 'Failed' : 'Unknown';
    return { outcome, piece, verdict, evidence: isFailed ? { asked, word: answer.word } : null };
  } catch (error) {
    signal.throwIfAborted();
    const silent = !(error instanceof CallError) || ['Unreachable', 'WrongPeer', 'Aborted'].includes(error.code);
    const verdict = error instanceof WireError ? 'Nonsense' : silent ? 'Silent' : 'Refused';
    return { outcome: verdict === 'Silent' ? 'Offline' : 'Unknown', piece, verdict, evidence: null };
  }
}

async function ask({ link, farmer, signal }: AuditInput, asked: AuditAsked): Promise<AuditAnswer> {
  const { owner, pieceId, leaf, nonce } = asked;
  const ends = link.runtime.deadline(link.answerTimeoutMs, signal);
  const call = { operation: 'piece.audit', head: encodeCallHead('piece.audit', { owner, pieceId, leaf, nonce }) } as const;
  const answer = await link.network.call(farmer, call, ends);
  const { word } = decodeAnswerHead('piece.audit', answer.head);
  if (!answer.body || isDenial(word)) {
    await answer.body?.[Symbol.asyncIterator]().return?.();
    return { word, found: null };
  }
  const { part, rest } = await readFirstPart(answer.body, pieceRange.maxBytes);
  try {
    return { word, found: { range: pieceRange.decode(part), leaf: await collect(rest, LEAF_BYTES) } };
  } finally {
    await rest.return?.();
  }
}
