// Pieces over the network, for repair: reading with every leaf checked against the segment's signed root,
// and putting with the receipt checked.
import { fromHex, toHex } from '#node/core/ids.ts';
import { leafHash, verifyRange, verifyRootPath } from '#node/core/merkle.ts';
import { pieceId, segmentGeometry, shardBytes, type SegmentGeometry } from '#node/core/segments.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead, pieceRange, type PieceRange } from '#node/wire/calls.ts';
import { readFirstPart } from '#node/wire/framing.ts';
import { decodeReceipt, verifyReceipt } from '#node/wire/statements.ts';
import type { Hash, PublicKey } from '#node/wire/types.ts';
import type { PieceLink } from './rebuild-pieces.ts';
import type { IndexedSegment } from './segment-index.ts';

/** A farmer sent something else than what the writer signed, or signed something else than asked. */
export class PieceError extends Error {
  readonly code: 'WrongBytes' | 'WrongReceipt';
  constructor(code: PieceError['code'], message: string) {
    super(message);
    this.name = 'PieceError';
    this.code = code;
  }
}

/** Whether this error means that the farmer hasn't got the piece (any more), rather than that it is away. */
export function isPieceGone(error: unknown): boolean {
  if (error instanceof PieceError) return error.code === 'WrongBytes';
  return error instanceof CallError && (error.code === 'NotFound' || error.code === 'Corrupt');
}

export interface OpenPiece {
  range: PieceRange;
  /** Checked leaves. Ending it early frees the connection. */
  leaves: AsyncGenerator<Uint8Array, void, undefined>;
}

type Segment = Pick<IndexedSegment, 'owner' | 'secret' | 'root' | 'scheme' | 'sizeBytes'>;

export interface SegmentLink extends PieceLink {
  open(source: { pieceNumber: number; farmer: PublicKey }, firstLeaf: number, signal: AbortSignal): Promise<OpenPiece>;
}

/** Everything about the pieces of one segment. Rejects with CallError and PieceError. */
export function segmentLink(
  network: Network,
  addressOf: (farmer: PublicKey) => FarmerAddress | undefined,
  segment: Segment,
): SegmentLink {
  const geometry = segmentGeometry(segment.sizeBytes, segment.scheme.required);
  const address = (farmer: PublicKey): FarmerAddress => {
    const known = addressOf(farmer);
    if (!known) throw new CallError('Unreachable', `No address is known of farmer ${farmer}.`);
    return known;
  };
  const open: SegmentLink['open'] = async ({ pieceNumber, farmer }, firstLeaf, signal) => {
    const head = encodeCallHead('piece.get', {
      owner: segment.owner,
      pieceId: pieceId(segment.secret, pieceNumber),
      firstLeaf,
      leafCount: 0,
    });
    const answer = await network.call(address(farmer), { operation: 'piece.get', head }, signal);
    if (!answer.body) throw new PieceError('WrongBytes', 'The farmer answered without a piece.');
    const { part, rest } = await readFirstPart(answer.body, pieceRange.maxBytes);
    try {
      const range = pieceRange.decode(part);
      const problem = rangeProblem(range, segment, geometry, pieceNumber, firstLeaf);
      if (problem) throw new PieceError('WrongBytes', problem);
      return { range, leaves: checkedLeaves(rest, range, geometry) };
    } catch (error) {
      await rest.return?.();
      throw error;
    }
  };
  return {
    open,
    async *read(source, firstLeaf, signal) {
      yield* (await open(source, firstLeaf, signal)).leaves;
    },
    async put({ pieceNumber, to }, body, signal) {
      const id = pieceId(segment.secret, pieceNumber);
      const head = encodeCallHead('piece.put', { owner: segment.owner, pieceId: id });
      const answer = await network.call(address(to), { operation: 'piece.put', head, body }, signal);
      const { receipt } = decodeAnswerHead('piece.put', answer.head);
      const signed = decodeReceipt(receipt);
      const { body: word } = signed;
      const isMeant = word.farmer === to && word.owner === segment.owner && word.pieceId === id;
      if (!isMeant || word.sizeBytes !== geometry.pieceBytes || !verifyReceipt(signed)) {
        throw new PieceError('WrongReceipt', 'The new holder signed something else than what was sent.');
      }
      return { receipt, pieceRoot: word.pieceRoot };
    },
  };
}

/** Why an answer doesn't prove this piece of this segment; null where it does. */
function rangeProblem(
  range: PieceRange,
  segment: Segment,
  geometry: SegmentGeometry,
  pieceNumber: number,
  firstLeaf: number,
): string | null {
  if (range.segmentRoot !== segment.root || range.index !== pieceNumber) return 'The piece is of another segment or number.';
  if (range.sizeBytes !== geometry.pieceBytes || range.firstLeaf !== firstLeaf) return 'The piece has another size.';
  const hashes = split32(range.leafHashes);
  if (hashes.length !== geometry.stripes - firstLeaf) return 'The piece has another number of leaves.';
  const root = fromHex(range.pieceRoot, 32);
  if (!verifyRootPath(fromHex(segment.root, 32), segment.scheme.total, pieceNumber, root, range.path)) {
    return 'The path doesn’t lead to the signed root.';
  }
  return verifyRange(root, geometry.stripes, firstLeaf, hashes, range.proof) ? null : 'The leaf hashes don’t lead to the root.';
}

async function* checkedLeaves(
  body: AsyncIterable<Uint8Array>,
  range: PieceRange,
  geometry: SegmentGeometry,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hashes = split32(range.leafHashes).map(toHex);
  let number = 0;
  let leaf = new Uint8Array(shardBytes(geometry, range.firstLeaf));
  let filled = 0;
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      if (number === hashes.length) throw new PieceError('WrongBytes', 'The piece goes on behind its end.');
      const take = Math.min(leaf.length - filled, chunk.length - at);
      leaf.set(chunk.subarray(at, at + take), filled);
      filled += take;
      at += take;
      if (filled < leaf.length) continue;
      checkLeaf(leaf, hashes[number]!, range.firstLeaf + number);
      yield leaf;
      number++;
      filled = 0;
      if (number < hashes.length) leaf = new Uint8Array(shardBytes(geometry, range.firstLeaf + number));
    }
  }
  if (number < hashes.length) throw new PieceError('WrongBytes', 'The piece ends early.');
}

function checkLeaf(leaf: Uint8Array, hash: Hash, number: number): void {
  if (toHex(leafHash(leaf)) !== hash) throw new PieceError('WrongBytes', `Leaf ${number} isn’t what the writer signed.`);
}

function split32(joined: Uint8Array): Uint8Array[] {
  return Array.from({ length: joined.length / 32 }, (_, index) => joined.subarray(32 * index, 32 * index + 32));
}
