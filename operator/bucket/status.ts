// Pure: the bucket's status.
import type { StorjBucketStatus } from '#crds/types.ts';
import type { ObservedBucket } from './observed.ts';
import type { BucketPlan } from './plan.ts';
import { marks } from '#operator/api.ts';
import { mergeConditions, timeText, type Verdict } from '#operator/conditions.ts';
import { bytesText, rounded } from '#operator/quantity.ts';
import { bucketNameOf, claimOf, credentialsNameOf } from './admission.ts';
import { ownerSecretName } from './desired/owner-secret.ts';

export interface BucketStatusInput {
  observed: ObservedBucket;
  plan: BucketPlan;
  /** The owner, as soon as the bridge has him. */
  ownerId: string | undefined;
  /** The Secret is there. */
  hasCredentials: boolean;
  mayWriteNumbers: boolean;
}

export function bucketStatus(input: BucketStatusInput): StorjBucketStatus {
  const { observed, ownerId, hasCredentials } = input;
  const { bucket, endpoint, nowMs } = observed;
  const before = bucket.status;
  const generation = bucket.metadata.generation ?? 0;
  const owner = ownerId ?? before?.ownerId;
  const usage = usageOf(input);
  return {
    observedGeneration: generation,
    bucketName: bucketNameOf(bucket),
    ...(owner === undefined ? {} : { ownerId: owner }),
    ...(endpoint === '' ? {} : { endpoint }),
    ...(hasCredentials ? { credentialsSecretName: credentialsNameOf(bucket) } : {}),
    ...(usage ? { usage } : {}),
    conditions: mergeConditions(verdicts(input, owner), before?.conditions, generation, timeText(nowMs)),
  };
}

function usageOf({ observed, mayWriteNumbers }: BucketStatusInput): StorjBucketStatus['usage'] {
  const before = observed.bucket.status?.usage;
  const now = observed.bridgeStatus?.buckets.find(({ claim }) => claim === claimOf(observed.bucket));
  if (!now || (before && !mayWriteNumbers)) return before;
  const bytes = rounded(now.usedBytes);
  const objects = rounded(now.objects);
  return { bytes, objects, summary: `${bytesText(bytes)}, ${objects} objects` };
}

function verdicts(input: BucketStatusInput, owner: string | undefined): Verdict[] {
  const ready = readyOf(input);
  const rows: (Verdict | undefined)[] = [ready, progress(input, ready), recovery(input, owner)];
  return rows.flatMap((row) => row ?? []);
}

function readyOf({ observed, plan }: BucketStatusInput): Verdict {
  const type = 'Ready';
  if (plan.next === 'Stalled') return { type, status: 'False', ...plan.problem };
  if (plan.next === 'Wait') return { type, status: 'False', ...plan.remark };
  if (plan.next === 'MakeOwner') return { type, status: 'False', reason: 'MakingOwner', message: 'The owner is being made.' };
  const claim = observed.bridgeStatus?.buckets.find((one) => one.claim === claimOf(observed.bucket));
  if (claim?.state === 'Ready') {
    return {
      type,
      status: 'True',
      reason: 'Serving',
      message: `The Secret ${credentialsNameOf(observed.bucket)} opens the bucket.`,
    };
  }
  const message = claim?.message || 'The bridge is being told.';
  return { type, status: 'False', reason: claim?.state ?? 'Pending', message };
}

function progress({ plan }: BucketStatusInput, ready: Verdict): Verdict | undefined {
  if (plan.next === 'Stalled') return { type: 'Stalled', status: 'True', ...plan.problem };
  if (ready.status === 'True') return undefined;
  return { type: 'Reconciling', status: 'True', reason: 'Progressing', message: ready.message };
}

/** Only for owners that were made here: who brings his own words has them. */
function recovery({ observed: { bucket } }: BucketStatusInput, owner: string | undefined): Verdict | undefined {
  if (bucket.spec.owner || owner === undefined) return undefined;
  const type = 'RecoverySaved';
  if (bucket.metadata.annotations?.[marks.recoverySaved] === owner) {
    return { type, status: 'True', reason: 'SaidSo', message: 'The words are said to be saved.' };
  }
  const { name, namespace } = bucket.metadata;
  return {
    type,
    status: 'False',
    reason: 'SaveWords',
    message:
      `Whoever has the 24 words has the data, and without them nobody does once the farm's keys are lost. Save them: kubectl -n ${namespace} get secret ${ownerSecretName(bucket)} -o jsonpath='{.data.words}' | base64 -d. ` +
      `Then: kubectl -n ${namespace} annotate storjbucket ${name} ${marks.recoverySaved}=${owner}`,
  };
}
