// A farmer's or the bridge's volume. No owner: it stays when the farm goes.
import type { PersistentVolumeClaim } from '#operator/kube/resources.ts';
import type { VolumeWish } from '../volumes.ts';
import { marks } from '#operator/api.ts';
import { labelsOf, type Build } from './common.ts';

export function volumeClaim({ farm }: Build, wish: VolumeWish): PersistentVolumeClaim {
  const place = wish.zone === '' ? {} : { [marks.zone]: wish.zone, [marks.slot]: String(wish.ordinal) };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: wish.name,
      namespace: farm.namespace,
      labels: { ...labelsOf(farm.name, wish.zone === '' ? 'bridge' : 'farmer'), ...place },
    },
    spec: {
      accessModes: [wish.accessMode],
      ...(wish.storageClassName === undefined ? {} : { storageClassName: wish.storageClassName }),
      resources: { requests: { storage: wish.size } },
    },
  };
}
