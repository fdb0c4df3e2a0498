// What needs keys and formats of the data plane: memberships, peer ids. A narrow door to node-image/core and wire.
import type { KeyPair } from '#node/core/keys.ts';
import type { Keys, Problem } from './plan.ts';
import type { KeyRole, Observed } from './observed.ts';
import { boxPublicKey, keyPairFromSeed, repairerSeed } from '#node/core/keys.ts';
import { publicKeyOf } from '#node/core/ids.ts';
import { signStatement } from '#node/wire/statements.ts';
import { keySecretName } from './desired/key-secret.ts';
import { farmNames, maxRepairers } from './names.ts';

const roles: KeyRole[] = ['control', 'bridge', 'repairer'];

export type KeysAnswer =
  | { state: 'Ready'; keys: Keys; control: KeyPair }
  | { state: 'Create'; roles: KeyRole[] }
  | { state: 'Stalled'; problem: Problem };

/** Pure but for signatures: the farm's keys, or what to do about them. */
export function keysOf(observed: Observed): KeysAnswer {
  const { name } = observed.farm.metadata;
  const taken = roles.find((role) => observed.keys[role].state === 'Foreign');
  if (taken) {
    const secret = keySecretName(name, taken);
    const message = `The Secret ${secret} isn't this farm's and is left alone. Delete or rename it, or give the farm another name.`;
    return { state: 'Stalled', problem: { reason: 'SecretNameTaken', message } };
  }
  const broken = roles.find((role) => observed.keys[role].state === 'Broken');
  if (broken) {
    const message = `The Secret ${keySecretName(name, broken)} holds no key: "seed" must be 64 hex digits. Put it back from where you saved it.`;
    return { state: 'Stalled', problem: { reason: 'KeySecretBroken', message } };
  }
  const missing = roles.filter((role) => observed.keys[role].state === 'Missing');
  const { control, bridge, repairer } = observed.keys;
  if (control.state !== 'Ours' || bridge.state !== 'Ours' || repairer.state !== 'Ours') {
    return observed.config ? { state: 'Stalled', problem: lostKeys(observed, missing) } : { state: 'Create', roles: missing };
  }
  const changed = changedKeys(observed, { control: control.key.publicKey, bridge: bridge.key.publicKey });
  if (changed) return { state: 'Stalled', problem: changed };
  return {
    state: 'Ready',
    control: control.key,
    keys: {
      controlKey: control.key.publicKey,
      bridge: bridge.key.publicKey,
      repairers: repairersOf(repairer.key),
      membershipOf: (farmer) => membershipOf(control.key, farmer, observed.nowMs),
      farmerOf,
    },
  };
}

function repairersOf(first: KeyPair): Keys['repairers'] {
  const seeds = Array.from({ length: maxRepairers }, (_, number) => repairerSeed(first.seed, number));
  return seeds.map((seed) => ({ repairer: keyPairFromSeed(seed).publicKey, box: boxPublicKey(seed) }));
}

/** A running farm whose key Secrets are gone: new ones would lock everybody out, so they are never made silently. */
function lostKeys(observed: Observed, missing: readonly KeyRole[]): Problem {
  const { name, namespace } = observed.farm.metadata;
  const secrets = missing.map((role) => keySecretName(name, role)).join(', ');
  return {
    reason: 'KeySecretMissing',
    message: `${secrets} is gone; the farm goes on without changes. Put it back from where you saved it. If it is lost for good, kubectl -n ${namespace} delete configmap ${farmNames(name).config}: new keys are made, and owners need their words.`,
  };
}

function changedKeys(observed: Observed, now: { control: string; bridge: string }): Problem | undefined {
  const published = observed.config?.config;
  if (!published) return undefined;
  const { name, namespace } = observed.farm.metadata;
  const role = published.controlKey !== now.control ? 'control' : published.bridges[0] !== now.bridge ? 'bridge' : undefined;
  if (!role) return undefined;
  return {
    reason: 'KeySecretChanged',
    message: `The Secret ${keySecretName(name, role)} holds another key than the farm was made with. Put the first one back. If it is lost for good, kubectl -n ${namespace} delete configmap ${farmNames(name).config}.`,
  };
}

function membershipOf(control: KeyPair, farmer: string, nowMs: number): string {
  const body = { kind: 'membership' as const, farm: control.publicKey, farmer, issuedMs: nowMs };
  return Buffer.from(signStatement(control, body).bytes).toString('base64');
}

function farmerOf(peerId: string): string | undefined {
  try {
    return publicKeyOf(peerId);
  } catch {
    return undefined;
  }
}
