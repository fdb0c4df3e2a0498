// One bucket for a program: its objects read from what the farmers have, written by the rules of bridge/object-store.ts.
import { ObjectsError, type Objects } from '#node/bridge/objects.ts';
import type { BucketRow, ListPage, VersionRow } from '#node/catalog/catalog.ts';
import { commonPrefix } from '#node/catalog/key-order.ts';
import type { BucketReader } from '#node/client/bucket-reader.ts';
import type { BucketId, PutEntry, Verb } from '#node/wire/types.ts';
import type { Freshness } from './bucket-view.ts';
import { putObject, type PutSource, type UnfinishedUploads } from './put-object.ts';
import { StorjError, translated } from './storj-error.ts';

/** A version of an object. */
export type ObjectInfo = Pick<VersionRow, 'key' | 'versionId' | 'sizeBytes' | 'etag' | 'modifiedMs' | 'headers'>;
type ListedObject = Pick<VersionRow, 'key' | 'sizeBytes' | 'etag' | 'modifiedMs'>;
export type ListItem = { kind: 'object'; object: ListedObject } | { kind: 'prefix'; prefix: string };

interface ListOptions extends Freshness {
  prefix?: string;
  delimiter?: string;
  /** Start behind this key. */
  after?: string;
}

export interface BucketInfo {
  name: string;
  /** 0 where a grant opens it: grants don't say. */
  createdMs: number;
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
  list(options?: ListOptions): AsyncGenerator<ListItem, void, undefined>;
  /** False where nothing was there. */
  remove(key: string, options?: Freshness): Promise<boolean>;
  /** Names the same segments: no byte moves. */
  copy(key: string, to: { bucket?: string; key: string }, options?: Freshness): Promise<ObjectInfo>;
  move(key: string, to: { bucket?: string; key: string }): Promise<ObjectInfo>;
}

/** What a grant gives, as its holder reads it. */
export interface Allowed {
  bucketName: string;
  verbs: readonly Verb[];
  /** Of keys that may be written and deleted. */
  prefix: string;
}

/** What a bucket has of its account. */
interface BucketParts {
  objects: Objects;
  uploads: UnfinishedUploads;
  /** Where a grant opens it: farmers refuse the rest. */
  allowed: Allowed | undefined;
  signal: AbortSignal;
  /** Whatever was acknowledged before this call is in the catalog after it. */
  fresh(bucketId: BucketId, options?: Freshness): Promise<void>;
  /** Null = read by the catalog. */
  readerOf(bucketId: BucketId, options: Freshness): Promise<BucketReader | null>;
  found(name: string, options?: Freshness): Promise<BucketRow>;
}

const PAGE = 1000;
/** Keys of one folder that are stepped through before the rest of it is jumped over. */
const MANY_BEHIND_A_PREFIX = 100;
const LAST_CHARACTER = '\u{10FFFF}';

/** The bucket of this row. */
export function bucketOn(parts: BucketParts, row: BucketRow): Bucket {
  const { objects, uploads, allowed, signal, fresh, readerOf, found } = parts;
  const { bucketId, name } = row;
  const within = (own?: AbortSignal) => (own ? AbortSignal.any([own, signal]) : signal);
  const guarded = async <T>(verb: Verb, key: string, work: () => T | Promise<T>): Promise<T> => {
    try {
      mayDo(allowed, verb, key);
      return await work();
    } catch (error) {
      throw translated(error, `There is no object "${key}" in bucket ${name}.`);
    }
  };
  const entryOf = async (reader: BucketReader, key: string): Promise<PutEntry> => {
    const entry = await reader.find(key);
    if (entry === null) throw new ObjectsError('NoSuchKey', 'The specified key does not exist.');
    return entry;
  };
  const bucket: Bucket = {
    name,
    bucketId,
    createdMs: row.createdMs,
    head: (key, options = {}) =>
      guarded('read', key, async () => {
        const reader = await readerOf(bucketId, options);
        return infoOf(reader ? await entryOf(reader, key) : objects.head(row, key));
      }),
    get: (key, { offset = 0, length: wanted, signal: own, ...options } = {}) =>
      guarded('read', key, async () => {
        const reader = await readerOf(bucketId, options);
        const entry = reader ? await entryOf(reader, key) : null;
        const version = entry ?? objects.head(row, key);
        const length = wanted ?? version.sizeBytes - offset;
        if (offset > version.sizeBytes || length < 0 || offset + length > version.sizeBytes) {
          throw new StorjError('BadRange', `"${key}" has ${version.sizeBytes} bytes; the range goes beyond them.`);
        }
        const body =
          reader && entry
            ? reader.read(entry, { offset, length })
            : objects.read(row, version as VersionRow, { offset, length }, within(own));
        return { info: infoOf(version), body: told(body, within(own)) };
      }),
    put: (key, source, options = {}) =>
      guarded('write', key, async () => {
        await fresh(bucketId, options);
        const order = { row, key, source, ...options, signal: within(options.signal) };
        return infoOf(await putObject({ objects, uploads }, order));
      }),
    async *list(query = {}) {
      const reader = await guarded('list', '', () => readerOf(bucketId, query));
      const items = reader ? listedBy(reader, query) : listedByCatalog(objects, row, query);
      for await (const item of items) yield item;
    },
    remove: (key, options = {}) =>
      guarded('delete', key, async () => {
        await fresh(bucketId, options);
        const was = objects.find(row, key) !== null;
        if (!was && allowed && !allowed.verbs.some((verb) => verb === 'read' || verb === 'list')) {
          throw new StorjError(
            'NotAllowed',
            `A delete names the version that goes, and the grant shows none: ask for one that allows to list.`,
          );
        }
        if (was) await objects.delete(row, key, {}, signal);
        return was;
      }),
    copy: (key, to, options = {}) =>
      guarded('write', to.key, async () => {
        const target = to.bucket === undefined || to.bucket === name ? row : await found(to.bucket, options);
        await fresh(bucketId, options);
        if (target !== row) await fresh(target.bucketId, options);
        const source = objects.head(row, key);
        const order = { from: row, source, key: to.key, headers: source.headers, conditions: {} };
        return infoOf(await objects.copy(target, order, signal));
      }),
    async move(key, to) {
      const isSame = (to.bucket ?? name) === name && to.key === key;
      const copied = isSame ? await bucket.head(key) : await bucket.copy(key, to);
      if (!isSame) await bucket.remove(key);
      return copied;
    },
  };
  return bucket;
}

function mayDo(allowed: Allowed | undefined, verb: Verb, key: string): void {
  if (allowed === undefined) return;
  const isBelow = verb === 'read' || verb === 'list' || key.startsWith(allowed.prefix);
  if (allowed.verbs.includes(verb) && isBelow) return;
  const where = isBelow ? '' : ` outside of "${allowed.prefix}"`;
  throw new StorjError('NotAllowed', `The grant doesn't allow to ${verb}${where}: ask for one that does.`);
}

async function* listedByCatalog(
  objects: Objects,
  row: BucketRow,
  { prefix = '', delimiter = '', after = '' }: ListOptions,
): AsyncGenerator<ListItem, void, undefined> {
  for (let next: string | null = after; next !== null;) {
    const page: ListPage = objects.list(row, { prefix, delimiter, after: next, limit: PAGE });
    for (const item of page.items) yield item.kind === 'prefix' ? item : { kind: 'object', object: listed(item.object) };
    next = page.next;
  }
}

/** Skips what lies behind a prefix that was told: a folder of a million objects is one line. */
async function* listedBy(
  reader: BucketReader,
  { prefix = '', delimiter = '', after = '' }: ListOptions,
): AsyncGenerator<ListItem, void, undefined> {
  let from: string | null = after;
  let told = '';
  while (from !== null) {
    const start: string = from;
    from = null;
    let passed = 0;
    for await (const entry of reader.list({ prefix, after: start })) {
      const common = commonPrefix(entry.key, prefix, delimiter);
      if (common === null) yield { kind: 'object', object: listed(entry) };
      else if (common !== told) {
        told = common;
        passed = 0;
        yield { kind: 'prefix', prefix: common };
      } else if (++passed === MANY_BEHIND_A_PREFIX) {
        from = `${common}${LAST_CHARACTER}`;
        break;
      }
    }
  }
}

const infoOf = ({ key, versionId, sizeBytes, etag, modifiedMs, headers }: ObjectInfo): ObjectInfo => ({
  key,
  versionId,
  sizeBytes,
  etag,
  modifiedMs,
  headers,
});
const listed = ({ key, sizeBytes, etag, modifiedMs }: ListedObject): ListedObject => ({ key, sizeBytes, etag, modifiedMs });

/** The same bytes; what goes wrong on the way is said as everything else is. */
async function* told(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of body) {
      signal.throwIfAborted();
      yield chunk;
    }
  } catch (error) {
    throw translated(error);
  }
}
