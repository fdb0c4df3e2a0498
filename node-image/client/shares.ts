// Shares: a log made for one app, with the approved entries of a bucket and nothing else. Its id is used like a
// bucket's everywhere, its secret comes from the account's and leads to no other. Here: making, naming and ending
// one; bridge/share-feed.ts keeps it up to date.
import { bucketSecret, type KeyPair } from '#node/core/keys.ts';
import { toHex } from '#node/core/ids.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import { WireError } from '#node/wire/codec.ts';
import { openShareTerms, sealShareTerms, type ShareTerms } from '#node/wire/grants.ts';
import { signRootStatement, type RootView } from '#node/wire/root-view.ts';
import type { BucketId, RevocationStatement, RootStatement, ShareStatement, Signed } from '#node/wire/types.ts';
import { bucketKeys, type Access, type AccountAccess } from './account.ts';
import type { Holder } from './grants.ts';

/** A share that is open, with what only the account (and the app) can read of it. */
export interface OpenShare {
  shareId: BucketId;
  /** Where its entries come from. */
  bucketId: BucketId;
  name: string;
  /** Keys below it are shown, and no others. */
  prefix: string;
  /** The app. */
  to: Holder;
}

/**
 * The statement that makes a share. Once it is published, whoever keeps the bucket feeds it; the app gets
 * `issueGrant` for `shareId`, to read and list.
 */
export function shareStatement(
  order: Omit<OpenShare, 'shareId'> & { signer: KeyPair; access: AccountAccess },
  runtime: Pick<Runtime, 'random' | 'nowMs'>,
): { shareId: BucketId; statement: Signed<RootStatement> } {
  const { signer, access, bucketId, name, prefix, to } = order;
  const shareId = toHex(runtime.random(16));
  const terms: ShareTerms = { name, prefix, box: to.box };
  const statement = signRootStatement(signer, {
    kind: 'share',
    owner: access.owner,
    shareId,
    bucketId,
    audience: to.publicKey,
    sealedTerms: sealShareTerms(bucketSecret(access.accountSecret, shareId), terms, runtime.random(12)),
    issuedMs: runtime.nowMs(),
  });
  return { shareId, statement };
}

/** Shares that weren't ended, oldest first. */
export function openShares(access: AccountAccess, view: RootView): OpenShare[] {
  return view.shares
    .filter((share) => !view.revocations.some((one) => endsShare(one, share)))
    .sort((a, b) => a.issuedMs - b.issuedMs)
    .flatMap((share) => {
      const { shareId, bucketId, audience: publicKey } = share;
      try {
        const { name, prefix, box } = openShareTerms(bucketSecret(access.accountSecret, shareId), share.sealedTerms);
        return [{ shareId, bucketId, name, prefix, to: { publicKey, box } }];
      } catch (error) {
        // Made by somebody who doesn't have the account's secret: nobody can feed it.
        if (error instanceof WireError) return [];
        throw error;
      }
    });
}

/** Takes the app's grant back; its log is to be emptied and closed after that. */
export function endStatement(
  signer: KeyPair,
  { shareId, audience }: Pick<ShareStatement, 'shareId' | 'audience'>,
  { owner, nowMs }: { owner: string; nowMs: number },
): Signed<RootStatement> {
  return signRootStatement(signer, {
    kind: 'revocation',
    owner,
    bucketId: shareId,
    revoked: audience,
    logs: [],
    issuedMs: nowMs,
  });
}

/** Heads of the bucket's logs up to which the share is fed, as its newest batch says. Rejects with LogError. */
export async function shareFedTo(
  link: LogLink,
  { access, bucketId, signal }: { access: Access; bucketId: BucketId; signal: AbortSignal },
): Promise<KnownHead[]> {
  const state = await readHeads(link, { owner: access.owner, bucketId, signal });
  const since = new Map(state.logs.map(({ log, seq }) => [log.logId, Math.max(0, seq - 1)]));
  const keys = bucketKeys(access, state.view, bucketId);
  let heads: KnownHead[] = [];
  for await (const batch of readBatches(link, { state, since, keys, signal })) if (batch.entries) heads = batch.heads;
  return heads;
}

/** Whether that takes the share back. */
export const endsShare = ({ bucketId, revoked, issuedMs }: RevocationStatement, share: ShareStatement): boolean =>
  bucketId === share.shareId && revoked === share.audience && issuedMs >= share.issuedMs;
