// Where pieces went since they were placed: repairers' placement entries, found by tag in the catalog,
// checked against receipt and warrant before they are believed.
import { openPlacement, placementProblem, placementTag } from '#node/wire/placements.ts';
import type { FarmMember } from '#node/client/farm-view.ts';
import { WireError } from '#node/wire/codec.ts';
import type { BucketRow, Catalog } from '#node/catalog/catalog.ts';
import type {
  BucketId,
  PlacementEntry,
  PublicKey,
  SealedPlacement,
  SegmentPlacement,
  WarrantStatement,
} from '#node/wire/types.ts';
import { ObjectsError } from './objects.ts';

type Moved = ReadonlyMap<number, readonly PublicKey[]>;

export interface HolderMoves {
  /** What the catalog knows now. */
  known(owner: PublicKey, placement: SegmentPlacement): Moved;
  /** Asks the farmers for newer entries first. */
  find(bucket: BucketRow, placement: SegmentPlacement, signal: AbortSignal): Promise<Moved>;
  /** A segment's placement for another entry: holders that are lost, or leave, replaced by those who have the piece, too. Throws Unreadable. */
  refreshed(bucket: BucketRow, segmentId: string): SegmentPlacement;
}

export interface HolderMovesOptions {
  catalog: Catalog;
  warrantsOf: (owner: PublicKey) => readonly WarrantStatement[];
  /** Of the farm. */
  members: () => readonly Pick<FarmMember, 'farmer' | 'state'>[];
  catchUp: (owner: PublicKey, bucketId: BucketId, signal: AbortSignal) => Promise<void>;
}

export function createHolderMoves({ catalog, warrantsOf, members, catchUp }: HolderMovesOptions): HolderMoves {
  const known = (owner: PublicKey, placement: SegmentPlacement): Moved => {
    const holders = new Map<number, PublicKey[]>();
    for (const sealed of catalog.moves(placementTag(placement.secret))) {
      const entry = opened(placement, sealed);
      if (entry === null || placementProblem(entry, { owner, placement }, warrantsOf(owner)) !== null) continue;
      holders.set(entry.pieceNumber, [...(holders.get(entry.pieceNumber) ?? []), entry.farmer]);
    }
    return holders;
  };
  return {
    known,
    async find({ owner, bucketId }, placement, signal) {
      await catchUp(owner, bucketId, signal);
      return known(owner, placement);
    },
    refreshed({ owner, bucketId }, segmentId) {
      const placement = catalog.placement(bucketId, segmentId);
      if (placement === null) throw new ObjectsError('Unreadable', `The catalog lacks the places of segment ${segmentId}`);
      const moved = known(owner, placement);
      const states = new Map(members().map((member) => [member.farmer, member.state]));
      const farmers = placement.farmers.map((farmer, number) => {
        const holders = [...(farmer === null ? [] : [farmer]), ...(moved.get(number) ?? [])];
        // One that leaves has the piece still, but may be gone as soon as the others are known to have it.
        const inState = (state: FarmMember['state']) => holders.find((one) => states.get(one) === state);
        return inState('Active') ?? inState('Leaving') ?? farmer;
      });
      return { ...placement, farmers };
    },
  };
}

function opened(placement: SegmentPlacement, sealed: SealedPlacement): PlacementEntry | null {
  try {
    return openPlacement(placement.secret, sealed);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
