// Pure: how many slots each zone has. Growing fills the smallest zone, shrinking takes from the largest; a zone
// that isn't listed any more goes to 0. A function of (total, zones, what exists) and nothing else.

/** Slots by zone. `existing` may name zones that aren't listed; they are in the answer with 0. */
export function splitOverZones(
  total: number,
  zones: readonly string[],
  existing: ReadonlyMap<string, number>,
): Map<string, number> {
  const counts = new Map(zones.map((zone) => [zone, existing.get(zone) ?? 0]));
  const sum = (): number => [...counts.values()].reduce((all, count) => all + count, 0);
  const change = (zone: string | undefined, by: number): void => {
    if (zone !== undefined) counts.set(zone, (counts.get(zone) ?? 0) + by);
  };
  while (sum() < total) change(smallest(counts), 1);
  while (sum() > total) change(largest(counts), -1);
  for (const zone of existing.keys()) if (!counts.has(zone)) counts.set(zone, 0);
  return counts;
}

/** The first of the smallest. */
function smallest(counts: ReadonlyMap<string, number>): string | undefined {
  return [...counts].reduce<[string, number] | undefined>(
    (best, one) => (best && best[1] <= one[1] ? best : one),
    undefined,
  )?.[0];
}

/** The last of the largest, so that growing and shrinking undo each other. */
function largest(counts: ReadonlyMap<string, number>): string | undefined {
  return [...counts].reduce<[string, number] | undefined>((best, one) => (best && best[1] > one[1] ? best : one), undefined)?.[0];
}
