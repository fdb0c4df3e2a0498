// A repairer's word that one more farmer holds a piece. Found by a tag and sealed under a key, both from
// the segment's secret: who may read the segment follows its moves, and nobody else.
import { concat } from '#node/core/bytes.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { fromHex, toHex } from '#node/core/ids.ts';
import { verifyRootPath } from '#node/core/merkle.ts';
import { NONCE_BYTES, open, OpenError, seal } from '#node/core/sealing.ts';
import { pieceBytes, pieceId } from '#node/core/segments.ts';
import { decode, encode, WireError } from './codec.ts';
import { placementEntry } from './entries.ts';
import { decodeMembership, decodeReceipt, verifyMembership, verifyReceipt } from './statements.ts';
import type { PlacementEntry, PublicKey, SealedPlacement, SegmentPlacement, WarrantStatement } from './types.ts';

const MAX_ENTRY_BYTES = 2048;
const NO_DATA = new Uint8Array(0);

/** What a segment's placement entries are found by: 16 bytes, hex. */
export function placementTag(secret: Uint8Array): string {
  return toHex(hkdf(secret, 'storj/1 placement tag', 16));
}

/** `nonce12` must be fresh: one key seals all moves of a segment. */
export function sealPlacement(secret: Uint8Array, entry: PlacementEntry, nonce12: Uint8Array): SealedPlacement {
  const sealed = seal(placementKey(secret), nonce12, encode(placementEntry, entry), NO_DATA);
  return { tag: placementTag(secret), sealed: concat(nonce12, sealed) };
}

/** Throws WireError where the secret is another's or the entry is malformed. */
export function openPlacement(secret: Uint8Array, { sealed }: SealedPlacement): PlacementEntry {
  let plain: Uint8Array;
  try {
    plain = open(placementKey(secret), sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), NO_DATA);
  } catch (cause) {
    if (cause instanceof OpenError) throw new WireError('This secret does not open this placement.', { cause });
    throw new WireError('A placement is cut off.', { cause });
  }
  return decode(placementEntry, plain, MAX_ENTRY_BYTES);
}

/**
 * Why a placement entry doesn't count for this segment; null where it does. It takes the new holder's
 * own receipt for that very piece, under the root that the segment's writer signed, and a warrant that
 * admits the holder: by name, or by a membership in one of its farms that the receipt carries.
 */
export function placementProblem(
  entry: PlacementEntry,
  segment: { owner: PublicKey; placement: SegmentPlacement },
  warrants: readonly WarrantStatement[],
): string | null {
  const { owner, placement } = segment;
  const { scheme, secret } = placement;
  if (entry.pieceNumber >= scheme.total) return 'The segment has no piece of that number.';
  const receipt = attempt(() => decodeReceipt(entry.receipt));
  if (!receipt || receipt.body.farmer !== entry.farmer || !verifyReceipt(receipt)) return "The receipt isn't the holder's.";
  const { body } = receipt;
  if (body.owner !== owner) return "The receipt is for another owner's piece.";
  if (body.pieceId !== pieceId(secret, entry.pieceNumber)) return 'The receipt is for another piece.';
  const isWhole = body.sizeBytes === pieceBytes(placement.sizeBytes, scheme.required);
  const root = fromHex(placement.root, 32);
  const isSigned = verifyRootPath(root, scheme.total, entry.pieceNumber, fromHex(body.pieceRoot, 32), entry.path);
  if (!isWhole || !isSigned) return "The receipt is for other bytes than the segment's writer signed.";
  return warrants.some((warrant) => admits(warrant, entry.farmer, body.membership))
    ? null
    : 'No warrant admits this farmer as a holder.';
}

/** Whether the warrant lets this farmer become a holder, by name or by a signed membership. */
function admits(warrant: WarrantStatement, farmer: PublicKey, membership: Uint8Array | null): boolean {
  if (warrant.farmers.includes(farmer)) return true;
  const signed = membership && attempt(() => decodeMembership(membership));
  return !!signed && signed.body.farmer === farmer && warrant.farms.includes(signed.body.farm) && verifyMembership(signed);
}

/** One malformed entry among thousands is no reason to stop reading. */
function attempt<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

function placementKey(secret: Uint8Array): Uint8Array {
  return hkdf(secret, 'storj/1 placement', 32);
}
