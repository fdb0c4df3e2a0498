// The operator put together: reflectors feed keys to two controllers. main.ts starts it in a pod, tests with stubs.
import type { Registry } from 'prom-client';
import type { KubeClient } from './kube/client.ts';
import type { EventRecorder } from './kube/events.ts';
import type { KubeMetrics } from './kube/kube-metrics.ts';
import type { Reflector } from './kube/reflector.ts';
import type { KubeObject, Live, ResourceType } from './kube/resources.ts';
import type { Change, Store } from './kube/store.ts';
import type { Clock, Random } from './runtime/clock.ts';
import type { Log } from './runtime/log.ts';
import type { Controller, RuntimeMetrics } from './runtime/controller.ts';
import type { Context } from './context.ts';
import type { Settings } from './farm/observed.ts';
import type { Nodes } from './nodes.ts';
import type { OperatorMetrics } from './metrics.ts';
import { marks, storjBuckets, storjFarms, type LiveBucket, type StorjBucket } from './api.ts';
import { farmKeyOf } from './bucket/admission.ts';
import { createBucketReconcile } from './bucket/reconcile.ts';
import { createFarmMemories } from './farm/memory.ts';
import { createFarmReconcile } from './farm/reconcile.ts';
import { createApplier } from './kube/apply.ts';
import { keyOf, refOf } from './kube/client.ts';
import { createReflector } from './kube/reflector.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  pods,
  services,
  statefulSets,
} from './kube/resources.ts';
import { createReader } from './reader.ts';
import { createController } from './runtime/controller.ts';

/** What the outside hands in. */
export interface Outside {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Log;
  kubeMetrics?: KubeMetrics;
  runtimeMetrics?: RuntimeMetrics;
}

/** Everything that is watched, warm before the Lease is ours. */
export interface Caches {
  stores: ReadonlyMap<ResourceType, Store<KubeObject>>;
  reflectors: readonly Reflector<KubeObject>[];
  synced(): boolean;
  whenSynced(signal: AbortSignal): Promise<void>;
  /** Until the signal. */
  run(signal: AbortSignal): Promise<void>;
}

const ownChildren: ResourceType[] = [
  statefulSets,
  deployments,
  services,
  configMaps,
  podDisruptionBudgets,
  networkPolicies,
  pods,
];

/** `namespaces` empty: all. Children are watched by label, volumes without: some may have been bound by hand. */
export function createCaches({ client, clock, random, log, kubeMetrics }: Outside, namespaces: readonly string[]): Caches {
  const make = (type: ResourceType, labelSelector?: string): Reflector<KubeObject> =>
    createReflector({
      client,
      type,
      clock,
      random,
      log,
      ...(kubeMetrics ? { metrics: kubeMetrics } : {}),
      ...(namespaces.length > 0 ? { namespaces } : {}),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    });
  const made = new Map<ResourceType, Reflector<KubeObject>>([
    [storjFarms, make(storjFarms)],
    [storjBuckets, make(storjBuckets)],
    [persistentVolumeClaims, make(persistentVolumeClaims)],
    ...ownChildren.map((type): [ResourceType, Reflector<KubeObject>] => [type, make(type, marks.farm)]),
  ]);
  const reflectors = [...made.values()];
  return {
    stores: new Map([...made].map(([type, reflector]) => [type, reflector.store])),
    reflectors,
    synced: () => reflectors.every((reflector) => reflector.synced()),
    whenSynced: async (signal) => void (await Promise.all(reflectors.map((reflector) => reflector.whenSynced(signal)))),
    run: async (signal) => void (await Promise.all(reflectors.map((reflector) => reflector.run(signal)))),
  };
}

export interface Operator {
  context: Context;
  farms: Controller;
  buckets: Controller;
  /** Works until the signal. The caches must be synced. */
  run(signal: AbortSignal): Promise<void>;
}

export interface OperatorOptions {
  outside: Outside;
  /** Absent: everything is read at the API server. */
  caches?: Caches;
  settings: Settings;
  nodes: Nodes;
  events: EventRecorder;
  metrics: OperatorMetrics;
  registry?: Registry;
  randomBytes: (count: number) => Uint8Array;
}

export function createOperator({ outside, caches, settings, nodes, events, metrics, randomBytes }: OperatorOptions): Operator {
  const { client, clock, random, log, kubeMetrics, runtimeMetrics } = outside;
  const context: Context = {
    settings,
    client,
    reader: createReader(client, caches?.stores),
    applier: createApplier({ client, ...(kubeMetrics ? { metrics: kubeMetrics } : {}) }),
    events,
    nodes,
    clock,
    log,
    metrics,
    memories: createFarmMemories(),
    randomBytes,
  };
  const common = { clock, random, log, ...(runtimeMetrics ? { metrics: runtimeMetrics } : {}) };
  const farms = createController({ ...common, name: 'storjfarm', reconcile: createFarmReconcile(context) });
  const buckets = createController({ ...common, name: 'storjbucket', reconcile: createBucketReconcile(context) });
  return {
    context,
    farms,
    buckets,
    async run(signal) {
      const stops = caches ? subscribe(caches, farms, buckets) : [];
      await Promise.all([farms.run(signal), buckets.run(signal)]);
      for (const stop of stops) stop();
    },
  };
}

function subscribe(caches: Caches, farms: Controller, buckets: Controller): (() => void)[] {
  const bucketStore = caches.stores.get(storjBuckets) as Store<StorjBucket> | undefined;
  const bucketsOf = (farm: string): LiveBucket[] => (bucketStore?.list() ?? []).filter((bucket) => farmKeyOf(bucket) === farm);
  const types = [...caches.stores.keys()];
  return caches.reflectors.map((reflector, index) => {
    const type = types[index];
    const handle = (change: Change<KubeObject>): void => {
      const { object } = change;
      const key = keyOf(refOf(object));
      if (type === storjFarms) {
        if (!matters(change)) return;
        farms.enqueue(key);
        for (const bucket of bucketsOf(key)) buckets.enqueue(keyOf(refOf(bucket)));
      } else if (type === storjBuckets) {
        if (matters(change)) buckets.enqueue(key);
        // Its keys must die, or its place is free for another.
        if (change.type !== 'deleted') return;
        const farm = farmKeyOf(object as LiveBucket);
        farms.enqueue(farm);
        for (const bucket of bucketsOf(farm)) buckets.enqueue(keyOf(refOf(bucket)));
      } else {
        const farm = object.metadata.labels?.[marks.farm];
        if (farm !== undefined) farms.enqueue(`${object.metadata.namespace}/${farm}`);
      }
    };
    const stop = reflector.subscribe(handle);
    for (const object of reflector.store.list()) handle({ type: 'added', object });
    return stop;
  });
}

/** Our own writes of a status are no news. */
function matters(change: Change<KubeObject>): boolean {
  if (change.type !== 'modified') return true;
  const facts = ({ metadata }: Live): string =>
    JSON.stringify([metadata.uid, metadata.generation, metadata.annotations, metadata.finalizers, metadata.deletionTimestamp]);
  return facts(change.object) !== facts(change.previous);
}
