// What a reflector knows: objects by key, by owner and by further indexes. Objects are frozen: who wants to
// change one makes a copy.
import type { ObjectRef } from './client.ts';
import type { KubeObject, Live } from './resources.ts';
import { keyOf, refOf } from './client.ts';

export type Change<T extends KubeObject> =
  | { type: 'added'; object: Live<T> }
  | { type: 'modified'; object: Live<T>; previous: Live<T> }
  | { type: 'deleted'; object: Live<T> };

/** Index name → the values under which an object is found. */
export type Indexes<T extends KubeObject> = Record<string, (object: Live<T>) => readonly string[]>;

/** The reading half. */
export interface Store<T extends KubeObject> {
  get(ref: ObjectRef): Live<T> | undefined;
  list(namespace?: string): Live<T>[];
  /** Objects with an ownerReference to this uid. */
  byOwner(uid: string): Live<T>[];
  /** Fails with TypeError on an index that doesn't exist. */
  byIndex(index: string, value: string): Live<T>[];
  readonly size: number;
}

export interface WritableStore<T extends KubeObject> extends Store<T> {
  /** What changed by it; nothing where this version is there already. */
  put(object: Live<T>): Change<T>[];
  remove(ref: ObjectRef): Change<T>[];
}

const ownerIndex = '(owner)';

export function createStore<T extends KubeObject>(indexes: Indexes<T> = {}): WritableStore<T> {
  const objects = new Map<string, Live<T>>();
  const valuesOf: Indexes<T> = {
    ...indexes,
    [ownerIndex]: ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid),
  };
  /** Index → value → keys. */
  const index = new Map(Object.keys(valuesOf).map((name) => [name, new Map<string, Set<string>>()]));

  const unlink = (key: string, object: Live<T>): void => {
    for (const [name, values] of index) {
      for (const value of valuesOf[name]?.(object) ?? []) {
        const keys = values.get(value);
        keys?.delete(key);
        if (keys?.size === 0) values.delete(value);
      }
    }
  };
  const link = (key: string, object: Live<T>): void => {
    for (const [name, values] of index) {
      for (const value of valuesOf[name]?.(object) ?? []) {
        const keys = values.get(value);
        if (keys === undefined) values.set(value, new Set([key]));
        else keys.add(key);
      }
    }
  };
  const remove = (ref: ObjectRef): Change<T>[] => {
    const key = keyOf(ref);
    const object = objects.get(key);
    if (object === undefined) return [];
    objects.delete(key);
    unlink(key, object);
    return [{ type: 'deleted', object }];
  };
  const byIndex = (name: string, value: string): Live<T>[] => {
    const values = index.get(name);
    if (values === undefined) throw new TypeError(`There is no index ${name}.`);
    return [...(values.get(value) ?? [])].flatMap((key) => objects.get(key) ?? []);
  };

  return {
    get: (ref) => objects.get(keyOf(ref)),
    list: (namespace) => {
      const all = [...objects.values()];
      return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
    },
    byOwner: (uid) => byIndex(ownerIndex, uid),
    byIndex,
    get size() {
      return objects.size;
    },
    put(object) {
      const key = keyOf(refOf(object));
      const previous = objects.get(key);
      if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
        // Deleted and made anew while we weren't looking: for the world that is two happenings.
        return [...remove(refOf(object)), ...this.put(object)];
      }
      if (previous?.metadata.resourceVersion === object.metadata.resourceVersion) return [];
      if (previous !== undefined) unlink(key, previous);
      deepFreeze(object);
      objects.set(key, object);
      link(key, object);
      return [previous === undefined ? { type: 'added', object } : { type: 'modified', object, previous }];
    },
    remove,
  };
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const field of Object.values(value)) deepFreeze(field);
}

/** Key of the object's owner of this kind (group, not version, counts), or undefined: what a change of it is about. */
export function ownerKey(object: KubeObject, owner: { apiVersion: string; kind: string }): string | undefined {
  const group = groupOf(owner.apiVersion);
  const found = (object.metadata.ownerReferences ?? []).find(
    ({ apiVersion, kind }) => kind === owner.kind && groupOf(apiVersion) === group,
  );
  if (found === undefined) return undefined;
  const { namespace } = object.metadata;
  return keyOf(namespace === undefined ? { name: found.name } : { namespace, name: found.name });
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
}
