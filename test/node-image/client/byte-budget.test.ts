import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { byteBudget } from '#node/client/byte-budget.ts';

const signal = new AbortController().signal;

describe('a budget of bytes', () => {
  it('never lends more than it has, serves in line and loses nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 30 }),
        async (limit, wishes) => {
          const budget = byteBudget(limit);
          const served: number[] = [];
          await Promise.all(
            wishes.map(async (wish, i) => {
              await budget.take(wish, signal);
              served.push(i);
              // One that is larger than all there is gets it alone.
              expect(budget.usedBytes <= limit || budget.usedBytes === wish).toBe(true);
              const more = budget.tryTake(1) ? 1 : 0;
              await Promise.resolve();
              budget.give(wish + more);
            }),
          );
          expect(served).toEqual(wishes.map((_, i) => i));
          expect(budget.usedBytes).toBe(0);
        },
      ),
    );
  });

  it('lets nobody take more while others wait for their first bytes', async () => {
    const budget = byteBudget(10);
    await budget.take(6, signal);
    const waiting = budget.take(6, signal);
    expect(budget.tryTake(1)).toBe(false);
    budget.give(6);
    await waiting;
    expect(budget.tryTake(4)).toBe(true);
    expect(budget.tryTake(1)).toBe(false);
  });

  it('forgets who gives up waiting', async () => {
    const budget = byteBudget(10);
    await budget.take(10, signal);
    const abort = new AbortController();
    const impatient = budget.take(10, abort.signal);
    const patient = budget.take(1, signal);
    abort.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    budget.give(10);
    await patient;
    expect(budget.usedBytes).toBe(1);
  });
});
