// Makes an object what it should be, and doesn't write when it is already. What was applied last is remembered
// on the object as a hash, so fields that we no longer set are noticed; what others changed is noticed by
// comparing. Where the server stores something else than it was told, that is learnt from its answer.
import { createHash } from 'node:crypto';
import type { CallOptions, KubeClient } from './client.ts';
import type { KubeMetrics } from './kube-metrics.ts';
import type { KubeObject, Live, ResourceType } from './resources.ts';
import { fieldManager, keyOf, refOf } from './client.ts';
import { drift, sameContent } from './drift.ts';

/** Annotation with the hash of what was applied last. */
export const appliedAnnotation = 'storjfarm.io/applied';

type ApplyResult = 'created' | 'configured' | 'unchanged';

interface ApplierOptions extends CallOptions {
  /** The write is refused (Conflict) unless the object is exactly the version of `live`: for dangerous writes. */
  isExact?: boolean;
}

interface AppliedObject<T extends KubeObject> {
  result: ApplyResult;
  object: Live<T>;
}

export interface Applier {
  /**
   * `live` is what the caller read, from the cache if it likes; undefined if there was none. Fields of others stay;
   * fields that they changed come back. Fails with Conflict if the object isn't the one of `live` any more (by
   * uid): reconcile again.
   */
  apply<T extends KubeObject>(
    type: ResourceType<T>,
    desired: T,
    live: Live<T> | undefined,
    options?: ApplierOptions,
  ): Promise<AppliedObject<T>>;
  /** Makes `status` the whole status of `live`. NotFound or Conflict if it is gone or another one now. */
  applyStatus<T extends KubeObject>(
    type: ResourceType<T>,
    live: Live<T>,
    status: object,
    options?: CallOptions,
  ): Promise<AppliedObject<T>>;
}

/** Our last write of an object: `hash` of what was said, and where the answer said something else. */
interface Written {
  hash: string;
  resourceVersion: string;
  rest: string;
}

/** Objects whose last write is remembered; the oldest are forgotten, at the price of one write that changes nothing. */
const rememberedObjects = 20_000;

export function createApplier(options: { client: KubeClient; metrics?: KubeMetrics }): Applier {
  const { client, metrics } = options;
  const written = new Map<string, Written>();
  const remember = (key: string, write: Written): void => {
    written.delete(key);
    written.set(key, write);
    if (written.size > rememberedObjects) written.delete(written.keys().next().value ?? '');
  };
  const settled = (key: string, hash: string, live: Live, rest: string): boolean => {
    const last = written.get(key);
    if (last?.hash !== hash) return false;
    // A cache that lags behind our own write shows what was before it; or the server keeps it in its own way.
    return isOlder(live.metadata.resourceVersion, last.resourceVersion) || last.rest === rest;
  };
  const report = <T extends KubeObject>(result: ApplyResult, object: Live<T>): AppliedObject<T> => {
    metrics?.apply(object.kind, result);
    return { result, object };
  };

  return {
    async apply(type, desired, live, { isExact = false, ...callOptions } = {}) {
      const wanted = normalise(type, desired);
      const hash = hashOf(wanted);
      const body = annotate(wanted, hash);
      const key = live === undefined ? '' : `${live.metadata.uid}/apply`;
      if (live !== undefined) {
        const rest = restOf(body, live);
        if (rest === '[]' || settled(key, hash, live, rest)) return report('unchanged', live);
        body.metadata.uid = live.metadata.uid;
        if (isExact) body.metadata.resourceVersion = live.metadata.resourceVersion;
      }
      const { object, created } = await client.apply(type, body, callOptions);
      const { uid, resourceVersion } = object.metadata;
      remember(`${uid}/apply`, { hash, resourceVersion, rest: restOf(body, object) });
      if (created) return report('created', object);
      return report(live?.metadata.resourceVersion === resourceVersion ? 'unchanged' : 'configured', object);
    },
    async applyStatus(type, live, status, callOptions = {}) {
      const body = bare(type, live, status);
      const hash = hashOf(body);
      const key = `${live.metadata.uid}/status`;
      if (sameContent(status, statusOf(live)) || settled(key, hash, live, JSON.stringify(statusOf(live)))) {
        return report('unchanged', live);
      }
      const { object } = await client.apply(type, body, { ...callOptions, subresource: 'status' });
      const { resourceVersion } = object.metadata;
      remember(key, { hash, resourceVersion, rest: JSON.stringify(statusOf(object)) });
      return report(live.metadata.resourceVersion === resourceVersion ? 'unchanged' : 'configured', object);
    },
  };
}

function statusOf(object: KubeObject): unknown {
  return (object as KubeObject & { status?: unknown }).status;
}

function bare<T extends KubeObject>(type: ResourceType<T>, live: Live<T>, status: object): T {
  const { uid } = live.metadata;
  const body = { apiVersion: type.apiVersion, kind: type.kind, metadata: { ...refOf(live), uid }, status };
  return withoutNothing(body) as T;
}

/** Where `live` lacks what `body` says, as text. Preconditions in the body aren't content, nor is its status. */
function restOf(body: KubeObject, live: KubeObject): string {
  const { labels, annotations, ownerReferences, finalizers } = body.metadata;
  const { status: _ignored, ...content } = body as KubeObject & { status?: unknown };
  return JSON.stringify(drift({ ...content, metadata: { labels, annotations, ownerReferences, finalizers } }, live));
}

/** The object as it is sent: nothing absent in it, text in `data`, no status. Fails with TypeError on another kind. */
function normalise<T extends KubeObject>(type: ResourceType<T>, desired: T): T {
  if (desired.kind !== type.kind || desired.apiVersion !== type.apiVersion) {
    throw new TypeError(
      `${keyOf(refOf(desired))} is a ${desired.apiVersion} ${desired.kind}, not a ${type.apiVersion} ${type.kind}.`,
    );
  }
  const {
    status: _status,
    stringData,
    ...rest
  } = withoutNothing(desired) as T & { status?: unknown; stringData?: Record<string, string> };
  const { resourceVersion: _version, uid: _uid, ...metadata } = rest.metadata;
  const object = { ...rest, metadata } as unknown as T & { data?: Record<string, string> };
  if (stringData !== undefined) {
    const encoded = Object.entries(stringData).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
    object.data = { ...object.data, ...Object.fromEntries(encoded) };
  }
  return object;
}

function annotate<T extends KubeObject>(object: T, hash: string): T {
  const annotations = { ...object.metadata.annotations, [appliedAnnotation]: hash };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

function withoutNothing(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNothing);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined && field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNothing(field)]));
}

/** Equal for equal content, whatever the order of the fields. 128 bits. */
function hashOf(object: unknown): string {
  return createHash('sha256')
    .update(`${fieldManager}\n${canonical(object)}`)
    .digest('hex')
    .slice(0, 32);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`;
}

/** Whether `a` was stored before `b`. Versions are numbers that grow wherever etcd, or something like it, is behind. */
export function isOlder(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && BigInt(a) < BigInt(b);
}
