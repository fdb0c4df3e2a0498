// The farm's configuration as nodes receive it: `farm.json` in the mounted ConfigMap is the durable
// copy, PUT /admin/config the fast path. Nodes apply the one with the higher (epoch, generation).
import * as z from 'zod';

const publicKey = z.string().regex(/^[0-9a-f]{64}$/, 'an Ed25519 public key in hex');
const base64 = z.base64();

const schemeSchema = z
  .object({
    required: z.int().min(1).max(255),
    repair: z.int().min(1).max(255),
    optimal: z.int().min(1).max(255),
    total: z.int().min(1).max(255),
  })
  .refine((s) => s.required <= s.repair && s.repair <= s.optimal && s.optimal <= s.total, {
    message: 'redundancy must satisfy required ≤ repair ≤ optimal ≤ total',
  });

/** One farmer as the operator has met it. Not in the roster = lost. */
export const rosterMemberSchema = z.object({
  /** Pod name in Kubernetes (`demo-farmer-main-0`), folder name in `npm run farm` (`farmer-0`). */
  slot: z.string(),
  farmer: publicKey,
  peerId: z.string(),
  /** UID of the volume claim, or an id of the folder. */
  volumeUid: z.string(),
  zone: z.string(),
  /** Failure domain: zone, else Kubernetes node, else the farmer. */
  domain: z.string(),
  /** Leaving = drains: takes nothing new. Lost = its volume is known to be gone. */
  state: z.enum(['Active', 'Leaving', 'Lost']),
  /**
   * It failed its audits, by a repairer's report: for good, as long as it has this identity, also when the repairer has
   * lost its scores. It gets nothing new, and what it holds counts as lost.
   */
  distrusted: z.boolean().optional(),
  /** Piece plane. */
  url: z.string(),
  /** libp2p multiaddr with /p2p/<peer id>. */
  multiaddr: z.string(),
  /** Signed membership, base64. */
  membership: base64,
});
export type RosterMember = z.infer<typeof rosterMemberSchema>;

export const farmConfigSchema = z.object({
  farmUid: z.string(),
  /** `namespace/name`, or the folder: for logs and metrics. */
  farmName: z.string(),
  /** Ed25519 public key whose certificate may write on admin ports and which signs memberships. */
  controlKey: publicKey,
  epoch: z.int().min(0),
  generation: z.int().min(0),
  /** Scheme for new writes. */
  redundancy: schemeSchema,
  /** It is the one that the farm is to have for long: the bridge brings older segments to it. */
  rewrite: z.boolean().optional(),
  roster: z.array(rosterMemberSchema).max(10_000),
  bridges: z.array(publicKey).max(100),
  /** X25519 keys derive from the same seed; see core/keys.ts. */
  repairers: z.array(z.object({ repairer: publicKey, box: publicKey })).max(100),
  lostAfterMs: z.int().min(1000),
  repairBytesPerSecond: z.int().min(0).describe('0 = no limit; for rewriting by the bridge too'),
});
export type FarmConfig = z.infer<typeof farmConfigSchema>;

/**
 * The roster for whoever writes: one that isn't trusted gets nothing new and is replaced in replica sets, like one that
 * leaves, as long as f + 1 others are left to write to.
 */
export function rosterForWriters({ roster, redundancy }: FarmConfig): RosterMember[] {
  const trusted = roster.filter(({ state, distrusted }) => state === 'Active' && !distrusted).length;
  if (trusted <= redundancy.optimal - redundancy.required) return roster;
  return roster.map((member) => (member.state === 'Active' && member.distrusted ? { ...member, state: 'Leaving' } : member));
}

/** What the bridge should serve: PUT /admin/buckets, whole each time. Keys that aren't in it die. */
const accessKeySchema = z.object({
  accessKeyId: z.string().min(3).max(128),
  secretAccessKey: z.string().min(8).max(128),
  owner: publicKey,
  /** The only bucket that the key opens; null = the whole account (it may create and delete buckets). */
  bucketName: z.string().nullable(),
  /** Of the owner, in S3 answers; default: the first letters of the owner's key. */
  displayName: z.string().max(64).optional(),
});
const bucketClaimSchema = z.object({
  /** `namespace/name` of the StorjBucket. */
  claim: z.string(),
  owner: publicKey,
  bucketName: z.string(),
  maxBytes: z.int().min(0).nullable(),
  maxObjects: z.int().min(0).nullable(),
});
export const bridgeDesiredSchema = z.object({
  farmUid: z.string(),
  epoch: z.int().min(0),
  generation: z.int().min(0),
  buckets: z.array(bucketClaimSchema).max(10_000),
  accessKeys: z.array(accessKeySchema).max(10_000),
});
export type AccessKey = z.infer<typeof accessKeySchema>;
export type BucketClaim = z.infer<typeof bucketClaimSchema>;
export type BridgeDesired = z.infer<typeof bridgeDesiredSchema>;

/** POST /admin/owners: the bridge signs the root statements with the words and forgets them. */
export const ownerWordsSchema = z.object({ words: z.string() });
export const ownerAnswerSchema = z.object({ owner: publicKey });

/** POST /admin/grants: the bridge issues a grant on a bucket that it serves, with the holder's key in it. */
export const grantOrderSchema = z.object({
  owner: publicKey,
  bucketName: z.string(),
  /** Those issued before end now: the Secret that holds them goes away. */
  endOlder: z.boolean(),
});
export type GrantOrder = z.infer<typeof grantOrderSchema>;
export const grantAnswerSchema = z.object({
  /** `sj-grant/1:…` */
  grant: z.string().startsWith('sj-grant/1:'),
  issuedMs: z.int(),
  /** When to ask for the next: half of its life is over then. */
  renewMs: z.int(),
});
export type GrantAnswer = z.infer<typeof grantAnswerSchema>;

/** POST /admin/buckets/delete: only for deletionPolicy Delete. */
export const bucketDeleteSchema = z.object({ owner: publicKey, bucketName: z.string() });
