// piece.ranges, piece.list, piece.trash, piece.restore: a repairer compares what is here with what the logs name.
import { idRange } from '#node/core/id-ranges.ts';
import { CallError } from '#node/net/net.ts';
import { decodeCallHead, encodeAnswerHead, pieceIds } from '#node/wire/calls.ts';
import { readCutStatement } from '#node/wire/cuts.ts';
import { collect } from '#node/wire/framing.ts';
import { MAX_LISTED, MAX_RANGES, pieceList, rangeDigests, trashOrder, type RangeDigests } from '#node/wire/inventory.ts';
import { mayCollect } from './admission.ts';
import { admit, once } from './piece-calls.ts';
import type { Handler } from './service.ts';
import type { StoreIndex } from './store-index.ts';

type InventoryOperation = 'piece.ranges' | 'piece.list' | 'piece.trash' | 'piece.restore';

/** Ids looked at for one answer, a few milliseconds; a range that is fuller than that is counted all the same. */
const MAX_COUNTED = 16_000;

export const inventoryCalls: Record<InventoryOperation, Handler> = {
  async 'piece.ranges'(context, head) {
    const { owner, bits, first, count } = decodeCallHead('piece.ranges', head);
    await admit(context, owner, mayCollect, 'count pieces');
    const digests: RangeDigests['digests'] = [];
    let counted = 0;
    for (let range = first; range < Math.min(first + Math.min(count, MAX_RANGES), 2 ** bits) && counted < MAX_COUNTED; range++) {
      const digest = await digestRange(context.store.index, owner, idRange(bits, range), () => context.runtime.turn());
      counted += digest.pieces;
      digests.push(digest);
    }
    return { head: encodeAnswerHead('piece.ranges', {}), body: once(rangeDigests.encode({ digests })) };
  },

  async 'piece.list'(context, head) {
    const { owner, bits, range, after } = decodeCallHead('piece.list', head);
    await admit(context, owner, mayCollect, 'list pieces');
    if (range >= 2 ** bits) throw new CallError('BadRequest', `${bits} bits name no range ${range}.`);
    const { fromId, toId } = idRange(bits, range);
    const found = context.store.index.pieces.inRange({ owner, fromId: after || fromId, toId, limit: MAX_LISTED + 1 });
    const pieces = found
      .filter(({ pieceId }) => pieceId !== after)
      .slice(0, MAX_LISTED)
      .map(({ pieceId, storedMs, trashedMs }) => ({ pieceId, storedMs, trashedMs }));
    return { head: encodeAnswerHead('piece.list', {}), body: once(pieceList.encode({ pieces })) };
  },

  async 'piece.trash'(context, head, body) {
    const { owner } = decodeCallHead('piece.trash', head);
    await admit(context, owner, mayCollect, 'put pieces into the trash');
    const order = trashOrder.decode(await collect(body, trashOrder.maxBytes));
    const { cutMs } = readCutStatement(await context.owners.view(owner, context.signal), order.cut).body;
    const older = order.pieceIds.filter((pieceId) => {
      const held = context.store.index.pieces.get(owner, pieceId);
      return held !== null && held.storedMs < cutMs;
    });
    const moved = await context.pieces.trash(owner, older, context.nowMs());
    return { head: encodeAnswerHead('piece.trash', { moved: moved.length }) };
  },

  async 'piece.restore'(context, head, body) {
    const { owner } = decodeCallHead('piece.restore', head);
    await admit(context, owner, mayCollect, 'take pieces out of the trash');
    const asked = pieceIds.decode(await collect(body, pieceIds.maxBytes));
    const moved = await context.pieces.restore(owner, asked.pieceIds);
    return { head: encodeAnswerHead('piece.restore', { moved: moved.length }) };
  },
};

async function digestRange(
  index: StoreIndex,
  owner: string,
  { fromId, toId }: ReturnType<typeof idRange>,
  turn: () => Promise<void>,
): Promise<RangeDigests['digests'][number]> {
  let pieces = 0;
  const xor = Buffer.alloc(32);
  for (let nextId: string = fromId; nextId !== '';) {
    const some = index.pieces.digest({ owner, fromId: nextId, toId, limit: MAX_COUNTED });
    pieces += some.pieces;
    Buffer.from(some.xor, 'hex').forEach((byte, i) => (xor[i]! ^= byte));
    nextId = some.nextId;
    if (nextId !== '') await turn();
  }
  return { pieces, xor: xor.toString('hex') };
}
