// The farm report, put together from plain facts. Pure: the operator's drains, shrinks and disruption
// budgets rest on it, so it says Unknown rather than guess.
import { newScores, trustFacts, type TrustFacts } from '#node/core/audit-scores.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { replicaSetHealth, worseState, type FarmerState, type HealthState } from '#node/core/segment-health.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { FarmerCounts, IndexTotals } from './index-figures.ts';

export interface ReplicaSetFacts {
  f: number;
  members: readonly PublicKey[];
  /** Members no more, but somebody still has to take from them what they knew last. */
  former: readonly PublicKey[];
}
/** What a farmer said of itself when it was asked last. */
interface HoldingsFacts {
  owners: { owner: PublicKey; pieces: number }[];
  cordonedMs: number | null;
}

export interface ReportFacts {
  version: string;
  repairer: PublicKey;
  startedMs: number;
  nowMs: number;
  config: FarmConfig | null;
  /** 0 = not every log was read yet. */
  readThroughMs: number;
  totals: IndexTotals;
  replicaSets: readonly ReplicaSetFacts[];
  stateOf: (farmer: PublicKey) => FarmerState;
  trustOf: (farmer: PublicKey) => TrustFacts;
  lastSeenMs: (farmer: PublicKey) => number;
  countsOf: (farmer: PublicKey) => FarmerCounts;
  /** Undefined: it hasn't answered yet. */
  holdingsOf: (farmer: PublicKey) => HoldingsFacts | undefined;
  /** Owners whose logs this repairer reads. */
  warranted: ReadonlySet<PublicKey>;
  ownersWithoutWarrant: number;
  repairedPieces: number;
  repairedBytes: number;
}

/** Before there is a configuration. */
export const NO_FACTS: Omit<ReportFacts, 'version' | 'repairer' | 'startedMs' | 'nowMs'> = {
  config: null,
  readThroughMs: 0,
  totals: {
    segments: 0,
    queued: 0,
    crowded: 0,
    byState: { Healthy: 0, Degraded: 0, AtRisk: 0, Unreadable: 0 },
    margin: null,
    byScheme: {},
  },
  replicaSets: [],
  stateOf: () => 'Lost',
  trustOf: () => trustFacts(newScores(), 0),
  lastSeenMs: () => 0,
  countsOf: () => ({ pieces: 0, pieceBytes: 0, piecesToMove: 0 }),
  holdingsOf: () => undefined,
  warranted: new Set(),
  ownersWithoutWarrant: 0,
  repairedPieces: 0,
  repairedBytes: 0,
};

export function farmReport(facts: ReportFacts): FarmReport {
  const { config, totals, replicaSets, stateOf } = facts;
  const sets = replicaSets.map((set) => replicaSetHealth(set, stateOf));
  const margins = [...(totals.margin === null ? [] : [totals.margin]), ...sets.map(({ margin }) => margin)];
  return {
    role: 'repairer',
    version: facts.version,
    farmUid: config?.farmUid ?? '',
    epoch: config?.epoch ?? 0,
    generation: config?.generation ?? 0,
    startedMs: facts.startedMs,
    repairer: facts.repairer,
    atMs: facts.nowMs,
    readThroughMs: facts.readThroughMs,
    state: isBehind(facts) ? 'Unknown' : [...sets.map(({ state }) => state), worstSegment(totals)].reduce(worseState),
    margin: margins.length > 0 ? Math.min(...margins) : config ? promiseOf(config.redundancy) : 0,
    segments: totals.segments,
    segmentsAtRisk: totals.byState.AtRisk,
    segmentsQueued: totals.queued,
    segmentsCrowded: totals.crowded,
    segmentsUnreadable: totals.byState.Unreadable,
    segmentsByScheme: totals.byScheme,
    repairedPieces: facts.repairedPieces,
    repairedBytes: facts.repairedBytes,
    farmers: (config?.roster ?? []).map(({ farmer }) => farmerFacts(farmer, facts)),
    ownersWithoutWarrant: facts.ownersWithoutWarrant,
  };
}

function farmerFacts(farmer: PublicKey, facts: ReportFacts): FarmReport['farmers'][number] {
  const holdings = facts.holdingsOf(farmer);
  const foreign = (holdings?.owners ?? []).filter(({ owner }) => !facts.warranted.has(owner));
  return {
    farmer,
    state: facts.stateOf(farmer),
    lastSeenMs: facts.lastSeenMs(farmer),
    ...facts.countsOf(farmer),
    replicaSets: facts.replicaSets.filter(({ members, former }) => members.includes(farmer) || former.includes(farmer)).length,
    unwarrantedPieces: foreign.reduce((sum, { pieces }) => sum + pieces, 0),
    cordonedMs: holdings?.cordonedMs ?? null,
    audits: facts.trustOf(farmer),
  };
}

/** Logs that couldn't be read for so long may say anything by now. They are read every few seconds. */
const STALE_READ_MS = 60_000;

function isBehind({ readThroughMs, nowMs }: ReportFacts): boolean {
  return readThroughMs === 0 || nowMs - readThroughMs > STALE_READ_MS;
}

function worstSegment(totals: IndexTotals): HealthState {
  return (['Unreadable', 'AtRisk', 'Degraded'] as const).find((state) => totals.byState[state] > 0) ?? 'Healthy';
}
