// A cut: the owner's side says up to which heads it has read all of the owner's logs, and which segments
// nothing names any more as of them. Garbage goes by a cut and by nothing else. Repairers find the whole in
// the account's log; farmers are shown the signed statement alone.
import { blake3 } from '#node/core/hash.ts';
import { toHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { bytesUpTo, encode, hex, hex32, list, struct, uint, WireError } from './codec.ts';
import { hasRole, type RootView } from './root-view.ts';
import { decodeCutStatement, MAX_CUT_STATEMENT_BYTES, signStatement, verifySigned } from './statements.ts';
import type { Cut, CutHead, CutStatement, Hash, PublicKey, Signed } from './types.ts';

/** Segments that one cut lets go; what is left comes with the next. With the heads it fits into half a batch. */
export const MAX_DROPPED = 50_000;
/** As many logs as an owner's statements can name. */
const MAX_CUT_HEADS = 20_000;

const heads = list(struct<CutHead>({ bucketId: hex(16), logId: hex32, seq: uint(), hash: hex32 }), MAX_CUT_HEADS);
const dropped = list(hex32, MAX_DROPPED);
const content = struct<Omit<Cut, 'statement'>>({ heads, dropped });
export const cutCodec = struct<Cut>({ statement: bytesUpTo(MAX_CUT_STATEMENT_BYTES), heads, dropped });

/** Signed by the owner or a keeper of all buckets. */
export function signCut(
  keeper: KeyPair,
  owner: PublicKey,
  cutMs: number,
  parts: { heads: readonly CutHead[]; dropped: readonly string[] },
): Cut {
  const what = { heads: [...parts.heads], dropped: [...parts.dropped] };
  const body: CutStatement = { kind: 'cut', owner, cutMs, contentHash: contentHash(what) };
  return { ...what, statement: signStatement(keeper, body).bytes };
}

/** A farmer's check: somebody who may say it has cut this owner's logs. Throws WireError where it is malformed. */
export function readCutStatement(view: RootView, bytes: Uint8Array): Signed<CutStatement> {
  const signed = decodeCutStatement(bytes);
  const isOwners = signed.body.owner === view.owner && hasRole(view, signed.signer, 'keeper', '*');
  if (!isOwners || !verifySigned(signed)) throw new WireError("The cut isn't signed by this owner or a keeper of all buckets.");
  return signed;
}

/** A reader's check, of the whole. Null where it doesn't count. */
export function readCut(view: RootView, cut: Cut): CutStatement | null {
  try {
    const { body } = readCutStatement(view, cut.statement);
    return body.contentHash === contentHash(cut) ? body : null;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

function contentHash({ heads: vector, dropped: ids }: Omit<Cut, 'statement'>): Hash {
  return toHex(blake3(encode(content, { heads: vector, dropped: ids })));
}
