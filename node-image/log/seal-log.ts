// The end of a log whose writer lost its state: N − f replicas take nothing more, what any of them has is
// brought to f + 1, and a closing statement says up to where it counts. Whoever still has the old key can't
// get f + 1 acknowledgements any more. May be run again at any point.
import type { KeyPair } from '#node/core/keys.ts';
import { NO_HASH } from '#node/wire/batch.ts';
import { signRootStatement, type ReplicaSet } from '#node/wire/root-view.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import { spreadLog } from './copy-log.ts';
import { putStatements, sealLog, type LogName } from './log-calls.ts';
import { LogError, type LogLink } from './log-link.ts';
import { gather, reasons } from './quorum.ts';
import { publishRoots, type Roots } from './roots.ts';
import type { SeenHead } from './log-reader.ts';

export interface SealInput {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
  roots: Roots;
  set: ReplicaSet;
  /** A keeper of the bucket, or the owner. */
  signer: KeyPair;
  signal: AbortSignal;
}

/** Resolves with where the log ends: on f + 1 replicas, closed in the statements. Rejects with LogError. */
export async function sealAndClose(link: LogLink, input: SealInput): Promise<SeenHead> {
  const { owner, bucketId, logId, roots, set, signer, signal } = input;
  const heads = await sealed(link, input);
  const end = newest(heads);
  const closing = signRootStatement(signer, {
    kind: 'log-closed',
    owner,
    bucketId,
    logId,
    lastSeq: end.seq,
    lastHash: end.hash,
    closedMs: link.runtime.nowMs(),
  });
  // Sealed replicas take what a closing covers and nothing else, so they have to know it before they are filled up.
  await gather(link, {
    farmers: set.members,
    needed: set.members.length - set.f,
    ask: (to, inner) => putStatements(link, to, owner, [...roots.statements, closing], inner),
    signal,
    finish: true,
  });
  if (end.seq > 0) await fill(link, input, heads, end);
  await publishRoots(link, { owner, statements: [closing], known: roots.statements, signal });
  return end;
}

/** Heads of at least N − f members that accept nothing more. */
async function sealed(
  link: LogLink,
  { owner, bucketId, logId, set, signer, signal }: SealInput,
): Promise<Map<PublicKey, SeenHead>> {
  const order = signStatement(signer, { kind: 'seal', owner, bucketId, logId, issuedMs: link.runtime.nowMs() } as const);
  const needed = set.members.length - set.f;
  const { answers, errors } = await gather(link, {
    farmers: set.members,
    needed,
    ask: (to, inner) => sealLog(link, to, order, inner),
    signal,
    finish: true,
  });
  if (answers.size >= needed) return answers;
  throw new LogError(
    'NotEnoughReplicas',
    `Only ${answers.size} of ${needed} needed replicas sealed log ${logId} (${reasons(errors)}). Try again.`,
  );
}

function newest(heads: ReadonlyMap<PublicKey, SeenHead>): SeenHead {
  return [...heads.values()].reduce<SeenHead>(
    (best, { seq, hash }) => (seq > best.seq || (seq === best.seq && hash < best.hash) ? { seq, hash } : best),
    { seq: 0, hash: NO_HASH },
  );
}

async function fill(link: LogLink, input: SealInput, heads: ReadonlyMap<PublicKey, SeenHead>, end: SeenHead): Promise<void> {
  const { set, signal } = input;
  const name: LogName = { owner: input.owner, bucketId: input.bucketId, logId: input.logId };
  const sources = [...heads].filter(([, head]) => head.seq === end.seq && head.hash === end.hash).map(([farmer]) => farmer);
  await spreadLog(link, { name, set, sources, toSeq: end.seq, signal });
}
