// Pieces of one segment over the network, for repair: the client's calls, which check everything, with what
// placement entries and copies need besides.
import { getLeaves, PieceError, putPieceSigned } from '#node/client/piece-calls.ts';
import { pieceId, segmentGeometry } from '#node/core/segments.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import type { PieceRange } from '#node/wire/calls.ts';
import { LEAF_BYTES, type PublicKey } from '#node/wire/types.ts';
import type { PieceLink } from './rebuild-pieces.ts';
import { placementOf } from './scan-owner.ts';
import type { Suspicion } from './index-inventory.ts';
import type { IndexedSegment } from './segment-index.ts';

/** What this error says of the farmer's piece; None: it says that the farmer is away. */
export function suspicionOf(error: unknown): Suspicion {
  if (error instanceof PieceError) return error.code === 'WrongBytes' ? 'WrongBytes' : 'None';
  if (!(error instanceof CallError)) return 'None';
  return error.code === 'NotFound' ? 'Missing' : error.code === 'Corrupt' ? 'WrongBytes' : 'None';
}

interface OpenPiece {
  range: PieceRange;
  /** The first leaf is on its way. Ending it early frees the connection. */
  leaves: AsyncGenerator<Uint8Array, void, undefined>;
}

export interface SegmentLink extends PieceLink {
  /** A whole piece, with what proves it. */
  open(source: { pieceNumber: number; farmer: PublicKey }, signal: AbortSignal): Promise<OpenPiece>;
}

/** Everything about the pieces of one segment. Rejects with CallError and PieceError. */
export function segmentLink(
  network: Network,
  addressOf: (farmer: PublicKey) => FarmerAddress | null,
  segment: IndexedSegment,
): SegmentLink {
  const { owner } = segment;
  const placement = placementOf(segment);
  const geometry = segmentGeometry(segment.sizeBytes, segment.scheme.required);
  const address = (farmer: PublicKey): FarmerAddress => {
    const known = addressOf(farmer);
    if (!known) throw new CallError('Unreachable', `No address is known of farmer ${farmer}.`);
    return known;
  };
  const read = (
    { pieceNumber, farmer }: { pieceNumber: number; farmer: PublicKey },
    firstLeaf: number,
    memory: LeafSource,
    signal: AbortSignal,
    onRange: (range: PieceRange) => void = () => {},
  ) => {
    const leafCount = geometry.stripes - firstLeaf;
    const wanted = { owner, placement, geometry, pieceNumber, firstLeaf, leafCount, onRange };
    return getLeaves(network, address(farmer), wanted, memory, signal);
  };
  return {
    async *read(source, firstLeaf, signal) {
      yield* read(source, firstLeaf, oneLeaf(), signal);
    },
    async open(source, signal) {
      let range: PieceRange | undefined;
      const leaves = read(source, 0, freshLeaves, signal, (proof) => {
        range = proof;
      });
      const first = await leaves.next();
      if (!range || first.done) throw new CallError('Unreachable', 'The piece ended early.');
      return { range, leaves: withFirst(first.value, leaves) };
    },
    async put({ pieceNumber, to }, pieceRoot, body, signal) {
      const meant = { owner, pieceId: pieceId(segment.secret, pieceNumber), pieceRoot, sizeBytes: () => geometry.pieceBytes };
      return (await putPieceSigned(network, address(to), meant, body, signal)).bytes;
    },
  };
}

/** Where the next leaf goes. */
interface LeafSource {
  next(sizeBytes: number): Uint8Array;
}

/** Each in memory of its own: a copy may be on its way to the new holder while the next one comes. */
const freshLeaves: LeafSource = { next: (sizeBytes) => new Uint8Array(sizeBytes) };

/** All in the same place: the codec has its own copy before the next one is asked for. */
function oneLeaf(): LeafSource {
  const place = new Uint8Array(BEFORE_BYTES + LEAF_BYTES);
  return { next: (sizeBytes) => place.subarray(BEFORE_BYTES, BEFORE_BYTES + sizeBytes) };
}
/** Room in front, so that the leaf is hashed in place; aligned. */
const BEFORE_BYTES = 64;

async function* withFirst(
  first: Uint8Array,
  rest: AsyncGenerator<Uint8Array, void, undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return();
  }
}
