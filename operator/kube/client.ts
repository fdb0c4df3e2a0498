// The port to the API server: everything the operator does to a cluster goes through these calls. Two
// adapters pass the same exam: http-kube.ts (a real API server) and memory-kube.ts (tests).
//
// Objects are raw JSON without managedFields. Every call fails with a KubeError (errors.ts), or with
// the reason of the caller's own signal.
import type { KubeObject, Live, ResourceType } from './resources.ts';
import { isNotFound } from './errors.ts';

/** The one field manager of this operator. */
export const fieldManager = 'storj-operator';

export interface ObjectRef {
  /** Absent for cluster-scoped kinds. */
  namespace?: string;
  name: string;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** For the whole call with its retries; default 30 s. */
  deadlineMs?: number;
}

export interface Selection {
  /** Absent: the whole cluster. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface ListOptions extends CallOptions, Selection {
  /** Objects in one page. */
  limit?: number;
  continueToken?: string;
  resourceVersion?: string;
}

export interface Page<T extends KubeObject> {
  items: Live<T>[];
  /** Of the whole list: where a watch goes on. */
  resourceVersion: string;
  /** For the next page; absent on the last one. */
  continueToken?: string;
}

export interface WatchOptions extends Selection {
  resourceVersion: string;
  /** After which the server ends the watch. */
  timeoutSeconds: number;
  signal: AbortSignal;
}

export type WatchEvent<T extends KubeObject> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: Live<T> }
  | { type: 'BOOKMARK'; resourceVersion: string };

export interface ApplyOptions extends CallOptions {
  /** Default: `fieldManager`. */
  manager?: string;
  /** Takes over fields that others own; default true. False: such fields give a Conflict. */
  force?: boolean;
  subresource?: 'status';
}

export interface Applied<T extends KubeObject> {
  object: Live<T>;
  /** It didn't exist before. */
  created: boolean;
}

export interface PatchOptions extends CallOptions {
  subresource?: 'status';
}

export interface DeleteOptions extends CallOptions {
  /** Preconditions: a Conflict if the object isn't this one any more. */
  uid?: string;
  resourceVersion?: string;
  propagation?: 'Background' | 'Foreground' | 'Orphan';
  gracePeriodSeconds?: number;
}

export interface KubeClient {
  /** Fails with NotFound. */
  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, options?: CallOptions): Promise<Live<T>>;
  /** One page; `listAll` goes through all of them. Fails with Gone when a page token is too old. */
  list<T extends KubeObject>(type: ResourceType<T>, options?: ListOptions): Promise<Page<T>>;
  /** Fails with AlreadyExists. Not repeated when the answer is lost, so it may then have happened. */
  create<T extends KubeObject>(type: ResourceType<T>, object: T, options?: CallOptions): Promise<Live<T>>;
  /**
   * Server-side apply: creates or merges. Fields that were applied before and are absent now are removed.
   * With `metadata.uid` or `metadata.resourceVersion` in the object it is a precondition (Conflict). Always
   * writes; reconcile uses `createApplier` (apply.ts), which doesn't when nothing drifted.
   */
  apply<T extends KubeObject>(type: ResourceType<T>, object: T, options?: ApplyOptions): Promise<Applied<T>>;
  /** PUT of the whole object. `metadata.resourceVersion` is the precondition (Conflict). */
  replace<T extends KubeObject>(type: ResourceType<T>, object: T, options?: PatchOptions): Promise<Live<T>>;
  /** JSON merge patch (null removes). `metadata.uid` and `metadata.resourceVersion` in it are preconditions. */
  mergePatch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patch: object,
    options?: PatchOptions,
  ): Promise<Live<T>>;
  /** Fails with NotFound, and with Conflict when a precondition doesn't hold. */
  delete(type: ResourceType, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
  /**
   * Changes after `resourceVersion`, with bookmarks. Ends when the server ends it; fails with Gone (also where
   * the server says it inside the stream), Unavailable when the connection breaks.
   */
  watch<T extends KubeObject>(type: ResourceType<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
}

/** `get` with undefined for NotFound. */
export async function find<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  ref: ObjectRef,
  options?: CallOptions,
): Promise<Live<T> | undefined> {
  try {
    return await client.get(type, ref, options);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** `delete` that is content when the object is gone; false where there was none. */
export async function ensureDeleted(
  client: KubeClient,
  type: ResourceType,
  ref: ObjectRef,
  options?: DeleteOptions,
): Promise<boolean> {
  try {
    await client.delete(type, ref, options);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** Objects in a page when the caller doesn't say; a page of 500 pods parses in about 50 ms. */
export const pageSize = 500;

/** All objects of a selection, page by page. Fails with Gone when the pages grew too old on the way: start again. */
export async function listAll<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  options: ListOptions = {},
): Promise<{ items: Live<T>[]; resourceVersion: string }> {
  const items: Live<T>[] = [];
  let page = await client.list(type, { limit: pageSize, ...options });
  for (;;) {
    items.push(...page.items);
    if (page.continueToken === undefined) return { items, resourceVersion: page.resourceVersion };
    page = await client.list(type, { limit: pageSize, ...options, continueToken: page.continueToken });
  }
}

export function refOf(object: KubeObject): ObjectRef {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

/** `namespace/name`, or `name`: the key of queues and stores. */
export function keyOf(ref: ObjectRef): string {
  return ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`;
}

export function refOfKey(key: string): ObjectRef {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
