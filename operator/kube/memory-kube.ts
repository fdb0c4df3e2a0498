// The port's adapter without an API server: for tests of reconcile, and for the exam that says what both
// adapters have in common. It does what the operator relies on (versions, preconditions, server-side apply with
// field owners, status subresource, finalizers, pages, watches, 410) and no more: no defaults, no validation,
// no garbage collection but on request.
import type {
  Applied,
  ApplyOptions,
  DeleteOptions,
  KubeClient,
  ListOptions,
  ObjectRef,
  Page,
  PatchOptions,
  WatchEvent,
  WatchOptions,
} from './client.ts';
import type { Owners } from './memory-fields.ts';
import type { KubeObject, Live, ResourceType } from './resources.ts';
import { fieldManager, keyOf, refOf } from './client.ts';
import { errorOf, KubeError } from './errors.ts';
import { applyFields, same, updateOwners } from './memory-fields.ts';
import { createMemoryHistory } from './memory-history.ts';
import { selects } from './selectors.ts';

interface MemoryCall {
  verb: 'get' | 'list' | 'create' | 'apply' | 'replace' | 'mergePatch' | 'delete' | 'watch';
  type: ResourceType;
  /** `namespace/name`, or the namespace or `*` for lists and watches. */
  key: string;
  subresource?: 'status';
  /** What was sent. */
  body?: unknown;
  /** It changed something; known once the call is over. */
  changed: boolean;
}

export interface MemoryKube extends KubeClient {
  /** All calls so far, oldest first; empty it at will. */
  readonly calls: MemoryCall[];
  /** Calls that may write, so far. */
  writes(): MemoryCall[];
  /**
   * Is asked before each call. Throw, and the call fails without having happened; return `'lose-answer'`, and it happens
   * but fails with Unavailable.
   */
  intercept: ((call: MemoryCall) => void | 'lose-answer' | Promise<void | 'lose-answer'>) | undefined;
  /** Forgets the past: page tokens are too old, and so are watches that start before now. */
  compact(): void;
  /** Ends all watches, as the server does after their time, or as a broken connection or a 410 would. */
  endWatches(how?: 'end' | 'reset' | 'gone'): void;
  /** Sends a bookmark to all watches. */
  bookmark(): void;
  /** Deletes what has only owners that are gone, until nothing changes; returns how many. */
  collectGarbage(): number;
  /** What is stored, without a call. */
  peek<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef): Live<T> | undefined;
  peekAll<T extends KubeObject>(type: ResourceType<T>, namespace?: string): Live<T>[];
}

interface Stored {
  type: ResourceType;
  object: Live;
  owners: Owners;
}

type Fields = Record<string, unknown>;

const kindKey = (type: ResourceType): string => `${type.apiVersion.split('/').slice(0, -1).join('')}/${type.plural}`;

export function createMemoryKube(options: { nowMs?: () => number } = {}): MemoryKube {
  const nowMs = options.nowMs ?? (() => Date.UTC(2026, 0, 1));
  const kinds = new Map<string, Map<string, Stored>>();
  const history = createMemoryHistory();
  const calls: MemoryCall[] = [];
  let uids = 0;

  const kindOf = (type: ResourceType): Map<string, Stored> => {
    const objects = kinds.get(kindKey(type)) ?? new Map<string, Stored>();
    kinds.set(kindKey(type), objects);
    return objects;
  };
  const mustGet = (type: ResourceType, ref: ObjectRef, what: string): Stored => {
    const stored = kindOf(type).get(keyOf(ref));
    if (stored === undefined) throw refusal(what, 404, 'NotFound', `${type.plural} "${ref.name}" not found`);
    return stored;
  };
  const store = (type: ResourceType, object: KubeObject, owners: Owners, previous: Stored | undefined): Live => {
    const resourceVersion = history.nextVersion();
    const live = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion } }) as Live;
    const gone = live.metadata.deletionTimestamp !== undefined && !live.metadata.finalizers?.length;
    if (gone) kindOf(type).delete(keyOf(refOf(live)));
    else kindOf(type).set(keyOf(refOf(live)), { type, object: live, owners });
    history.record(kindKey(type), gone ? 'DELETED' : previous === undefined ? 'ADDED' : 'MODIFIED', live, previous?.object);
    return live;
  };
  const insert = (type: ResourceType, object: KubeObject, owners: Owners): Live => {
    const { status: _status, ...content } = object as KubeObject & Fields;
    uids += 1;
    const metadata = {
      ...object.metadata,
      uid: `00000000-0000-4000-8000-${String(uids).padStart(12, '0')}`,
      creationTimestamp: new Date(nowMs()).toISOString().replace(/\.\d+Z$/, 'Z'),
      ...('spec' in content ? { generation: 1 } : {}),
    };
    return store(type, { ...content, metadata }, owners, undefined);
  };
  /** Stores `next` in place of `stored`, each subresource with its own half, unless nothing changes. */
  const update = (stored: Stored, next: Fields, owners: Owners, subresource?: 'status'): Live => {
    const old = stored.object as Live & Fields;
    const { status, ...content } = next as Fields & { metadata: KubeObject['metadata'] };
    const { uid, creationTimestamp, deletionTimestamp, generation, resourceVersion, name, namespace } = old.metadata;
    const fixed = { uid, creationTimestamp, deletionTimestamp, generation, resourceVersion, name, namespace };
    const merged: Fields & { metadata: KubeObject['metadata'] } =
      subresource === 'status'
        ? { ...old, status }
        : {
            ...content,
            ...('status' in old ? { status: old['status'] } : {}),
            metadata: { ...content.metadata, ...fixed } as KubeObject['metadata'],
          };
    if (status === undefined && subresource === 'status') delete merged['status'];
    const clean = structuredClone(JSON.parse(JSON.stringify(merged)) as Live & Fields);
    if (same(clean, old)) {
      stored.owners = owners;
      return old;
    }
    const { metadata: _a, status: _b, ...spec } = clean;
    const { metadata: _c, status: _d, ...oldSpec } = old;
    if (generation !== undefined && !same(spec, oldSpec)) clean.metadata.generation = generation + 1;
    return store(stored.type, clean, owners, stored);
  };
  const checkPreconditions = (what: string, stored: Stored, wanted: { uid?: string; resourceVersion?: string }): void => {
    for (const name of ['uid', 'resourceVersion'] as const) {
      const [want, have] = [wanted[name], stored.object.metadata[name]];
      if (want !== undefined && want !== have)
        throw refusal(what, 409, 'Conflict', `precondition failed: ${name} ${want} is now ${have}`);
    }
  };

  /** Runs one call with its record and its fault. */
  const run = async <R>(
    call: Omit<MemoryCall, 'changed'>,
    signal: AbortSignal | undefined,
    act: (what: string) => R,
  ): Promise<R> => {
    const record: MemoryCall = structuredClone({ ...call, type: undefined, changed: false }) as unknown as MemoryCall;
    record.type = call.type;
    await Promise.resolve();
    signal?.throwIfAborted();
    calls.push(record);
    const fault = await kube.intercept?.(record);
    const before = history.version();
    const what = `${call.verb} ${call.type.plural} ${call.key}`;
    const result = structuredClone(act(what));
    record.changed = history.version() !== before;
    if (fault === 'lose-answer') throw new KubeError('Unavailable', `${what}: the answer was lost`);
    return result;
  };

  const applyNow = <T extends KubeObject>(what: string, type: ResourceType<T>, object: T, o: ApplyOptions): Applied<T> => {
    const manager = `${o.manager ?? fieldManager}:apply${o.subresource ? ':status' : ''}`;
    const stored = kindOf(type).get(keyOf(refOf(object)));
    const { uid, resourceVersion, ...metadata } = object.metadata;
    const said = { ...object, metadata } as Fields & KubeObject;
    if (stored === undefined) {
      if (uid !== undefined || resourceVersion !== undefined)
        throw refusal(what, 409, 'Conflict', 'uid mismatch: there is no such object');
      if (o.subresource) mustGet(type, refOf(object), what);
      const { owners } = applyFields({}, said, new Map(), manager, true);
      return { object: insert(type, said, owners) as Live<T>, created: true };
    }
    checkPreconditions(what, stored, { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) });
    const content = o.subresource
      ? { apiVersion: said.apiVersion, kind: said.kind, status: said['status'] ?? {} }
      : withoutStatus(said);
    const { value, owners, conflicts } = applyFields(stored.object, content, stored.owners, manager, o.force ?? true);
    if (conflicts.length > 0) {
      const causes = conflicts.map(({ manager: other, field }) => ({
        reason: 'FieldManagerConflict',
        message: `conflict with "${other}"`,
        field,
      }));
      throw errorOf(what, 409, { reason: 'Conflict', message: 'Apply failed with conflicts', details: { causes } });
    }
    return { object: update(stored, value as Fields, owners, o.subresource) as Live<T>, created: false };
  };

  const updateNow = <T extends KubeObject>(what: string, stored: Stored, next: Fields & KubeObject, o: PatchOptions): Live<T> => {
    const { uid, resourceVersion } = next.metadata;
    checkPreconditions(what, stored, { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) });
    const owners = updateOwners(stored.object, next, stored.owners, `${fieldManager}:update`);
    return update(stored, next, owners, o.subresource) as Live<T>;
  };

  const kube: MemoryKube = {
    calls,
    intercept: undefined,
    writes: () => calls.filter(({ verb }) => verb !== 'get' && verb !== 'list' && verb !== 'watch'),
    get: <T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, o: { signal?: AbortSignal } = {}) =>
      run({ verb: 'get', type, key: keyOf(ref) }, o.signal, (what) => mustGet(type, ref, what).object as Live<T>),
    list: <T extends KubeObject>(type: ResourceType<T>, o: ListOptions = {}) =>
      run({ verb: 'list', type, key: o.namespace ?? '*' }, o.signal, (what): Page<T> => {
        const items = (): Live[] =>
          [...kindOf(type).values()]
            .map(({ object }) => object)
            .filter((object) => selects(o, object))
            .sort((a, b) => (keyOf(refOf(a)) < keyOf(refOf(b)) ? -1 : 1));
        return history.page(what, items, o.limit, o.continueToken) as Page<T>;
      }),
    create: <T extends KubeObject>(type: ResourceType<T>, object: T, o: { signal?: AbortSignal } = {}) =>
      run({ verb: 'create', type, key: keyOf(refOf(object)), body: object }, o.signal, (what) => {
        if (kindOf(type).has(keyOf(refOf(object)))) {
          throw refusal(what, 409, 'AlreadyExists', `${type.plural} "${object.metadata.name}" already exists`);
        }
        return insert(type, object, updateOwners({}, object, new Map(), `${fieldManager}:update`)) as Live<T>;
      }),
    apply: <T extends KubeObject>(type: ResourceType<T>, object: T, o: ApplyOptions = {}) => {
      const { subresource, signal } = o;
      const call = {
        verb: 'apply' as const,
        type,
        key: keyOf(refOf(object)),
        body: object,
        ...(subresource ? { subresource } : {}),
      };
      return run(call, signal, (what) => applyNow(what, type, object, o));
    },
    replace: <T extends KubeObject>(type: ResourceType<T>, object: T, o: PatchOptions = {}) => {
      const { subresource, signal } = o;
      const call = {
        verb: 'replace' as const,
        type,
        key: keyOf(refOf(object)),
        body: object,
        ...(subresource ? { subresource } : {}),
      };
      return run(call, signal, (what) => updateNow<T>(what, mustGet(type, refOf(object), what), object as T & Fields, o));
    },
    mergePatch: <T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, patch: object, o: PatchOptions = {}) => {
      const { subresource, signal } = o;
      const call = { verb: 'mergePatch' as const, type, key: keyOf(ref), body: patch, ...(subresource ? { subresource } : {}) };
      return run(call, signal, (what) => {
        const stored = mustGet(type, ref, what);
        return updateNow<T>(what, stored, mergeJson(stored.object, patch) as Fields & KubeObject, o);
      });
    },
    delete: (type: ResourceType, ref: ObjectRef, o: DeleteOptions = {}) =>
      run({ verb: 'delete', type, key: keyOf(ref), body: withoutSignal(o) }, o.signal, (what) => {
        const stored = mustGet(type, ref, what);
        checkPreconditions(what, stored, o);
        remove(stored);
      }),
    watch: <T extends KubeObject>(type: ResourceType<T>, o: WatchOptions) => {
      calls.push({ verb: 'watch', type, key: o.namespace ?? '*', changed: false });
      return watchLater<T>(async () => {
        await kube.intercept?.({ verb: 'watch', type, key: o.namespace ?? '*', changed: false });
        return history.watch(`watch ${type.plural}`, kindKey(type), o) as AsyncIterable<WatchEvent<T>>;
      });
    },
    compact: () => history.compact(),
    endWatches: (how = 'end') => history.endWatches(how),
    bookmark: () => history.bookmark(),
    collectGarbage() {
      let collected = 0;
      for (let orphans = orphansOf(kinds); orphans.length > 0; orphans = orphansOf(kinds)) {
        for (const orphan of orphans) remove(orphan);
        collected += orphans.length;
      }
      return collected;
    },
    peek: (type, ref) => structuredClone(kindOf(type).get(keyOf(ref))?.object) as never,
    peekAll: <T extends KubeObject>(type: ResourceType<T>, namespace?: string) =>
      [...kindOf(type).values()]
        .filter(({ object }) => namespace === undefined || object.metadata.namespace === namespace)
        .map(({ object }) => structuredClone(object) as Live<T>),
  };
  return kube;

  function remove(stored: Stored): void {
    if (stored.object.metadata.deletionTimestamp !== undefined) return;
    const deletionTimestamp = new Date(nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    store(stored.type, { ...stored.object, metadata: { ...stored.object.metadata, deletionTimestamp } }, stored.owners, stored);
  }
}

async function* watchLater<T extends KubeObject>(
  open: () => Promise<AsyncIterable<WatchEvent<T>>>,
): AsyncGenerator<WatchEvent<T>> {
  yield* await open();
}

function orphansOf(kinds: Map<string, Map<string, Stored>>): Stored[] {
  const all = [...kinds.values()].flatMap((objects) => [...objects.values()]);
  const uids = new Set(all.map(({ object }) => object.metadata.uid));
  return all.filter(({ object: { metadata } }) => {
    const owners = metadata.ownerReferences ?? [];
    return owners.length > 0 && metadata.deletionTimestamp === undefined && owners.every(({ uid }) => !uids.has(uid));
  });
}

function refusal(what: string, status: number, reason: string, message: string): KubeError {
  return errorOf(what, status, { reason, message });
}

function withoutStatus(object: Fields): Fields {
  const { status: _status, ...rest } = object;
  return rest;
}

function withoutSignal(options: DeleteOptions): object {
  const { signal: _signal, ...rest } = options;
  return rest;
}

/** RFC 7396. */
function mergeJson(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? (target as Fields) : {};
  const result: Fields = { ...base };
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else if (value !== undefined) result[field] = mergeJson(base[field], value);
  }
  return result;
}
