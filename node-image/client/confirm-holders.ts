// Before an entry names pieces: a receipt that is older than a day may be of a piece that went as an orphan
// meanwhile, and a farmer that leaves may be gone; they are asked again. Lost ones aren't named at all.
import { promiseOf } from '#node/core/schemes.ts';
import { pieceId } from '#node/core/segments.ts';
import { decodeAnswerHead, encodeCallHead, heldPieces, pieceIds } from '#node/wire/calls.ts';
import { collect } from '#node/wire/framing.ts';
import type { PublicKey, SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { addressOf } from './farm-view.ts';

/** Repairers let a piece go that no log has named for twice as long. */
export const RECEIPT_COUNTS_MS = 24 * 3_600_000;

/**
 * The placement with the holders that may be named now; itself where all may. Null: so few are left that the
 * promise couldn't be kept, store the segment again.
 */
export async function confirmHolders(
  client: Client,
  owner: PublicKey,
  placement: SegmentPlacement,
  signal: AbortSignal,
): Promise<SegmentPlacement | null> {
  const { scheme, createdMs } = placement;
  const states = new Map(client.farm.current().members.map(({ farmer, state }) => [farmer, state]));
  const isOld = client.runtime.nowMs() - createdMs > RECEIPT_COUNTS_MS;
  const farmers = await Promise.all(
    placement.farmers.map(async (farmer, number) => {
      const state = farmer === null ? null : (states.get(farmer) ?? 'Lost');
      if (farmer === null || state === 'Lost') return null;
      if (state === 'Active' && !isOld) return farmer;
      return (await holds(client, farmer, owner, pieceId(placement.secret, number), signal)) ? farmer : null;
    }),
  );
  const named = farmers.filter((farmer) => farmer !== null).length;
  if (named === placement.farmers.filter((farmer) => farmer !== null).length) return placement;
  return named >= scheme.required + promiseOf(scheme) ? { ...placement, farmers } : null;
}

async function holds(client: Client, farmer: PublicKey, owner: PublicKey, id: string, signal: AbortSignal): Promise<boolean> {
  const to = addressOf(client.farm.current(), farmer);
  if (to === null) return false;
  const ends = client.runtime.deadline(client.link.answerTimeoutMs, signal);
  const asked = pieceIds.encode({ pieceIds: [id] });
  async function* body() {
    yield asked;
  }
  try {
    const head = encodeCallHead('piece.stat', { owner });
    const answer = await client.network.call(to, { operation: 'piece.stat', head, body: body() }, ends);
    decodeAnswerHead('piece.stat', answer.head);
    return heldPieces.decode(await collect(answer.body, heldPieces.maxBytes)).held.some(({ pieceId: one }) => one === id);
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
