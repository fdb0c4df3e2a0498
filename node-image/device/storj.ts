// The library for Node programs: an account's buckets and objects straight from the farmers, without a bridge,
// a repairer or an operator. A device is a writer of its own beside the bridge: the same rules for objects
// (bridge/object-store.ts), a log of its own, and a catalog that is a view of all the account's logs.
import { listBuckets, type Access, type AccountAccess } from '#node/client/account.ts';
import type { BucketReader } from '#node/client/bucket-reader.ts';
import type { Client } from '#node/client/client.ts';
import { createFarmAdapter, type FarmAdapter } from '#node/bridge/farm-adapter.ts';
import { createHolderMoves } from '#node/bridge/holder-moves.ts';
import { createObjectStore } from '#node/bridge/object-store.ts';
import type { Account } from '#node/bridge/objects.ts';
import { createOpenWriters } from '#node/bridge/open-writers.ts';
import type { SavedLogs } from '#node/bridge/saved-logs.ts';
import { createShares, type Shares } from '#node/bridge/shares.ts';
import type { BucketRow, Catalog } from '#node/catalog/catalog.ts';
import { openShares } from '#node/client/shares.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { LogError } from '#node/log/log-link.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { sealAndClose } from '#node/log/seal-log.ts';
import { hasRole, type RootView } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import { acceptReset, leftOfAccount } from './reset.ts';
import { bucketOn, type Allowed, type Bucket, type BucketInfo } from './bucket.ts';
import { bucketView, type BucketView, type Freshness } from './bucket-view.ts';
import { permissionsOf, type Permissions } from './permissions.ts';
import type { UnfinishedUploads } from './put-object.ts';
import type { LeftOfBucket } from '#node/log/reset-bucket.ts';
import { accountStatus, type AccountStatus, type StatusBucket } from './status.ts';
import { StorjError, translated } from './storj-error.ts';

export interface Storj {
  readonly owner: PublicKey;
  buckets(): Promise<BucketInfo[]>;
  bucket(name: string): Promise<Bucket>;
  /** Needs the words: only they say where a bucket lies. */
  createBucket(name: string): Promise<Bucket>;
  /** Throws StorjError AlreadyExists while something is in it. */
  removeBucket(name: string): Promise<void>;
  status(): Promise<AccountStatus>;
  /** Brings all shares up to date, and ends those that were taken back: what a bridge does all the time, for where there is none. */
  feedShares(): Promise<ReturnType<Shares['list']>>;
  /** Grants and shares; giving and taking them back needs the words. */
  permissions: Permissions;
  /** For a farm that was restored from old back-ups. `left` lists what it still has, `accept` (with the words) goes on from there. */
  resets: {
    /** `name` null = the account's own log: buckets and settings. */
    left(): Promise<(LeftOfBucket & { name: string | null })[]>;
    accept(bucketId: BucketId): Promise<void>;
  };
  /** Writes what has to be written, and ends everything. */
  close(): Promise<void>;
}

export interface StorjParts {
  client: Client;
  access: Access;
  /** The owner's key, a device's with a role, or that of a grant's holder. */
  writer: KeyPair;
  /** Where a grant opens it: farmers refuse the rest. */
  allowed?: Allowed;
  catalog: Catalog;
  saved: Pick<SavedLogs, 'of' | 'close'>;
  uploads: UnfinishedUploads;
  /** Nothing of the state outlives this object: its logs are closed with it. */
  isPassing: boolean;
}

/** Longest time that a call tries to read what is new. */
const READ_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 10_000;
/** A person waits for the answer: what doesn't go within a few attempts is said. */
const MAX_TRIES = 4;
/** The account over a farm that is known already; `openStorj` finds it. */
export function storjOn(parts: StorjParts): Storj {
  const { client, access, writer, catalog, saved, uploads, isPassing, allowed } = parts;
  const { owner } = access;
  const { runtime, link } = client;
  const stopping = new AbortController();
  const { signal } = stopping;
  const account: Account = { accessKeyId: 'device', owner, bucketName: null, displayName: 'owner' };
  const views = new Map<BucketId, BucketView>();
  let roots: RootView | null = null;
  /** Of buckets that are being read for the first time: told of each attempt that fails. */
  const troubles = new Map<BucketId, (error: unknown) => void>();

  const refresh = async (_: PublicKey, limit: AbortSignal): Promise<RootView> => {
    roots = (await fetchRoots(link, owner, limit)).view;
    return roots;
  };
  const knownHeads = (_: PublicKey, except: BucketId) =>
    shares.headsIn(except) ??
    writers
      .all()
      .filter(({ bucketId }) => bucketId !== except)
      .flatMap(({ bucketId }) => farm.acknowledged(bucketId));
  const farm: FarmAdapter = createFarmAdapter({ client, writer, accounts: { refresh }, saved, knownHeads });
  const writers = createOpenWriters({
    catalog,
    farm,
    runtime,
    onRetry: (bucketId, error) => troubles.get(bucketId)?.(error),
    // Those that were fed once follow what is written or read here.
    onNews: (news) => shares.onNews(news),
  });
  const moves = createHolderMoves({
    catalog,
    warrantsOf: () => roots?.warrants ?? [],
    members: () => client.farm.current().members,
    catchUp: (of, bucketId, wait) => writers.ready(of, bucketId).catchUp(wait),
  });
  const objects = createObjectStore({ catalog, writers, farm, moves, runtime, quotaOf: () => null });
  const shares: Shares = createShares({
    link,
    keeper: writer,
    accounts: {
      access: () => ('accountSecret' in access ? access : null),
      view: () => roots,
      refresh,
    },
    catalog,
    writers,
    moves,
    farm,
    read: objects.read,
    signal,
    onTrouble: () => {},
  });
  const limited = () => runtime.deadline(READ_LIMIT_MS, signal);

  /** Whatever was acknowledged before this call is in the catalog after it. */
  const fresh = async (bucketId: BucketId, { asKnown = false }: Freshness = {}): Promise<void> => {
    if (asKnown && writers.isReady(owner, bucketId)) return;
    if (writers.isReady(owner, bucketId)) return await writers.ready(owner, bucketId).catchUp(limited());
    const stop = new AbortController();
    let failures = 0;
    troubles.set(bucketId, (error) => {
      const isFinal = error instanceof LogError && error.code === 'NotAllowed';
      if (isFinal || ++failures === MAX_TRIES) stop.abort(error);
    });
    await writers.serve(access, bucketId, AbortSignal.any([limited(), stop.signal]));
  };

  /** What reads need no catalog for: one that isn't kept is not worth filling. Null = read by the catalog. */
  const readerOf = async (bucketId: BucketId, options: Freshness): Promise<BucketReader | null> => {
    if (!isPassing || writers.isReady(owner, bucketId)) {
      await fresh(bucketId, options);
      return null;
    }
    const view = views.get(bucketId) ?? bucketView({ client, access, bucketId, signal });
    views.set(bucketId, view);
    try {
      return await view.reader(options);
    } catch (error) {
      if (!(error instanceof LogError && error.code === 'NoReplicaSet')) throw error;
      // Never written: the catalog knows how to be empty.
      await fresh(bucketId);
      return null;
    }
  };

  const known = async (): Promise<RootView> => {
    const view = roots ?? (await refresh(owner, limited()));
    if (view.roles.length > 0 || view.sets.size > 0) return view;
    const who = `owner ${owner.slice(0, 16)}…`;
    throw new StorjError(
      'UnknownAccount',
      `The farmers of this farm know nothing of ${who}: are these the right words, and the right farm?`,
    );
  };

  const rows = async (options: Freshness = {}): Promise<BucketRow[]> => {
    if ('bucketId' in access) return [{ bucketId: access.bucketId, owner, name: allowed?.bucketName ?? '', createdMs: 0 }];
    await known();
    const reader = await readerOf(ACCOUNT_BUCKET_ID, options);
    if (reader === null) return catalog.buckets(owner);
    const all = (await reader.buckets()).map(({ bucketId, name, createdMs }) => ({ bucketId, owner, name, createdMs }));
    return all.sort((a, b) => (a.name === b.name ? a.createdMs - b.createdMs : a.name < b.name ? -1 : 1));
  };

  const found = async (name: string, options: Freshness = {}): Promise<BucketRow> => {
    const row = (await rows(options)).find((one) => one.name === name);
    if (row === undefined) throw new StorjError('NoSuchBucket', `There is no bucket ${name}.`);
    return row;
  };

  const open = async (name: string): Promise<Bucket> =>
    bucketOn({ objects, uploads, allowed, signal, fresh, readerOf, found }, await found(name));

  const usageOf = async ({ bucketId }: BucketRow): Promise<{ objects: number; sizeBytes: number }> => {
    const reader = await readerOf(bucketId, {});
    if (reader === null) {
      const usage = catalog.usage(bucketId);
      return { objects: usage.objects, sizeBytes: usage.bytes };
    }
    const sum = { objects: 0, sizeBytes: 0 };
    for await (const { sizeBytes } of reader.list()) {
      sum.objects++;
      sum.sizeBytes += sizeBytes;
    }
    return sum;
  };

  const said = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw translated(error);
    }
  };

  const whole = (): AccountAccess => {
    if ('accountSecret' in access) return access;
    throw new StorjError('NotAllowed', 'A grant opens one bucket: this takes the words or a device key.');
  };

  /** Changes of the account go by its catalog. */
  const accountReady = async (): Promise<void> => {
    if ('bucketId' in access)
      throw new StorjError('NotAllowed', 'A grant is for one bucket; buckets come and go with the words.');
    await known();
    await fresh(ACCOUNT_BUCKET_ID);
  };

  return {
    owner,
    buckets: () => said(async () => (await rows()).map(({ name, createdMs }) => ({ name, createdMs }))),
    bucket: (name) => said(() => open(name)),
    createBucket: (name) =>
      said(async () => {
        await accountReady();
        if (roots === null || !hasRole(roots, writer.publicKey, 'keeper', '*')) {
          throw new StorjError('NotAllowed', 'Only the words make buckets: give them with --words-file or STORJ_WORDS.');
        }
        const { bucketId } = await objects.createBucket(account, name, signal);
        // Where its logs lie is said now: others may write there who may not say it.
        await writers.ready(owner, bucketId).open();
        return await open(name);
      }),
    removeBucket: (name) =>
      said(async () => {
        await accountReady();
        const row = await found(name);
        await fresh(row.bucketId);
        await objects.deleteBucket(row, signal);
      }),
    status: () =>
      said(async () => {
        const buckets: StatusBucket[] = [];
        for (const row of await rows()) buckets.push({ ...row, ...(await usageOf(row)) });
        return await accountStatus({ client, owner, writer: writer.publicKey, buckets, signal: limited() });
      }),
    feedShares: () =>
      said(async () => {
        await accountReady();
        const view = await refresh(owner, limited());
        if ('accountSecret' in access) for (const { bucketId } of openShares(access, view)) await fresh(bucketId);
        await shares.keep(owner, limited());
        return shares.list(owner);
      }),
    resets: {
      left: () =>
        said(async () => {
          const left = await leftOfAccount({ client, access: whole(), signal: limited() });
          const named = await listBuckets(client, whole(), limited());
          const nameOf = (bucketId: BucketId) => named.find((one) => one.bucketId === bucketId)?.name;
          return left.flatMap((one) => {
            const name = one.bucketId === ACCOUNT_BUCKET_ID ? null : nameOf(one.bucketId);
            // Shares, and buckets that were deleted.
            return name === undefined ? [] : [{ ...one, name }];
          });
        }),
      accept: (bucketId) => said(() => acceptReset({ client, access: whole(), signer: writer, signal: limited() }, bucketId)),
    },
    permissions: permissionsOf({ client, access, signer: writer, limit: limited }),
    async close() {
      try {
        // Housekeeping: what was acknowledged counts in a log that stays open, too.
        if (isPassing) await closeLogs().catch(() => {});
      } finally {
        stopping.abort(new StorjError('Unavailable', 'It was closed.'));
        await writers.close();
        await saved.close();
        await client.close();
        await catalog.close();
      }
    },
  };

  /** Nobody will ever go on with these. */
  async function closeLogs(): Promise<void> {
    const limit = runtime.deadline(CLOSE_LIMIT_MS);
    for (const one of writers.all()) {
      const log = one.current();
      if (log === null) continue;
      await one.closeLog();
      const before = await fetchRoots(link, owner, limit);
      const set = before.view.sets.get(one.bucketId) ?? log.set();
      const { bucketId } = one;
      await sealAndClose(link, { owner, bucketId, logId: log.logId, roots: before, set, signer: writer, signal: limit });
    }
  }
}
