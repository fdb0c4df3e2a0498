// The repairer: a Deployment. What it knows it reads again from the logs, so it has no volume.
import type { Deployment } from '#operator/kube/resources.ts';
import { farmNames } from '../names.ts';
import { seedVolume } from './bridge-set.ts';
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

export function repairerDeployment(build: Build): Deployment {
  const { farm } = build;
  const names = farmNames(farm.name);
  const { replicas, resources } = farm.spec.repair;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: childMeta(build, names.repairer, 'repairer'),
    spec: {
      replicas,
      revisionHistoryLimit: 3,
      // Never two under one key.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: selectorOf(farm.name, 'repairer') },
      template: {
        metadata: { labels: labelsOf(farm.name, 'repairer') },
        spec: {
          ...podBase(build),
          terminationGracePeriodSeconds: 30,
          containers: [
            nodeContainer({
              build,
              role: 'repairer',
              env: [{ name: 'STORJ_SEED_FILE', value: `${seedDir}/seed` }],
              ports: [],
              mounts: [
                { name: 'data', mountPath: dataDir },
                { name: 'seed', mountPath: seedDir, readOnly: true },
              ],
              resources,
              requests: { cpu: '50m', memory: '160Mi' },
            }),
          ],
          volumes: [...commonVolumes(names.config), seedVolume(names.repairerSecret), { name: 'data', emptyDir: {} }],
        },
      },
    },
  } as Deployment;
}
