// The spine of a bucket: observe → plan → apply → report.
import type { LiveBucket } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { Outcome } from '#operator/runtime/outcome.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { GrantOrder } from '#node/interface/config.ts';
import type { NodeAddress } from '#operator/nodes.ts';
import type { FoundBridge } from './bridge-link.ts';
import type { ObservedBucket } from './observed.ts';
import type { BucketPlan } from './plan.ts';
import { storjBuckets } from '#operator/api.ts';
import { conditionStories } from '#operator/farm/story.ts';
import { bounded, calmMs, serverAddress } from '#operator/farm/observe-nodes.ts';
import { ensureDeleted, find, refOf, refOfKey } from '#operator/kube/client.ts';
import { isAlreadyExists, isNotFound } from '#operator/kube/errors.ts';
import { secrets, type Live, type Secret } from '#operator/kube/resources.ts';
import { done, requeueAfter, WaitingError } from '#operator/runtime/outcome.ts';
import { wordsFromEntropy } from '#node/core/keys.ts';
import { bucketNameOf, claimOf, credentialsNameOf } from './admission.ts';
import { askBridge } from './bridge-link.ts';
import { syncBridge } from './bridge-sync.ts';
import { credentialsSecret, isOwn, newAccessKeys, type AccessKeys, type KeptGrant } from './desired/credentials.ts';
import { ownerSecret } from './desired/owner-secret.ts';
import { observeBucket } from './observe.ts';
import { planBucket } from './plan.ts';
import { bucketStatus } from './status.ts';
import { keepFinalizer, teardownBucket } from './teardown.ts';

/** While a bucket comes up. */
const soonMs = 2000;
/** Usage is written at most so often. */
const numbersEveryMs = 600_000;

export function createBucketReconcile(context: Context): (key: string, signal: AbortSignal) => Promise<Outcome> {
  return async (key, signal) => {
    const bucket = await context.reader.get(storjBuckets, refOfKey(key), signal);
    if (!bucket) {
      context.metrics.forgetBucket(key);
      return done;
    }
    if (bucket.metadata.deletionTimestamp !== undefined) return teardownBucket(context, bucket, signal);
    if (await keepFinalizer(context, bucket, signal)) return done;
    const { observed, link } = await observeBucket(context, bucket, signal);
    const plan = planBucket(observed);
    if (plan.next === 'MakeOwner') {
      await makeOwner(context, bucket, signal);
      return requeueAfter(100);
    }
    const served = plan.next === 'Serve' && link ? await serve({ context, observed, link, plan, signal }) : undefined;
    return report({ context, observed, plan, served, signal });
  };
}

/** Created, never forced: words that are there already are somebody's. */
async function makeOwner(context: Context, bucket: LiveBucket, signal: AbortSignal): Promise<void> {
  try {
    await context.client.create(secrets, ownerSecret(bucket, wordsFromEntropy(context.randomBytes(32))), { signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

interface Serving {
  context: Context;
  observed: ObservedBucket;
  link: FoundBridge;
  plan: Extract<BucketPlan, { next: 'Serve' }>;
  signal: AbortSignal;
}

interface Served {
  ownerId: string;
  bridgeStatus: ObservedBucket['bridgeStatus'];
}

/** Owner, Secret, claim, in this order: a key that is handed out works, or soon will. */
async function serve({ context, observed, link, plan, signal }: Serving): Promise<Served> {
  const { bucket, credentials } = observed;
  const { control } = link.keys;
  const address = serverAddress(link.bridge, link.keys.bridge);
  if (control.state !== 'Ours' || !address) throw away();
  const memory = context.memories.of(link.farm.metadata.uid);
  if (plan.words !== undefined) {
    const owner = await context.nodes.postOwner(address, control.key, plan.words, bounded(signal)).catch(() => {
      signal.throwIfAborted();
      throw away();
    });
    if (owner !== plan.ownerId) throw new Error(`The bridge takes the words for ${owner}, not for ${plan.ownerId}.`);
  }
  const own = credentials.state === 'Ours' ? credentials : undefined;
  const keys = own?.keys ?? newAccessKeys(context.randomBytes);
  await applyCredentials(context, link, { bucket, keys, grant: own?.grant }, signal);
  memory.sync.gifts.set(bucket.metadata.uid, { ownerId: plan.ownerId, ...keys });
  const isRenamed = await dropRenamedSecret(context, bucket, signal);
  const isTold = await syncBridge(context, link, control.key, memory, signal);
  const bridgeStatus = isTold ? await askBridge(context, link, signal) : link.bridgeStatus;
  if (grantIsDue(bucket, own?.grant, bridgeStatus, context.clock.nowMs())) {
    const order = { owner: plan.ownerId, bucketName: bucketNameOf(bucket), endOlder: isRenamed };
    const grant = await askGrant(context, { address, control: control.key, order }, signal);
    if (grant) await applyCredentials(context, link, { bucket, keys, grant }, signal);
    // The status still names the old Secret, so the grant in it is ended the next time.
    else if (isRenamed) throw away();
  }
  return { ownerId: plan.ownerId, bridgeStatus };
}

async function applyCredentials(
  context: Context,
  { tls, endpoint, bridgeAddress }: FoundBridge,
  { bucket, keys, grant }: { bucket: LiveBucket; keys: AccessKeys; grant: KeptGrant | undefined },
  signal: AbortSignal,
): Promise<void> {
  const place = { address: bridgeAddress, endpoint, ca: tls.state === 'On' ? tls.ca : '' };
  const secret = credentialsSecret(bucket, keys, place, grant);
  const live = await find(context.client, secrets, refOf(secret), { signal });
  // Created, never forced: a foreign one of that name is left alone.
  const own = live ?? (await context.client.create(secrets, secret, { signal }));
  // While the bridge stays as it is, so does what clients know of it.
  if (tls.state === 'Broken') return;
  await dropAuthority(context, own, secret, signal);
  await context.applier.apply(secrets, secret, own, { signal });
}

/** There is none and the bucket is served, half of its life is over, or the bridge says that older ones are no good. */
function grantIsDue(
  bucket: LiveBucket,
  grant: KeptGrant | undefined,
  status: ObservedBucket['bridgeStatus'],
  nowMs: number,
): boolean {
  const served = status?.buckets.find(({ claim, state }) => claim === claimOf(bucket) && state === 'Ready');
  if (!served) return false;
  return !grant || nowMs >= grant.renewMs || grant.issuedMs < served.grantsFromMs;
}

/** Undefined where the bridge issues none now: S3 goes on without, and it is asked again. */
async function askGrant(
  { nodes, log }: Context,
  { address, control, order }: { address: NodeAddress; control: KeyPair; order: GrantOrder },
  signal: AbortSignal,
): Promise<KeptGrant | undefined> {
  try {
    const { grant: text, issuedMs, renewMs } = await nodes.postGrant(address, control, order, bounded(signal));
    return { text, issuedMs, renewMs };
  } catch (error) {
    signal.throwIfAborted();
    log.info({ pod: address.pod }, `The bridge issues no grant on ${order.bucketName}: ${(error as Error).message}`);
    return undefined;
  }
}

/** What the Secret was created with isn't taken away by applying less. */
async function dropAuthority({ client }: Context, live: Live<Secret>, wanted: Secret, signal: AbortSignal): Promise<void> {
  if (live.data?.['CA_CRT'] === undefined || wanted.data?.['CA_CRT'] !== undefined) return;
  await client.mergePatch(secrets, refOf(live), { metadata: { uid: live.metadata.uid }, data: { CA_CRT: null } }, { signal });
}

function away(): WaitingError {
  return new WaitingError('BridgeDown', "The farm's bridge doesn't answer.", { requeueAfterMs: soonMs });
}

/** After `credentialsSecretName` changed the old Secret goes, with its keys and its grant: true then. */
async function dropRenamedSecret({ client }: Context, bucket: LiveBucket, signal: AbortSignal): Promise<boolean> {
  const old = bucket.status?.credentialsSecretName;
  if (old === undefined || old === credentialsNameOf(bucket)) return false;
  const ref = { namespace: bucket.metadata.namespace ?? '', name: old };
  const secret = await find(client, secrets, ref, { signal });
  if (secret && isOwn(secret, bucket)) await ensureDeleted(client, secrets, ref, { uid: secret.metadata.uid, signal });
  return true;
}

interface Reporting {
  context: Context;
  observed: ObservedBucket;
  plan: BucketPlan;
  served: Served | undefined;
  signal: AbortSignal;
}

async function report({ context, observed, plan, served, signal }: Reporting): Promise<Outcome> {
  const { bucket, farm } = observed;
  const now = served ? { ...observed, bridgeStatus: served.bridgeStatus } : observed;
  const nowMs = context.clock.monotonicMs();
  const usageMs = farm ? context.memories.of(farm.metadata.uid).sync.usageMs : new Map<string, number>();
  const mayWriteNumbers = nowMs - (usageMs.get(bucket.metadata.uid) ?? Number.NEGATIVE_INFINITY) >= numbersEveryMs;
  const status = bucketStatus({
    observed: now,
    plan,
    ownerId: served?.ownerId,
    hasCredentials: served !== undefined || observed.credentials.state === 'Ours',
    mayWriteNumbers,
  });
  const exact = now.bridgeStatus?.buckets.find(({ claim }) => claim === claimOf(bucket));
  context.metrics.setBucket(claimOf(bucket), status, exact && { bytes: exact.usedBytes, objects: exact.objects });
  try {
    const { result } = await context.applier.applyStatus(storjBuckets, bucket, status, { signal });
    if (result !== 'unchanged') {
      if (status.usage?.bytes !== bucket.status?.usage?.bytes) usageMs.set(bucket.metadata.uid, nowMs);
      for (const story of conditionStories(bucket.status?.conditions, status.conditions ?? [])) {
        context.events.record(bucket, story);
      }
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const isReady = status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True');
  return requeueAfter(isReady || plan.next === 'Stalled' ? calmMs : soonMs);
}
