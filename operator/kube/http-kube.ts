// The port's adapter for a real API server.
import type {
  CallOptions,
  DeleteOptions,
  KubeClient,
  ListOptions,
  ObjectRef,
  Page,
  PatchOptions,
  Selection,
  WatchEvent,
  WatchOptions,
} from './client.ts';
import type { StatusBody } from './errors.ts';
import type { KubeObject, Live, ResourceType } from './resources.ts';
import type { Answer, Call, Transport, TransportOptions } from './transport.ts';
import { fieldManager, keyOf, refOf } from './client.ts';
import { errorOf } from './errors.ts';
import { createTransport } from './transport.ts';
import { watchFrames } from './watch-frames.ts';

export interface HttpKube extends KubeClient {
  /** Cuts all connections. */
  close(): Promise<void>;
}

const defaultDeadlineMs = 30_000;

const json = 'application/json';
const applyPatch = 'application/apply-patch+yaml';
const mergePatchType = 'application/merge-patch+json';

export function createHttpKube(options: TransportOptions): HttpKube {
  const transport = createTransport(options);
  const call = caller(transport);
  return {
    get: async (type, ref, o) => object(type, await call('GET', type, ref, o, { repeatable: true })),
    list: async (type, o = {}) =>
      page(type, await call('GET', type, o, o, { query: listQuery(o), repeatable: true, list: true })),
    create: async (type, body, o) =>
      object(type, await call('POST', type, refOf(body), o, { body, contentType: json, repeatable: false, collection: true })),
    async apply(type, body, o = {}) {
      const query = { fieldManager: o.manager ?? fieldManager, force: String(o.force ?? true) };
      const { subresource } = o;
      const parts = { body, contentType: applyPatch, repeatable: true, query, ...(subresource ? { subresource } : {}) };
      const answer = await call('PATCH', type, refOf(body), o, parts);
      return { object: object(type, answer), created: answer.status === 201 };
    },
    async replace(type, body, o = {}) {
      const versioned = body.metadata.resourceVersion !== undefined;
      return object(type, await write('PUT', json, !versioned, type, refOf(body), body, o));
    },
    mergePatch: async (type, ref, patch, o = {}) => object(type, await write('PATCH', mergePatchType, true, type, ref, patch, o)),
    async delete(type, ref, o = {}) {
      await call('DELETE', type, ref, o, { body: deleteBody(o), contentType: json, repeatable: true });
    },
    watch: <T extends KubeObject>(type: ResourceType<T>, o: WatchOptions) => watchEvents(transport, type, o),
    close: () => transport.close(),
  };

  function write(
    method: 'PUT' | 'PATCH',
    contentType: string,
    repeatable: boolean,
    type: ResourceType,
    ref: ObjectRef,
    body: object,
    o: PatchOptions,
  ): Promise<Answer> {
    const { subresource } = o;
    const query = { fieldManager };
    return call(method, type, ref, o, { body, contentType, repeatable, query, ...(subresource ? { subresource } : {}) });
  }
}

interface CallParts {
  repeatable: boolean;
  query?: Record<string, string>;
  body?: unknown;
  contentType?: string;
  subresource?: string;
  /** The path is the collection's: POST, list. */
  collection?: boolean;
  list?: boolean;
}

function caller(transport: Transport) {
  return async (
    method: Call['method'],
    type: ResourceType,
    ref: Partial<ObjectRef>,
    options: CallOptions = {},
    parts: CallParts,
  ): Promise<Answer> => {
    const one = parts.list || parts.collection ? undefined : ref.name;
    const where = keyOf({ ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }), name: ref.name ?? '*' });
    const what = `${method} ${type.plural}${parts.subresource ? `/${parts.subresource}` : ''} ${where}`;
    const path = pathOf(type, ref.namespace, one, parts.subresource, parts.list === true);
    const query = parts.query && Object.keys(parts.query).length > 0 ? `?${new URLSearchParams(parts.query).toString()}` : '';
    return transport.call({
      method,
      path: path + query,
      what,
      repeatable: parts.repeatable,
      deadlineMs: options.deadlineMs ?? defaultDeadlineMs,
      ...(parts.body === undefined ? {} : { body: parts.body }),
      ...(parts.contentType === undefined ? {} : { contentType: parts.contentType }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  };
}

function pathOf(
  type: ResourceType,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
  everywhere = false,
): string {
  const root = type.apiVersion.includes('/') ? `/apis/${type.apiVersion}` : `/api/${type.apiVersion}`;
  if (type.namespaced && namespace === undefined && !everywhere) {
    throw new TypeError(`A ${type.kind} is in a namespace, and none was given for ${name ?? 'it'}.`);
  }
  const parts = [root];
  if (type.namespaced && namespace !== undefined) parts.push('namespaces', encodeURIComponent(namespace));
  parts.push(type.plural);
  if (name !== undefined) parts.push(encodeURIComponent(name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}

function selectionQuery({ labelSelector, fieldSelector }: Selection): Record<string, string> {
  return { ...(labelSelector ? { labelSelector } : {}), ...(fieldSelector ? { fieldSelector } : {}) };
}

function listQuery(options: ListOptions): Record<string, string> {
  const { limit, continueToken, resourceVersion } = options;
  return {
    ...selectionQuery(options),
    ...(limit === undefined ? {} : { limit: String(limit) }),
    ...(continueToken === undefined ? {} : { continue: continueToken }),
    // The server refuses a version together with a page token, which carries its own.
    ...(resourceVersion === undefined || continueToken !== undefined ? {} : { resourceVersion }),
  };
}

function deleteBody(options: DeleteOptions): object {
  const { uid, resourceVersion, propagation, gracePeriodSeconds } = options;
  const preconditions = { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) };
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: propagation ?? 'Background',
    ...(Object.keys(preconditions).length > 0 ? { preconditions } : {}),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
  };
}

/** Names the kind, which lists leave out, and drops managedFields, which are half of what is sent. */
function clean<T extends KubeObject>(type: ResourceType<T>, raw: unknown): Live<T> {
  const { metadata, ...rest } = raw as Live<T> & { metadata: { managedFields?: unknown } };
  const { managedFields: _dropped, ...meta } = metadata;
  return { ...rest, apiVersion: type.apiVersion, kind: type.kind, metadata: meta } as unknown as Live<T>;
}

const object = <T extends KubeObject>(type: ResourceType<T>, answer: Answer): Live<T> => clean(type, answer.body);

function page<T extends KubeObject>(type: ResourceType<T>, answer: Answer): Page<T> {
  const list = answer.body as { items?: unknown[]; metadata?: { resourceVersion?: string; continue?: string } };
  return {
    items: (list.items ?? []).map((item) => clean(type, item)),
    resourceVersion: list.metadata?.resourceVersion ?? '',
    ...(list.metadata?.continue ? { continueToken: list.metadata.continue } : {}),
  };
}

async function* watchEvents<T extends KubeObject>(
  transport: Transport,
  type: ResourceType<T>,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  const { namespace, resourceVersion, timeoutSeconds, signal } = options;
  const query = new URLSearchParams({
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion,
    timeoutSeconds: String(timeoutSeconds),
    ...selectionQuery(options),
  });
  const what = `WATCH ${type.plural} ${namespace ?? '*'}`;
  const stream = await transport.stream(
    `${pathOf(type, namespace, undefined, undefined, true)}?${query.toString()}`,
    what,
    signal,
  );
  for await (const frame of watchFrames(what, stream)) {
    const { type: kind, object: raw } = frame as { type: string; object: StatusBody & KubeObject };
    if (kind === 'ERROR') throw errorOf(what, raw.code ?? 500, raw);
    if (kind === 'BOOKMARK') yield { type: 'BOOKMARK', resourceVersion: raw.metadata.resourceVersion ?? '' };
    else if (kind === 'ADDED' || kind === 'MODIFIED' || kind === 'DELETED') yield { type: kind, object: clean(type, raw) };
  }
}
