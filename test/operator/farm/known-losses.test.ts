// The report is not believed beyond what the roster knows: a loss shows at once, and its repair only by the repairer's word.
import { describe, expect, it } from 'vitest';
import type { RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import { withKnownLosses } from '#operator/farm/known-losses.ts';

const farmer = (id: string, state: 'Online' | 'Lost' = 'Online', pieces = 3) =>
  ({ farmer: id, state, pieces, replicaSets: 0 }) as FarmReport['farmers'][number];
const member = (id: string, state: RosterMember['state'] = 'Active') => ({ farmer: id, state }) as RosterMember;
const report = (farmers: FarmReport['farmers'], more: Partial<FarmReport> = {}) =>
  ({ state: 'Healthy', margin: 2, farmers, ...more }) as FarmReport;

describe('withKnownLosses', () => {
  it('leaves a report alone that counts all losses', () => {
    const one = report([farmer('a'), farmer('b', 'Lost')]);
    expect(withKnownLosses(one, [member('a'), member('b', 'Lost')])).toBe(one);
  });

  it('takes one off the margin for each lost farmer that still counts as holder', () => {
    const one = report([farmer('a'), farmer('b'), farmer('c')]);
    expect(withKnownLosses(one, [member('a'), member('b', 'Lost'), member('c')])).toMatchObject({ state: 'Degraded', margin: 1 });
    expect(withKnownLosses(one, [member('a')])).toMatchObject({ state: 'AtRisk', margin: 0 });
  });

  it('misses nobody who has left with proof', () => {
    const left = { ...farmer('b'), state: 'Leaving' as const, piecesToMove: 0 };
    const one = report([farmer('a'), left]);
    expect(withKnownLosses(one, [member('a')])).toBe(one);
    expect(withKnownLosses(report([farmer('a'), { ...left, piecesToMove: 1 }]), [member('a')])).toMatchObject({ margin: 1 });
  });

  it('cares for nothing that held nothing, and hides nothing worse', () => {
    const empty = report([farmer('a'), farmer('b', 'Online', 0)]);
    expect(withKnownLosses(empty, [member('a')])).toBe(empty);
    const worse = report([farmer('a'), farmer('b')], { state: 'Unreadable', margin: -1 });
    expect(withKnownLosses(worse, [member('a')])).toMatchObject({ state: 'Unreadable', margin: -2 });
  });
});
