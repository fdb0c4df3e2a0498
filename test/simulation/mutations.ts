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
    find: `synced: errorOf(group.segment.file.datasync()) }`,
    replace: `synced: Promise.resolve(null) }`,
  },
  {
    name: 'an old head is accepted',
    foundBy: 7,
    file: 'node-image/log/log-reader.ts',
    find: `(newest, { seq, hash }) => (seq > newest.seq || (seq === newest.seq && hash < newest.hash) ? { seq, hash } : newest),`,
    replace: `(newest, { seq, hash }) => (newest.seq === 0 || seq < newest.seq ? { seq, hash } : newest),`,
  },
  {
    name: 'a tombstone is dropped',
    foundBy: 1,
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
    foundBy: 121,
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
    foundBy: 254,
    file: 'node-image/bridge/bucket-writer.ts',
    find: `      await to.append(decision.entries, decision.repair);
      await visible.promise;`,
    replace: `      void to.append(decision.entries, decision.repair).catch(() => {});`,
  },
  {
    name: 'moves are not followed',
    foundBy: 549,
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
    foundBy: 30,
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
    foundBy: 9,
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
  {
    name: 'a reader asks one replica fewer',
    foundBy: 22,
    file: 'node-image/log/log-reader.ts',
    find: `    const needed = set.members.length - set.f;
    const { answers`,
    replace: `    const needed = set.members.length - set.f - 1;
    const { answers`,
  },
  {
    name: 'a member of any farm may be a holder',
    foundBy: 66,
    file: 'node-image/wire/placements.ts',
    find: `warrant.farms.includes(signed.body.farm) && verifyMembership`,
    replace: `verifyMembership`,
  },
  {
    name: 'others write on beside the new bridge',
    foundBy: 32,
    file: 'node-image/log/log-writer.ts',
    find: `!log.closed && log.logId !== own && isTakenOver(log.writer);`,
    replace: `!log.closed && log.logId !== own && isTakenOver(log.writer) && own === '';`,
  },
  {
    name: 'a checkpoint forgets tombstones',
    foundBy: 23,
    file: 'node-image/core/run-records.ts',
    find: `    if (record.kind === 'gone') return !isOver(record.wallMs);`,
    replace: `    if (record.kind === 'gone') return false;`,
  },
  {
    name: 'what was merely read is told as acknowledged',
    foundBy: 86,
    file: 'node-image/log/log-reader.ts',
    find: `seq > 0 && holders.length > set.f);`,
    replace: `seq > 0 && holders.length + set.f > 0);`,
  },
  {
    name: 'a seal is ignored',
    foundBy: 93,
    file: 'node-image/farmer/log-store.ts',
    find: `if ((sealed || isSealed) && !closing) throw`,
    replace: `if ((sealed || isSealed) && !closing && number < 0) throw`,
  },
  {
    name: 'a new replica asks nobody of the set before',
    foundBy: 268,
    file: 'node-image/farmer/log-catch-up.ts',
    find: `const isOwed = before !== null && (`,
    replace: `const isOwed = before !== null && before.epoch < 0 && (`,
  },
  {
    name: 'the epoch is not checked',
    foundBy: 100,
    file: 'node-image/farmer/log-calls.ts',
    find: `  if (set.epoch !== name.epoch) {`,
    replace: `  if (set.epoch < name.epoch) {`,
  },
  {
    name: 'a farmer that was set back answers at once',
    foundBy: 37,
    file: 'node-image/farmer/log-calls.ts',
    find: `    if (!isFellow && !(await context.isCaughtUp(owner, bucketId))) throw notCaughtUp();`,
    replace: ``,
  },
  {
    name: 'a clock follows nothing that was read',
    foundBy: 548,
    file: 'node-image/bridge/bucket-writer.ts',
    find: `      follow(entriesOf(news));`,
    replace: `      follow(entriesOf(news).slice(0, 0));`,
  },
  {
    name: 'an upload is done at required',
    foundBy: 39,
    file: 'node-image/client/segment-attempt.ts',
    find: `if (this.#count('stored') >= this.#input.scheme.optimal) return;`,
    replace: `if (this.#count('stored') >= this.#input.scheme.required) return;`,
  },
  {
    name: 'a grant that has ended is taken',
    foundBy: 12,
    file: 'node-image/core/grants.ts',
    find: `>= rights.notBeforeMs && nowMs <= rights.expiresMs;`,
    replace: `>= rights.notBeforeMs;`,
  },
  {
    name: 'the prefix of a grant is not checked',
    foundBy: 26,
    file: 'node-image/core/grants.ts',
    find: `verbs.includes('write') && entry.key.startsWith(prefix);`,
    replace: `verbs.includes('write');`,
  },
  {
    name: 'what was taken back is still good',
    foundBy: 33,
    file: 'node-image/farmer/presented-grants.ts',
    find: `revocationsOf(rights, view.revocations).length === 0);`,
    replace: `revocationsOf(rights, view.revocations).length >= 0);`,
  },
  {
    name: 'a grant to list reads pieces, too',
    foundBy: 75,
    file: 'node-image/farmer/admission.ts',
    find: `allows(grants.rights, 'any', 'read');`,
    replace: `allows(grants.rights, 'any', 'read', 'list');`,
  },
  {
    name: 'a share keeps what its bucket has let go',
    foundBy: 215,
    file: 'node-image/bridge/share-feed.ts',
    find: `    if (gone.length > 0) return {`,
    replace: `    if (gone.length < 0) return {`,
  },
];
