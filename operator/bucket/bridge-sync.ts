// Tells the bridge the whole of what it should serve: the buckets that exist and the keys that open them. A key that
// isn't in it is dead, so a deleted StorjBucket needs no finalizer. One PUT at a time for each farm, and none while
// nothing changed.
import { createHash } from 'node:crypto';
import type { LiveBucket, LiveFarm } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { AccessKey, BridgeDesired, BucketClaim, FarmConfig } from '#node/interface/config.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { FarmMemory } from '#operator/farm/memory.ts';
import type { Observed } from '#operator/farm/observed.ts';
import type { BucketGift } from './sync-memory.ts';
import { storjBuckets } from '#operator/api.ts';
import { bounded, serverAddress } from '#operator/farm/observe-nodes.ts';
import { find } from '#operator/kube/client.ts';
import { isForbidden } from '#operator/kube/errors.ts';
import { namespaces, secrets } from '#operator/kube/resources.ts';
import { bytesOf } from '#operator/quantity.ts';
import { admissionOf, bucketNameOf, claimOf, credentialsNameOf, farmKeyOf, holderOfName } from './admission.ts';
import { keysInSecret } from './desired/credentials.ts';

/** What of the farm is needed to talk to its bridge. */
export type BridgeLink = Pick<Observed, 'farm' | 'bridge' | 'keys' | 'bridgeStatus' | 'config'>;

/** True if the bridge has it now; false if there is no bridge to tell. */
export async function syncBridge(
  context: Context,
  link: BridgeLink,
  control: KeyPair,
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<boolean> {
  const before = memory.sync.tail;
  const { promise, resolve } = Promise.withResolvers<void>();
  memory.sync.tail = promise;
  try {
    await before;
    return await sync(context, link, control, memory, signal);
  } finally {
    resolve();
  }
}

async function sync(
  context: Context,
  { farm, bridge, keys, bridgeStatus, config }: BridgeLink,
  control: KeyPair,
  { sync: memory }: FarmMemory,
  signal: AbortSignal,
): Promise<boolean> {
  const address = serverAddress(bridge, keys.bridge);
  if (!address || !bridge || !bridgeStatus || !config) return false;
  const content = await contentOf(context, farm, memory.gifts, signal);
  const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  const isKnown = memory.hash === hash && memory.podUid === bridge.podUid;
  if (isKnown && bridgeStatus.bucketsGeneration >= memory.generation) return true;
  const generation = Math.max(memory.generation, bridgeStatus.bucketsGeneration) + 1;
  try {
    await context.nodes.putBuckets(address, control, desired(config.config, generation, content), bounded(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.info({ pod: address.pod }, `The bridge doesn't take its buckets: ${(error as Error).message}`);
    return false;
  }
  Object.assign(memory, { hash, generation, podUid: bridge.podUid });
  return true;
}

type Content = Pick<BridgeDesired, 'buckets' | 'accessKeys'>;

function desired({ farmUid, epoch }: FarmConfig, generation: number, content: Content): BridgeDesired {
  return { farmUid, epoch, generation, ...content };
}

async function contentOf(
  context: Context,
  farm: LiveFarm,
  gifts: Map<string, BucketGift>,
  signal: AbortSignal,
): Promise<Content> {
  const all = await context.reader.list(storjBuckets, undefined, {}, signal);
  const own = all.filter((bucket) => farmKeyOf(bucket) === `${farm.metadata.namespace}/${farm.metadata.name}`);
  for (const uid of gifts.keys()) if (!own.some(({ metadata }) => metadata.uid === uid)) gifts.delete(uid);
  const buckets: BucketClaim[] = [];
  const accessKeys: AccessKey[] = [];
  for (const bucket of own.sort((a, b) => (claimOf(a) < claimOf(b) ? -1 : 1))) {
    if (bucket.metadata.deletionTimestamp !== undefined || holderOfName(bucket, own)) continue;
    if (admissionOf(farm, bucket, await namespaceLabels(context, farm, bucket, signal)) !== 'Allowed') continue;
    const gift = gifts.get(bucket.metadata.uid) ?? (await giftOf(context, bucket, signal));
    if (!gift) continue;
    gifts.set(bucket.metadata.uid, gift);
    const { ownerId: owner, accessKeyId, secretAccessKey } = gift;
    const bucketName = bucketNameOf(bucket);
    const { maxBytes, maxObjects } = bucket.spec.quota ?? {};
    buckets.push({
      claim: claimOf(bucket),
      owner,
      bucketName,
      maxBytes: maxBytes === undefined ? null : bytesOf(maxBytes),
      maxObjects: maxObjects ?? null,
    });
    accessKeys.push({ accessKeyId, secretAccessKey, owner, bucketName });
  }
  return { buckets, accessKeys };
}

/** After a restart nothing is remembered, but a bucket that was ready must stay so until its own turn comes. */
async function giftOf({ client }: Context, bucket: LiveBucket, signal: AbortSignal): Promise<BucketGift | undefined> {
  const ownerId = bucket.status?.ownerId;
  if (ownerId === undefined || bucket.status?.credentialsSecretName === undefined) return undefined;
  const { namespace = '' } = bucket.metadata;
  const secret = await find(client, secrets, { namespace, name: credentialsNameOf(bucket) }, { signal });
  const keys = secret && keysInSecret(secret, bucket);
  return keys && { ownerId, ...keys };
}

/** Labels of the bucket's namespace where they matter; undefined where they may not be read. */
export async function namespaceLabels(
  { client }: Context,
  farm: LiveFarm,
  bucket: LiveBucket,
  signal: AbortSignal,
): Promise<Record<string, string> | undefined> {
  const { namespace = '' } = bucket.metadata;
  if (farm.spec.allowedBuckets.from !== 'Selector' || namespace === farm.metadata.namespace) return {};
  try {
    return (await find(client, namespaces, { name: namespace }, { signal }))?.metadata.labels ?? {};
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}
