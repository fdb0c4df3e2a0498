// Plays kubelet, scheduler and provisioner for one namespace of a real control plane that runs no pods: claims get
// volumes, pods become Ready where they are (never bound to a node, so that deleting one is immediate).
import type { KubeClient } from '#operator/kube/client.ts';
import { listAll } from '#operator/kube/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#operator/kube/errors.ts';
import { persistentVolumeClaims, persistentVolumes, pods } from '#operator/kube/resources.ts';

let addresses = 0;

export async function playKubelet(client: KubeClient, namespace: string): Promise<void> {
  const claims = await listAll(client, persistentVolumeClaims, { namespace });
  for (const claim of claims.items) {
    if (claim.status?.phase === 'Bound' || claim.metadata.deletionTimestamp !== undefined) continue;
    const { name, uid } = claim.metadata;
    await patiently(() =>
      client.create(persistentVolumes, {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `pv-${uid}` },
        spec: {
          capacity: { storage: claim.spec?.resources?.requests?.['storage'] ?? '1Gi' },
          accessModes: claim.spec?.accessModes ?? ['ReadWriteOnce'],
          persistentVolumeReclaimPolicy: 'Retain',
          storageClassName: claim.spec?.storageClassName ?? '',
          claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid },
          hostPath: { path: `/nowhere/${uid}` },
        },
      }),
    );
  }
  const all = await listAll(client, pods, { namespace });
  for (const pod of all.items) {
    if (pod.status?.podIP !== undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    addresses += 1;
    const ip = `10.9.${(addresses >> 8) & 255}.${addresses & 255}`;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: now }],
    };
    await patiently(() => client.mergePatch(pods, { namespace, name: pod.metadata.name }, { status }, { subresource: 'status' }));
  }
}

async function patiently(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isAlreadyExists(error) && !isNotFound(error) && !isConflict(error)) throw error;
  }
}
