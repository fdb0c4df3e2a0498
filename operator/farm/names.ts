// Names of everything that a farm consists of. Deterministic, so that a restarted operator finds its own work.

/** The zone of farms without `zones`. */
export const onlyZone = 'main';

export const configKey = 'farm.json';

export function farmNames(farm: string) {
  return {
    config: `${farm}-config`,
    farmersService: `${farm}-farmers`,
    bridge: `${farm}-bridge`,
    bridgePods: `${farm}-bridge-pods`,
    repairer: `${farm}-repairer`,
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
