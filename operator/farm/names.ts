// Names of everything that a farm consists of. Deterministic, so that a restarted operator finds its own work.

/** The zone of farms without `zones`. */
export const onlyZone = 'main';

export const configKey = 'farm.json';

/** The first has no number: it is the one that reports. Also its component label, so that no selector means two. */
export const repairerName = (number: number): RepairerName => (number === 0 ? 'repairer' : `repairer-${number}`);
export type RepairerName = 'repairer' | `repairer-${number}`;
/** Of the CRD. */
export const maxRepairers = 4;

export function farmNames(farm: string) {
  return {
    config: `${farm}-config`,
    farmersService: `${farm}-farmers`,
    bridge: `${farm}-bridge`,
    bridgePods: `${farm}-bridge-pods`,
    repairer: (number: number): string => `${farm}-${repairerName(number)}`,
    budget: `${farm}-farmers`,
    controlSecret: `${farm}-control`,
    bridgeSecret: `${farm}-bridge-key`,
    repairerSecret: `${farm}-repairer-key`,
    zoneSet: (zone: string): string => `${farm}-farmer-${zone}`,
    slot: (zone: string, ordinal: number): string => `${farm}-farmer-${zone}-${ordinal}`,
    volume: (zone: string, ordinal: number): string => `data-${farm}-farmer-${zone}-${ordinal}`,
    bridgeVolume: `data-${farm}-bridge-0`,
  };
}

/** Host name of a pod behind a headless Service, as other pods resolve it. */
export function podHost(pod: string, service: string, namespace: string): string {
  return `${pod}.${service}.${namespace}.svc`;
}

/** Last number of a StatefulSet pod's name; NaN where there is none. */
export function ordinalOf(name: string): number {
  return Number(/-(\d+)$/.exec(name)?.[1] ?? Number.NaN);
}
