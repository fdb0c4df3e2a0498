// Pure: the way of a farmer out of the farm. No volume goes while it holds the last needed copy of anything.
//
//   Active ──shrink allowed──► Leaving ──quiet──► proof awaited ──proof──► drained ──pod gone──► not in the roster
//      ▲                          │ takes nothing new; the repairer copies       │ label on the volume, durable
//      └──────── cancel ──────────┴─────────────────────────────────────────────┘
//
// Quiet = cordoned, no transfer in flight, every bridge plans by the roster that says Leaving. Proof = a report that
// has read every log beyond the moment of quiet and finds nothing left. Anything unknown means: hold.
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import { schemeOfText } from '#node/core/schemes.ts';
import { rounded } from '#operator/quantity.ts';

export interface QuietFacts {
  /** Generation under which Leaving was published first; undefined = not yet. */
  leavingSince: number | undefined;
  /** The farm should have a bridge. */
  hasBridge: boolean;
  bridge: BridgeStatus | undefined;
  /** What the farmer says; undefined = no answer. */
  farmer: FarmerStatus | undefined;
  /** Its pod is Ready. */
  isReady: boolean;
  report: FarmReport | undefined;
}

export type Step = { done: true } | { done: false; waitsFor: string };

const held = (waitsFor: string): Step => ({ done: false, waitsFor });

/** Nothing can be written to the leaving farmer any more. */
export function isQuiet(publicKey: string, facts: QuietFacts): Step {
  const { leavingSince, bridge, farmer, report } = facts;
  if (leavingSince === undefined) return held('the roster that says Leaving to be published');
  if (farmer) {
    if (farmer.farmer !== publicKey) return held('another identity answers in the slot');
    if (farmer.cordonedMs === null) return held('the farmer to refuse new pieces');
    if (farmer.transfersInFlight > 0) return held(`${farmer.transfersInFlight} transfers in flight`);
  } else if (facts.isReady) return held('the status of the farmer');
  if (facts.hasBridge) {
    if (!bridge) return held('the status of the bridge');
    if (bridge.generation < leavingSince) return held('the bridge to take the new roster');
    if (bridge.oldestTransferGeneration < leavingSince) return held('uploads that began before it was leaving');
  }
  if (!report) return held('a report of the repairer');
  return { done: true };
}

export interface ProofFacts {
  report: FarmReport | undefined;
  /** Of the repairer's clock: `atMs` of its report when all was quiet; undefined = not quiet yet. */
  floorMs: number | undefined;
}

/** Everything that the farmer holds has another holder, as of logs read after it had become quiet. */
export function isProven(publicKey: string, { report, floorMs }: ProofFacts): Step {
  if (!report) return held('a report of the repairer');
  const entry = report.farmers.find((one) => one.farmer === publicKey);
  if (!entry) return held('the repairer to report on it');
  if (entry.piecesToMove > 0) return held(`${entry.piecesToMove} pieces to get another holder`);
  if (entry.replicaSets > 0) return held(`${entry.replicaSets} logs to get another replica`);
  if (entry.unwarrantedPieces > 0) return held(unwarranted(entry.unwarrantedPieces));
  if (entry.state === 'Online') return held('the repairer to know that it is leaving');
  if (floorMs === undefined) return held('writes to end');
  if (report.readThroughMs <= floorMs) return held('the repairer to read all logs once more');
  return { done: true };
}

function unwarranted(pieces: number): string {
  return `${pieces} pieces of owners without a warrant for this farm's repairer: their bridge must run, or they must be deleted`;
}

/**
 * What forbids any shrink for now; undefined = nothing does. Segments with more pieces than there will be farmers are
 * brought to the scheme in force first, which is the bridge's work.
 */
export function shrinkProblem(
  wanted: number,
  report: FarmReport | undefined,
  hasBridge: boolean,
): { reason: 'ReportMissing' | 'SegmentsRewriting' | 'SegmentsNeedFarmers'; message: string } | undefined {
  if (!report) {
    return {
      reason: 'ReportMissing',
      message:
        'Nothing is known of the data without a report of the repairer, so nothing shrinks. It comes when the repairer is ready; spec.repair.replicas must be at least 1.',
    };
  }
  const tooWide = Object.entries(report.segmentsByScheme)
    .map(([text, segments]) => ({ segments, optimal: schemeOfText(text)?.optimal ?? Number.POSITIVE_INFINITY }))
    .filter(({ segments, optimal }) => segments > 0 && optimal > wanted);
  if (tooWide.length === 0) return undefined;
  const count = tooWide.reduce((sum, { segments }) => sum + segments, 0);
  const most = Math.max(...tooWide.map(({ optimal }) => optimal));
  const why = `${rounded(count)} segments keep pieces on ${most} farmers; with ${wanted} they would lose some`;
  if (hasBridge) {
    return {
      reason: 'SegmentsRewriting',
      message: `${why}, so the bridge brings them to the scheme for ${wanted} farmers first.`,
    };
  }
  return {
    reason: 'SegmentsNeedFarmers',
    message: `${why}. The bridge can bring them to another scheme: set spec.bridge.replicas to 1. Or set spec.farmers.replicas to at least ${most}.`,
  };
}
