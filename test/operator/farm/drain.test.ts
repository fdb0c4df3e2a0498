import { describe, expect, it } from 'vitest';
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import { isProven, isQuiet, shrinkProblem, type QuietFacts } from '#operator/farm/drain.ts';

const entry = { farmer: 'f', state: 'Leaving', pieces: 3, piecesToMove: 0, replicaSets: 0, unwarrantedPieces: 0, cordonedMs: 5 };
const report = (over: object = {}, more: object = {}) =>
  ({ atMs: 100, readThroughMs: 90, segmentsByScheme: {}, farmers: [{ ...entry, ...over }], ...more }) as unknown as FarmReport;

const quiet: QuietFacts = {
  leavingSince: 7,
  hasBridge: true,
  bridge: { generation: 7, oldestTransferGeneration: 7 } as BridgeStatus,
  farmer: { farmer: 'f', cordonedMs: 5, transfersInFlight: 0 } as FarmerStatus,
  isReady: true,
  report: report(),
};

describe('quiet', () => {
  it('needs everything', () => {
    expect(isQuiet('f', quiet)).toEqual({ done: true });
  });

  it.each<[string, Partial<QuietFacts>]>([
    ['nothing was published', { leavingSince: undefined }],
    ['the farmer takes pieces', { farmer: { ...quiet.farmer!, cordonedMs: null } }],
    ['transfers run', { farmer: { ...quiet.farmer!, transfersInFlight: 1 } }],
    ['another answers', { farmer: { ...quiet.farmer!, farmer: 'g' } }],
    ['a ready farmer does not answer', { farmer: undefined }],
    ['the bridge is not known', { bridge: undefined }],
    ['the bridge has an older roster', { bridge: { ...quiet.bridge!, generation: 6 } }],
    ['an older upload runs', { bridge: { ...quiet.bridge!, oldestTransferGeneration: 6 } }],
    ['there is no report', { report: undefined }],
  ])('not while %s', (_, over) => {
    expect(isQuiet('f', { ...quiet, ...over }).done).toBe(false);
  });

  it('a farmer that is down takes nothing', () => {
    expect(isQuiet('f', { ...quiet, farmer: undefined, isReady: false })).toEqual({ done: true });
  });

  it('without a bridge nobody sends anything', () => {
    expect(isQuiet('f', { ...quiet, hasBridge: false, bridge: undefined })).toEqual({ done: true });
  });
});

describe('proof', () => {
  it('is what was read after all was quiet', () => {
    expect(isProven('f', { report: report(), floorMs: 80 })).toEqual({ done: true });
    expect(isProven('f', { report: report(), floorMs: 90 }).done).toBe(false);
    expect(isProven('f', { report: report(), floorMs: undefined }).done).toBe(false);
  });

  it.each<[string, object]>([
    ['pieces', { piecesToMove: 1 }],
    ['logs', { replicaSets: 1 }],
    ['strangers', { unwarrantedPieces: 1 }],
    ['a repairer that does not know', { state: 'Online' }],
    ['another farmer', { farmer: 'g' }],
  ])('not with %s', (_, over) => {
    expect(isProven('f', { report: report(over), floorMs: 80 }).done).toBe(false);
  });

  it('not without a report', () => {
    expect(isProven('f', { report: undefined, floorMs: 80 }).done).toBe(false);
  });
});

describe('a shrink', () => {
  it('needs as many farmers as any segment has pieces', () => {
    const segments = report({}, { segmentsByScheme: { '4/5/6/6': 3, '6/8/9/10': 2, '8/11/12/14': 0 } });
    expect(shrinkProblem(9, segments, true)).toBeUndefined();
    expect(shrinkProblem(8, segments, true)).toMatchObject({ reason: 'SegmentsRewriting' });
    expect(shrinkProblem(8, segments, true)?.message).toContain('2 segments keep pieces on 9');
    expect(shrinkProblem(8, segments, false)).toMatchObject({ reason: 'SegmentsNeedFarmers' });
    expect(shrinkProblem(8, segments, false)?.message).toContain('spec.bridge.replicas');
    expect(shrinkProblem(8, report({}, { segmentsByScheme: { nonsense: 1 } }), true)).toBeDefined();
    expect(shrinkProblem(8, undefined, true)).toMatchObject({ reason: 'ReportMissing' });
  });
});
