// The bridge: a StatefulSet of one, so that its catalog and its logs' state stay with it.
import type { StatefulSet } from '#operator/kube/resources.ts';
import type { TlsFact } from '../tls.ts';
import type { ClaimTemplate } from './zone-set.ts';
import { marks } from '#operator/api.ts';
import { PORTS } from '#node/interface/ports.ts';
import { farmNames } from '../names.ts';
import {
  childMeta,
  commonVolumes,
  dataDir,
  labelsOf,
  nodeContainer,
  podBase,
  seedDir,
  selectorOf,
  type Build,
} from './common.ts';

const tlsDir = '/var/run/storj/tls';

export function bridgeSet(build: Build, claim: ClaimTemplate, tls: TlsFact): StatefulSet {
  const { farm } = build;
  const names = farmNames(farm.name);
  const { replicas, resources } = farm.spec.bridge;
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: childMeta(build, names.bridge, 'bridge'),
    spec: {
      replicas,
      serviceName: names.bridge,
      podManagementPolicy: 'Parallel',
      revisionHistoryLimit: 3,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      selector: { matchLabels: selectorOf(farm.name, 'bridge') },
      template: {
        metadata: { labels: labelsOf(farm.name, 'bridge') },
        spec: {
          ...podBase(build),
          // Requests in flight end first.
          terminationGracePeriodSeconds: 60,
          containers: [
            nodeContainer({
              build,
              role: 'bridge',
              env: [
                { name: 'STORJ_SEED_FILE', value: `${seedDir}/seed` },
                { name: 'STORJ_S3_PORT', value: String(PORTS.s3) },
                ...(tls.state === 'On' ? [{ name: 'STORJ_S3_TLS_DIR', value: tlsDir }] : []),
              ],
              ports: [{ name: 's3', containerPort: PORTS.s3 }],
              mounts: [
                { name: 'data', mountPath: dataDir },
                { name: 'seed', mountPath: seedDir, readOnly: true },
                ...(tls.state === 'On' ? [{ name: 'tls', mountPath: tlsDir, readOnly: true }] : []),
              ],
              resources,
              requests: { cpu: '100m', memory: '256Mi' },
            }),
          ],
          volumes: [
            ...commonVolumes(names.config),
            seedVolume(names.bridgeSecret),
            ...(tls.state === 'On' ? [tlsVolume(tls.secretName)] : []),
          ],
        },
      },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data', labels: { [marks.farm]: farm.name } },
          spec: {
            accessModes: [claim.accessMode],
            ...(claim.storageClassName === undefined ? {} : { storageClassName: claim.storageClassName }),
            resources: { requests: { storage: claim.storage } },
          },
        },
      ],
    },
  } as StatefulSet;
}

function tlsVolume(secretName: string): object {
  const items = ['tls.crt', 'tls.key'].map((key) => ({ key, path: key }));
  return { name: 'tls', secret: { secretName, defaultMode: 0o440, items } };
}

export function seedVolume(secretName: string): object {
  return { name: 'seed', secret: { secretName, defaultMode: 0o440, items: [{ key: 'seed', path: 'seed' }] } };
}
