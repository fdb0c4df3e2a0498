// What nodes tell the operator: GET /status on the admin port of each role, and the repairer's farm report.
import * as z from 'zod';

const publicKey = z.string().regex(/^[0-9a-f]{64}$/);

const common = {
  role: z.enum(['farmer', 'bridge', 'repairer']),
  version: z.string(),
  /** Of the configuration that is applied. */
  farmUid: z.string(),
  epoch: z.int(),
  generation: z.int(),
  startedMs: z.int(),
};

export const farmerStatusSchema = z.object({
  ...common,
  role: z.literal('farmer'),
  farmer: publicKey,
  peerId: z.string(),
  slot: z.string(),
  multiaddrs: z.array(z.string()),
  /** Store open and disk probe fresh. */
  ready: z.boolean(),
  reason: z.string(),
  /** When it stopped taking new pieces and replicas; null while Active. */
  cordonedMs: z.int().nullable(),
  transfersInFlight: z.int(),
  lastTransferMs: z.int(),
  liveBytes: z.int(),
  trashBytes: z.int(),
  freeBytes: z.int(),
  pieces: z.int(),
  logs: z.int(),
});
export type FarmerStatus = z.infer<typeof farmerStatusSchema>;

export const bridgeStatusSchema = z.object({
  ...common,
  role: z.literal('bridge'),
  bridge: publicKey,
  ready: z.boolean(),
  reason: z.string(),
  /** Generation of the newest applied PUT /admin/buckets. */
  bucketsGeneration: z.int(),
  /** Lowest roster generation under which a transfer that is still running was planned; = generation when idle. */
  oldestTransferGeneration: z.int(),
  owners: z.array(publicKey),
  buckets: z.array(
    z.object({
      claim: z.string(),
      bucketName: z.string(),
      owner: publicKey,
      state: z.enum(['Ready', 'Pending', 'NameTaken', 'OwnerUnknown', 'Deleted']),
      message: z.string(),
      usedBytes: z.int(),
      objects: z.int(),
      /** Grants issued before are to be replaced: they were taken back, or lack the newest repair key. */
      grantsFromMs: z.int().min(0),
    }),
  ),
  /** Writes that would be acknowledged now: farmers that answer, against f + 1. */
  writable: z.boolean(),
});
export type BridgeStatus = z.infer<typeof bridgeStatusSchema>;

/** One for the farm, computed by a repairer from every log that it has a warrant for. Stale or absent = unknown = hold. */
export const farmReportSchema = z.object({
  ...common,
  role: z.literal('repairer'),
  repairer: publicKey,
  atMs: z.int(),
  /** Every log of every warranted owner was read to heads that were asked for after this time. */
  readThroughMs: z.int(),
  state: z.enum(['Healthy', 'Degraded', 'AtRisk', 'Unreadable', 'Unknown']),
  /** Least that may still go, over all segments and logs. With no data: the scheme's f. */
  margin: z.int(),
  segments: z.int(),
  segmentsAtRisk: z.int(),
  segmentsQueued: z.int(),
  /** Of those: whole, but with too many pieces in one failure domain while others have room. */
  segmentsCrowded: z.int(),
  segmentsUnreadable: z.int(),
  /** Live segments by their own scheme: {"4/5/6/6": 120}. A farm can't shrink below the highest optimal number. */
  segmentsByScheme: z.record(z.string(), z.int()),
  repairedPieces: z.int(),
  repairedBytes: z.int(),
  farmers: z.array(
    z.object({
      farmer: publicKey,
      state: z.enum(['Online', 'Offline', 'Leaving', 'Lost']),
      lastSeenMs: z.int(),
      /** Placed on this farmer by the logs. */
      pieces: z.int(),
      pieceBytes: z.int(),
      /** Of those: without another holder (with a receipt) that isn't Leaving or Lost. */
      piecesToMove: z.int(),
      /** Replica sets (highest epoch) that name it. */
      replicaSets: z.int(),
      /** Live pieces that it holds of owners without a warrant for this repairer. */
      unwarrantedPieces: z.int(),
      /** The farmer's own `cordonedMs` as the repairer last heard it; null while it takes new pieces. */
      cordonedMs: z.int().nullable(),
      /**
       * What audits say, as in Storj V3: scores from 0 to 1. They are earned anew when the repairer loses its index.
       * Suspended: gets nothing new from repairs. Distrusted, for good (the operator notes it in the roster): its pieces
       * count as lost and are rebuilt elsewhere; give it a new volume and identity.
       */
      audits: z
        .object({
          trust: z.enum(['Trusted', 'Suspended', 'Distrusted']),
          auditScore: z.number(),
          suspensionScore: z.number(),
          onlineScore: z.number(),
          audits: z.int(),
          failedAudits: z.int(),
        })
        .optional(),
    }),
  ),
  /** Owners known to the farmers whose logs this repairer can't read. */
  ownersWithoutWarrant: z.int(),
});
export type FarmReport = z.infer<typeof farmReportSchema>;
