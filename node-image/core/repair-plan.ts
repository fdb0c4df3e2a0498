// What to do for one segment: which pieces go where, and from whom to read. Pure.
//
// Nothing is missing and some pieces sit on leaving farmers: copy each straight from its holder. As soon
// as one piece must be rebuilt, `required` pieces are read anyway and all n are computed to check them
// against the signed root, so the moving pieces come out of the same pass.
import { choosePlaces, type PlacementCandidate } from '#node/core/placement.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { countByDomain, domainLimit, domainSizes } from '#node/core/spread.ts';
import { movesUpTo, type FarmerState, type SegmentHealth, type SegmentHolders } from '#node/core/segment-health.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** A farmer of the roster, as the repairer sees it now. */
export interface FarmerFacts {
  farmer: PublicKey;
  /** Failure domain. */
  domain: string;
  state: FarmerState;
  /** It answered last time. A leaving farmer may or may not; an offline one doesn't. */
  answers: boolean;
  freeBytes?: number;
}

/** One piece that goes to one farmer. */
export interface PieceTask {
  pieceNumber: number;
  to: PublicKey;
}
export interface CopyTask extends PieceTask {
  /** Holders of that piece, best first. Never empty. */
  from: PublicKey[];
}
export interface PieceSource {
  pieceNumber: number;
  farmer: PublicKey;
  answers: boolean;
}

export interface RepairPlan {
  /** Straight from a holder. */
  copies: CopyTask[];
  /** Computed from `required` other pieces. */
  rebuilds: PieceTask[];
  /** Whom to read for rebuilding, best first; silent farmers come last. */
  sources: PieceSource[];
  /** Pieces that should get a place and have none: no farmer left that answers, has room and holds nothing of it. */
  unplaced: number[];
  /** Why nothing can be done now: too few farmers to read from answer, or there is no place. */
  blocked: 'NotEnoughSources' | 'NoPlaces' | null;
}

export interface PlanInput {
  segment: SegmentHolders;
  health: SegmentHealth;
  farmers: readonly FarmerFacts[];
  /** Size of one piece. */
  pieceBytes: number;
  /** Same seed, same plan: after a crash the same farmers are asked again, and have the piece already. */
  seed: string;
}

/** Plans one segment. A plan without copies and rebuilds means: nothing to do, or blocked. */
export function repairPlan(input: PlanInput): RepairPlan {
  const { segment, health } = input;
  if (!health.queued) return { copies: [], rebuilds: [], sources: [], unplaced: [], blocked: null };
  const sources = sourcesOf(input);
  if (health.crowded.length > 0) return spreadPlan(input, sources);
  const canRebuild = new Set(sources.map(({ pieceNumber }) => pieceNumber)).size >= segment.scheme.required;
  // Missing pieces first: they are what is lacking; moving ones still count where they are.
  const wanted = [...(canRebuild ? health.missing : []), ...health.leaving].slice(0, roomFor(input));
  const places = choosePieces(input, wanted);
  const tasks = places.map((to, index): PieceTask => ({ pieceNumber: wanted[index]!, to }));
  const copies = tasks.map((task) => copyOf(task, sources)).filter((copy) => copy !== null);
  const rebuild = canRebuild && copies.length < tasks.length;
  return {
    copies: rebuild ? [] : copies,
    rebuilds: rebuild ? tasks : [],
    sources,
    unplaced: wanted.slice(places.length),
    blocked: !canRebuild && health.missing.length > 0 ? 'NotEnoughSources' : tasks.length === 0 ? 'NoPlaces' : null,
  };
}

/** Copies out of a crowded domain, as far as others have room below the limit. The old holders keep what they have. */
function spreadPlan(input: PlanInput, sources: PieceSource[]): RepairPlan {
  const { segment, health, farmers } = input;
  const domainOf = new Map(farmers.map(({ farmer, domain }) => [farmer, domain]));
  const isActive = ({ state }: FarmerFacts): boolean => state === 'Online' || state === 'Offline';
  const limit = domainLimit(domainSizes(farmers.filter(isActive)), health.healthy, promiseOf(segment.scheme));
  // What stays where it counts now: everything but the pieces that get a second holder.
  const stays = health.counted.filter((farmer, number) => farmer !== null && !health.crowded.includes(number));
  const placed = stays.filter((farmer) => farmer !== null);
  const takers = new Set(takersOf(input));
  // Who has a piece of it already would count once for two.
  for (const holders of segment.holders) for (const farmer of holders) takers.delete(farmer);
  const copies: CopyTask[] = [];
  for (const pieceNumber of health.crowded) {
    const counts = countByDomain(placed, (farmer) => domainOf.get(farmer));
    const open = farmers.filter(({ farmer, domain }) => takers.has(farmer) && (counts.get(domain) ?? 0) < limit);
    const [to] = choosePlaces({ farmers: open.map(candidateOf), count: 1, f: limit, seed: input.seed });
    if (to === undefined) break;
    takers.delete(to);
    placed.push(to);
    const copy = copyOf({ pieceNumber, to }, sources);
    if (copy) copies.push(copy);
  }
  const unplaced = health.crowded.slice(copies.length);
  return { copies, rebuilds: [], sources, unplaced, blocked: copies.length === 0 ? 'NoPlaces' : null };
}

/** How many pieces may get a new place before every farmer that stays has one. */
function roomFor({ segment, health, farmers }: PlanInput): number {
  const activeFarmers = farmers.filter(({ state }) => state === 'Online' || state === 'Offline').length;
  return Math.max(0, movesUpTo(segment.scheme, { activeFarmers }) - health.staying);
}

/** Null for a piece that no farmer can hand over now. */
function copyOf(task: PieceTask, sources: PieceSource[]): CopyTask | null {
  const from = sources.filter((source) => source.pieceNumber === task.pieceNumber && source.answers).map(({ farmer }) => farmer);
  return from.length > 0 ? { ...task, from } : null;
}

/**
 * New holders, in the order of `wanted`: only farmers that answer, stay, have room and don't count for
 * this segment yet. Domains are filled with an eye on the pieces that stay.
 */
function choosePieces(input: PlanInput, wanted: number[]): PublicKey[] {
  const { segment, health, farmers, seed } = input;
  const counted = health.counted.filter((farmer) => farmer !== null);
  const leaving = new Set(health.leaving.map((number) => health.counted[number]));
  const takers = new Set(takersOf(input));
  return choosePlaces({
    farmers: farmers.map(candidateOf),
    count: wanted.length,
    f: promiseOf(segment.scheme),
    seed,
    placed: counted.filter((farmer) => !leaving.has(farmer)),
    exclude: new Set(farmers.map(({ farmer }) => farmer).filter((farmer) => !takers.has(farmer))),
  });
}

function takersOf({ farmers, pieceBytes }: PlanInput): PublicKey[] {
  return farmers
    .filter(({ state, answers, freeBytes }) => state === 'Online' && answers && (freeBytes ?? Infinity) > pieceBytes)
    .map(({ farmer }) => farmer);
}

const candidateOf = ({ farmer, domain, freeBytes }: FarmerFacts): PlacementCandidate => ({
  farmer,
  domain,
  ...(freeBytes === undefined ? {} : { freeBytes }),
});

/** Every holder that isn't known to be lost, those that answer and stay first; silent ones are a last try. */
function sourcesOf({ segment, farmers }: PlanInput): PieceSource[] {
  const facts = new Map(farmers.map((one) => [one.farmer, one]));
  const ranked = segment.holders.flatMap((holders, pieceNumber) =>
    holders.flatMap((farmer) => {
      const one = facts.get(farmer);
      if (!one || (one.state === 'Lost' && !one.answers)) return [];
      // A lost one that answers is one that failed its audits: a last try, what it sends is checked.
      const rank = one.state === 'Lost' ? 3 : !one.answers ? 2 : one.state === 'Leaving' ? 1 : 0;
      return [{ rank, source: { pieceNumber, farmer, answers: one.answers } }];
    }),
  );
  return ranked.sort((a, b) => a.rank - b.rank).map(({ source }) => source);
}
