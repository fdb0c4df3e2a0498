// Which farmers get the pieces of a segment, or the replicas of a log. Weighted, seeded, pure: the same
// farmers and seed give the same places, and a farmer more or less moves few of them (rendezvous).
import { createHash } from 'node:crypto';
import type { PublicKey } from '#node/wire/types.ts';

export interface PlacementCandidate {
  farmer: PublicKey;
  /** Failure domain: zone, else Kubernetes node, else the farmer. */
  domain: string;
  /** Chosen in proportion to its weight; without one, to its free bytes; without either, as any other. */
  weight?: number;
  /** 0 = takes nothing. */
  freeBytes?: number;
}

export interface PlacementQuestion {
  farmers: readonly PlacementCandidate[];
  count: number;
  /** No domain gets more than f (but one where f is 0), as long as there are domains enough. */
  f: number;
  /** Different for each segment or log. */
  seed: string;
  exclude?: ReadonlySet<PublicKey>;
  /** Places that stay: not chosen again, but counted in their domains. */
  placed?: readonly PublicKey[];
}

/**
 * `count` farmers, or as many as there are. Where domains are too few for the rule, the limit is
 * raised as little as possible, which spreads evenly.
 */
export function choosePlaces(question: PlacementQuestion): PublicKey[] {
  const { farmers, count, f, seed, exclude } = question;
  const placed = new Set(question.placed);
  const held = new Map<string, number>();
  for (const { farmer, domain } of farmers) if (placed.has(farmer)) add(held, domain);
  const open = farmers.filter((one) => !exclude?.has(one.farmer) && !placed.has(one.farmer) && weightOf(one, farmers) > 0);
  const ranked = open
    .map((one) => ({ ...one, rank: rankOf(seed, one, weightOf(one, farmers)) }))
    .sort((a, b) => a.rank - b.rank || (a.farmer < b.farmer ? -1 : 1));
  const limit = domainLimit(ranked, held, Math.min(count, ranked.length), Math.max(1, f));
  const chosen: PublicKey[] = [];
  for (const { farmer, domain } of ranked) {
    if (chosen.length === count) break;
    if ((held.get(domain) ?? 0) >= limit) continue;
    add(held, domain);
    chosen.push(farmer);
  }
  return chosen;
}

/** Members of a log's replica set, or those that are still missing beside `placed`. */
export function chooseReplicas(question: Omit<PlacementQuestion, 'count'> & { replicas: number }): PublicKey[] {
  const { replicas, ...rest } = question;
  return choosePlaces({ ...rest, count: Math.max(0, replicas - (question.placed?.length ?? 0)) });
}

/** The least limit on a domain, from `floor` on, under which `count` more find a place. */
function domainLimit(
  open: readonly PlacementCandidate[],
  held: ReadonlyMap<string, number>,
  count: number,
  floor: number,
): number {
  const sizes = new Map<string, number>();
  for (const { domain } of open) add(sizes, domain);
  const room = (limit: number) =>
    [...sizes].reduce((sum, [domain, size]) => sum + Math.min(size, Math.max(0, limit - (held.get(domain) ?? 0))), 0);
  let limit = floor;
  while (room(limit) < count) limit++;
  return limit;
}

function weightOf(one: PlacementCandidate, all: readonly PlacementCandidate[]): number {
  if (one.freeBytes !== undefined && one.freeBytes <= 0) return 0;
  if (one.weight !== undefined) return one.weight;
  if (one.freeBytes !== undefined) return one.freeBytes;
  // Among farmers that say what they have free, a silent one counts as the average.
  const known = all.flatMap(({ freeBytes }) => (freeBytes === undefined ? [] : [freeBytes]));
  return known.length === 0 ? 1 : known.reduce((sum, bytes) => sum + bytes, 0) / known.length || 1;
}

/** Weighted rendezvous: −ln(u) / weight with u from the hash; the smallest come first in proportion to weight. */
function rankOf(seed: string, { farmer }: PlacementCandidate, weight: number): number {
  const digest = createHash('sha256').update(`storj/1 place\0${farmer}\0${seed}`).digest();
  const u = (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
  return -Math.log(u) / weight;
}

function add(counts: Map<string, number>, domain: string): void {
  counts.set(domain, (counts.get(domain) ?? 0) + 1);
}
