// A pod that waits for `kubectl exec`: restricted, read-only root, a scratch folder in /work, and of the bucket
// only what its Secret gives by envFrom.
import { apply, kubectl, type Place } from './farm-steps.ts';

export interface ClientPod {
  name: string;
  image: string;
  /** Something that waits. */
  command: string[];
  secret: string;
  /** More of its environment. */
  env?: object[];
  /** Files below /client. */
  files?: Record<string, string>;
}

export async function startClientPod(place: Place, pod: ClientPod): Promise<void> {
  const metadata = { name: pod.name, namespace: place.namespace };
  const spec = {
    securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'client',
        image: pod.image,
        imagePullPolicy: 'IfNotPresent',
        command: pod.command,
        envFrom: [{ secretRef: { name: pod.secret } }],
        env: [{ name: 'HOME', value: '/work' }, { name: 'TMPDIR', value: '/work' }, ...(pod.env ?? [])],
        volumeMounts: [
          { name: 'files', mountPath: '/client' },
          { name: 'work', mountPath: '/work' },
        ],
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      },
    ],
    volumes: [
      { name: 'files', configMap: { name: pod.name } },
      { name: 'work', emptyDir: {} },
    ],
  };
  const items = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: pod.files ?? {} },
    { apiVersion: 'v1', kind: 'Pod', metadata, spec },
  ];
  await apply(place, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await kubectl(place, ['wait', `pod/${pod.name}`, '--for=condition=Ready', '--timeout=120s']);
}
