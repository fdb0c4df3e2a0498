// The grant that goes into a StorjBucket's Secret beside its S3 keys: for the whole bucket, with its holder's key
// in it, so whoever reads the Secret has the access. The key follows from the bridge's own and the bucket, so a
// renewed grant goes on in the logs of the one before it.
import { AdminRefusal } from '#node/admin/admin-server.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import type { FarmSnapshot } from '#node/client/farm-view.ts';
import { holderOf, issueGrant } from '#node/client/grants.ts';
import { revokeGrants } from '#node/client/revoke-grants.ts';
import { MAX_GRANT_MS } from '#node/core/grants.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { fromHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { GrantAnswer, GrantOrder } from '#node/interface/config.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';
import type { Accounts } from './accounts.ts';

export interface BucketGrants {
  /** POST /admin/grants. Refuses with 503 where the bucket isn't served yet. Rejects with LogError. */
  issue(order: GrantOrder, signal: AbortSignal): Promise<GrantAnswer>;
  /** Those issued before are to be replaced: see BridgeStatus. */
  fromMs(owner: PublicKey, bucketId: BucketId): number;
  /** Nobody claims the bucket any more: what was issued for it ends. Rejects with LogError. */
  end(owner: PublicKey, bucketName: string, signal: AbortSignal): Promise<void>;
}

export interface BucketGrantsOptions {
  link: LogLink;
  bridge: KeyPair;
  accounts: Accounts;
  catalog: Catalog;
  farm: () => FarmSnapshot;
}

export function createBucketGrants({ link, bridge, accounts, catalog, farm }: BucketGrantsOptions): BucketGrants {
  const rowOf = (owner: PublicKey, bucketName: string) => catalog.buckets(owner).find(({ name }) => name === bucketName);
  const seedOf = (bucketId: BucketId) => hkdf(bridge.seed, 'storj/1 granted key', 32, fromHex(bucketId, 16));
  const revoke = async (owner: PublicKey, bucketId: BucketId, signal: AbortSignal) => {
    const holder = holderOf(seedOf(bucketId)).publicKey;
    await revokeGrants(link, { signer: bridge, owner, bucketId, holder, signal });
    await accounts.refresh(owner, signal);
  };
  return {
    async issue({ owner, bucketName, endOlder }, signal) {
      const row = rowOf(owner, bucketName);
      const access = accounts.access(owner);
      if (!row || !access) throw new AdminRefusal(503, `Bucket ${bucketName} isn't served yet; ask again`);
      const { bucketId } = row;
      if (endOlder) await revoke(owner, bucketId, signal);
      const view = await accounts.refresh(owner, signal);
      const seed = seedOf(bucketId);
      // Behind whatever was taken back a moment ago.
      const issuedMs = link.runtime.nowMs() + 1;
      const grant = issueGrant(
        {
          issuer: bridge,
          access,
          view,
          farm: farm(),
          bucketId,
          bucketName,
          to: holderOf(seed),
          allow: [{ verbs: ['read', 'list', 'write', 'delete'] }],
          notBeforeMs: issuedMs,
          expiresMs: issuedMs + MAX_GRANT_MS,
          seed,
        },
        link.runtime,
      );
      return { grant, issuedMs, renewMs: issuedMs + MAX_GRANT_MS / 2 };
    },
    fromMs(owner, bucketId) {
      const view = accounts.view(owner);
      const holder = holderOf(seedOf(bucketId)).publicKey;
      const taken = view?.revocations.filter((one) => one.bucketId === bucketId && one.revoked === holder) ?? [];
      const warrants = view?.warrantSet ?? [];
      // Since their epoch began repair parts are sealed under a key that older grants don't have.
      const epochMs = warrants.length === 0 ? 0 : Math.min(...warrants.map(({ issuedMs }) => issuedMs));
      return Math.max(epochMs, ...taken.map(({ issuedMs }) => issuedMs + 1));
    },
    async end(owner, bucketName, signal) {
      const row = rowOf(owner, bucketName);
      if (row) await revoke(owner, row.bucketId, signal);
    },
  };
}
