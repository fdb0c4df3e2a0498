// A loss is known here before the repairer has heard of it: until its report counts the farmer as lost, the report
// is read as what it would say. Otherwise the status would go on promising a margin that is gone.
import type { RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';

/** A farmer that has left with proof still appears as a holder, but nothing depends on it. */
function holds({ state, pieces, piecesToMove, replicaSets }: FarmReport['farmers'][number]): boolean {
  return (state === 'Leaving' ? piecesToMove : pieces) > 0 || replicaSets > 0;
}

/** The report, less what farmers held that the roster knows to be lost and the report still counts. */
export function withKnownLosses(report: FarmReport, roster: readonly RosterMember[]): FarmReport {
  const standing = new Map(roster.map(({ farmer, state }) => [farmer, state]));
  const isLost = (farmer: string): boolean => (standing.get(farmer) ?? 'Lost') === 'Lost';
  const uncounted = report.farmers.filter((one) => one.state !== 'Lost' && isLost(one.farmer) && holds(one));
  if (uncounted.length === 0) return report;
  const margin = report.margin - uncounted.length;
  const state = report.state === 'Unknown' || report.state === 'Unreadable' ? report.state : margin > 0 ? 'Degraded' : 'AtRisk';
  const farmers = report.farmers.map((one) => (uncounted.includes(one) ? { ...one, state: 'Lost' as const } : one));
  return { ...report, state, margin, farmers };
}
