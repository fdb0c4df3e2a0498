// After a farm was restored whole: the owner accepts what the replicas have now. Nobody else may, and nothing
// else makes a reader or a writer go below what was acknowledged. Looking comes first: it can't be taken back.
import type { KeyPair } from '#node/core/keys.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';
import { readBatches, readHeads, type BucketState, type PartKeys } from './log-reader.ts';
import { fetchRoots, publishRoots } from './roots.ts';

interface ResetLog {
  logId: PublicKey;
  writer: PublicKey;
  /** Up to here it would count. */
  seq: number;
  /** Date of that batch; null where nothing is left. */
  lastMs: number | null;
  /** Batches behind it that were acknowledged, as far as `known` says: lost, and no reset has accepted it yet. */
  lostBatches: number;
}
export interface LeftOfBucket {
  bucketId: BucketId;
  /** Those that didn't answer may have more. */
  replicas: { members: number; answering: number };
  logs: ResetLog[];
}

/** The highest acknowledged batch of each log that anybody remembers: a bridge's catalog, a writer's state, other batches. */
type Known = ReadonlyMap<PublicKey, number>;

/** What the newest batches of this bucket's logs say of the owner's other logs. Rejects with LogError. */
export async function toldHeads(link: LogLink, state: BucketState, keys: PartKeys, signal: AbortSignal): Promise<KnownHead[]> {
  const since = new Map(state.logs.map(({ log, seq }) => [log.logId, Math.max(0, seq - 1)]));
  const told: KnownHead[] = [];
  for await (const { heads } of readBatches(link, { state, since, keys, signal })) told.push(...heads);
  return told;
}

/** What would be kept and what is known to be lost. Changes nothing. Rejects with LogError. */
export async function leftOfBucket(link: LogLink, state: BucketState, known: Known, signal: AbortSignal): Promise<LeftOfBucket> {
  const since = new Map(state.logs.map(({ log, seq }) => [log.logId, Math.max(0, seq - 1)]));
  const dates = new Map<PublicKey, number>();
  for await (const { header } of readBatches(link, { state, since, keys: {}, signal })) dates.set(header.logId, header.timeMs);
  const accepted = state.view.resets.get(state.bucketId);
  const lost = (logId: PublicKey, seq: number) => {
    const isAccepted = (accepted?.get(logId)?.seq ?? Infinity) <= seq;
    return isAccepted ? 0 : Math.max(0, (known.get(logId) ?? 0) - seq);
  };
  return {
    bucketId: state.bucketId,
    replicas: { members: state.set.members.length, answering: state.answers.size },
    logs: state.logs.map(({ log: { logId, writer }, seq }) => ({
      logId,
      writer,
      seq,
      lastMs: dates.get(logId) ?? null,
      lostBatches: lost(logId, seq),
    })),
  };
}

/** Signs the reset with the owner's own key and publishes it: each log counts from where it stands now. Rejects with LogError. */
export async function resetBucket(
  link: LogLink,
  input: { owner: KeyPair; bucketId: BucketId; signal: AbortSignal },
): Promise<void> {
  const { owner, bucketId, signal } = input;
  const { statements, view } = await fetchRoots(link, owner.publicKey, signal);
  const { logs, set } = await readHeads(link, { owner: owner.publicKey, bucketId, view, signal, all: true });
  const heads = logs.map(({ log: { logId }, seq }) => ({ logId, seq }));
  const body = { kind: 'reset', owner: owner.publicKey, bucketId, heads, issuedMs: link.runtime.nowMs() } as const;
  const statement = signRootStatement(owner, body);
  await publishRoots(link, { owner: owner.publicKey, statements: [statement], known: statements, also: set.members, signal });
}
