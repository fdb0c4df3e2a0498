// Plays the parts of Kubernetes that run pods, on the memory adapter: StatefulSets and Deployments make pods,
// claims are bound, pods become Ready, Services get addresses. One call = everybody has had his turn once.
import { createHash } from 'node:crypto';
import type { MemoryKube } from '#operator/kube/memory-kube.ts';
import type { Deployment, Live, PersistentVolumeClaim, Pod, Service, StatefulSet } from '#operator/kube/resources.ts';
import { deployments, persistentVolumeClaims, pods, services, statefulSets } from '#operator/kube/resources.ts';

export interface ClusterPlay {
  kube: MemoryKube;
  /** Pods of these names never become Ready. */
  broken: Set<string>;
  /** Is told before a pod goes for good because its StatefulSet shrank. */
  onScaledDown?: (pod: Live<Pod>) => void;
}

type Template = { metadata?: { labels?: Record<string, string> }; spec?: unknown };

const revisionOf = (name: string, template: unknown): string =>
  `${name}-${createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 8)}`;

export async function playCluster(play: ClusterPlay): Promise<void> {
  const { kube } = play;
  const silently = kube.intercept;
  kube.intercept = undefined;
  const calls = kube.calls.length;
  for (const set of kube.peekAll<StatefulSet>(statefulSets)) await playSet(play, set);
  for (const deployment of kube.peekAll<Deployment>(deployments)) await playDeployment(play, deployment);
  for (const claim of kube.peekAll<PersistentVolumeClaim>(persistentVolumeClaims)) await bind(kube, claim);
  for (const pod of kube.peekAll<Pod>(pods)) await start(play, pod);
  let address = 10;
  for (const service of kube.peekAll<Service>(services)) {
    address += 1;
    if (service.spec?.clusterIP !== undefined) continue;
    await kube.mergePatch(services, service.metadata, { spec: { clusterIP: `10.96.0.${address}` } });
  }
  kube.collectGarbage();
  // What the cluster does isn't what the operator did.
  kube.calls.splice(calls);
  kube.intercept = silently;
}

async function playSet(play: ClusterPlay, set: Live<StatefulSet>): Promise<void> {
  const { kube } = play;
  const { name, namespace = '', uid, generation } = set.metadata;
  const { replicas = 1, template, updateStrategy, volumeClaimTemplates = [] } = set.spec!;
  const update = revisionOf(name, template);
  const current = set.status?.currentRevision ?? update;
  const partition = updateStrategy?.rollingUpdate?.partition ?? 0;
  const own = kube.peekAll<Pod>(pods, namespace).filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid);
  for (const pod of own) {
    const ordinal = Number(/-(\d+)$/.exec(pod.metadata.name)![1]);
    if (ordinal >= replicas) {
      play.onScaledDown?.(pod);
      await kube.delete(pods, pod.metadata);
    } else if (ordinal >= partition && pod.metadata.labels!['controller-revision-hash'] !== update) {
      await kube.delete(pods, pod.metadata);
    }
  }
  for (let ordinal = 0; ordinal < replicas; ordinal += 1) {
    const podName = `${name}-${ordinal}`;
    for (const { metadata: { name: claim, labels } = { name: '' }, spec } of volumeClaimTemplates as PersistentVolumeClaim[]) {
      const ref = { namespace, name: `${claim}-${podName}` };
      if (kube.peek(persistentVolumeClaims, ref)) continue;
      const metadata = { ...ref, ...(labels ? { labels } : {}) };
      await kube.create(persistentVolumeClaims, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: spec! });
    }
    if (kube.peek(pods, { namespace, name: podName })) continue;
    await createPod(kube, {
      name: podName,
      namespace,
      owner: set,
      template: template,
      revision: ordinal >= partition ? update : current,
    });
  }
  const after = kube.peekAll<Pod>(pods, namespace).filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid);
  const isDone = after.length === replicas && after.every((pod) => pod.metadata.labels!['controller-revision-hash'] === update);
  const status = {
    observedGeneration: generation,
    replicas: after.length,
    currentRevision: isDone ? update : current,
    updateRevision: update,
  };
  await kube.mergePatch(statefulSets, { namespace, name }, { status }, { subresource: 'status' });
}

async function playDeployment({ kube }: ClusterPlay, deployment: Live<Deployment>): Promise<void> {
  const { name, namespace = '', uid } = deployment.metadata;
  const { replicas = 1, template } = deployment.spec!;
  const revision = revisionOf(name, template);
  const own = kube.peekAll<Pod>(pods, namespace).filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid);
  for (const pod of own) {
    if (replicas === 0 || pod.metadata.labels!['controller-revision-hash'] !== revision) await kube.delete(pods, pod.metadata);
  }
  const podName = `${revision}-x`;
  if (replicas > 0 && !kube.peek(pods, { namespace, name: podName })) {
    await createPod(kube, { name: podName, namespace, owner: deployment, template: template, revision });
  }
}

interface NewPod {
  name: string;
  namespace: string;
  owner: Live;
  template: Template;
  revision: string;
}

async function createPod(kube: MemoryKube, { name, namespace, owner, template, revision }: NewPod): Promise<void> {
  const { apiVersion, kind, metadata } = owner;
  await kube.create(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { ...template.metadata?.labels, 'controller-revision-hash': revision },
      ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true }],
    },
    spec: { containers: [], ...(template.spec as object), nodeName: `node-${name.at(-1)}` },
  });
}

async function bind(kube: MemoryKube, claim: Live<PersistentVolumeClaim>): Promise<void> {
  const storage = claim.spec?.resources?.requests?.['storage'];
  if (storage === undefined || claim.status?.capacity?.['storage'] === storage) return;
  const volumeName = `pvc-${claim.metadata.uid}`;
  if (claim.spec?.volumeName === undefined) {
    await kube.mergePatch(persistentVolumeClaims, claim.metadata, { spec: { volumeName } });
  }
  await kube.mergePatch(
    persistentVolumeClaims,
    claim.metadata,
    { status: { phase: 'Bound', capacity: { storage } } },
    { subresource: 'status' },
  );
}

let addresses = 0;

async function start({ kube, broken }: ClusterPlay, pod: Live<Pod>): Promise<void> {
  const isReady = !broken.has(pod.metadata.name);
  if (
    pod.status?.podIP !== undefined &&
    pod.status.conditions?.[0]?.status === String(isReady).replace(/^./, (c) => c.toUpperCase())
  )
    return;
  addresses += 1;
  const status = {
    podIP: pod.status?.podIP ?? `10.0.${addresses >> 8}.${addresses & 255}`,
    conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
  };
  await kube.mergePatch(pods, pod.metadata, { status }, { subresource: 'status' });
}
