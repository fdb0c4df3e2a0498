// Several repairers with a warrant share an owner's segments: each segment has an order of repairers, by a hash
// over both, and the first one does it. Whoever comes after waits until those before it have long been silent.
// Two that act at once do no harm: pieces and placement entries only ever add holders. Pure.
import { nearest } from './rendezvous.ts';
import type { PublicKey, SegmentId } from '#node/wire/types.ts';

export interface TurnInput {
  segmentId: SegmentId;
  /** Of the newest warrant set. */
  repairers: readonly PublicKey[];
  self: PublicKey;
  /** How long the segment has waited, as this repairer sees it. */
  waitedMs: number;
  /** Since when nothing that this repairer wrote was read. */
  silentMs(repairer: PublicKey): number;
  /** After so long without a word the next one may act. */
  takeOverMs: number;
}

export function isOurTurn({ segmentId, repairers, self, waitedMs, silentMs, takeOverMs }: TurnInput): boolean {
  if (repairers.length < 2) return true;
  const order = nearest(segmentId, repairers, repairers.length);
  const before = order.slice(0, Math.max(0, order.indexOf(self)));
  return waitedMs >= before.length * takeOverMs && before.every((repairer) => silentMs(repairer) >= takeOverMs);
}
