// Carries out the plan for one segment: pieces to their new holders, then the placement entries that make
// readers look there, then the index. What fails is tried again later from the state that is then.
import { byteBudget, type ByteBudget } from '#node/client/byte-budget.ts';
import { repairPlan, type FarmerFacts, type RepairPlan } from '#node/core/repair-plan.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { placementProblem, sealPlacement } from '#node/wire/placements.ts';
import { LEAF_BYTES, type PublicKey, type WarrantStatement } from '#node/wire/types.ts';
import type { Bandwidth } from './bandwidth.ts';
import { copyPiece } from './copy-piece.ts';
import type { Judge } from './judge.ts';
import { segmentLink, suspicionOf } from './piece-link.ts';
import { Benches, pieceMath } from './piece-math.ts';
import type { PlacementLogs } from './placement-logs.ts';
import { tellMoves } from './tell-moves.ts';
import { rebuildPieces, type Stored } from './rebuild-pieces.ts';
import { placementOf } from './scan-owner.ts';
import type { IndexedSegment, SegmentIndex } from './segment-index.ts';

export interface RepairDeps {
  link: LogLink;
  index: SegmentIndex;
  judge: Judge;
  logs: PlacementLogs;
  bandwidth: Bandwidth;
  benches: Benches;
  /** Bytes that all repairs hold in memory together. */
  memory: ByteBudget;
  farmers: () => FarmerFacts[];
  /** Null: none of the owner's warrants is known (any more). */
  warrantsOf: (owner: PublicKey) => readonly WarrantStatement[] | null;
  /** A farmer failed us: it isn't asked first, or given anything, for a while. */
  onFailed: (farmer: PublicKey, as: 'source' | 'target', error: unknown) => void;
  stallMs: number;
}

export interface RepairOutcome {
  /** Pieces that have a new holder, in the logs. */
  pieces: number;
  bytes: number;
  copied: boolean;
  blocked: RepairPlan['blocked'];
}

/** For one leaf: nobody waits for a repair as for a get. */
const LATE_MS = 1000;

/** Null where there is nothing to do (any more). Rejects with RebuildError, LogError, CallError. */
export async function repairSegment(deps: RepairDeps, id: number, signal: AbortSignal): Promise<RepairOutcome | null> {
  const { index, judge } = deps;
  await tellUntold(deps, id, signal);
  const segment = index.segment(id);
  const warrants = segment && deps.warrantsOf(segment.owner);
  if (!segment || !warrants) return null;
  const health = judge.judge(segment);
  const plan = repairPlan({ segment, health, farmers: deps.farmers(), pieceBytes: segment.pieceBytes, seed: segment.segmentId });
  const copied = plan.copies.length > 0;
  if (!copied && plan.rebuilds.length === 0) {
    return health.queued ? { pieces: 0, bytes: 0, copied, blocked: plan.blocked ?? 'NoPlaces' } : null;
  }
  const heldBytes = bytesInMemory(segment, plan);
  await deps.memory.take(heldBytes, signal);
  try {
    const stored = await move(deps, segment, plan, signal);
    const told = await tell(deps, segment, stored, warrants, signal);
    return { pieces: told, bytes: told * segment.pieceBytes, copied, blocked: plan.blocked };
  } finally {
    deps.memory.give(heldBytes);
    const after = index.segment(id);
    if (after) judge.judge(after);
  }
}

/** What was moved before, and one of the buckets hasn't heard of. */
async function tellUntold(deps: RepairDeps, id: number, signal: AbortSignal): Promise<void> {
  const { index } = deps;
  const segment = index.segment(id);
  if (!segment?.isInSeveralBuckets || !deps.warrantsOf(segment.owner)) return;
  const [failed] = await tellMoves(deps, index.untoldMovesOf(segment), signal);
  if (failed) throw failed.error;
}

/** Two leaves on the way for each piece that is read, and three for each that is sent. */
function bytesInMemory({ scheme }: IndexedSegment, { copies, rebuilds }: RepairPlan): number {
  const leaves = copies.length > 0 ? 4 * copies.length : 2 * scheme.required + 3 * rebuilds.length;
  return leaves * LEAF_BYTES;
}

async function move(deps: RepairDeps, segment: IndexedSegment, plan: RepairPlan, signal: AbortSignal): Promise<Stored[]> {
  const { index, bandwidth, stallMs } = deps;
  const { runtime } = deps.link;
  const link = segmentLink(deps.link.network, (farmer) => deps.link.addressOf(farmer), segment);
  const spend = (bytes: number, ends: AbortSignal) => bandwidth.take(bytes, ends);
  const sourceFailed = (pieceNumber: number, farmer: PublicKey, error: unknown) => {
    const suspicion = suspicionOf(error);
    if (suspicion !== 'None') index.setSuspect(segment.id, pieceNumber, farmer, suspicion);
    deps.onFailed(farmer, 'source', error);
  };
  if (plan.rebuilds.length > 0) {
    return await rebuildPieces({
      scheme: segment.scheme,
      tasks: plan.rebuilds,
      sources: plan.sources,
      link,
      math: pieceMath(deps.benches, segment),
      spend,
      runtime,
      stallMs,
      lateMs: LATE_MS,
      signal,
      onSourceFailed: ({ pieceNumber, farmer }, error) => sourceFailed(pieceNumber, farmer, error),
      onTargetFailed: ({ to }, error) => deps.onFailed(to, 'target', error),
    });
  }
  const copies = plan.copies.map((task) =>
    copyPiece({
      task,
      total: segment.scheme.total,
      link,
      spend,
      runtime,
      stallMs,
      signal,
      onSourceFailed: (farmer, error) => sourceFailed(task.pieceNumber, farmer, error),
      onTargetFailed: (error) => deps.onFailed(task.to, 'target', error),
    }),
  );
  return (await Promise.all(copies)).filter((stored) => stored !== null);
}

/** Writes the moves into the log of every bucket that names the segment. Only then they count. */
async function tell(
  deps: RepairDeps,
  segment: IndexedSegment,
  stored: Stored[],
  warrants: readonly WarrantStatement[],
  signal: AbortSignal,
): Promise<number> {
  const { index } = deps;
  const { owner, id } = segment;
  // A farmer that leaves by now, or one whose word readers wouldn't take, is no new holder.
  const staying = new Set(deps.farmers().flatMap(({ farmer, state }) => (state === 'Online' ? [farmer] : [])));
  const placement = placementOf(segment);
  const entries = stored
    .map(({ pieceNumber, to, receipt, path }) => ({ pieceNumber, farmer: to, receipt, path }))
    .filter((entry) => staying.has(entry.farmer))
    .filter((entry) => {
      const problem = placementProblem(entry, { owner, placement }, warrants);
      if (problem) deps.onFailed(entry.farmer, 'target', new Error(problem));
      return problem === null;
    });
  if (entries.length === 0) return 0;
  const moves = entries.map((entry) => ({
    pieceNumber: entry.pieceNumber,
    farmer: entry.farmer,
    placement: sealPlacement(segment.secret, entry, deps.link.runtime.random(12)),
  }));
  for (const bucketId of index.bucketsOf(id)) {
    await deps.logs.append(
      owner,
      bucketId,
      moves.map((one) => one.placement),
      signal,
    );
    index.transaction(() => {
      for (const { pieceNumber, farmer, placement: sealed } of moves) {
        index.addMove(id, bucketId, { pieceNumber, farmer, sealed: sealed.sealed });
        index.setSuspect(id, pieceNumber, farmer, 'None');
      }
    });
  }
  return moves.length;
}

/** What repairs may hold in memory by default. */
export const repairMemory = (): ByteBudget => byteBudget(64 * 1024 * 1024);
