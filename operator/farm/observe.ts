// Reads everything that the farm's decisions need and turns it into plain facts. The only place that reads.
import { tlsFact } from './tls.ts';
import type { LiveFarm } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { ConfigMap, Live, PersistentVolumeClaim, Pod, ResourceType, StatefulSet } from '#operator/kube/resources.ts';
import type { FarmMemory } from './memory.ts';
import type { ConfigFact, KeyFact, KeyRole, Observed, PodFact, ServerFact, VolumeFact, ZoneFact } from './observed.ts';
import { marks } from '#operator/api.ts';
import { isOlder } from '#operator/kube/apply.ts';
import { find } from '#operator/kube/client.ts';
import { isForbidden } from '#operator/kube/errors.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  pods as podType,
  secrets,
  services,
  statefulSets,
} from '#operator/kube/resources.ts';
import { bytesOf } from '#operator/quantity.ts';
import { farmConfigSchema } from '#node/interface/config.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { keySecretName } from './desired/key-secret.ts';
import { inParallel, observeNodes } from './observe-nodes.ts';
import { childKey } from './observed.ts';
import { configKey, farmNames, maxRepairers, ordinalOf, repairerName, type RepairerName } from './names.ts';

const childTypes: ResourceType[] = [statefulSets, deployments, services, configMaps, podDisruptionBudgets, networkPolicies];

export async function observeFarm(context: Context, farm: LiveFarm, memory: FarmMemory, signal: AbortSignal): Promise<Observed> {
  const { reader, settings, clock } = context;
  const { name, namespace = '' } = farm.metadata;
  const names = farmNames(name);
  const label = { [marks.farm]: name };
  const children = new Map<string, Live>();
  for (const type of childTypes) {
    for (const child of await reader.list(type, namespace, label, signal))
      children.set(childKey(type.kind, child.metadata.name), child);
  }
  const podList = await reader.list(podType, namespace, label, signal);
  const sets = [...children.values()].filter(({ kind }) => kind === 'StatefulSet') as Live<StatefulSet>[];
  const bridgeSet = sets.find(({ metadata }) => metadata.name === names.bridge);
  const claims = await reader.list(persistentVolumeClaims, namespace, {}, signal);
  const volumes = await withReclaimPolicies(context, volumeFacts(claims, name), claims, memory, signal);
  const budget = children.get(childKey('PodDisruptionBudget', names.budget)) as
    | { spec?: { maxUnavailable?: number } }
    | undefined;
  const service = children.get(childKey('Service', names.bridge)) as { spec?: { clusterIP?: string } } | undefined;
  const pods = podFacts(podList);
  const base = {
    farm,
    nowMs: clock.nowMs(),
    settings,
    config: configFact(children, names.config, memory),
    keys: await keyFacts(context, farm, memory, signal),
    zones: zoneFacts(sets),
    pods,
    volumes: volumes.filter(({ zone }) => zone !== ''),
    bridgeVolume: volumes.find(({ name: volume }) => volume === names.bridgeVolume),
    bridge: serverFact(podList, 'bridge'),
    repairers: Array.from({ length: maxRepairers }, (_, number) => serverFact(podList, repairerName(number))),
    bridgeImage: bridgeSet?.spec?.template.spec?.containers[0]?.image ?? '',
    bridgeAddress: addressOf(service?.spec?.clusterIP),
    tls: await tlsFact(context, farm, addressOf(service?.spec?.clusterIP), signal),
    budget: typeof budget?.spec?.maxUnavailable === 'number' ? budget.spec.maxUnavailable : undefined,
    children,
  };
  return { ...base, ...(await observeNodes(context, base, memory, signal)) };
}

export function addressOf(clusterIp: string | undefined): string {
  return clusterIp === undefined || clusterIp === 'None' ? '' : clusterIp;
}

/** The published configuration; our own last write where the cache lags behind it. */
export function configFact(children: ReadonlyMap<string, Live>, name: string, memory: FarmMemory): ConfigFact | undefined {
  const read: Live<ConfigMap> | undefined = children.get(childKey('ConfigMap', name));
  const own = memory.config;
  const live =
    own && read?.metadata.uid === own.metadata.uid && isOlder(read.metadata.resourceVersion, own.metadata.resourceVersion)
      ? own
      : read;
  if (!live) return undefined;
  if (live !== read) (children as Map<string, Live>).set(childKey('ConfigMap', name), live);
  const parsed = farmConfigSchema.safeParse(parseJson(live.data?.[configKey]));
  if (!parsed.success) return undefined;
  return { config: parsed.data, installId: live.metadata.annotations?.[marks.install] ?? '' };
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

export async function keyFacts(
  context: Context,
  farm: LiveFarm,
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<Record<KeyRole, KeyFact>> {
  const read = async (role: KeyRole): Promise<KeyFact> => {
    const { name, namespace = '' } = farm.metadata;
    const secret = await find(context.client, secrets, { namespace, name: keySecretName(name, role) }, { signal });
    if (!secret) return { state: 'Missing' };
    if (secret.metadata.labels?.[marks.farm] !== name || secret.metadata.labels[marks.key] !== role) return { state: 'Foreign' };
    const hex = Buffer.from(secret.data?.['seed'] ?? '', 'base64')
      .toString('utf8')
      .trim();
    if (!/^[0-9a-f]{64}$/.test(hex)) return { state: 'Broken' };
    const key = keyPairFromSeed(new Uint8Array(Buffer.from(hex, 'hex')));
    const known = memory.keys.get(key.publicKey);
    if (!known) memory.keys.set(key.publicKey, key);
    return { state: 'Ours', key: known ?? key };
  };
  const [control, bridge, repairer] = await Promise.all([read('control'), read('bridge'), read('repairer')]);
  return { control, bridge, repairer };
}

function zoneFacts(sets: readonly Live<StatefulSet>[]): ZoneFact[] {
  return sets
    .flatMap((set): ZoneFact[] => {
      const zone = set.metadata.labels?.[marks.zone];
      if (zone === undefined || !set.spec || set.metadata.deletionTimestamp !== undefined) return [];
      return [
        {
          zone,
          replicas: set.spec.replicas ?? 1,
          image: set.spec.template.spec?.containers[0]?.image ?? '',
          partition: set.spec.updateStrategy?.rollingUpdate?.partition ?? 0,
          isObserved: set.status?.observedGeneration === set.metadata.generation,
          currentRevision: set.status?.currentRevision ?? '',
          updateRevision: set.status?.updateRevision ?? '',
          storageRequest: set.spec.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.['storage'] ?? '',
        },
      ];
    })
    .sort((a, b) => (a.zone < b.zone ? -1 : 1));
}

function podFacts(list: readonly Live<Pod>[]): PodFact[] {
  return list
    .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'farmer')
    .map((pod) => ({
      name: pod.metadata.name,
      uid: pod.metadata.uid,
      zone: pod.metadata.labels?.[marks.zone] ?? '',
      ordinal: ordinalOf(pod.metadata.name),
      ip: pod.status?.podIP ?? '',
      nodeName: pod.spec?.nodeName ?? '',
      isReady: isReady(pod),
      isTerminating: pod.metadata.deletionTimestamp !== undefined,
      revision: pod.metadata.labels?.['controller-revision-hash'] ?? '',
      trouble: troubleOf(pod),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isReady(pod: Live<Pod>): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

function troubleOf(pod: Live<Pod>): string {
  const waiting = pod.status?.containerStatuses?.[0]?.state?.waiting;
  const harmless = ['ContainerCreating', 'PodInitializing'];
  if (waiting?.reason !== undefined && !harmless.includes(waiting.reason))
    return `${waiting.reason}: ${waiting.message ?? ''}`.slice(0, 300);
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  return scheduled?.status === 'False' ? `${scheduled.reason ?? ''}: ${scheduled.message ?? ''}`.slice(0, 300) : '';
}

/** The newest pod of a role that isn't going. */
export function serverFact(list: readonly Live<Pod>[], component: 'bridge' | RepairerName): ServerFact | undefined {
  const found = list
    .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === component && !metadata.deletionTimestamp)
    .sort(
      (a, b) => Number(isReady(b)) - Number(isReady(a)) || (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1),
    )[0];
  if (!found) return undefined;
  const { name, uid } = found.metadata;
  return { podName: name, podUid: uid, ip: found.status?.podIP ?? '', isReady: isReady(found), trouble: troubleOf(found) };
}

/** Volumes of the farm: by label, or by a name that only they have (bound by hand to earlier disks). */
export function volumeFacts(claims: readonly Live<PersistentVolumeClaim>[], farm: string): VolumeFact[] {
  const pattern = new RegExp(`^data-${farm}-farmer-([a-z0-9]([a-z0-9-]*[a-z0-9])?)-(\\d+)$`);
  const bridge = farmNames(farm).bridgeVolume;
  return claims.flatMap((claim): VolumeFact[] => {
    const { name, uid, labels = {} } = claim.metadata;
    const match = pattern.exec(name);
    const owner = labels[marks.farm];
    if ((!match && name !== bridge) || (owner !== undefined && owner !== farm)) return [];
    return [
      {
        name,
        uid,
        zone: match?.[1] ?? '',
        ordinal: Number(match?.[3] ?? 0),
        requestBytes: bytesOf(claim.spec?.resources?.requests?.['storage'] ?? '0'),
        capacityBytes: bytesOf(claim.status?.capacity?.['storage'] ?? '0'),
        storageClassName: claim.spec?.storageClassName ?? '',
        peerId: labels[marks.peerId] ?? '',
        isDrained: labels[marks.drained] === 'true',
        isTerminating: claim.metadata.deletionTimestamp !== undefined,
        isBound: claim.status?.phase === 'Bound',
        isLabelled: owner === farm && (match === null || labels[marks.slot] !== undefined),
        reclaimPolicy: '',
      },
    ];
  });
}

/** Policies rarely change, and asking costs a call for each volume. */
const policyKnownMs = 600_000;

/** Volumes are cluster-scoped: an operator with Roles alone may not see them, and then the policy isn't known. */
async function withReclaimPolicies(
  { client, clock }: Context,
  volumes: readonly VolumeFact[],
  claims: readonly Live<PersistentVolumeClaim>[],
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<VolumeFact[]> {
  const nowMs = clock.monotonicMs();
  const { policies } = memory;
  for (const uid of policies.keys()) if (!volumes.some((volume) => volume.uid === uid)) policies.delete(uid);
  const isFresh = (atMs: number | undefined) => atMs !== undefined && nowMs - atMs <= policyKnownMs;
  const ask = async ({ uid }: VolumeFact) => {
    const bound = claims.find(({ metadata }) => metadata.uid === uid)?.spec?.volumeName;
    if (bound === undefined) return;
    const found = await find(client, persistentVolumes, { name: bound }, { signal });
    policies.set(uid, { policy: found?.spec?.persistentVolumeReclaimPolicy ?? '', atMs: nowMs });
  };
  const [first, ...others] = volumes.filter(({ uid, isBound }) => isBound && !isFresh(policies.get(uid)?.atMs));
  if (first && !isFresh(memory.policiesRefusedMs)) {
    try {
      // A refusal speaks for all volumes, so the first one asks alone.
      await ask(first);
      await inParallel(others, ask);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      memory.policiesRefusedMs = nowMs;
    }
  }
  return volumes.map((volume) => ({ ...volume, reclaimPolicy: policies.get(volume.uid)?.policy ?? '' }));
}

export type ObservedBase = Omit<Observed, 'contacts' | 'bridgeStatus' | 'report' | 'leaving' | 'leavingSince' | 'drainFloors'>;
