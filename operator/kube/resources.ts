// The kinds that the operator reads and writes, as they travel: raw JSON, dates as strings. The models of
// @kubernetes/client-node are taken as types only; its classes decode far too slowly to be used (they
// also rename `from` to `_from`, which is undone here).
import type {
  EventsV1Event,
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1Lease,
  V1Namespace,
  V1NetworkPolicy,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
  V1Secret,
  V1Service,
  V1StatefulSet,
} from '@kubernetes/client-node';

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name: string;
  /** Absent on cluster-scoped objects only. */
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  /** RFC 3339. */
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
}

/** What every object has. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** An object that the API server has stored: it has an identity and a version. */
export type Live<T extends KubeObject = KubeObject> = T & {
  metadata: ObjectMeta & { uid: string; resourceVersion: string; creationTimestamp: string };
};

/** A model class of client-node as plain JSON. */
type Json<T> = T extends Date
  ? string
  : T extends readonly (infer U)[]
    ? Json<U>[]
    : T extends object
      ? { [K in keyof T as K extends `_${infer Name}` ? Name : K]: Json<T[K]> }
      : T;

type BuiltIn<T> = Omit<Json<T>, 'apiVersion' | 'kind' | 'metadata'> & KubeObject;

export type ConfigMap = BuiltIn<V1ConfigMap>;
export type CustomResourceDefinition = BuiltIn<V1CustomResourceDefinition>;
export type Deployment = BuiltIn<V1Deployment>;
export type KubeEvent = BuiltIn<EventsV1Event>;
export type Lease = BuiltIn<V1Lease>;
export type Namespace = BuiltIn<V1Namespace>;
export type NetworkPolicy = BuiltIn<V1NetworkPolicy>;
export type PersistentVolume = BuiltIn<V1PersistentVolume>;
export type PersistentVolumeClaim = BuiltIn<V1PersistentVolumeClaim>;
export type Pod = BuiltIn<V1Pod>;
export type PodDisruptionBudget = BuiltIn<V1PodDisruptionBudget>;
export type Secret = BuiltIn<V1Secret>;
export type Service = BuiltIn<V1Service>;
export type StatefulSet = BuiltIn<V1StatefulSet>;

/** Where a kind lives in the API. The type parameter is what its objects look like. */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** `v1`, or `group/version`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** The lower-case plural of the path. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries T for the compiler alone; there is nothing here at run time. */
  readonly __object?: T;
}

/** A kind by its parts; for custom resources, e.g. `resource<StorjFarm>('storjfarm.io/v1alpha1', 'StorjFarm', 'storjfarms')`. */
export function resource<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  scope: 'Namespaced' | 'Cluster' = 'Namespaced',
): ResourceType<T> {
  return Object.freeze({ apiVersion, kind, plural, namespaced: scope === 'Namespaced' });
}

export const configMaps = resource<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const customResourceDefinitions = resource<CustomResourceDefinition>(
  'apiextensions.k8s.io/v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  'Cluster',
);
export const deployments = resource<Deployment>('apps/v1', 'Deployment', 'deployments');
export const events = resource<KubeEvent>('events.k8s.io/v1', 'Event', 'events');
export const leases = resource<Lease>('coordination.k8s.io/v1', 'Lease', 'leases');
export const namespaces = resource<Namespace>('v1', 'Namespace', 'namespaces', 'Cluster');
export const networkPolicies = resource<NetworkPolicy>('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies');
export const persistentVolumeClaims = resource<PersistentVolumeClaim>('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims');
export const persistentVolumes = resource<PersistentVolume>('v1', 'PersistentVolume', 'persistentvolumes', 'Cluster');
export const podDisruptionBudgets = resource<PodDisruptionBudget>('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets');
export const pods = resource<Pod>('v1', 'Pod', 'pods');
export const secrets = resource<Secret>('v1', 'Secret', 'secrets');
export const services = resource<Service>('v1', 'Service', 'services');
export const statefulSets = resource<StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets');
