// Bugs that somebody might well make, each as the exact text that it would change. The simulation is only as good
// as those of them that it finds.

export interface Mutation {
  name: string;
  /** The seed whose world is known to find it: tried first. */
  foundBy: number;
  /** In the repository. */
  file: string;
  /** Occurs exactly once. */
  find: string;
  replace: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'an fsync is skipped',
    foundBy: 8,
    file: 'node-image/farmer/segment-log.ts',
    find: `      await segment.file.write(parts, segment.tail);
      await segment.file.datasync();`,
    replace: `      await segment.file.write(parts, segment.tail);`,
  },
  {
    name: 'an old head is accepted',
    foundBy: 9,
    file: 'node-image/log/log-reader.ts',
    find: `(newest, { seq, hash }) => (seq > newest.seq || (seq === newest.seq && hash < newest.hash) ? { seq, hash } : newest),`,
    replace: `(newest, { seq, hash }) => (newest.seq === 0 || seq < newest.seq ? { seq, hash } : newest),`,
  },
  {
    name: 'a tombstone is dropped',
    foundBy: 2,
    file: 'node-image/catalog/apply-batch.ts',
    find: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, entry.names));`,
    replace: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, []));`,
  },
  {
    name: 'one acknowledgement too few is enough',
    foundBy: 354,
    file: 'node-image/log/replica-group.ts',
    find: `return this.upToDate(seq).length > this.#set.f;`,
    replace: `return this.upToDate(seq).length >= this.#set.f;`,
  },
  {
    name: 'a reader asks one replica fewer',
    foundBy: 350,
    file: 'node-image/log/log-reader.ts',
    find: `    const needed = set.members.length - set.f;`,
    replace: `    const needed = set.members.length - set.f - 1;`,
  },
  {
    name: 'leaf hashes are not checked',
    foundBy: 54,
    file: 'node-image/client/piece-calls.ts',
    find: `if (Buffer.compare(leafHashInPlace(leaf.bytes), hashes[number]!) !== 0) {`,
    replace: `if (false as boolean) {`,
  },
  {
    name: "a receipt's signature is not checked",
    foundBy: 103,
    file: 'node-image/wire/placements.ts',
    find: ` || !verifyReceipt(receipt)) return`,
    replace: `) return`,
  },
  {
    name: "a placement's path is not checked",
    foundBy: 107,
    file: 'node-image/wire/placements.ts',
    find: `if (!isWhole || !isSigned) return`,
    replace: `if (!isWhole) return`,
  },
  {
    name: 'any farm may be a holder',
    foundBy: 170,
    file: 'node-image/wire/placements.ts',
    find: ` && warrant.farms.includes(signed.body.farm)`,
    replace: ``,
  },
  {
    name: 'a writer goes on where the replicas are ahead of it',
    foundBy: 37,
    file: 'node-image/log/log-writer.ts',
    find: `  return pending !== null && found.seq === decodeBatchHeader(pending).seq && found.hash === batchHash(pending);`,
    replace: `  return true;`,
  },
  {
    name: 'root statements lie on one farmer',
    foundBy: 1,
    file: 'node-image/core/rendezvous.ts',
    find: `  const write = Math.min(farmers, Math.max(f + 1, farmers - f));`,
    replace: `  const write = 1;`,
  },
  {
    name: 'a bridge answers before the log has it',
    foundBy: 18,
    file: 'node-image/bridge/bucket-writer.ts',
    find: `      await to.append(decision.entries, decision.repair);
      await visible.promise;`,
    replace: `      void to.append(decision.entries, decision.repair).catch(() => {});`,
  },
  {
    name: 'moves are not followed',
    foundBy: 269,
    file: 'node-image/client/bucket-reader.ts',
    find: `    return { placement, moved: holdersOf(this.owner, placement, sealed, this.state.view.warrants) };`,
    replace: `    return { placement, moved: holdersOf(this.owner, placement, sealed.slice(1e9), this.state.view.warrants) };`,
  },
  {
    name: 'a closed log goes on',
    foundBy: 1,
    file: 'node-image/farmer/log-store.ts',
    find: `if (closing && (number > closing.lastSeq ||`,
    replace: `if (closing && number < 0 && (number > closing.lastSeq ||`,
  },
  {
    name: 'other writers go on beside a new one',
    foundBy: 12,
    file: 'node-image/log/log-writer.ts',
    find: `log.kind === 'entries' && !log.closed && log.logId !== own`,
    replace: `log.kind === 'entries' && !log.closed && log.logId === own`,
  },
  {
    name: 'only the first log is read',
    foundBy: 1,
    file: 'node-image/log/log-reader.ts',
    find: `  for (const log of input.state.logs) {`,
    replace: `  for (const log of input.state.logs.slice(0, 1)) {`,
  },
  {
    name: "a lost farmer's pieces count",
    foundBy: 83,
    file: 'node-image/core/segment-health.ts',
    find: `  match.grow(holders, (farmer) => stateOf(farmer) === 'Online');`,
    replace: `  match.grow(holders, () => true);`,
  },
];
