// How a segment stands, from who holds its pieces and how those farmers are. Pure: the repairer's
// queue, the farm report and the drain proof all follow from this one judgement.
//
// A farmer counts once for a segment, whatever it holds of it: two pieces on one farmer go together.
// So pieces are matched to distinct farmers, the best farmers first.
import { promiseOf } from '#node/core/schemes.ts';
import { countByDomain, domainLimit, type DomainSizes } from '#node/core/spread.ts';
import type { PublicKey, Scheme } from '#node/wire/types.ts';

/** Offline = silent, but not for long enough to be lost. Leaving = drains; holds what it has until it is moved. */
export type FarmerState = 'Online' | 'Offline' | 'Leaving' | 'Lost';

/** What the logs say of a segment: its scheme, and every farmer that a receipt names as holder of each piece. */
export interface SegmentHolders {
  scheme: Scheme;
  /** By piece number; length = scheme.total. */
  holders: readonly (readonly PublicKey[])[];
}

/**
 * Healthy: whole, or whole enough that nothing is queued. Degraded: queued, and the promise is not used up.
 * AtRisk: one more loss makes it unreadable, although its scheme promises more. Unreadable: too few pieces.
 */
export type HealthState = 'Healthy' | 'Degraded' | 'AtRisk' | 'Unreadable';

export interface SegmentHealth {
  /** The farmer that each piece counts on, by piece number; null = the piece counts nowhere. */
  counted: (PublicKey | null)[];
  /** Pieces on distinct farmers that aren't lost; offline and leaving ones count. */
  healthy: number;
  /** Of those, on farmers that stay. */
  staying: number;
  /** Pieces that count nowhere: to be rebuilt. */
  missing: number[];
  /** Pieces that count on a leaving farmer only: to be moved. */
  leaving: number[];
  /** Pieces that are in a failure domain with too many of them and nowhere else, where another has room. */
  crowded: number[];
  /** How many farmers may still go: healthy − required. Below zero: unreadable. */
  margin: number;
  state: HealthState;
  /** At or below `repair` and below `optimal`, or with pieces to move for which there is a farmer or a domain. */
  queued: boolean;
}

/** Farmers that may hold pieces for good: in the roster, active, not lost. */
export interface FarmSize {
  activeFarmers: number;
  /** Failure domains of those; without, nothing is crowded. */
  domains?: { of(farmer: PublicKey): string | undefined; sizes: DomainSizes };
}

/** Judges one segment. `stateOf` answers for any farmer, also for those that no roster knows (Lost). */
export function segmentHealth(
  segment: SegmentHolders,
  stateOf: (farmer: PublicKey) => FarmerState,
  farm: FarmSize,
): SegmentHealth {
  const { scheme, holders } = segment;
  const match = new Matching(scheme.total);
  match.grow(holders, (farmer) => stateOf(farmer) === 'Online');
  match.grow(holders, (farmer) => ['Online', 'Offline'].includes(stateOf(farmer)));
  const staying = match.size;
  match.grow(holders, (farmer) => stateOf(farmer) !== 'Lost');
  const healthy = match.size;
  const counted = match.farmers;
  const missing = numbersWhere(counted, (farmer) => farmer === null);
  // Growing keeps every matched farmer matched, so exactly healthy − staying pieces count on leaving ones.
  const leaving = numbersWhere(counted, (farmer) => farmer !== null && stateOf(farmer) === 'Leaving');
  const margin = healthy - scheme.required;
  const underRepair = healthy <= scheme.repair && healthy < scheme.optimal;
  const toMove = leaving.length > 0 && staying < movesUpTo(scheme, farm);
  // Only once nothing else is to do: pieces that are missing or on their way get places by domain anyway.
  const isWhole = missing.length === 0 && leaving.length === 0;
  const crowded = isWhole && !underRepair && farm.domains ? crowdedPieces(segment, counted, stateOf, farm.domains) : [];
  return {
    counted,
    healthy,
    staying,
    missing,
    leaving,
    crowded,
    margin,
    state: stateFor(margin, promiseOf(scheme), underRepair),
    queued: underRepair || toMove || crowded.length > 0,
  };
}

/**
 * Pieces beyond the limit of a domain. A piece that was copied out of it stays there too, so what counts is what
 * would be lost with the domain, and not who is counted.
 */
function crowdedPieces(
  { scheme, holders }: SegmentHolders,
  counted: readonly (PublicKey | null)[],
  stateOf: (farmer: PublicKey) => FarmerState,
  { of, sizes }: NonNullable<FarmSize['domains']>,
): number[] {
  const found = counted.filter((farmer) => farmer !== null);
  const limit = domainLimit(sizes, found.length, promiseOf(scheme));
  for (const [domain, count] of countByDomain(found, of)) {
    if (count <= limit) continue;
    const without = new Matching(scheme.total);
    without.grow(holders, (farmer) => stateOf(farmer) !== 'Lost' && (of(farmer) ?? farmer) !== domain);
    const only = numbersWhere(without.farmers, (farmer) => farmer === null);
    if (only.length > limit) return only.slice(limit);
  }
  return [];
}

/**
 * Up to how many staying pieces a leaving farmer's piece must be moved: always up to `optimal`, beyond
 * it as far as there are farmers, so that a spare piece without a place doesn't hold a drain for ever.
 */
export function movesUpTo(scheme: Scheme, farm: FarmSize): number {
  return Math.min(scheme.total, Math.max(scheme.optimal, farm.activeFarmers));
}

/**
 * Order of repair, lowest first: what can still go, then what stays. Unreadable segments come last, since
 * nothing but the return of a farmer helps them, and pieces to move come after pieces that are missing, those that
 * are only crowded after those that must leave.
 */
export function urgency(health: Pick<SegmentHealth, 'margin' | 'staying' | 'missing' | 'crowded'>): number {
  const { margin, staying, missing, crowded } = health;
  const later = margin < 0 ? 3 * LATER : crowded.length > 0 ? 2 * LATER : missing.length > 0 ? 0 : LATER;
  return later + Math.max(0, margin) * 256 + staying;
}
const LATER = 256 * 256;
/** Urgencies of segments with nothing to do but to spread. */
export const CROWDED_URGENCY = { from: 2 * LATER, below: 3 * LATER };

/** A log replica set stands by the same words: acknowledged at f + 1, so f members may be lost. */
export function replicaSetHealth(
  set: { f: number; members: readonly PublicKey[] },
  stateOf: (farmer: PublicKey) => FarmerState,
): { margin: number; state: HealthState } {
  const lost = set.members.filter((member) => stateOf(member) === 'Lost').length;
  const margin = set.f - lost;
  return { margin, state: stateFor(margin, set.f, lost > 0) };
}

/** The worse of two. */
export function worseState(a: HealthState, b: HealthState): HealthState {
  return ORDER.indexOf(a) >= ORDER.indexOf(b) ? a : b;
}

const ORDER: readonly HealthState[] = ['Healthy', 'Degraded', 'AtRisk', 'Unreadable'];

function stateFor(margin: number, promise: number, degraded: boolean): HealthState {
  if (margin < 0) return 'Unreadable';
  if (margin === 0 && promise > 0) return 'AtRisk';
  return degraded ? 'Degraded' : 'Healthy';
}

function numbersWhere<T>(values: readonly T[], test: (value: T) => boolean): number[] {
  return values.flatMap((value, number) => (test(value) ? [number] : []));
}

/** Greatest matching of pieces to distinct farmers; growing it never unmatches a piece. */
class Matching {
  readonly farmers: (PublicKey | null)[];
  size = 0;
  readonly #pieceOf = new Map<PublicKey, number>();

  constructor(pieces: number) {
    this.farmers = Array.from({ length: pieces }, () => null);
  }

  grow(holders: SegmentHolders['holders'], allowed: (farmer: PublicKey) => boolean): void {
    for (let piece = 0; piece < this.farmers.length; piece++) {
      if (this.farmers[piece] === null && this.#place(piece, holders, allowed, new Set())) this.size++;
    }
  }

  /** Places a piece, asking others to step aside where they can (an augmenting path). */
  #place(
    piece: number,
    holders: SegmentHolders['holders'],
    allowed: (farmer: PublicKey) => boolean,
    tried: Set<PublicKey>,
  ): boolean {
    for (const farmer of holders[piece] ?? []) {
      if (tried.has(farmer) || !allowed(farmer)) continue;
      tried.add(farmer);
      const other = this.#pieceOf.get(farmer);
      if (other !== undefined && !this.#place(other, holders, allowed, tried)) continue;
      this.#pieceOf.set(farmer, piece);
      this.farmers[piece] = farmer;
      return true;
    }
    return false;
  }
}
