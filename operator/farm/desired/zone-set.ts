// The farmers of one zone: a StatefulSet. Its claim template only names the volumes; the operator makes them.
import type { StatefulSet } from '#operator/kube/resources.ts';
import type { ZonePlan } from '../plan.ts';
import { marks } from '#operator/api.ts';
import { PORTS } from '#node/interface/ports.ts';
import { farmNames } from '../names.ts';
import { childMeta, commonVolumes, dataDir, labelsOf, nodeContainer, podBase, selectorOf, type Build } from './common.ts';

/** What a StatefulSet was created with and can't change: taken from the live one. */
export interface ClaimTemplate {
  storage: string;
  accessMode: string;
  storageClassName: string | undefined;
}

export function zoneSet(build: Build, zone: ZonePlan, claim: ClaimTemplate): StatefulSet {
  const { farm } = build;
  const names = farmNames(farm.name);
  const zoneLabel = { [marks.zone]: zone.zone };
  const selector = { ...selectorOf(farm.name, 'farmer'), ...zoneLabel };
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: childMeta(build, names.zoneSet(zone.zone), 'farmer', zoneLabel),
    spec: {
      replicas: zone.replicas,
      serviceName: names.farmersService,
      podManagementPolicy: 'Parallel',
      revisionHistoryLimit: 3,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: zone.partition } },
      selector: { matchLabels: selector },
      template: {
        metadata: { labels: { ...labelsOf(farm.name, 'farmer'), ...zoneLabel } },
        spec: podSpec(build, zone),
      },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data', labels: { [marks.farm]: farm.name, ...zoneLabel } },
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

function podSpec(build: Build, zone: ZonePlan): object {
  const { farm } = build;
  const names = farmNames(farm.name);
  const { tolerations, affinity, priorityClassName, resources } = farm.spec.farmers;
  return {
    ...podBase(build),
    // Enough to refuse new pieces, end transfers in flight and close the store.
    terminationGracePeriodSeconds: 60,
    ...(Object.keys(zone.nodeSelector).length > 0 ? { nodeSelector: zone.nodeSelector } : {}),
    ...(tolerations ? { tolerations } : {}),
    ...(affinity ? { affinity } : {}),
    ...(priorityClassName ? { priorityClassName } : {}),
    topologySpreadConstraints: spread(build),
    containers: [
      nodeContainer({
        build,
        role: 'farmer',
        env: [
          { name: 'STORJ_ANNOUNCE_HOST', value: `$(STORJ_SLOT).${names.farmersService}.${farm.namespace}.svc` },
          { name: 'STORJ_PIECES_PORT', value: String(PORTS.pieces) },
          { name: 'STORJ_LIBP2P_PORT', value: String(PORTS.libp2p) },
        ],
        ports: [
          { name: 'pieces', containerPort: PORTS.pieces },
          { name: 'libp2p', containerPort: PORTS.libp2p },
        ],
        mounts: [{ name: 'data', mountPath: dataDir }],
        resources,
        requests: { cpu: '50m', memory: '160Mi' },
      }),
    ],
    volumes: commonVolumes(names.config),
  };
}

/** Without the user's word farmers prefer different Kubernetes nodes, but start on one where there is only one. */
function spread(build: Build): object[] {
  const { topologySpreadConstraints, affinity } = build.farm.spec.farmers;
  const labelSelector = { matchLabels: selectorOf(build.farm.name, 'farmer') };
  if (topologySpreadConstraints) return topologySpreadConstraints.map((one) => ({ ...one, labelSelector }));
  if (affinity) return [];
  return [{ topologyKey: 'kubernetes.io/hostname', maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway', labelSelector }];
}
