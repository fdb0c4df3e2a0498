// Reads what the decisions about one bucket need. The only place that reads.
import type { LiveBucket } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { BridgeStatus } from '#node/interface/status.ts';
import type { CredentialsFact, ObservedBucket, WordsFact } from './observed.ts';
import { marks, storjBuckets, storjFarms } from '#operator/api.ts';
import { find, refOfKey } from '#operator/kube/client.ts';
import { secrets } from '#operator/kube/resources.ts';
import { entropyFromWords, ownerFromEntropy } from '#node/core/keys.ts';
import { admissionOf, claimOf, credentialsNameOf, farmKeyOf, holderOfName } from './admission.ts';
import { findBridge, type FoundBridge } from './bridge-link.ts';
import { namespaceLabels } from './bridge-sync.ts';
import { grantInSecret, isOwn, keysInSecret } from './desired/credentials.ts';
import { ownerSecretName } from './desired/owner-secret.ts';

export interface ObservedWithBridge {
  observed: ObservedBucket;
  link: FoundBridge | undefined;
}

export async function observeBucket(context: Context, bucket: LiveBucket, signal: AbortSignal): Promise<ObservedWithBridge> {
  const { reader, clock } = context;
  const farm = await reader.get(storjFarms, refOfKey(farmKeyOf(bucket)), signal);
  const base = { bucket, nowMs: clock.nowMs(), farm };
  const credentials = await credentialsFact(context, bucket, signal);
  if (!farm || farm.metadata.deletionTimestamp !== undefined) {
    const nothing = { admission: 'Allowed' as const, nameHolder: undefined, words: { state: 'NotRead' as const } };
    return {
      observed: { ...base, farm: undefined, ...nothing, credentials, endpoint: '', bridgeStatus: undefined },
      link: undefined,
    };
  }
  const all = await reader.list(storjBuckets, undefined, {}, signal);
  const holder = holderOfName(bucket, all);
  const link = await findBridge(context, farm, context.memories.of(farm.metadata.uid), signal);
  const observed: ObservedBucket = {
    ...base,
    admission: admissionOf(farm, bucket, await namespaceLabels(context, farm, bucket, signal)),
    nameHolder: holder && claimOf(holder),
    credentials,
    words: needsWords(bucket, link.bridgeStatus) ? await wordsFact(context, bucket, signal) : { state: 'NotRead' },
    endpoint: link.endpoint,
    bridgeStatus: link.bridgeStatus,
  };
  return { observed, link };
}

/** Once the bridge has the owner's statements nothing reads the words again. */
function needsWords(bucket: LiveBucket, status: BridgeStatus | undefined): boolean {
  const ownerId = bucket.status?.ownerId;
  if (ownerId === undefined) return true;
  if (!status || status.owners.includes(ownerId)) return false;
  return status.buckets.find(({ claim }) => claim === claimOf(bucket))?.state !== 'Ready';
}

async function credentialsFact({ client }: Context, bucket: LiveBucket, signal: AbortSignal): Promise<CredentialsFact> {
  const ref = { namespace: bucket.metadata.namespace ?? '', name: credentialsNameOf(bucket) };
  const secret = await find(client, secrets, ref, { signal });
  if (!secret) return { state: 'Missing' };
  if (isOwn(secret, bucket)) {
    return { state: 'Ours', keys: keysInSecret(secret, bucket), grant: grantInSecret(secret, bucket) };
  }
  return { state: secret.metadata.labels?.[marks.bucket] === bucket.metadata.name ? 'Earlier' : 'Foreign' };
}

async function wordsFact({ client }: Context, bucket: LiveBucket, signal: AbortSignal): Promise<WordsFact> {
  const ref = { namespace: bucket.metadata.namespace ?? '', name: ownerSecretName(bucket) };
  const secret = await find(client, secrets, ref, { signal });
  if (!secret) return { state: 'Missing' };
  const isMade = bucket.spec.owner === undefined;
  if (isMade && secret.metadata.labels?.[marks.bucket] !== bucket.metadata.name) return { state: 'Foreign' };
  const words = Buffer.from(secret.data?.['words'] ?? '', 'base64')
    .toString('utf8')
    .trim();
  if (words === '') return { state: 'Broken', message: 'it has no key "words"' };
  try {
    return { state: 'Ours', words, ownerId: ownerFromEntropy(entropyFromWords(words)).keyPair.publicKey };
  } catch (error) {
    return { state: 'Broken', message: (error as Error).message };
  }
}
