// Quotas of buckets, as the bridge's desired state names them.
import type { Usage } from '#node/catalog/catalog.ts';
import type { Growth } from './bucket-writer.ts';
import { ObjectsError } from './objects.ts';

export interface Quota {
  maxBytes: number | null;
  maxObjects: number | null;
}

/** Throws QuotaExceeded where the bucket would grow beyond its quota. Shrinking is always allowed. */
export function checkQuota(quota: Quota | null, usage: Usage, reserved: Growth, growth: Growth): void {
  if (quota === null) return;
  const bytes = usage.bytes + usage.uploadBytes + reserved.bytes + growth.bytes;
  const objects = usage.objects + reserved.objects + growth.objects;
  if (quota.maxBytes !== null && growth.bytes > 0 && bytes > quota.maxBytes) {
    throw new ObjectsError(
      'QuotaExceeded',
      `The bucket may hold ${quota.maxBytes} bytes (spec.quota.maxBytes); this would make ${bytes}`,
    );
  }
  if (quota.maxObjects !== null && growth.objects > 0 && objects > quota.maxObjects) {
    throw new ObjectsError('QuotaExceeded', `The bucket may hold ${quota.maxObjects} objects (spec.quota.maxObjects)`);
  }
}
