import { describe, expect, it } from 'vitest';
import { nextRedundancy, type RedundancyInput } from '#operator/farm/redundancy.ts';

const base: RedundancyInput = { spec: undefined, wanted: 6, existing: 6, active: 6, inForce: undefined };
const six = { required: 4, repair: 5, optimal: 6, total: 6 };

describe('the scheme for new writes', () => {
  it('follows the smaller of wanted and met', () => {
    expect(nextRedundancy(base).scheme).toEqual(six);
    expect(nextRedundancy({ ...base, active: 3 }).scheme).toEqual({ required: 2, repair: 2, optimal: 3, total: 3 });
    expect(nextRedundancy({ ...base, active: 0 }).scheme).toEqual({ required: 1, repair: 1, optimal: 1, total: 1 });
    expect(nextRedundancy({ ...base, wanted: 4, existing: 4, active: 6 }).scheme.total).toBe(4);
  });

  it('is what the spec says, if there are farmers for it', () => {
    const spec = { required: 2, repair: 3, optimal: 4, total: 5 };
    expect(nextRedundancy({ ...base, spec })).toEqual({ scheme: spec, isFinal: true });
    const unmet = nextRedundancy({ ...base, spec: { ...spec, total: 7 }, inForce: six });
    expect(unmet.scheme).toEqual(six);
    expect(unmet.problem?.reason).toBe('RedundancyUnmet');
  });

  it('keeps the promise while a shrink would lower it', () => {
    const answer = nextRedundancy({ ...base, wanted: 3, inForce: six });
    expect(answer.scheme).toEqual(six);
    expect(answer.problem?.message).toContain('{"required":2,"repair":2,"optimal":3,"total":3}');
  });

  it('lets a shrink go on that keeps it', () => {
    expect(nextRedundancy({ ...base, wanted: 4, existing: 8 })).toEqual({
      scheme: { required: 2, repair: 3, optimal: 4, total: 4 },
      isFinal: true,
    });
  });

  it('is a stopgap while farmers are missing, or while something forbids what the spec asks for', () => {
    expect(nextRedundancy(base).isFinal).toBe(true);
    expect(nextRedundancy({ ...base, active: 5 }).isFinal).toBe(false);
    expect(nextRedundancy({ ...base, wanted: 3, inForce: six }).isFinal).toBe(false);
    expect(nextRedundancy({ ...base, spec: { ...six, total: 7, optimal: 7 }, inForce: six }).isFinal).toBe(false);
    // Eight are wanted and six are there: it is the same scheme.
    expect(nextRedundancy({ ...base, wanted: 8, active: 6 }).isFinal).toBe(true);
  });
});
