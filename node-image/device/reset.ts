// Resets, for whoever has the words: what the farmers still have of an account that lost some of what was
// acknowledged, and the owner's word that it goes on from there.
import { bucketKeys, type AccountAccess } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { readHeads, type BucketState } from '#node/log/log-reader.ts';
import { leftOfBucket, resetBucket, toldHeads, type LeftOfBucket } from '#node/log/reset-bucket.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import { StorjError } from './storj-error.ts';

export type { LeftOfBucket } from '#node/log/reset-bucket.ts';

interface ResetInput {
  client: Client;
  access: AccountAccess;
  signer: KeyPair;
  signal: AbortSignal;
}

/** All that has logs, the account's own among them. What is lost is told by the batches that are left, of whichever bucket. */
export async function leftOfAccount(input: Omit<ResetInput, 'signer'>): Promise<LeftOfBucket[]> {
  const { client, access, signal } = input;
  const { link } = client;
  const { view } = await fetchRoots(link, access.owner, signal);
  const states: BucketState[] = [];
  for (const [bucketId, { members }] of view.sets) {
    if (members.length > 0) states.push(await readHeads(link, { owner: access.owner, bucketId, view, signal, all: true }));
  }
  const known = new Map<PublicKey, number>();
  for (const state of states) {
    const told = await toldHeads(link, state, bucketKeys(access, view, state.bucketId), signal);
    for (const { logId, seq } of told) known.set(logId, Math.max(seq, known.get(logId) ?? 0));
  }
  const left: LeftOfBucket[] = [];
  for (const state of states) left.push(await leftOfBucket(link, state, known, signal));
  return left;
}

/** The owner accepts what is there of one bucket. Can't be taken back. */
export async function acceptReset({ client, access, signer, signal }: ResetInput, bucketId: BucketId): Promise<void> {
  if (signer.publicKey !== access.owner) {
    throw new StorjError('NotAllowed', 'Only the words accept that something is lost: --words-file or STORJ_WORDS.');
  }
  await resetBucket(client.link, { owner: signer, bucketId, signal });
}
