// The repairers: a Deployment for each, since each has a key of its own and there are never two under one. What they know
// they read again from the logs, so they have no volume.
import type { Deployment } from '#operator/kube/resources.ts';
import { farmNames, repairerName } from '../names.ts';
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

/** Numbers of the farm's repairers. The first is always there, if only with 0 pods. */
export function repairersOf({ farm }: Build): number[] {
  return Array.from({ length: Math.max(1, farm.spec.repair.replicas) }, (_, number) => number);
}

export function repairerDeployment(build: Build, number: number): Deployment {
  const { farm } = build;
  const names = farmNames(farm.name);
  const component = repairerName(number);
  const { replicas, resources } = farm.spec.repair;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: childMeta(build, names.repairer(number), component),
    spec: {
      replicas: Math.min(1, replicas),
      revisionHistoryLimit: 3,
      // Never two under one key.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: selectorOf(farm.name, component) },
      template: {
        metadata: { labels: labelsOf(farm.name, component) },
        spec: {
          ...podBase(build),
          terminationGracePeriodSeconds: 30,
          containers: [
            nodeContainer({
              build,
              role: 'repairer',
              env: [
                { name: 'STORJ_SEED_FILE', value: `${seedDir}/seed` },
                ...(number === 0 ? [] : [{ name: 'STORJ_REPAIRER', value: String(number) }]),
              ],
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
