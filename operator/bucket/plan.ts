// Pure: what to do next for a bucket.
import type { ObservedBucket } from './observed.ts';
import { bucketNameOf, claimOf, credentialsNameOf, farmKeyOf } from './admission.ts';
import { ownerSecretName } from './desired/owner-secret.ts';

interface Remark {
  reason: string;
  message: string;
}

export type BucketPlan =
  /** Only a change by the user helps. */
  | { next: 'Stalled'; problem: Remark }
  /** Something else has to come first. */
  | { next: 'Wait'; remark: Remark }
  /** An owner has to be made: 24 new words into a Secret. */
  | { next: 'MakeOwner' }
  /** Words → bridge (if it doesn't know the owner), credentials, claim. */
  | { next: 'Serve'; ownerId: string; words: string | undefined };

export function planBucket(observed: ObservedBucket): BucketPlan {
  const problem = problemOf(observed);
  if (problem) return { next: 'Stalled', problem };
  const { bucket, credentials, words, endpoint, bridgeStatus } = observed;
  if (credentials.state === 'Earlier') {
    const message = `The Secret ${credentialsNameOf(bucket)} of an earlier bucket of this name is about to be collected.`;
    return { next: 'Wait', remark: { reason: 'EarlierSecret', message } };
  }
  const known = bucket.status?.ownerId;
  if (words.state === 'Missing' && known === undefined) return { next: 'MakeOwner' };
  if (endpoint === '') return { next: 'Wait', remark: { reason: 'FarmNotReady', message: 'The farm has no S3 endpoint yet.' } };
  const ownerId = words.state === 'Ours' ? words.ownerId : known;
  if (ownerId === undefined || !bridgeStatus) {
    return { next: 'Wait', remark: { reason: 'BridgeDown', message: "The farm's bridge doesn't answer; it is asked again." } };
  }
  return { next: 'Serve', ownerId, words: words.state === 'Ours' ? words.words : undefined };
}

function problemOf(observed: ObservedBucket): Remark | undefined {
  const { bucket, farm, admission, nameHolder, credentials } = observed;
  const { namespace } = bucket.metadata;
  const key = farmKeyOf(bucket);
  if (!farm) {
    return {
      reason: 'FarmNotFound',
      message: `There is no StorjFarm ${key}. Create it, or create this bucket anew with the right farmRef.`,
    };
  }
  if (admission === 'Denied') {
    const message = `The farm ${key} doesn't serve the namespace ${namespace}: its owner can change spec.allowedBuckets.`;
    return { reason: 'BucketNotAllowed', message };
  }
  if (admission === 'Unknown') {
    const message = `The farm ${key} selects namespaces by labels, which this operator may not read: install it with clusterWide=true, or use allowedBuckets.from: All.`;
    return { reason: 'NamespaceUnreadable', message };
  }
  if (nameHolder !== undefined) {
    const message = `The bucket name ${bucketNameOf(bucket)} belongs to ${nameHolder} on this farm. Create this bucket anew with another bucketName.`;
    return { reason: 'BucketNameTaken', message };
  }
  if (credentials.state === 'Foreign') {
    const message = `The Secret ${credentialsNameOf(bucket)} isn't this bucket's and is left alone. Delete it, or set spec.credentialsSecretName.`;
    return { reason: 'SecretNameTaken', message };
  }
  return wordsProblem(observed) ?? claimProblem(observed);
}

function wordsProblem({ bucket, words, bridgeStatus }: ObservedBucket): Remark | undefined {
  const secret = ownerSecretName(bucket);
  const known = bucket.status?.ownerId;
  if (words.state === 'Foreign') {
    return {
      reason: 'SecretNameTaken',
      message: `The Secret ${secret} isn't this bucket's and is left alone. Delete or rename it.`,
    };
  }
  if (words.state === 'Broken') {
    return {
      reason: 'OwnerWordsInvalid',
      message: `The Secret ${secret} holds no owner: ${words.message}. It needs the key "words" with 24 words.`,
    };
  }
  if (words.state === 'Ours' && known !== undefined && words.ownerId !== known) {
    return {
      reason: 'OwnerChanged',
      message: `The words in the Secret ${secret} are of ${words.ownerId}, but this bucket belongs to ${known}. Put the right words back.`,
    };
  }
  if (words.state !== 'Missing') return undefined;
  if (bucket.spec.owner) {
    return {
      reason: 'OwnerSecretMissing',
      message: `There is no Secret ${secret}. Create it with the key "words" and the owner's 24 words.`,
    };
  }
  const isUnknown = bridgeStatus?.buckets.find(({ claim }) => claim === claimOf(bucket))?.state === 'OwnerUnknown';
  if (known === undefined || !isUnknown) return undefined;
  return {
    reason: 'OwnerWordsNeeded',
    message: `The bridge has lost what it knew of the owner ${known}. Put the saved words into the Secret ${secret}, key "words", with the label storjfarm.io/bucket=${bucket.metadata.name}.`,
  };
}

function claimProblem({ bucket, bridgeStatus }: ObservedBucket): Remark | undefined {
  const state = bridgeStatus?.buckets.find(({ claim }) => claim === claimOf(bucket));
  if (state?.state !== 'NameTaken') return undefined;
  const message = `The bucket name ${bucketNameOf(bucket)} is taken on the bridge${state.message === '' ? '' : `: ${state.message}`}. Create this bucket anew with another bucketName.`;
  return { reason: 'BucketNameTaken', message };
}
