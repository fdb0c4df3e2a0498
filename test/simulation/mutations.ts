// Bugs that somebody might well make, each as the exact text that it would change. The simulation is only as good
// as those of them that it finds.

export interface Mutation {
  name: string;
  /** In the repository. */
  file: string;
  /** Occurs exactly once. */
  find: string;
  replace: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'an fsync is skipped',
    file: 'node-image/farmer/segment-log.ts',
    find: `      await segment.file.write(parts, segment.tail);
      await segment.file.datasync();`,
    replace: `      await segment.file.write(parts, segment.tail);`,
  },
  {
    name: 'an old head is accepted',
    file: 'node-image/log/log-reader.ts',
    find: `(newest, { seq, hash }) => (seq > newest.seq || (seq === newest.seq && hash < newest.hash) ? { seq, hash } : newest),`,
    replace: `(newest, { seq, hash }) => (newest.seq === 0 || seq < newest.seq ? { seq, hash } : newest),`,
  },
  {
    name: 'a tombstone is dropped',
    file: 'node-image/catalog/apply-batch.ts',
    find: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, entry.names));`,
    replace: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, []));`,
  },
  {
    name: 'one acknowledgement too few is enough',
    file: 'node-image/log/replica-group.ts',
    find: `return this.upToDate(seq).length > this.#set.f;`,
    replace: `return this.upToDate(seq).length >= this.#set.f;`,
  },
  {
    name: 'a reader asks one replica fewer',
    file: 'node-image/log/log-reader.ts',
    find: `    const needed = set.members.length - set.f;`,
    replace: `    const needed = set.members.length - set.f - 1;`,
  },
  {
    name: 'leaf hashes are not checked',
    file: 'node-image/client/piece-calls.ts',
    find: `if (Buffer.compare(leafHashInPlace(leaf.bytes), hashes[number]!) !== 0) {`,
    replace: `if (false as boolean) {`,
  },
  {
    name: "a receipt's signature is not checked",
    file: 'node-image/wire/placements.ts',
    find: ` || !verifyReceipt(receipt)) return`,
    replace: `) return`,
  },
  {
    name: "a placement's path is not checked",
    file: 'node-image/wire/placements.ts',
    find: `if (!isWhole || !isSigned) return`,
    replace: `if (!isWhole) return`,
  },
  {
    name: 'any farm may be a holder',
    file: 'node-image/wire/placements.ts',
    find: ` && warrant.farms.includes(signed.body.farm)`,
    replace: ``,
  },
  {
    name: 'a writer goes on where the replicas are ahead of it',
    file: 'node-image/log/log-writer.ts',
    find: `  return pending !== null && found.seq === decodeBatchHeader(pending).seq && found.hash === batchHash(pending);`,
    replace: `  return true;`,
  },
  {
    name: 'root statements lie on one farmer',
    file: 'node-image/core/rendezvous.ts',
    find: `  const write = Math.min(farmers, Math.max(f + 1, farmers - f));`,
    replace: `  const write = 1;`,
  },
  {
    name: 'a bridge answers before the log has it',
    file: 'node-image/bridge/bucket-writer.ts',
    find: `      await to.append(decision.entries, decision.repair);
      await visible.promise;`,
    replace: `      void to.append(decision.entries, decision.repair).catch(() => {});`,
  },
  {
    name: 'moves are not followed',
    file: 'node-image/client/bucket-reader.ts',
    find: `    return { placement, moved: holdersOf(this.owner, placement, sealed, this.state.view.warrants) };`,
    replace: `    return { placement, moved: holdersOf(this.owner, placement, sealed.slice(1e9), this.state.view.warrants) };`,
  },
  {
    name: 'a closed log goes on',
    file: 'node-image/farmer/log-store.ts',
    find: `if (closing && (number > closing.lastSeq ||`,
    replace: `if (closing && number < 0 && (number > closing.lastSeq ||`,
  },
  {
    name: 'other writers go on beside a new one',
    file: 'node-image/log/log-writer.ts',
    find: `log.kind === 'entries' && !log.closed && log.logId !== own`,
    replace: `log.kind === 'entries' && !log.closed && log.logId === own`,
  },
  {
    name: 'only the first log is read',
    file: 'node-image/log/log-reader.ts',
    find: `  for (const log of input.state.logs) {`,
    replace: `  for (const log of input.state.logs.slice(0, 1)) {`,
  },
  {
    name: "a lost farmer's pieces count",
    file: 'node-image/core/segment-health.ts',
    find: `  match.grow(holders, (farmer) => stateOf(farmer) === 'Online');`,
    replace: `  match.grow(holders, () => true);`,
  },
];
