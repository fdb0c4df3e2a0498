// The farm's keys, one Secret each: an Ed25519 seed in hex and its public half. No owner: they stay with the volumes.
import type { Secret } from '#operator/kube/resources.ts';
import type { KeyRole } from '../observed.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { marks } from '#operator/api.ts';
import { toHex } from '#node/core/ids.ts';
import { farmNames } from '../names.ts';
import { labelsOf } from './common.ts';

export function keySecretName(farm: string, role: KeyRole): string {
  const names = farmNames(farm);
  return { control: names.controlSecret, bridge: names.bridgeSecret, repairer: names.repairerSecret }[role];
}

export function keySecret(farm: { name: string; namespace: string }, role: KeyRole, key: KeyPair): Secret {
  const text = (value: string): string => Buffer.from(value).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {
      name: keySecretName(farm.name, role),
      namespace: farm.namespace,
      labels: { ...labelsOf(farm.name, 'config'), [marks.key]: role },
    },
    data: { seed: text(toHex(key.seed)), publicKey: text(key.publicKey) },
  };
}
