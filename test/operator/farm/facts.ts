// Facts as tests want them.
import type { VolumeFact } from '#operator/farm/observed.ts';

export function volume(ordinal: number, more: Partial<VolumeFact> = {}): VolumeFact {
  return {
    name: `data-demo-farmer-main-${ordinal}`,
    uid: `v${ordinal}`,
    zone: 'main',
    ordinal,
    requestBytes: 100,
    capacityBytes: 100,
    storageClassName: 'fast',
    peerId: `p${ordinal}`,
    isDrained: false,
    isTerminating: false,
    isBound: true,
    isLabelled: true,
    reclaimPolicy: '',
    ...more,
  };
}
