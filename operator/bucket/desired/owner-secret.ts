// The 24 words of an owner that was made for a bucket. No owner reference: they outlive everything.
import type { LiveBucket } from '#operator/api.ts';
import type { Secret } from '#operator/kube/resources.ts';
import { bucketLabels } from './credentials.ts';

export function ownerSecretName(bucket: LiveBucket): string {
  return bucket.spec.owner?.secretRef.name ?? `${bucket.metadata.name}-owner`;
}

export function ownerSecret(bucket: LiveBucket, words: string): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: { name: ownerSecretName(bucket), namespace: bucket.metadata.namespace ?? '', labels: bucketLabels(bucket) },
    data: { words: Buffer.from(words).toString('base64') },
  };
}
