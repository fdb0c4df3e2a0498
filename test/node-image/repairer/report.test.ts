import { describe, expect, it } from 'vitest';
import { newScores, trustFacts } from '#node/core/audit-scores.ts';
import type { FarmerState } from '#node/core/segment-health.ts';
import { farmReportSchema } from '#node/interface/status.ts';
import { farmReport, type ReportFacts } from '#node/repairer/report.ts';
import type { IndexTotals } from '#node/repairer/index-figures.ts';
import { farmConfig } from '#test/node-image/repairer/support/farm-config.ts';

const key = (index: number) => String(index).padStart(64, '0');
const NOTHING: IndexTotals = {
  segments: 0,
  queued: 0,
  crowded: 0,
  byState: { Healthy: 0, Degraded: 0, AtRisk: 0, Unreadable: 0 },
  margin: null,
  byScheme: {},
};

function facts(some: Partial<ReportFacts> & { lost?: number[] } = {}): ReportFacts {
  return {
    version: '1',
    repairer: 'e'.repeat(64),
    startedMs: 1,
    nowMs: 100,
    config: farmConfig({ states: Array.from({ length: 6 }, () => 'Active' as const) }),
    readThroughMs: 90,
    totals: NOTHING,
    replicaSets: [],
    stateOf: (farmer): FarmerState => ((some.lost ?? []).map(key).includes(farmer) ? 'Lost' : 'Online'),
    trustOf: () => trustFacts(newScores(), 100),
    lastSeenMs: () => 99,
    countsOf: () => ({ pieces: 0, pieceBytes: 0, piecesToMove: 0 }),
    holdingsOf: () => undefined,
    warranted: new Set(),
    ownersWithoutWarrant: 0,
    repairedPieces: 0,
    repairedBytes: 0,
    ...some,
  };
}

describe('farm report', () => {
  it('of an empty farm is healthy, with the scheme’s promise as margin, and fits the contract', () => {
    const report = farmReport(facts());
    expect(farmReportSchema.parse(report)).toEqual(report);
    expect(report).toMatchObject({ state: 'Healthy', margin: 2, segments: 0, readThroughMs: 90 });
    expect(report.farmers.map(({ farmer, state }) => [farmer, state])).toEqual(
      [0, 1, 2, 3, 4, 5].map((index) => [key(index), 'Online']),
    );
  });

  it('is unknown before every log was read, and without a configuration', () => {
    expect(farmReport(facts({ readThroughMs: 0 })).state).toBe('Unknown');
    // An owner whose logs can't be read any more: what was true a minute ago promises nothing.
    expect(farmReport(facts({ nowMs: 90 + 60_001 })).state).toBe('Unknown');
    const bare = farmReport(facts({ config: null, readThroughMs: 0 }));
    expect(farmReportSchema.parse(bare)).toMatchObject({ state: 'Unknown', farmUid: '', farmers: [] });
  });

  it('takes the worst of segments and logs', () => {
    const totals: IndexTotals = {
      segments: 9,
      queued: 2,
      crowded: 0,
      byState: { Healthy: 7, Degraded: 2, AtRisk: 0, Unreadable: 0 },
      margin: 1,
      byScheme: { '4/5/6/6': 9 },
    };
    expect(farmReport(facts({ totals }))).toMatchObject({
      state: 'Degraded',
      margin: 1,
      segments: 9,
      segmentsQueued: 2,
      segmentsByScheme: { '4/5/6/6': 9 },
    });
    const replicaSets = [{ f: 2, members: [0, 1, 2, 3, 4].map(key), former: [] }];
    expect(farmReport(facts({ totals, replicaSets, lost: [0, 1] }))).toMatchObject({ state: 'AtRisk', margin: 0 });
    expect(farmReport(facts({ totals, replicaSets, lost: [0, 1, 2] }))).toMatchObject({ state: 'Unreadable', margin: -1 });
    const byState = { Healthy: 7, Degraded: 0, AtRisk: 0, Unreadable: 2 };
    expect(farmReport(facts({ totals: { ...totals, byState, margin: -2 }, replicaSets }))).toMatchObject({
      state: 'Unreadable',
      margin: -2,
      segmentsUnreadable: 2,
    });
  });

  it('gives the operator every fact of a drain', () => {
    const report = farmReport(
      facts({
        replicaSets: [
          { f: 1, members: [key(0), key(1), key(2)], former: [] },
          { f: 1, members: [key(2), key(3), key(4)], former: [key(1)] },
        ],
        countsOf: (farmer) =>
          farmer === key(2) ? { pieces: 8, pieceBytes: 800, piecesToMove: 3 } : { pieces: 0, pieceBytes: 0, piecesToMove: 0 },
        warranted: new Set(['aa']),
        holdingsOf: (farmer) =>
          farmer === key(2)
            ? {
                owners: [
                  { owner: 'aa', pieces: 8 },
                  { owner: 'bb', pieces: 5 },
                  { owner: 'cc', pieces: 1 },
                ],
                cordonedMs: 44,
              }
            : undefined,
        ownersWithoutWarrant: 2,
      }),
    );
    expect(report.farmers[2]).toMatchObject({
      farmer: key(2),
      state: 'Online',
      lastSeenMs: 99,
      pieces: 8,
      pieceBytes: 800,
      piecesToMove: 3,
      replicaSets: 2,
      unwarrantedPieces: 6,
      cordonedMs: 44,
    });
    expect([0, 1, 3].map((i) => report.farmers[i]?.replicaSets)).toEqual([1, 2, 1]);
    expect(report.farmers[5]).toMatchObject({ replicaSets: 0, unwarrantedPieces: 0, cordonedMs: null });
    expect(report.ownersWithoutWarrant).toBe(2);
  });
});
