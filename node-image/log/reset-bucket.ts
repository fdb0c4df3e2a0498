// After a farm was restored whole: the owner accepts what the replicas have now. Nobody else may, and nothing
// else makes a reader or a writer go below what was acknowledged.
import type { KeyPair } from '#node/core/keys.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';
import { readHeads } from './log-reader.ts';
import { fetchRoots, publishRoots } from './roots.ts';

export interface ResetLog {
  logId: PublicKey;
  /** Up to here it counts from now on. */
  seq: number;
  /** Batches behind it that were acknowledged, as far as `known` says: lost. */
  lostBatches: number;
}

/**
 * Signs the reset with the owner's own key and publishes it. `known`: the highest acknowledged batch of each log
 * that anybody remembers (a bridge's catalog, a writer's state). Resolves with the logs that were longer.
 * Rejects with LogError. Ask a person first: it can't be taken back.
 */
export async function resetBucket(
  link: LogLink,
  input: { owner: KeyPair; bucketId: BucketId; known: ReadonlyMap<PublicKey, number>; signal: AbortSignal },
): Promise<ResetLog[]> {
  const { owner, bucketId, known, signal } = input;
  const { statements, view } = await fetchRoots(link, owner.publicKey, signal);
  const { logs, set } = await readHeads(link, { owner: owner.publicKey, bucketId, view, signal, all: true });
  const heads = logs.map(({ log: { logId }, seq }) => ({ logId, seq }));
  const body = { kind: 'reset', owner: owner.publicKey, bucketId, heads, issuedMs: link.runtime.nowMs() } as const;
  const statement = signRootStatement(owner, body);
  await publishRoots(link, { owner: owner.publicKey, statements: [statement], known: statements, also: set.members, signal });
  return heads
    .map((head) => ({ ...head, lostBatches: Math.max(0, (known.get(head.logId) ?? 0) - head.seq) }))
    .filter(({ lostBatches }) => lostBatches > 0);
}
