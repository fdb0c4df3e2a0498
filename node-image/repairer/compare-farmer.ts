// Compares what one farmer has of one owner with what the logs name, range by range: orphans go to the trash
// on the strength of the newest cut, what is named comes back from it, what is missing is repaired.
import { compareRange, digestOf, idRange, rangeBits, type HeldId } from '#node/core/id-ranges.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { FarmerAddress } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead, MAX_PIECE_IDS, pieceIds, type Heads } from '#node/wire/calls.ts';
import { collect } from '#node/wire/framing.ts';
import { MAX_LISTED, pieceList, rangeDigests, trashOrder } from '#node/wire/inventory.ts';
import type { PieceId, PublicKey } from '#node/wire/types.ts';
import type { NamedPiece } from './index-inventory.ts';
import type { SegmentIndex } from './segment-index.ts';

/** Ranges asked for in one call: about 16,000 ids. */
const RANGES_AT_ONCE = 32;

export interface Comparison {
  /** Pieces put into the trash, taken out of it, found missing, and there after all. */
  trashed: number;
  restored: number;
  missing: number;
  found: number;
}

export interface CompareInput {
  link: LogLink;
  index: SegmentIndex;
  farmer: FarmerAddress;
  owner: PublicKey;
  /** Pieces that the farmer says it has. */
  heldPieces: number;
  /** Judges segments that were touched. */
  judge(ids: Iterable<number>): void;
  signal: AbortSignal;
}

/** Rejects with CallError where the farmer doesn't answer; what was done until then is right. */
export async function compareFarmer(input: CompareInput): Promise<Comparison> {
  const { index, farmer, owner } = input;
  const result: Comparison = { trashed: 0, restored: 0, missing: 0, found: 0 };
  const bits = rangeBits(Math.max(input.heldPieces, index.inventory.count(owner, farmer.farmer)));
  for (let first = 0; first < 2 ** bits;) {
    const count = Math.min(RANGES_AT_ONCE, 2 ** bits - first);
    // Read before the farmer is asked: what comes in between is there and not expected, which harms nothing.
    const expected = Array.from({ length: count }, (_, i) => digestOf(believedThere(named(input, bits, first + i))));
    const digests = await askRanges(input, bits, first, count);
    for (const [i, digest] of digests.entries()) {
      const same = digest.pieces === expected[i]?.pieces && digest.xor === expected[i]?.xor;
      if (!same) add(result, await compareOne(input, bits, first + i));
    }
    if (digests.length === 0) break;
    first += digests.length;
    await input.link.runtime.turn();
  }
  return result;
}

function named({ index, owner, farmer }: CompareInput, bits: number, range: number): NamedPiece[] {
  return index.inventory.inRange(owner, farmer.farmer, idRange(bits, range));
}

function believedThere(pieces: readonly NamedPiece[]): PieceId[] {
  return pieces.filter(({ suspicion }) => suspicion !== 'Missing').map(({ pieceId }) => pieceId);
}

async function compareOne(input: CompareInput, bits: number, range: number): Promise<Comparison> {
  const { index, owner, farmer, judge } = input;
  const pieces = new Map(named(input, bits, range).map((piece) => [piece.pieceId, piece]));
  const held = await askList(input, bits, range);
  const cut = index.cuts.applied(owner);
  const differences = compareRange({
    named: new Set(pieces.keys()),
    believedMissing: new Set(
      [...pieces.values()].filter(({ suspicion }) => suspicion === 'Missing').map(({ pieceId }) => pieceId),
    ),
    held,
    isDropped: (pieceId) => index.inventory.isDropped(owner, pieceId),
    cutMs: cut?.cutMs ?? null,
  });
  const { missing, found, trashed, orphans } = differences;
  index.transaction(() => {
    const mark = (ids: PieceId[], suspicion: 'Missing' | 'None') => {
      for (const id of ids) {
        const { segment, pieceNumber } = pieces.get(id)!;
        index.setSuspect(segment, pieceNumber, farmer.farmer, suspicion);
      }
    };
    mark(missing, 'Missing');
    mark(found, 'None');
    judge(new Set([...missing, ...found].map((id) => pieces.get(id)!.segment)));
  });
  return {
    missing: missing.length,
    found: found.length,
    restored: await inBatches(trashed, (ids) => ask(input, 'piece.restore', { owner }, pieceIds.encode({ pieceIds: ids }))),
    trashed: cut
      ? await inBatches(orphans, (ids) => {
          const order = trashOrder.encode({ cut: cut.statement, pieceIds: ids });
          return ask(input, 'piece.trash', { owner }, order);
        })
      : 0,
  };
}

async function askRanges(input: CompareInput, bits: number, first: number, count: number) {
  const { owner } = input;
  const { body } = await ask(input, 'piece.ranges', { owner, bits, first, count });
  return rangeDigests.decode(await collect(body, rangeDigests.maxBytes)).digests.slice(0, count);
}

/** All ids of a range. One that goes on for ever is a farmer's lie: its end is where ids no longer ascend. */
async function askList(input: CompareInput, bits: number, range: number): Promise<HeldId[]> {
  const held: HeldId[] = [];
  for (let after: PieceId | '' = ''; ;) {
    const { body } = await ask(input, 'piece.list', { owner: input.owner, bits, range, after });
    const { pieces } = pieceList.decode(await collect(body, pieceList.maxBytes));
    for (const piece of pieces) {
      if (piece.pieceId <= after) return held;
      after = piece.pieceId;
      held.push(piece);
    }
    if (pieces.length < MAX_LISTED || held.length >= MAX_RANGE_IDS) return held;
  }
}
/** No honest range of ids has more, whatever the number of pieces: memory stays bounded. */
const MAX_RANGE_IDS = 100_000;

async function inBatches(ids: PieceId[], work: (ids: PieceId[]) => Promise<{ head: { moved: number } }>): Promise<number> {
  let moved = 0;
  for (let at = 0; at < ids.length; at += MAX_PIECE_IDS) moved += (await work(ids.slice(at, at + MAX_PIECE_IDS))).head.moved;
  return moved;
}

async function ask<O extends 'piece.ranges' | 'piece.list' | 'piece.trash' | 'piece.restore'>(
  { link, farmer, signal }: CompareInput,
  operation: O,
  head: Heads[O]['call'],
  body?: Uint8Array,
): Promise<{ head: Heads[O]['answer']; body: AsyncIterable<Uint8Array> | undefined }> {
  const ends = link.runtime.deadline(link.answerTimeoutMs, signal);
  const call = { operation, head: encodeCallHead(operation, head), ...(body ? { body: once(body) } : {}) };
  const answer = await link.network.call(farmer, call, ends);
  return { head: decodeAnswerHead(operation, answer.head), body: answer.body };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function add(sum: Comparison, one: Comparison): void {
  for (const name of ['trashed', 'restored', 'missing', 'found'] as const) sum[name] += one[name];
}
