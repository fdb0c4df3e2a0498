// What is, as plain facts, for the decisions about one bucket.
import type { LiveBucket, LiveFarm } from '#operator/api.ts';
import type { BridgeStatus } from '#node/interface/status.ts';
import type { Admission } from './admission.ts';
import type { AccessKeys, KeptGrant } from './desired/credentials.ts';

/** Earlier = of a bucket of this name that was deleted; the cluster is about to collect it. */
export type CredentialsFact =
  | { state: 'Missing' | 'Foreign' | 'Earlier' }
  | { state: 'Ours'; keys: AccessKeys | undefined; grant: KeptGrant | undefined };

/** NotRead = not needed: the owner is known to the bridge. */
export type WordsFact =
  | { state: 'NotRead' | 'Missing' | 'Foreign' }
  | { state: 'Broken'; message: string }
  | { state: 'Ours'; words: string; ownerId: string };

export interface ObservedBucket {
  bucket: LiveBucket;
  nowMs: number;
  farm: LiveFarm | undefined;
  admission: Admission;
  /** `namespace/name` of the StorjBucket that has the name. */
  nameHolder: string | undefined;
  credentials: CredentialsFact;
  words: WordsFact;
  /** Where S3 is; empty while it isn't anywhere. */
  endpoint: string;
  bridgeStatus: BridgeStatus | undefined;
}
