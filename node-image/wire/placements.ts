// A repairer's word that one more farmer holds a piece. Found by a tag and sealed under a key, both from
// the segment's secret: who may read the segment follows its moves, and nobody else.
import { hkdf } from '#node/core/hkdf.ts';
import { toHex } from '#node/core/ids.ts';
import { NONCE_BYTES, open, OpenError, seal } from '#node/core/sealing.ts';
import { pieceId } from '#node/core/segments.ts';
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
  return { tag: placementTag(secret), sealed: Buffer.concat([nonce12, sealed]) };
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
 * own receipt for that very piece, and a warrant that admits the holder: by name, or by a membership
 * in one of its farms that the receipt carries.
 */
export function placementProblem(
  entry: PlacementEntry,
  segment: { owner: PublicKey; placement: SegmentPlacement },
  warrants: readonly WarrantStatement[],
): string | null {
  const { owner, placement } = segment;
  if (entry.pieceNumber >= placement.scheme.total) return 'The segment has no piece of that number.';
  const receipt = decodeReceipt(entry.receipt);
  if (receipt.body.farmer !== entry.farmer || !verifyReceipt(receipt)) return "The receipt isn't the holder's.";
  if (receipt.body.owner !== owner) return "The receipt is for another owner's piece.";
  if (receipt.body.pieceId !== pieceId(placement.secret, entry.pieceNumber)) return 'The receipt is for another piece.';
  return warrants.some((warrant) => admits(warrant, entry.farmer, receipt.body.membership))
    ? null
    : 'No warrant admits this farmer as a holder.';
}

/** Whether the warrant lets this farmer become a holder, by name or by a signed membership. */
export function admits(warrant: WarrantStatement, farmer: PublicKey, membership: Uint8Array | null): boolean {
  if (warrant.farmers.includes(farmer)) return true;
  if (!membership) return false;
  const signed = decodeMembership(membership);
  return signed.body.farmer === farmer && warrant.farms.includes(signed.body.farm) && verifyMembership(signed);
}

function placementKey(secret: Uint8Array): Uint8Array {
  return hkdf(secret, 'storj/1 placement', 32);
}
