// The end of a bucket. Under Retain nothing has to be done: the bridge's keys are computed from the buckets that
// exist. Under Delete, and only where the annotation repeats the name, a finalizer waits until the bridge has deleted
// bucket and objects. A farm that is gone takes the wait along.
import type { LiveBucket } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { Outcome } from '#operator/runtime/outcome.ts';
import { marks, storjBuckets, storjFarms } from '#operator/api.ts';
import { mergeConditions, timeText } from '#operator/conditions.ts';
import { bounded, calmMs, serverAddress } from '#operator/farm/observe-nodes.ts';
import { refOf, refOfKey } from '#operator/kube/client.ts';
import { done, requeueAfter } from '#operator/runtime/outcome.ts';
import { bucketNameOf, farmKeyOf } from './admission.ts';
import { findBridge } from './bridge-link.ts';
import { syncBridge } from './bridge-sync.ts';

function mayDelete({ metadata, spec }: LiveBucket): boolean {
  return spec.deletionPolicy === 'Delete' && metadata.annotations?.[marks.confirmDelete] === metadata.name;
}

/** Sets or removes the finalizer where it is wrong; true if it wrote. */
export async function keepFinalizer(context: Context, bucket: LiveBucket, signal: AbortSignal): Promise<boolean> {
  const isThere = bucket.metadata.finalizers?.includes(marks.bucketFinalizer) ?? false;
  if (isThere === mayDelete(bucket)) return false;
  await setFinalizer(context, bucket, !isThere, signal);
  return true;
}

async function setFinalizer(context: Context, bucket: LiveBucket, wanted: boolean, signal: AbortSignal): Promise<void> {
  const { uid, resourceVersion, finalizers: have = [] } = bucket.metadata;
  const rest = have.filter((name) => name !== marks.bucketFinalizer);
  const finalizers = wanted ? [...rest, marks.bucketFinalizer] : rest;
  await context.client.mergePatch(storjBuckets, refOf(bucket), { metadata: { uid, resourceVersion, finalizers } }, { signal });
}

export async function teardownBucket(context: Context, bucket: LiveBucket, signal: AbortSignal): Promise<Outcome> {
  if (!bucket.metadata.finalizers?.includes(marks.bucketFinalizer)) return done;
  const farm = await context.reader.get(storjFarms, refOfKey(farmKeyOf(bucket)), signal);
  const owner = bucket.status?.ownerId;
  if (farm && owner !== undefined && mayDelete(bucket)) {
    const memory = context.memories.of(farm.metadata.uid);
    const link = await findBridge(context, farm, memory, signal);
    const address = serverAddress(link.bridge, link.keys.bridge);
    if (!address || link.keys.control.state !== 'Ours') return blocked(context, bucket, "The farm's bridge is away.", signal);
    const control = link.keys.control.key;
    try {
      // The keys go first: nobody writes any more while it is emptied.
      if (!(await syncBridge(context, link, control, memory, signal))) throw new Error('it takes no new list of buckets');
      await context.nodes.deleteBucket(address, control, { owner, bucketName: bucketNameOf(bucket) }, bounded(signal));
    } catch (error) {
      signal.throwIfAborted();
      return blocked(context, bucket, `The bridge doesn't delete the bucket: ${(error as Error).message}`, signal);
    }
  }
  await setFinalizer(context, bucket, false, signal);
  return done;
}

async function blocked(context: Context, bucket: LiveBucket, why: string, signal: AbortSignal): Promise<Outcome> {
  const { name, namespace, generation = 0 } = bucket.metadata;
  const message = `${why} To let the resource go and keep the data: kubectl -n ${namespace} annotate storjbucket ${name} ${marks.confirmDelete}-`;
  const verdict = { type: 'DeletionBlocked', status: 'True' as const, reason: 'BridgeAway', message };
  const kept = (bucket.status?.conditions ?? []).filter(({ type }) => type !== verdict.type);
  const now = timeText(context.clock.nowMs());
  const conditions = [...kept, ...mergeConditions([verdict], bucket.status?.conditions, generation, now)];
  await context.applier.applyStatus(storjBuckets, bucket, { ...bucket.status, conditions }, { signal });
  return requeueAfter(calmMs / 4);
}
