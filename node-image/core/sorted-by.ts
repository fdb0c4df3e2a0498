/** Lowest rank first, equal ones as they came; `rank` is asked once for each, not at each comparison. */
export function sortedBy<Item>(items: readonly Item[], rank: (item: Item) => number): Item[] {
  const ranked = items.map((item) => ({ item, rank: rank(item) }));
  return ranked.sort((a, b) => a.rank - b.rank).map(({ item }) => item);
}
