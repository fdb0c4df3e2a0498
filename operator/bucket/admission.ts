// Pure: which StorjBuckets a farm serves. The farm's owner decides by allowedBuckets; a name goes to the oldest.
import type { LiveBucket, LiveFarm } from '#operator/api.ts';

export const bucketNameOf = ({ metadata, spec }: LiveBucket): string => spec.bucketName ?? metadata.name;

export const credentialsNameOf = ({ metadata, spec }: LiveBucket): string => spec.credentialsSecretName ?? `${metadata.name}-s3`;

export const claimOf = ({ metadata }: LiveBucket): string => `${metadata.namespace}/${metadata.name}`;

export function farmKeyOf({ metadata, spec }: LiveBucket): string {
  return `${spec.farmRef.namespace ?? metadata.namespace}/${spec.farmRef.name}`;
}

export type Admission = 'Allowed' | 'Denied' | 'Unknown';

/** `labels` = of the bucket's namespace; undefined = they may not be read. */
export function admissionOf(farm: LiveFarm, bucket: LiveBucket, labels: Record<string, string> | undefined): Admission {
  const { from, selector = {} } = farm.spec.allowedBuckets;
  if (bucket.metadata.namespace === farm.metadata.namespace || from === 'All') return 'Allowed';
  if (from === 'Same') return 'Denied';
  if (labels === undefined) return 'Unknown';
  return Object.entries(selector).every(([name, value]) => labels[name] === value) ? 'Allowed' : 'Denied';
}

/** Who has the bucket's name on its farm, if it isn't the bucket itself: the oldest of those that want it. */
export function holderOfName(bucket: LiveBucket, all: readonly LiveBucket[]): LiveBucket | undefined {
  const rivals = all.filter((one) => farmKeyOf(one) === farmKeyOf(bucket) && bucketNameOf(one) === bucketNameOf(bucket));
  const oldest = rivals.reduce((first, one) => (isOlder(one, first) ? one : first), bucket);
  return oldest.metadata.uid === bucket.metadata.uid ? undefined : oldest;
}

function isOlder(a: LiveBucket, b: LiveBucket): boolean {
  if (a.metadata.creationTimestamp !== b.metadata.creationTimestamp) {
    return a.metadata.creationTimestamp < b.metadata.creationTimestamp;
  }
  return a.metadata.uid < b.metadata.uid;
}
