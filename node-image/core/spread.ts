// Failure domains of what is stored already: no domain holds more of a segment, or of a log's replicas, than the
// promise lets go, where the farm has domains enough. Where it hasn't, the limit is raised as little as possible,
// which spreads evenly. Pure.

/** Farmers that may hold things for good, in each domain. */
export type DomainSizes = ReadonlyMap<string, number>;

export function domainSizes(farmers: Iterable<{ domain: string }>): DomainSizes {
  const sizes = new Map<string, number>();
  for (const { domain } of farmers) sizes.set(domain, (sizes.get(domain) ?? 0) + 1);
  return sizes;
}

/** The least limit on a domain, from f (at least 1) on, under which so many find a place on distinct farmers. */
export function domainLimit(sizes: DomainSizes, count: number, f: number): number {
  const most = Math.max(0, ...sizes.values());
  const room = (limit: number): number => [...sizes.values()].reduce((sum, size) => sum + Math.min(size, limit), 0);
  let limit = Math.max(1, f);
  while (limit < most && room(limit) < count) limit++;
  return limit;
}

/** How many of these are in each domain; whose domain isn't known counts alone. */
export function countByDomain<Farmer extends string>(
  farmers: readonly Farmer[],
  domainOf: (farmer: Farmer) => string | undefined,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const farmer of farmers) {
    const domain = domainOf(farmer) ?? farmer;
    counts.set(domain, (counts.get(domain) ?? 0) + 1);
  }
  return counts;
}

/** The domain with the most above the limit; null where there is none. */
export function mostCrowded(counts: ReadonlyMap<string, number>, limit: number): string | null {
  const crowded = [...counts].filter(([, count]) => count > limit).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return crowded[0]?.[0] ?? null;
}
