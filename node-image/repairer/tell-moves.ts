// A segment that several buckets name has moved: the readers of each must hear of it.
import type { BucketId, PublicKey, SealedPlacement } from '#node/wire/types.ts';
import type { PlacementLogs } from './placement-logs.ts';
import type { SegmentIndex, UntoldMove } from './segment-index.ts';

/** Goes through all of them; answers which buckets couldn't be told. */
export async function tellMoves(
  { logs, index }: { logs: PlacementLogs; index: SegmentIndex },
  untold: readonly UntoldMove[],
  signal: AbortSignal,
): Promise<{ owner: PublicKey; bucketId: BucketId; error: unknown }[]> {
  const failed = [];
  const byBucket = Map.groupBy(untold, ({ owner, bucketId }) => `${owner}/${bucketId}`);
  for (const moves of byBucket.values()) {
    const { owner, bucketId } = moves[0]!;
    const placements = moves.map(({ tag, move }): SealedPlacement => ({ tag, sealed: move.sealed }));
    try {
      await logs.append(owner, bucketId, placements, signal);
      index.transaction(() => moves.forEach(({ id, move }) => index.addMove(id, bucketId, move)));
    } catch (error) {
      signal.throwIfAborted();
      failed.push({ owner, bucketId, error });
    }
  }
  return failed;
}
