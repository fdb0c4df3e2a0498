// How the operator reads the cluster: from the reflectors' stores where a kind is watched, else by a call.
import type { KubeClient, ObjectRef } from './kube/client.ts';
import type { KubeObject, Live, ResourceType } from './kube/resources.ts';
import type { Store } from './kube/store.ts';
import { find, listAll } from './kube/client.ts';

export interface Reader {
  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, signal: AbortSignal): Promise<Live<T> | undefined>;
  /** Objects of a namespace (undefined: all) that carry all of these labels. */
  list<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string | undefined,
    labels: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Live<T>[]>;
}

/** Reads from stores; kinds without one are asked for at the API server. Objects of stores are frozen. */
export function createReader(client: KubeClient, stores: ReadonlyMap<ResourceType, Store<KubeObject>> = new Map()): Reader {
  return {
    async get(type, ref, signal) {
      const store = stores.get(type) as Store<never> | undefined;
      return store ? store.get(ref) : find(client, type, ref, { signal });
    },
    async list(type, namespace, labels, signal) {
      const store = stores.get(type) as Store<never> | undefined;
      if (store) return store.list(namespace).filter((object) => carries(object, labels));
      const labelSelector = Object.entries(labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(',');
      const { items } = await listAll(client, type, {
        signal,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labelSelector === '' ? {} : { labelSelector }),
      });
      return items;
    },
  };
}

function carries(object: KubeObject, labels: Record<string, string>): boolean {
  return Object.entries(labels).every(([name, value]) => object.metadata.labels?.[name] === value);
}
