// Buckets: entries of the account's own log. A name belongs to whoever had it first on this bridge.
import { toHex } from '#node/core/ids.ts';
import type { BucketRow } from '#node/catalog/catalog.ts';
import type { ObjectStoreOptions } from './object-store.ts';
import { ACCOUNT_BUCKET_ID } from '#node/wire/types.ts';
import { ObjectsError, type Account, type Objects } from './objects.ts';

export function bucketCalls(
  { catalog, writers, runtime }: ObjectStoreOptions,
  closeUploads: Objects['closeUploads'],
): Pick<Objects, 'untilReady' | 'listBuckets' | 'bucket' | 'createBucket' | 'deleteBucket'> {
  const visible = (row: BucketRow, account: Account) => account.bucketName === null || account.bucketName === row.name;
  const holder = (name: string): BucketRow | null => catalog.bucketsNamed(name)[0] ?? null;
  const creating = new Set<string>();

  /** Null where the name is nobody's, or somebody else's. */
  const bucketReady = ({ owner }: Account, name: string | null, signal: AbortSignal): Promise<void> | null => {
    const row = name === null ? null : holder(name);
    return row?.owner === owner ? writers.untilReady(owner, row.bucketId, signal) : null;
  };

  return {
    untilReady(account, bucketName, signal) {
      const accountReady = writers.untilReady(account.owner, ACCOUNT_BUCKET_ID, signal);
      return accountReady === null
        ? bucketReady(account, bucketName, signal)
        : accountReady.then(() => bucketReady(account, bucketName, signal) ?? undefined);
    },
    listBuckets(account) {
      writers.account(account.owner);
      return catalog.buckets(account.owner).filter((row) => visible(row, account) && holder(row.name)?.bucketId === row.bucketId);
    },
    bucket(account, name) {
      writers.account(account.owner);
      const row = holder(name);
      if (row === null) throw new ObjectsError('NoSuchBucket', 'The specified bucket does not exist');
      if (row.owner !== account.owner || !visible(row, account))
        throw new ObjectsError('AccessDenied', 'This access key does not open that bucket');
      return row;
    },
    async createBucket(account, name) {
      const to = writers.account(account.owner);
      const taken = () => {
        const row = holder(name);
        if (row?.owner === account.owner)
          throw new ObjectsError('BucketAlreadyOwnedByYou', 'There is a bucket of that name already: choose another');
        if (row !== null || creating.has(name))
          throw new ObjectsError('BucketAlreadyExists', 'Another account of this bridge has a bucket of that name');
      };
      if (account.bucketName !== null && account.bucketName !== name)
        throw new ObjectsError('AccessDenied', 'This access key opens one bucket and creates none');
      taken();
      creating.add(name);
      try {
        const bucketId = toHex(runtime.random(16));
        const createdMs = runtime.nowMs();
        await to.commit([`bucket ${name}`], () => {
          if (holder(name) !== null) {
            taken();
            return null;
          }
          return {
            entries: [{ kind: 'bucket', bucketId, name, clock: to.clock(), createdMs, deleted: false }],
            repair: { added: [], released: [] },
            growth: { objects: 0, bytes: 0 },
            result: null,
            isDone: () => holder(name)?.bucketId === bucketId,
          };
        });
        const served = writers.begin(to.access, bucketId);
        // The first write would wait for it otherwise.
        void served.open().catch(() => undefined);
        return { bucketId, owner: account.owner, name, createdMs };
      } finally {
        creating.delete(name);
      }
    },
    async deleteBucket(bucket) {
      const to = writers.account(bucket.owner);
      const own = writers.ready(bucket.owner, bucket.bucketId);
      const checkEmpty = () => {
        const { items } = catalog.list(bucket.bucketId, { prefix: '', delimiter: '', after: '', limit: 1 });
        if (items.length > 0) throw new ObjectsError('BucketNotEmpty', 'The bucket is not empty: delete its objects first');
      };
      checkEmpty();
      await closeUploads(bucket);
      await own.freeze();
      try {
        checkEmpty();
        await to.commit([`bucket ${bucket.name}`], () => {
          if (!catalog.buckets(bucket.owner).some((row) => row.bucketId === bucket.bucketId)) return null;
          const { bucketId, name, createdMs } = bucket;
          return {
            entries: [{ kind: 'bucket', bucketId, name, clock: to.clock(), createdMs, deleted: true }],
            repair: { added: [], released: [] },
            growth: { objects: 0, bytes: 0 },
            result: null,
            isDone: () => !catalog.buckets(bucket.owner).some((row) => row.bucketId === bucketId),
          };
        });
      } catch (error) {
        own.reopen();
        throw error;
      }
      await writers.forget(bucket.owner, bucket.bucketId);
    },
  };
}
