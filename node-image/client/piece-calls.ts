// The two calls that move pieces, with everything checked that the other side could get wrong.
import { copyInto } from '#node/core/bytes.ts';
import { fromHex } from '#node/core/ids.ts';
import { leafHashInPlace, verifyRange, verifyRootPath } from '#node/core/merkle.ts';
import { pieceId, shardBytes, type SegmentGeometry } from '#node/core/segments.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead, pieceRange, type PieceRange } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { readFirstPart } from '#node/wire/framing.ts';
import { decodeReceipt, verifyReceipt } from '#node/wire/statements.ts';
import type { Hash, PublicKey, Receipt, SegmentPlacement, Signed } from '#node/wire/types.ts';
import type { LeafMemory } from './block-pool.ts';

/** A farmer sent something else than what was signed: it is to blame, not the line. */
export class PieceError extends Error {
  readonly code: 'WrongBytes' | 'WrongReceipt';
  constructor(code: PieceError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PieceError';
    this.code = code;
  }
}

export interface PieceMeant {
  owner: PublicKey;
  pieceId: string;
  /** Known when the body has been written. */
  pieceRoot: () => Hash;
  sizeBytes: () => number;
}

/** Sends a piece; the answer is the farmer's word, checked. Rejects with CallError or PieceError. */
export async function putPiece(
  network: Network,
  to: FarmerAddress,
  meant: PieceMeant,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Receipt> {
  return (await putPieceSigned(network, to, meant, body, signal)).body;
}

/** The same with the farmer's signature: what a placement entry carries. */
export async function putPieceSigned(
  network: Network,
  to: FarmerAddress,
  meant: PieceMeant,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Signed<Receipt>> {
  const head = encodeCallHead('piece.put', { owner: meant.owner, pieceId: meant.pieceId });
  const answer = await network.call(to, { operation: 'piece.put', head, body }, signal);
  await drain(answer.body);
  const signed = readReceipt(answer.head);
  const { farmer, owner, pieceId, pieceRoot, sizeBytes } = signed.body;
  const isMeant =
    farmer === to.farmer &&
    owner === meant.owner &&
    pieceId === meant.pieceId &&
    pieceRoot === meant.pieceRoot() &&
    sizeBytes === meant.sizeBytes();
  if (!isMeant || !verifyReceipt(signed)) throw new PieceError('WrongReceipt', 'The receipt is not for what was sent.');
  return signed;
}

function readReceipt(head: Uint8Array) {
  try {
    return decodeReceipt(decodeAnswerHead('piece.put', head).receipt);
  } catch (cause) {
    if (cause instanceof WireError) throw new PieceError('WrongReceipt', 'The receipt is malformed.', { cause });
    throw cause;
  }
}

export interface LeavesWanted {
  owner: PublicKey;
  placement: SegmentPlacement;
  geometry: SegmentGeometry;
  pieceNumber: number;
  firstLeaf: number;
  leafCount: number;
  /** Called once, before the first leaf, with what proves them. */
  onRange?: (range: PieceRange) => void;
}

/**
 * Leaves of a piece in shared memory, each checked up to the segment's signed root before it is handed out.
 * `onProgress` is called as bytes arrive. Throws CallError, or PieceError for a farmer that is to blame.
 */
export async function* getLeaves(
  network: Network,
  from: FarmerAddress,
  wanted: LeavesWanted,
  memory: Pick<LeafMemory, 'next'>,
  signal: AbortSignal,
  onProgress?: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { owner, placement, geometry, pieceNumber, firstLeaf, leafCount } = wanted;
  const head = encodeCallHead('piece.get', { owner, pieceId: pieceId(placement.secret, pieceNumber), firstLeaf, leafCount });
  const answer = await network.call(from, { operation: 'piece.get', head }, signal);
  if (!answer.body) throw new PieceError('WrongBytes', 'An answer without a body.');
  let rest: AsyncIterableIterator<Uint8Array> | undefined;
  try {
    const opened = await readFirstPart(answer.body, pieceRange.maxBytes);
    rest = opened.rest;
    const range = pieceRange.decode(opened.part);
    const hashes = checkRange(range, wanted);
    wanted.onRange?.(range);
    let leaf = new LeafBuffer(memory.next(shardBytes(geometry, firstLeaf)));
    let number = 0;
    for await (const chunk of rest) {
      onProgress?.(chunk.length);
      for (let at = 0; at < chunk.length;) {
        if (number === hashes.length) throw new PieceError('WrongBytes', 'More bytes than were asked for.');
        at += leaf.fill(chunk.subarray(at));
        if (!leaf.isFull) continue;
        if (Buffer.compare(leafHashInPlace(leaf.bytes), hashes[number]!) !== 0) {
          throw new PieceError('WrongBytes', `Leaf ${firstLeaf + number} of piece ${pieceNumber} doesn't have its hash.`);
        }
        yield leaf.bytes;
        number += 1;
        if (number < hashes.length) leaf = new LeafBuffer(memory.next(shardBytes(geometry, firstLeaf + number)));
      }
    }
    if (number < hashes.length) throw new CallError('Unreachable', 'The piece ended early.');
  } catch (cause) {
    if (cause instanceof WireError) throw new PieceError('WrongBytes', 'A malformed answer.', { cause });
    throw cause;
  } finally {
    await (rest ?? answer.body[Symbol.asyncIterator]()).return?.();
  }
}

/** A leaf that is being filled. */
class LeafBuffer {
  readonly bytes: Uint8Array;
  #filled = 0;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  get isFull(): boolean {
    return this.#filled === this.bytes.length;
  }
  /** Returns how many bytes it took. */
  fill(from: Uint8Array): number {
    const part = from.subarray(0, this.bytes.length - this.#filled);
    copyInto(this.bytes, part, this.#filled);
    this.#filled += part.length;
    return part.length;
  }
}

/** The hashes of the leaves that follow, proven to belong to this piece of this segment. */
function checkRange(range: PieceRange, { placement, geometry, pieceNumber, firstLeaf, leafCount }: LeavesWanted): Uint8Array[] {
  const hashes = Array.from({ length: range.leafHashes.length / 32 }, (_, i) => range.leafHashes.subarray(32 * i, 32 * i + 32));
  const isAsked =
    range.segmentRoot === placement.root &&
    range.index === pieceNumber &&
    range.sizeBytes === geometry.pieceBytes &&
    range.firstLeaf === firstLeaf &&
    hashes.length === leafCount;
  const pieceRoot = fromHex(range.pieceRoot, 32);
  const isProven =
    isAsked &&
    verifyRootPath(fromHex(placement.root, 32), placement.scheme.total, pieceNumber, pieceRoot, range.path) &&
    verifyRange(pieceRoot, geometry.stripes, firstLeaf, hashes, range.proof);
  if (!isProven)
    throw new PieceError('WrongBytes', `The answer isn't about piece ${pieceNumber} of segment ${placement.segmentId}.`);
  return hashes;
}

async function drain(body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  await body?.[Symbol.asyncIterator]().return?.();
}
