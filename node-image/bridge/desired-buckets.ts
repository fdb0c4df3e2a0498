// What the operator wants served: access keys at once, then accounts and buckets as far as the farm lets
// them be read or made. Kept sealed in the catalog, so that a bridge goes on without the operator.
import { AdminRefusal } from '#node/admin/admin-server.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { bridgeDesiredSchema, type BridgeDesired, type BucketClaim } from '#node/interface/config.ts';
import type { BridgeStatus } from '#node/interface/status.ts';
import { backoffMs, type Runtime } from '#node/log/runtime.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { AccessKeys } from './access-keys.ts';
import type { Accounts } from './accounts.ts';
import { ObjectsError, type Account, type Objects } from './objects.ts';
import type { OpenWriters } from './open-writers.ts';
import type { Quota } from './quotas.ts';

const SETTING = 'desired';
/** How long an admin call waits for what it started; the rest goes on behind it. */
const ADMIN_WAIT_MS = 8_000;
const TIME_LIMIT_MS = 30_000;
/** An owner whom no farmer knows is looked for again. */
const UNKNOWN_RETRY_MS = 15_000;

type BucketStatus = BridgeStatus['buckets'][number];

export interface DesiredBuckets {
  /** Throws AdminRefusal for an older one. */
  apply(desired: BridgeDesired): Promise<object>;
  /** What the last process was told. */
  restore(): void;
  generation(): number;
  quotaOf(owner: PublicKey, bucketName: string): Quota | null;
  status(): BucketStatus[];
  /** Owners whose accounts are read and served. */
  served(): PublicKey[];
  /** Begins to serve an account that is known now. Resolves when its buckets are there. */
  serveAccount(owner: PublicKey): Promise<void>;
  /** POST /admin/buckets/delete: objects and bucket. Refuses with 503 while it goes on, 404 where there is none. */
  deleteBucket(owner: PublicKey, bucketName: string): Promise<object>;
}

export interface DesiredBucketsOptions {
  catalog: Catalog;
  keys: AccessKeys;
  accounts: Accounts;
  writers: OpenWriters;
  objects: Objects;
  runtime: Runtime;
  /** The store's life. */
  signal: AbortSignal;
  onTrouble: (what: string, error: unknown) => void;
  /** See BridgeStatus. */
  grantsFromMs: (owner: PublicKey, bucketId: BucketId) => number;
  /** Buckets that nobody claims any more. */
  onUnclaimed: (owner: PublicKey, bucketName: string) => void;
}

export function createDesiredBuckets(options: DesiredBucketsOptions): DesiredBuckets {
  const { catalog, keys, accounts, writers, objects, runtime, signal } = options;
  let desired: BridgeDesired | null = null;
  const served = new Set<PublicKey>();
  const serving = new Map<PublicKey, Promise<void>>();
  const problems = new Map<string, string>();
  const deletions = new Map<string, Promise<void>>();

  const ownersWanted = () => new Set([...(desired?.accessKeys ?? []), ...(desired?.buckets ?? [])].map(({ owner }) => owner));

  const take = (next: BridgeDesired): void => {
    desired = next;
    keys.replace(next.accessKeys);
    for (const owner of ownersWanted()) void serveAccount(owner).catch(() => undefined);
  };

  /** One at a time for each owner; what is wanted when it begins counts. */
  const serveAccount = (owner: PublicKey): Promise<void> => {
    const next = (serving.get(owner) ?? Promise.resolve()).catch(() => undefined).then(() => serveNow(owner));
    serving.set(owner, next);
    next
      .catch(() => undefined)
      .finally(() => {
        if (serving.get(owner) === next) serving.delete(owner);
      });
    return next;
  };

  const serveNow = async (owner: PublicKey): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        const access = await accounts.recover(owner, runtime.deadline(TIME_LIMIT_MS, signal));
        // Nobody knows it yet. Its words come first, and then this is called again; or its farmers are late.
        if (access === null) return askAgainLater(owner);
        await writers.serve(access, ACCOUNT_BUCKET_ID, signal);
        await Promise.all(catalog.buckets(owner).map(({ bucketId }) => writers.serve(access, bucketId, signal)));
        served.add(owner);
        for (const claim of desired?.buckets.filter((one) => one.owner === owner) ?? []) await ensureBucket(claim);
        return;
      } catch (error) {
        signal.throwIfAborted();
        options.onTrouble(`account ${owner.slice(0, 16)} can't be served yet`, error);
        await runtime.sleep(backoffMs(runtime, attempt, 200, 15_000), signal);
      }
    }
  };

  const askAgainLater = (owner: PublicKey): void => {
    void runtime
      .sleep(UNKNOWN_RETRY_MS, signal)
      .then(() => (ownersWanted().has(owner) && accounts.access(owner) === null ? serveAccount(owner) : undefined))
      .catch(() => undefined);
  };

  const ensureBucket = async ({ claim, owner, bucketName }: BucketClaim): Promise<void> => {
    try {
      if (!catalog.buckets(owner).some(({ name }) => name === bucketName))
        await objects.createBucket(adminOf(owner), bucketName, signal);
      problems.delete(claim);
    } catch (error) {
      if (error instanceof ObjectsError && error.code === 'BucketAlreadyOwnedByYou') return;
      problems.set(claim, error instanceof Error ? error.message : String(error));
      if (error instanceof ObjectsError && error.code === 'BucketAlreadyExists') return;
      throw error;
    }
  };

  const statusOf = ({ claim, bucketName, owner }: BucketClaim): BucketStatus => {
    const row = catalog.buckets(owner).find(({ name }) => name === bucketName);
    const usage = row === undefined ? { bytes: 0, objects: 0 } : catalog.usage(row.bucketId);
    const grantsFromMs = row === undefined ? 0 : options.grantsFromMs(owner, row.bucketId);
    const about = { claim, bucketName, owner, usedBytes: usage.bytes, objects: usage.objects, grantsFromMs };
    if (accounts.access(owner) === null)
      return { ...about, state: 'OwnerUnknown', message: 'The farmers know no statement of this owner for this bridge' };
    const holder = catalog.bucketsNamed(bucketName)[0];
    if (holder !== undefined && holder.owner !== owner) {
      return { ...about, state: 'NameTaken', message: `Another owner of this bridge has a bucket ${bucketName}` };
    }
    if (row !== undefined && writers.isReady(owner, row.bucketId)) return { ...about, state: 'Ready', message: '' };
    return { ...about, state: 'Pending', message: problems.get(claim) ?? 'The account is being read from the farmers' };
  };

  const empty = async (owner: PublicKey, bucketName: string): Promise<void> => {
    const bucket = objects.bucket(adminOf(owner), bucketName);
    for (;;) {
      const { items } = objects.list(bucket, { prefix: '', delimiter: '', after: '', limit: 500 });
      if (items.length === 0) break;
      const keysLeft = items.flatMap((item) => (item.kind === 'object' ? [item.object.key] : []));
      await Promise.all(keysLeft.map((key) => objects.delete(bucket, key, {}, signal)));
    }
    await objects.deleteBucket(bucket, signal);
  };

  return {
    async apply(next) {
      if (desired !== null && !isNewer(desired, next)) {
        const { epoch, generation } = desired;
        throw new AdminRefusal(
          409,
          `generation ${next.generation} of epoch ${next.epoch} is older than ${generation} of ${epoch}, which is in force`,
        );
      }
      await catalog.saveSetting(SETTING, Buffer.from(JSON.stringify(next)));
      const before = desired?.buckets ?? [];
      take(next);
      const isClaimed = (old: BucketClaim) =>
        next.buckets.some(({ owner, bucketName }) => owner === old.owner && bucketName === old.bucketName);
      for (const old of before) if (!isClaimed(old)) options.onUnclaimed(old.owner, old.bucketName);
      return { generation: next.generation };
    },
    restore() {
      const saved = catalog.setting(SETTING);
      if (saved !== null && desired === null) take(bridgeDesiredSchema.parse(JSON.parse(Buffer.from(saved).toString('utf8'))));
    },
    generation: () => desired?.generation ?? 0,
    quotaOf: (owner, bucketName) =>
      desired?.buckets.find((claim) => claim.owner === owner && claim.bucketName === bucketName) ?? null,
    status: () => desired?.buckets.map(statusOf) ?? [],
    served: () => [...served],
    serveAccount,
    async deleteBucket(owner, bucketName) {
      if (!served.has(owner)) await Promise.race([serveAccount(owner), runtime.sleep(ADMIN_WAIT_MS, signal)]);
      if (!served.has(owner)) throw new AdminRefusal(503, `The account of ${owner.slice(0, 16)} isn't read yet; ask again`);
      const name = `${owner}/${bucketName}`;
      if (!deletions.has(name) && !catalog.buckets(owner).some((row) => row.name === bucketName)) {
        throw new AdminRefusal(404, `There is no bucket ${bucketName} of this owner`);
      }
      const deletion = deletions.get(name) ?? empty(owner, bucketName).finally(() => deletions.delete(name));
      deletions.set(name, deletion);
      deletion.catch((error: unknown) => options.onTrouble(`bucket ${bucketName} can't be deleted`, error));
      const isDone = await Promise.race([deletion.then(() => true), runtime.sleep(ADMIN_WAIT_MS, signal).then(() => false)]);
      if (isDone) return { deleted: bucketName };
      const left = catalog.bucketsNamed(bucketName)[0];
      const objectsLeft = left === undefined ? 0 : catalog.usage(left.bucketId).objects;
      throw new AdminRefusal(503, `${objectsLeft} objects of ${bucketName} are still to be deleted; it goes on, ask again`);
    },
  };
}

/** The operator acts for the owner. */
const adminOf = (owner: PublicKey): Account => ({ accessKeyId: 'operator', owner, bucketName: null, displayName: 'operator' });

/** The same generation again is fine; a new farm under the same control key counts anew. */
function isNewer(current: BridgeDesired, next: BridgeDesired): boolean {
  if (next.farmUid !== current.farmUid) return next.epoch >= current.epoch;
  return next.epoch !== current.epoch ? next.epoch > current.epoch : next.generation >= current.generation;
}
