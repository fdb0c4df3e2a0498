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
    foundBy: 1,
    file: 'node-image/farmer/record-queue.ts',
    find: `      await segment.file.write(parts, segment.tail);
      await segment.file.datasync();`,
    replace: `      await segment.file.write(parts, segment.tail);`,
  },
  {
    name: 'an old head is accepted',
    foundBy: 27,
    file: 'node-image/log/log-reader.ts',
    find: `(newest, { seq, hash }) => (seq > newest.seq || (seq === newest.seq && hash < newest.hash) ? { seq, hash } : newest),`,
    replace: `(newest, { seq, hash }) => (newest.seq === 0 || seq < newest.seq ? { seq, hash } : newest),`,
  },
  {
    name: 'a tombstone is dropped',
    foundBy: 10,
    file: 'node-image/catalog/apply-batch.ts',
    find: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, entry.names));`,
    replace: `changeKey(tables, bucketId, entry.key, () => remove(tables, bucketId, entry.key, []));`,
  },
  {
    name: 'one acknowledgement too few is enough',
    foundBy: 186,
    file: 'node-image/log/replica-group.ts',
    find: `return this.upToDate(seq).length > this.#set.f;`,
    replace: `return this.upToDate(seq).length >= this.#set.f;`,
  },
  {
    name: 'leaf hashes are not checked',
    foundBy: 17,
    file: 'node-image/client/piece-calls.ts',
    find: `if (Buffer.compare(leafHashInPlace(leaf.bytes), hashes[number]!) !== 0) {`,
    replace: `if (false as boolean) {`,
  },
  {
    name: "a receipt's signature is not checked",
    foundBy: 10,
    file: 'node-image/wire/placements.ts',
    find: ` || !verifyReceipt(receipt)) return`,
    replace: `) return`,
  },
  {
    name: "a placement's path is not checked",
    foundBy: 4,
    file: 'node-image/wire/placements.ts',
    find: `if (!isWhole || !isSigned) return`,
    replace: `if (!isWhole) return`,
  },
  {
    name: 'a writer goes on where the replicas are ahead of it',
    foundBy: 32,
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
    foundBy: 28,
    file: 'node-image/bridge/bucket-writer.ts',
    find: `      await to.append(decision.entries, decision.repair);
      await visible.promise;`,
    replace: `      void to.append(decision.entries, decision.repair).catch(() => {});`,
  },
  {
    name: 'moves are not followed',
    foundBy: 160,
    file: 'node-image/client/bucket-reader.ts',
    find: `    return { placement, moved: holdersOf(this.owner, placement, sealed, this.state.view.warrants) };`,
    replace: `    return { placement, moved: holdersOf(this.owner, placement, sealed.slice(1e9), this.state.view.warrants) };`,
  },
  {
    name: 'a closed log goes on',
    foundBy: 28,
    file: 'node-image/farmer/log-store.ts',
    find: `if (closing && (number > closing.lastSeq ||`,
    replace: `if (closing && number < 0 && (number > closing.lastSeq ||`,
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
    foundBy: 136,
    file: 'node-image/core/segment-health.ts',
    find: `  match.grow(holders, (farmer) => stateOf(farmer) === 'Online');`,
    replace: `  match.grow(holders, () => true);`,
  },
  {
    name: 'a cut lets nothing go',
    foundBy: 1,
    file: 'node-image/core/id-ranges.ts',
    find: `    orphans: held.filter(isOrphan).map(({ pieceId }) => pieceId),`,
    replace: `    orphans: [],`,
  },
  {
    name: 'the trash gives nothing back',
    foundBy: 1,
    file: 'node-image/core/id-ranges.ts',
    find: `trashedMs !== null && named.has(pieceId)).map`,
    replace: `trashedMs !== null && named.has(pieceId) && cutMs === 0).map`,
  },
  {
    name: 'the trash is never emptied',
    foundBy: 1,
    file: 'node-image/farmer/index-compaction.ts',
    find: `dayOf(trashedMs) < expiredDay ? 'purge' : 'keep'`,
    replace: `dayOf(trashedMs) < expiredDay ? 'keep' : 'keep'`,
  },
  {
    name: 'trash goes the same day',
    foundBy: 45,
    file: 'node-image/farmer/compaction.ts',
    find: `    expiredDay: today - TRASH_DAYS,`,
    replace: `    expiredDay: today + 1,`,
  },
  {
    name: 'a checkpoint knows no live segment',
    foundBy: 1,
    file: 'node-image/log/checkpoint-maker.ts',
    find: `live: this.#order.isLive(record.segmentId) }`,
    replace: `live: false }`,
  },
  {
    name: 'batches go before a checkpoint covers them',
    foundBy: 1,
    file: 'node-image/farmer/covered-batches.ts',
    find: `Math.min(coveredSeq(kept, log.logId, nowMs) + 1, log.seq)`,
    replace: `log.seq`,
  },
  {
    name: 'a tombstone goes before what it hides has come',
    foundBy: 393,
    file: 'node-image/log/checkpoint-maker.ts',
    find: `    const horizonMs = this.#before?.horizonMs ?? 0;
    const keeps`,
    replace: `    const horizonMs = this.#horizonMs;
    const keeps`,
  },
];
