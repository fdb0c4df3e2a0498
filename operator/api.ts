// Our own kinds as the API server stores them, and where they live.
import type { StorjBucketSpec, StorjBucketStatus, StorjFarmSpec, StorjFarmStatus } from '#crds/types.ts';
import type { KubeObject, Live } from '#operator/kube/resources.ts';
import { resource } from '#operator/kube/resources.ts';

export interface StorjFarm extends KubeObject {
  spec: StorjFarmSpec;
  status?: StorjFarmStatus;
}

export interface StorjBucket extends KubeObject {
  spec: StorjBucketSpec;
  status?: StorjBucketStatus;
}

export type LiveFarm = Live<StorjFarm>;
export type LiveBucket = Live<StorjBucket>;

export const apiVersion = 'storjfarm.io/v1alpha1';
export const storjFarms = resource<StorjFarm>(apiVersion, 'StorjFarm', 'storjfarms');
export const storjBuckets = resource<StorjBucket>(apiVersion, 'StorjBucket', 'storjbuckets');

/** Labels, annotations and finalizers of our own domain. */
export const marks = {
  /** Label: name of the farm, on everything that belongs to one. */
  farm: 'storjfarm.io/farm',
  /** Label: zone of a farmer's StatefulSet, pod or volume. */
  zone: 'storjfarm.io/zone',
  /** Label of a volume: ordinal of its slot. */
  slot: 'storjfarm.io/slot',
  /** Label of a volume: libp2p peer id of the farmer that lives on it. */
  peerId: 'storjfarm.io/peer-id',
  /** Label of a volume: the farmer left with proof, so nothing on it is needed. */
  drained: 'storjfarm.io/drained',
  /** Label of key Secrets: control, bridge or repairer. */
  key: 'storjfarm.io/key',
  /** Label: name of the StorjBucket, on its Secrets. */
  bucket: 'storjfarm.io/bucket',
  /** Annotation of a bucket's Secret: when its grant was issued and when it is to be renewed, as one ISO interval. */
  grant: 'storjfarm.io/grant',
  /** Annotation: `release namespace/name` of the operator that manages this. */
  install: 'storjfarm.io/install',
  /** Annotation on a StorjFarm: the install id that may take it over. */
  takeOver: 'storjfarm.io/take-over',
  /** Annotation: the resource's own name; without it `deletionPolicy: Delete` deletes nothing. */
  confirmDelete: 'storjfarm.io/confirm-delete',
  /** Annotation on a StorjFarm: retained volumes to take back (`adopt`) or to leave alone (`forget`): comma-separated names. */
  adoptVolumes: 'storjfarm.io/adopt-volumes',
  forgetVolumes: 'storjfarm.io/forget-volumes',
  /** Annotation on a StorjBucket: the owner id whose words have been saved. */
  recoverySaved: 'storjfarm.io/recovery-saved',
  farmFinalizer: 'storjfarm.io/farm-protection',
  bucketFinalizer: 'storjfarm.io/bucket-protection',
} as const;
