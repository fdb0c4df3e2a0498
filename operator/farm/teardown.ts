// The end of a farm. Under Retain there is nothing to do: workloads go by their owner, volumes and keys stay. Under
// Delete, and only where the annotation repeats the farm's name, a finalizer keeps the farm until all of it is gone.
import type { LiveFarm } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resources.ts';
import type { Outcome } from '#operator/runtime/outcome.ts';
import { marks, storjFarms } from '#operator/api.ts';
import { ensureDeleted, find, refOf } from '#operator/kube/client.ts';
import { deployments, persistentVolumeClaims, pods, secrets, statefulSets } from '#operator/kube/resources.ts';
import { done, requeueAfter } from '#operator/runtime/outcome.ts';
import { keySecretName } from './desired/key-secret.ts';
import { volumeFacts } from './observe.ts';

/** The user has said that everything may go. */
function mayDelete({ metadata, spec }: LiveFarm): boolean {
  return spec.deletionPolicy === 'Delete' && metadata.annotations?.[marks.confirmDelete] === metadata.name;
}

/** Sets or removes the finalizer where it is wrong; true if it wrote. */
export async function keepFinalizer(context: Context, farm: LiveFarm, signal: AbortSignal): Promise<boolean> {
  const have = farm.metadata.finalizers ?? [];
  const isThere = have.includes(marks.farmFinalizer);
  if (isThere === mayDelete(farm)) return false;
  const finalizers = isThere ? have.filter((name) => name !== marks.farmFinalizer) : [...have, marks.farmFinalizer];
  const { uid, resourceVersion } = farm.metadata;
  await context.client.mergePatch(storjFarms, refOf(farm), { metadata: { uid, resourceVersion, finalizers } }, { signal });
  return true;
}

/** Pods first, then what they used: a volume is never deleted under a running farmer. */
export async function teardownFarm(context: Context, farm: LiveFarm, signal: AbortSignal): Promise<Outcome> {
  if (!farm.metadata.finalizers?.includes(marks.farmFinalizer)) return done;
  if (mayDelete(farm)) {
    const { name, namespace = '' } = farm.metadata;
    const label = { [marks.farm]: name };
    for (const type of [statefulSets, deployments] as ResourceType[]) {
      for (const child of await context.reader.list(type, namespace, label, signal)) await remove(context, type, child, signal);
    }
    if ((await context.reader.list(pods, namespace, label, signal)).length > 0) return requeueAfter(2000);
    const claims = await context.reader.list(persistentVolumeClaims, namespace, {}, signal);
    for (const volume of volumeFacts(claims, name)) {
      const options = { uid: volume.uid, signal };
      if (volume.isLabelled)
        await ensureDeleted(context.client, persistentVolumeClaims, { namespace, name: volume.name }, options);
    }
    for (const role of ['control', 'bridge', 'repairer'] as const) {
      const ref = { namespace, name: keySecretName(name, role) };
      const secret = await find(context.client, secrets, ref, { signal });
      if (secret?.metadata.labels?.[marks.farm] === name) {
        await ensureDeleted(context.client, secrets, ref, { uid: secret.metadata.uid, signal });
      }
    }
  }
  await dropFinalizer(context, farm, signal);
  return done;
}

async function remove(context: Context, type: ResourceType, child: KubeObject, signal: AbortSignal): Promise<void> {
  const { uid } = child.metadata;
  await ensureDeleted(context.client, type, refOf(child), { ...(uid === undefined ? {} : { uid }), signal });
}

async function dropFinalizer(context: Context, farm: LiveFarm, signal: AbortSignal): Promise<void> {
  const { uid, resourceVersion, finalizers = [] } = farm.metadata;
  const rest = finalizers.filter((name) => name !== marks.farmFinalizer);
  await context.client.mergePatch(storjFarms, refOf(farm), { metadata: { uid, resourceVersion, finalizers: rest } }, { signal });
}
