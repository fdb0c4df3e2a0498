// Everything that a farm consists of, in the order in which it is applied. Configuration, volumes and Secrets come
// before; see apply.ts.
import type { KubeObject, ResourceType } from '#operator/kube/resources.ts';
import type { Plan } from '../plan.ts';
import type { Observed } from '../observed.ts';
import {
  deployments,
  networkPolicies as networkPolicyType,
  podDisruptionBudgets,
  services,
  statefulSets,
  type StatefulSet,
} from '#operator/kube/resources.ts';
import { farmNames } from '../names.ts';
import { childKey } from '../observed.ts';
import { bridgeSet } from './bridge-set.ts';
import { disruptionBudget } from './disruption-budget.ts';
import { networkPolicies } from './network-policies.ts';
import { repairerDeployment, repairersOf } from './repairer-deployment.ts';
import { bridgeService, farmersService } from './services.ts';
import { zoneSet, type ClaimTemplate } from './zone-set.ts';
import type { Build } from './common.ts';

export interface Wanted {
  type: ResourceType;
  object: KubeObject;
  /** The object may only be changed if it is exactly the one that was observed. */
  isExact?: boolean;
}

export function buildOf({ farm, settings }: Observed, image: string, controlKey: string): Build {
  const { name, namespace = '', uid } = farm.metadata;
  const { installId, operatorNamespace } = settings;
  return { farm: { name, namespace, uid, spec: farm.spec }, installId, operatorNamespace, image, controlKey };
}

export function desiredObjects(build: Build, plan: Plan, { children, tls }: Pick<Observed, 'children' | 'tls'>): Wanted[] {
  const names = farmNames(build.farm.name);
  const { storage } = build.farm.spec.farmers;
  const catalog = build.farm.spec.bridge.catalog.storage;
  const claimOf = (name: string, fresh: ClaimTemplate): ClaimTemplate => {
    const live = children.get(childKey('StatefulSet', name)) as StatefulSet | undefined;
    const spec = live?.spec?.volumeClaimTemplates?.[0]?.spec;
    if (!spec) return fresh;
    return {
      storage: spec.resources?.requests?.['storage'] ?? fresh.storage,
      accessMode: spec.accessModes?.[0] ?? fresh.accessMode,
      storageClassName: spec.storageClassName,
    };
  };
  const farmerClaim = {
    storage: storage.size,
    accessMode: storage.accessMode ?? 'ReadWriteOnce',
    storageClassName: storage.storageClassName,
  };
  const bridgeClaim = {
    storage: catalog.size,
    accessMode: 'ReadWriteOnce',
    storageClassName: catalog.storageClassName ?? storage.storageClassName,
  };
  return [
    { type: services, object: farmersService(build) },
    { type: services, object: bridgeService(build) },
    ...networkPolicies(build).map((object) => ({ type: networkPolicyType, object })),
    // Before any pod goes: a shrink lowers it first.
    { type: podDisruptionBudgets, object: disruptionBudget(build, plan.budget) },
    ...plan.zones.map((zone) => ({
      type: statefulSets,
      object: zoneSet(build, zone, claimOf(names.zoneSet(zone.zone), farmerClaim)),
      isExact: true,
    })),
    // With a certificate that can't be served it stays as it is.
    ...(tls.state === 'Broken'
      ? []
      : [{ type: statefulSets, object: bridgeSet(build, claimOf(names.bridge, bridgeClaim), tls) }]),
    ...repairersOf(build).map((number) => ({ type: deployments, object: repairerDeployment(build, number) })),
  ];
}
