// The library for Node programs: an account's buckets and objects straight from the farmers, without a bridge,
// a repairer or an operator. A device is a writer of its own beside the bridge: the same rules for objects
// (bridge/object-store.ts), a log of its own, and a catalog that is a view of all the account's logs.
import type { AccountAccess } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { createFarmAdapter } from '#node/bridge/farm-adapter.ts';
import { createHolderMoves } from '#node/bridge/holder-moves.ts';
import { createObjectStore } from '#node/bridge/object-store.ts';
import type { Account } from '#node/bridge/objects.ts';
import { createOpenWriters } from '#node/bridge/open-writers.ts';
import type { SavedLogs } from '#node/bridge/saved-logs.ts';
import type { BucketRow, Catalog, VersionRow } from '#node/catalog/catalog.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { sealAndClose } from '#node/log/seal-log.ts';
import { hasRole, type RootView } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import { putObject, type PutSource, type UnfinishedUploads } from './put-object.ts';
import { accountStatus, type AccountStatus } from './status.ts';
import { StorjError, translated } from './storj-error.ts';

/** A version of an object. */
export type ObjectInfo = Pick<VersionRow, 'key' | 'versionId' | 'sizeBytes' | 'etag' | 'modifiedMs' | 'headers'>;
type ListedObject = Pick<VersionRow, 'key' | 'sizeBytes' | 'etag' | 'modifiedMs'>;
export type ListItem = { kind: 'object'; object: ListedObject } | { kind: 'prefix'; prefix: string };

export interface BucketInfo {
  name: string;
  createdMs: number;
}

/** `asKnown`: by what this device read last, without asking for newer writes first. For many calls in a row. */
interface Freshness {
  asKnown?: boolean;
}

export interface PutOptions extends Freshness {
  /** Lower-case names: content-type, x-amz-meta-… */
  headers?: Record<string, string>;
  /** For a source that can be read again: an upload of the same thing that was broken off goes on. */
  resumeAs?: string;
  onProgress?: (doneBytes: number) => void;
  signal?: AbortSignal;
}

/** All calls throw StorjError. Each sees whatever was acknowledged before it began, by whichever writer. */
export interface Bucket extends BucketInfo {
  bucketId: BucketId;
  head(key: string, options?: Freshness): Promise<ObjectInfo>;
  /** `body` must be read to its end or returned. */
  get(
    key: string,
    options?: { offset?: number; length?: number; signal?: AbortSignal } & Freshness,
  ): Promise<{ info: ObjectInfo; body: AsyncIterable<Uint8Array> }>;
  put(key: string, source: PutSource, options?: PutOptions): Promise<ObjectInfo>;
  /** In byte order of the keys; with a delimiter, what lies behind it is told as one prefix. */
  list(options?: { prefix?: string; delimiter?: string; after?: string }): AsyncGenerator<ListItem, void, undefined>;
  /** False where nothing was there. */
  remove(key: string, options?: Freshness): Promise<boolean>;
  /** Names the same segments: no byte moves. */
  copy(key: string, to: { bucket?: string; key: string }, options?: Freshness): Promise<ObjectInfo>;
  move(key: string, to: { bucket?: string; key: string }): Promise<ObjectInfo>;
}

export interface Storj {
  readonly owner: PublicKey;
  buckets(): Promise<BucketInfo[]>;
  bucket(name: string): Promise<Bucket>;
  /** Needs the words: only they say where a bucket lies. */
  createBucket(name: string): Promise<Bucket>;
  /** Throws StorjError AlreadyExists while something is in it. */
  removeBucket(name: string): Promise<void>;
  status(): Promise<AccountStatus>;
  /** Writes what has to be written, and ends everything. */
  close(): Promise<void>;
}

export interface StorjParts {
  client: Client;
  access: AccountAccess;
  /** The owner's key, or a device's with a role. */
  writer: KeyPair;
  catalog: Catalog;
  saved: Pick<SavedLogs, 'of' | 'close'>;
  uploads: UnfinishedUploads;
  /** Nothing of the state outlives this object: its logs are closed with it. */
  isPassing: boolean;
}

/** Longest time that a call tries to read what is new. */
const READ_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 30_000;
const PAGE = 1000;

/** The account over a farm that is known already; `openStorj` finds it. */
export function storjOn(parts: StorjParts): Storj {
  const { client, access, writer, catalog, saved, isPassing } = parts;
  const { owner } = access;
  const { runtime, link } = client;
  const stopping = new AbortController();
  const account: Account = { accessKeyId: 'device', owner, bucketName: null, displayName: 'owner' };
  let view: RootView | null = null;
  let lastTrouble: unknown;

  const refresh = async (_: PublicKey, signal: AbortSignal): Promise<RootView> => {
    view = (await fetchRoots(link, owner, signal)).view;
    return view;
  };
  const knownHeads = (_: PublicKey, except: BucketId) =>
    writers
      .all()
      .filter(({ bucketId }) => bucketId !== except)
      .flatMap(({ bucketId }) => catalog.positions(owner, bucketId));
  const farm = createFarmAdapter({ client, writer, accounts: { refresh }, saved, knownHeads });
  const writers = createOpenWriters({ catalog, farm, runtime, onRetry: (_, error) => (lastTrouble = error) });
  const isLost = (farmer: PublicKey) =>
    (client.farm.current().members.find((member) => member.farmer === farmer)?.state ?? 'Lost') === 'Lost';
  const moves = createHolderMoves({
    catalog,
    warrantsOf: () => view?.warrants ?? [],
    isLost,
    catchUp: (of, bucketId, wait) => writers.ready(of, bucketId).catchUp(wait),
  });
  const objects = createObjectStore({ catalog, writers, farm, moves, runtime, quotaOf: () => null });

  /** Whatever was acknowledged before this call is in the catalog after it. */
  const fresh = async (bucketId: BucketId, { asKnown = false }: Freshness = {}): Promise<void> => {
    if (asKnown && writers.isReady(owner, bucketId)) return;
    const limit = runtime.deadline(READ_LIMIT_MS, stopping.signal);
    try {
      const isNew = !writers.isReady(owner, bucketId);
      const own = await writers.serve(access, bucketId, limit);
      if (!isNew) await own.catchUp(limit);
    } catch (error) {
      throw limit.aborted && lastTrouble !== undefined ? translated(lastTrouble) : translated(error);
    }
  };

  const known = async (options: Freshness = {}): Promise<void> => {
    view ??= await refresh(owner, runtime.deadline(READ_LIMIT_MS, stopping.signal)).catch((error: unknown) => {
      throw translated(error);
    });
    if (view.roles.length === 0 && view.sets.size === 0) {
      throw new StorjError(
        'UnknownAccount',
        `The farmers of this farm know nothing of owner ${owner.slice(0, 16)}…: are these the right words, and the right farm?`,
      );
    }
    await fresh(ACCOUNT_BUCKET_ID, options);
  };

  const found = async (name: string, options: Freshness = {}): Promise<BucketRow> => {
    await known(options);
    try {
      return objects.bucket(account, name);
    } catch (error) {
      throw translated(error, `There is no bucket ${name}.`);
    }
  };

  const open = async (name: string): Promise<Bucket> => {
    const row = await found(name);
    const guarded = async <T>(key: string, options: Freshness, work: () => T | Promise<T>): Promise<T> => {
      try {
        await fresh(row.bucketId, options);
        return await work();
      } catch (error) {
        throw translated(error, `There is no object "${key}" in bucket ${name}.`);
      }
    };
    const within = (signal?: AbortSignal) => (signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal);
    const bucket: Bucket = {
      name,
      bucketId: row.bucketId,
      createdMs: row.createdMs,
      head: (key, options = {}) => guarded(key, options, () => infoOf(objects.head(row, key))),
      get: (key, { offset = 0, length, signal, ...options } = {}) =>
        guarded(key, options, () => {
          const version = objects.head(row, key);
          if (offset > version.sizeBytes || (length !== undefined && offset + length > version.sizeBytes)) {
            throw new StorjError('BadRange', `"${key}" has ${version.sizeBytes} bytes; the range goes beyond them.`);
          }
          const range = { offset, length: length ?? version.sizeBytes - offset };
          return { info: infoOf(version), body: told(objects.read(row, version, range, within(signal))) };
        }),
      put: (key, source, options = {}) =>
        guarded(key, options, async () => {
          const order = { row, key, source, ...options, signal: within(options.signal) };
          return infoOf(await putObject({ objects, uploads: parts.uploads }, order));
        }),
      async *list({ prefix = '', delimiter = '', after = '' } = {}) {
        await guarded(prefix, {}, () => {});
        for (let next: string | null = after; next !== null;) {
          const page: ReturnType<typeof objects.list> = objects.list(row, { prefix, delimiter, after: next, limit: PAGE });
          for (const item of page.items) yield item.kind === 'prefix' ? item : { kind: 'object', object: listed(item.object) };
          next = page.next;
        }
      },
      remove: (key, options = {}) =>
        guarded(key, options, async () => {
          const was = objects.find(row, key) !== null;
          if (was) await objects.delete(row, key, {}, stopping.signal);
          return was;
        }),
      copy: (key, to, options = {}) =>
        guarded(key, options, async () => {
          const target = to.bucket === undefined || to.bucket === name ? row : await found(to.bucket, options);
          if (target !== row) await fresh(target.bucketId, options);
          const source = objects.head(row, key);
          const order = { from: row, source, key: to.key, headers: source.headers, conditions: {} };
          return infoOf(await objects.copy(target, order, stopping.signal));
        }),
      async move(key, to) {
        const isSame = (to.bucket ?? name) === name && to.key === key;
        const copied = isSame ? await bucket.head(key) : await bucket.copy(key, to);
        if (!isSame) await bucket.remove(key);
        return copied;
      },
    };
    return bucket;
  };

  return {
    owner,
    async buckets() {
      await known();
      return catalog.buckets(owner).map(({ name, createdMs }) => ({ name, createdMs }));
    },
    bucket: open,
    async createBucket(name) {
      await known();
      if (view === null || !hasRole(view, writer.publicKey, 'keeper', '*')) {
        throw new StorjError('NotAllowed', 'Only the words make buckets: give them with --words-file or STORJ_WORDS.');
      }
      try {
        await objects.createBucket(account, name, stopping.signal);
      } catch (error) {
        throw translated(error);
      }
      return await open(name);
    },
    async removeBucket(name) {
      const row = await found(name);
      await fresh(row.bucketId);
      await objects.deleteBucket(row, stopping.signal).catch((error: unknown) => {
        throw translated(error);
      });
    },
    async status() {
      await known();
      for (const { bucketId } of catalog.buckets(owner)) await fresh(bucketId);
      const limit = runtime.deadline(READ_LIMIT_MS, stopping.signal);
      return await accountStatus({ client, owner, writer: writer.publicKey, catalog, signal: limit });
    },
    async close() {
      try {
        if (isPassing) await closeLogs();
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
    const signal = runtime.deadline(CLOSE_LIMIT_MS);
    for (const one of writers.all()) {
      const log = one.current();
      if (log === null) continue;
      await one.closeLog();
      const roots = await fetchRoots(link, owner, signal);
      const set = roots.view.sets.get(one.bucketId) ?? log.set();
      await sealAndClose(link, { owner, bucketId: one.bucketId, logId: log.logId, roots, set, signer: writer, signal });
    }
  }
}

const infoOf = ({ key, versionId, sizeBytes, etag, modifiedMs, headers }: VersionRow): ObjectInfo => ({
  key,
  versionId,
  sizeBytes,
  etag,
  modifiedMs,
  headers,
});
const listed = ({ key, sizeBytes, etag, modifiedMs }: ListedObject): ListedObject => ({ key, sizeBytes, etag, modifiedMs });

/** The same bytes; what goes wrong on the way is said as everything else is. */
async function* told(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    throw translated(error);
  }
}
