// Taking back what somebody holds. His logs are ended first, so that everything acknowledged until then counts
// and the revocation says exactly up to where.
import type { KeyPair } from '#node/core/keys.ts';
import { readHeads } from '#node/log/log-reader.ts';
import { LogError, type LogLink } from '#node/log/log-link.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { sealAndClose } from '#node/log/seal-log.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';

/**
 * Ends every grant on the bucket (or share) that has gone through the hands of `holder` until now; what is granted
 * to that key later is another matter. `signer`: the owner, or a keeper of the bucket. The bucket's replicas hear
 * of it at once, other farmers within five minutes. Rejects with LogError: then it may be called again.
 */
export async function revokeGrants(
  link: LogLink,
  input: { signer: KeyPair; owner: PublicKey; bucketId: BucketId; holder: PublicKey; signal: AbortSignal },
): Promise<void> {
  const { signer, owner, bucketId, holder, signal } = input;
  let roots = await fetchRoots(link, owner, signal);
  const set = roots.view.sets.get(bucketId);
  const own = roots.view.logs.filter((log) => log.bucketId === bucketId && log.writer === holder && log.grants);
  for (const { logId } of own.filter(({ closed }) => !closed)) {
    if (set) await endOf(link, { owner, bucketId, logId, roots, set, signer, signal });
    roots = await fetchRoots(link, owner, signal, roots.statements);
  }
  const reached = set ? await reachedBy(link, owner, bucketId, signal) : new Map<PublicKey, number>();
  const ended = roots.view.logs.filter(({ logId }) => own.some((log) => log.logId === logId));
  const statement = signRootStatement(signer, {
    kind: 'revocation',
    owner,
    bucketId,
    revoked: holder,
    logs: ended.map(({ logId, closed }) => ({ logId, lastSeq: closed?.lastSeq ?? reached.get(logId) ?? 0 })),
    issuedMs: link.runtime.nowMs(),
  });
  await publishRoots(link, { owner, statements: [statement], known: roots.statements, also: set?.members ?? [], signal });
}

/** Too few replicas to seal it: the revocation itself ends it then. */
async function endOf(link: LogLink, input: Parameters<typeof sealAndClose>[1]): Promise<void> {
  try {
    await sealAndClose(link, input);
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
  }
}

async function reachedBy(link: LogLink, owner: PublicKey, bucketId: BucketId, signal: AbortSignal) {
  const { logs } = await readHeads(link, { owner, bucketId, signal });
  return new Map(logs.map(({ log, seq }) => [log.logId, seq]));
}
