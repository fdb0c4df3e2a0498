// piece.put, piece.get, piece.stat, piece.audit.
import { concat } from '#node/core/bytes.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { CallError, type Answer } from '#node/net/net.ts';
import { signAuditWord } from '#node/wire/audits.ts';
import { decodeCallHead, encodeAnswerHead, heldPieces, pieceIds } from '#node/wire/calls.ts';
import { collect } from '#node/wire/framing.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { PieceId, PublicKey, Receipt } from '#node/wire/types.ts';
import { mayFetch, mayStore, type Asker } from './admission.ts';
import type { StoredPiece } from './piece-store.ts';
import { askerOf, type CallContext, type Handler } from './service.ts';

type PieceOperation = 'piece.put' | 'piece.get' | 'piece.stat' | 'piece.audit';

export const pieceCalls: Record<PieceOperation, Handler> = {
  async 'piece.put'(context, head, body) {
    const { owner, pieceId } = decodeCallHead('piece.put', head);
    await admit(context, owner, mayStore, 'store pieces');
    if (!context.store.index.pieces.get(owner, pieceId)) context.duty.checkTakesNew();
    const end = context.duty.begin();
    try {
      const stored = await context.pieces.put(owner, pieceId, body, context.signal);
      context.grants.charge(context.from, owner, stored.sizeBytes);
      return { head: encodeAnswerHead('piece.put', { receipt: receiptOf(context, owner, pieceId, stored) }) };
    } finally {
      end();
    }
  },

  async 'piece.get'(context, head): Promise<Answer> {
    const { owner, pieceId, firstLeaf, leafCount } = decodeCallHead('piece.get', head);
    await admit(context, owner, mayFetch, 'read pieces');
    const answer = await context.pieces.get(owner, pieceId, { firstLeaf, leafCount });
    return { head: encodeAnswerHead('piece.get', {}), ...answer };
  },

  async 'piece.audit'(context, head): Promise<Answer> {
    const { owner, pieceId, leaf, nonce } = decodeCallHead('piece.audit', head);
    await admit(context, owner, mayFetch, 'audit pieces');
    const found = await context.pieces.leaf(owner, pieceId, leaf);
    const asked = { auditor: context.from, owner, pieceId, leaf, nonce };
    const word = signAuditWord(context.keyPair, asked, found?.leaf ?? null, context.nowMs());
    const answer = { head: encodeAnswerHead('piece.audit', { word }) };
    return found ? { ...answer, body: once(concat(...found.proof, found.leaf)) } : answer;
  },

  async 'piece.stat'(context, head, body) {
    const { owner } = decodeCallHead('piece.stat', head);
    await admit(context, owner, mayFetch, 'ask for pieces');
    const asked = pieceIds.decode(await collect(body, pieceIds.maxBytes));
    const held = context.pieces.stat(owner, asked.pieceIds);
    return { head: encodeAnswerHead('piece.stat', {}), body: once(heldPieces.encode({ held })) };
  },
};

/** First with what is known here; strangers to the farm may be known to the owner's nearest farmers. */
export async function admit(context: CallContext, owner: PublicKey, may: (asker: Asker) => boolean, what: string): Promise<void> {
  const { from, owners, signal } = context;
  if (may(askerOf(context, owners.localView(owner)))) return;
  if (may(askerOf(context, await owners.view(owner, signal)))) return;
  throw new CallError('Forbidden', `${peerIdOf(from)} may not ${what} of this owner here.`);
}

/** The farmer's signed word, with the membership that makes it count for warrants. */
function receiptOf({ keyPair, config }: CallContext, owner: PublicKey, pieceId: PieceId, stored: StoredPiece): Uint8Array {
  const own = config()?.roster.find(({ farmer }) => farmer === keyPair.publicKey);
  const receipt: Receipt = {
    kind: 'receipt',
    farmer: keyPair.publicKey,
    owner,
    pieceId,
    ...stored,
    durability: 'fsynced',
    membership: own ? new Uint8Array(Buffer.from(own.membership, 'base64')) : null,
  };
  return signStatement(keyPair, receipt).bytes;
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
