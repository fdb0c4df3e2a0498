// Does what the plan says, in an order in which it may be cut off after any write: volumes before pods, the roster
// before those who act on it, the budget before any pod goes, deletions last and by uid.
import type { Context } from '#operator/context.ts';
import type { ConfigMap, KubeObject, Live } from '#operator/kube/resources.ts';
import type { Build } from './desired/common.ts';
import type { Wanted } from './desired/index.ts';
import type { FarmMemory } from './memory.ts';
import type { KeyRole, Observed } from './observed.ts';
import type { Plan } from './plan.ts';
import type { VolumePatch } from './volumes.ts';
import { marks } from '#operator/api.ts';
import { ensureDeleted, find, refOf } from '#operator/kube/client.ts';
import { isAlreadyExists, isForbidden, isInvalid } from '#operator/kube/errors.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  secrets,
  statefulSets,
} from '#operator/kube/resources.ts';
import { StalledError } from '#operator/runtime/outcome.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { configMap } from './desired/config-map.ts';
import { desiredObjects } from './desired/index.ts';
import { keySecret } from './desired/key-secret.ts';
import { volumeClaim } from './desired/volume-claim.ts';
import { farmNames, maxRepairers } from './names.ts';
import { childKey } from './observed.ts';

/** A size that was refused isn't asked for again before this, so that a farm at rest writes nothing. */
const refusedAgainMs = 600_000;

/** Key Secrets that are missing. Created, never forced: a foreign one of that name is left alone. */
export async function createKeys(
  context: Context,
  observed: Observed,
  roles: readonly KeyRole[],
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace = '' } = observed.farm.metadata;
  for (const role of roles) {
    const key = keyPairFromSeed(context.randomBytes(32));
    try {
      await context.client.create(secrets, keySecret({ name, namespace }, role, key), { signal });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

export interface Applying {
  context: Context;
  observed: Observed;
  build: Build;
  plan: Plan;
  memory: FarmMemory;
  signal: AbortSignal;
}

export async function applyVolumes({ context, observed, build, plan, memory, signal }: Applying): Promise<void> {
  for (const wish of plan.volumes.create) {
    const claim = volumeClaim(build, wish);
    try {
      await context.client.create(persistentVolumeClaims, claim, { signal });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await mustBeOurs(context, claim, signal);
    }
  }
  for (const patch of plan.volumes.patch) await patchVolume(context, observed, memory, patch, signal);
}

async function mustBeOurs(context: Context, claim: KubeObject, signal: AbortSignal): Promise<void> {
  const live = await find(context.client, persistentVolumeClaims, refOf(claim), { signal });
  const farm = claim.metadata.labels?.[marks.farm];
  const owner = live?.metadata.labels?.[marks.farm];
  if (owner === undefined || owner === farm) return;
  throw new StalledError(
    'VolumeNameTaken',
    `The volume ${claim.metadata.name} belongs to ${owner}. Delete it, or remove its label ${marks.farm}, if this farm may have it.`,
  );
}

/** Labels and size apart: a size that is refused must not keep the labels from the volume. */
async function patchVolume(
  { client, clock, log }: Context,
  observed: Observed,
  memory: FarmMemory,
  { name, uid, labels, size }: VolumePatch,
  signal: AbortSignal,
): Promise<void> {
  const ref = { namespace: observed.farm.metadata.namespace ?? '', name };
  if (labels) await client.mergePatch(persistentVolumeClaims, ref, { metadata: { uid, labels } }, { signal });
  if (size === undefined) return;
  const refused = memory.refusedSizes.get(uid);
  if (refused?.size === size && clock.monotonicMs() - refused.atMs < refusedAgainMs) return;
  try {
    const spec = { resources: { requests: { storage: size } } };
    await client.mergePatch(persistentVolumeClaims, ref, { metadata: { uid }, spec }, { signal });
    memory.refusedSizes.delete(uid);
  } catch (error) {
    if (!isForbidden(error) && !isInvalid(error)) throw error;
    log.warn({ volume: name }, error.message);
    memory.refusedSizes.set(uid, { size, atMs: clock.monotonicMs(), message: error.message });
  }
}

/** Publishes the configuration. The first one is a plain create: whoever makes it, manages the farm. */
export async function applyConfig({ context, observed, build, plan, memory, signal }: Applying): Promise<void> {
  const object = configMap(build, plan.config);
  const live: Live<ConfigMap> | undefined = observed.children.get(childKey('ConfigMap', object.metadata.name));
  const first = live ?? (await context.client.create(configMaps, object, { signal }));
  const { object: now } = await context.applier.apply(configMaps, object, first, { signal, isExact: true });
  memory.config = now;
}

export async function applyObjects(applying: Applying): Promise<void> {
  const { build, plan, observed } = applying;
  for (const wanted of desiredObjects(build, plan, observed)) await applyOne(applying, wanted);
}

async function applyOne({ context, observed, signal }: Applying, { type, object, isExact = false }: Wanted): Promise<void> {
  const { name } = object.metadata;
  const known = observed.children.get(childKey(type.kind, name));
  const live = known ?? (await find(context.client, type, refOf(object), { signal }));
  if (live && live.metadata.labels?.[marks.farm] !== observed.farm.metadata.name) {
    throw new StalledError(
      'NameTaken',
      `The ${type.kind} ${name} isn't this farm's. Delete or rename it, or give the farm another name.`,
    );
  }
  try {
    await context.applier.apply(type, object, live, { signal, isExact });
  } catch (error) {
    if (!isInvalid(error)) throw error;
    throw new StalledError('InvalidSpec', `The API server refuses the ${type.kind} that the spec asks for: ${error.message}`, {
      cause: error,
    });
  }
}

/** What is left over goes last. */
export async function prune({ context, observed, plan, signal }: Applying): Promise<void> {
  const { name, namespace = '' } = observed.farm.metadata;
  for (const zone of plan.removedZones) {
    const set = farmNames(name).zoneSet(zone);
    const live = observed.children.get(childKey('StatefulSet', set));
    if (!live) continue;
    const { uid, resourceVersion } = live.metadata;
    await ensureDeleted(context.client, statefulSets, { namespace, name: set }, { uid, resourceVersion, signal });
  }
  const names = farmNames(name);
  for (let number = Math.max(1, observed.farm.spec.repair.replicas); number < maxRepairers; number++) {
    for (const type of [deployments, networkPolicies]) {
      const live = observed.children.get(childKey(type.kind, names.repairer(number)));
      if (!live) continue;
      const { uid, resourceVersion } = live.metadata;
      await ensureDeleted(context.client, type, { namespace, name: live.metadata.name }, { uid, resourceVersion, signal });
    }
  }
  for (const { name: volume, uid } of plan.volumes.remove) {
    await ensureDeleted(context.client, persistentVolumeClaims, { namespace, name: volume }, { uid, signal });
  }
}
