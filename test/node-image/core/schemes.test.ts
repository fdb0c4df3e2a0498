import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultScheme, promiseOf, replicaCount, schemeForAnswering, schemeProblem } from '#node/core/schemes.ts';
import type { Scheme } from '#node/wire/types.ts';

const shown = ({ required, repair, optimal, total }: Scheme) => `${required}/${repair}/${optimal}/${total}`;

const validScheme = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.nat(10), fc.nat(8), fc.nat(6))
  .map(([required, spare, promised, rest]) => {
    const optimal = required + promised;
    const floor = required + Math.min(4, promised) - 1;
    const repair = Math.min(optimal, Math.max(required, floor + spare));
    return { required, repair, optimal, total: optimal + rest };
  });

describe('schemes', () => {
  it.each([
    [1, '1/1/1/1'],
    [2, '1/1/2/2'],
    [3, '2/2/3/3'],
    [4, '2/3/4/4'],
    [5, '3/4/5/5'],
    [6, '4/5/6/6'],
    [30, '4/5/6/6'],
    [31, '6/8/9/10'],
    [250, '6/8/9/10'],
    [251, '8/11/12/14'],
    [5000, '8/11/12/14'],
  ])('%i farmers: %s', (farmers, numbers) => {
    expect(shown(defaultScheme(farmers))).toBe(numbers);
  });

  it('every default is sound on its farm', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), (farmers) => {
        expect(schemeProblem(defaultScheme(farmers), farmers)).toBeNull();
      }),
    );
  });

  it('the promise is at most 4', () => {
    expect(promiseOf({ required: 29, repair: 35, optimal: 65, total: 80 })).toBe(4);
    expect(promiseOf(defaultScheme(6))).toBe(2);
    expect(promiseOf(defaultScheme(1))).toBe(0);
  });

  it.each([
    [6, '4/5/6/6'],
    [5, '3/4/5/5'],
    [4, '2/3/4/4'],
    [3, '1/2/3/3'],
  ])('4/5/6/6 with %i that answer: %s', (answering, numbers) => {
    const scheme = schemeForAnswering(defaultScheme(6), answering);
    expect(scheme && shown(scheme)).toBe(numbers);
  });

  it('keeps the promise with whoever answers, or refuses below f + 1', () => {
    fc.assert(
      fc.property(validScheme, fc.integer({ min: 0, max: 60 }), (scheme, answering) => {
        const f = promiseOf(scheme);
        const chosen = schemeForAnswering(scheme, answering);
        if (answering < f + 1) {
          expect(chosen).toBeNull();
          return;
        }
        expect(schemeProblem(chosen!, answering)).toBeNull();
        expect(promiseOf(chosen!)).toBeGreaterThanOrEqual(f);
        expect(chosen!.total).toBe(Math.min(scheme.total, answering));
      }),
    );
  });

  it('names what is wrong', () => {
    expect(schemeProblem({ required: 4, repair: 3, optimal: 6, total: 6 }, 6)).toContain('required ≤ repair');
    expect(schemeProblem({ required: 4, repair: 4, optimal: 6, total: 6 }, 6)).toContain('repair must be at least 5');
    expect(schemeProblem({ required: 4, repair: 5, optimal: 6, total: 6 }, 5)).toContain('needs 6 farmers; there are 5');
    expect(schemeProblem({ required: 0, repair: 5, optimal: 6, total: 6 }, 6)).toContain('from 1 to 255');
    expect(schemeProblem({ required: 4, repair: 5, optimal: 6, total: 300 }, 600)).toContain('from 1 to 255');
  });

  it('replicas: 2f + 1, or all farmers where there are fewer', () => {
    expect([replicaCount(2, 6), replicaCount(2, 4), replicaCount(0, 1), replicaCount(4, 100)]).toEqual([5, 4, 1, 9]);
  });
});
