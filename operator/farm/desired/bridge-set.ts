// The bridge: a StatefulSet of one, so that its catalog and its logs' state stay with it.
import type { StatefulSet } from '#operator/kube/resources.ts';
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

export function bridgeSet(build: Build, claim: ClaimTemplate): StatefulSet {
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
              ],
              ports: [{ name: 's3', containerPort: PORTS.s3 }],
              mounts: [
                { name: 'data', mountPath: dataDir },
                { name: 'seed', mountPath: seedDir, readOnly: true },
              ],
              resources,
              requests: { cpu: '100m', memory: '256Mi' },
            }),
          ],
          volumes: [...commonVolumes(names.config), seedVolume(names.bridgeSecret)],
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

export function seedVolume(secretName: string): object {
  return { name: 'seed', secret: { secretName, defaultMode: 0o440, items: [{ key: 'seed', path: 'seed' }] } };
}
