import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { QueueOptions, WorkQueue } from '#operator/runtime/queue.ts';
import { createWorkQueue } from '#operator/runtime/queue.ts';
import { createFakeClock, settle, type FakeClock } from './fake-clock.ts';

function given(options: Pick<QueueOptions, 'retryRate' | 'backoff'> = {}): { queue: WorkQueue; clock: FakeClock } {
  const clock = createFakeClock();
  // Dice that always fall in the middle: no jitter.
  return { clock, queue: createWorkQueue({ clock, random: () => 0.5, backoff: { baseMs: 10, maxMs: 1000 }, ...options }) };
}

/** Takes and gives back all that waits. */
async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) {
    const key = (await queue.next()) ?? '';
    keys.push(key);
    queue.done(key);
  }
  return keys;
}

describe('queue', () => {
  test('a key is there once, however often it is added', async () => {
    const { queue } = given();
    for (const key of ['a', 'b', 'a', 'a', 'b']) queue.add(key);
    expect(await drain(queue)).toEqual(['a', 'b']);
  });

  test('a key in hand isn’t given to another worker, and comes back afterwards', async () => {
    const { queue } = given();
    queue.add('a');
    expect(await queue.next()).toBe('a');
    const other = queue.next();
    queue.add('a');
    queue.add('a');
    queue.add('b');
    expect(await other).toBe('b');
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(await drain(queue)).toEqual(['a']);
  });

  test('waiting workers get keys in the order in which they asked', async () => {
    const { queue } = given();
    const workers = [queue.next(), queue.next()];
    queue.add('a');
    queue.add('b');
    expect(await Promise.all(workers)).toEqual(['a', 'b']);
  });

  test('of two later times the earlier one counts', async () => {
    const { queue, clock } = given();
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 200);
    await clock.advance(49);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await drain(queue)).toEqual(['a']);
    await clock.advance(1000);
    expect(queue.depth).toBe(0);
    expect(clock.timers).toBe(0);
  });

  test('pauses double up to their bound, and start anew after forget', async () => {
    const { queue, clock } = given();
    const pauses: number[] = [];
    for (let failure = 0; failure < 9; failure += 1) {
      const startMs = clock.monotonicMs();
      queue.addRateLimited('a');
      while (queue.depth === 0) await clock.advance(5);
      pauses.push(clock.monotonicMs() - startMs);
      await drain(queue);
    }
    expect(pauses).toEqual([10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    expect(queue.failures('a')).toBe(9);
    queue.forget('a');
    queue.addRateLimited('a');
    await clock.advance(10);
    expect(await drain(queue)).toEqual(['a']);
  });

  test('a key that fails comes back soon after a change, but not with each one', async () => {
    const { queue, clock } = given({ backoff: { baseMs: 60_000, maxMs: 60_000 } });
    queue.addRateLimited('a');
    let attempts = 0;
    for (let change = 0; change < 40; change += 1) {
      queue.add('a');
      await clock.advance(100);
      if (queue.depth === 0) continue;
      expect(await queue.next()).toBe('a');
      attempts += 1;
      // Changed in hand, too.
      queue.add('a');
      queue.addRateLimited('a');
      queue.done('a');
    }
    expect(attempts).toBe(2);
    queue.forget('a');
    queue.add('a');
    expect(queue.depth).toBe(1);
  });

  test('all keys together retry at a bounded rate', async () => {
    const { queue, clock } = given({ retryRate: { burst: 2, perSecond: 1 } });
    for (const key of ['a', 'b', 'c', 'd']) queue.addRateLimited(key);
    await clock.advance(10);
    expect(await drain(queue)).toEqual(['a', 'b']);
    await clock.advance(990);
    expect(await drain(queue)).toEqual(['c']);
    await clock.advance(1000);
    expect(await drain(queue)).toEqual(['d']);
  });

  test('after its shutdown nothing goes in or out, and no timer is left', async () => {
    const { queue, clock } = given();
    const idle = queue.next();
    queue.addAfter('later', 100);
    queue.shutDown();
    queue.add('a');
    queue.addAfter('b', 10);
    await clock.advance(1000);
    expect([await idle, await queue.next(), queue.depth, clock.timers]).toEqual([undefined, undefined, 0, 0]);
  });

  test('giving back what isn’t in hand is a mistake', () => {
    expect(() => given().queue.done('a')).toThrow(/isn't in hand/);
  });

  test('whatever happens, no key is with two workers, and none that was added last is lost', async () => {
    const step = fc.record({
      do: fc.constantFrom('add', 'later', 'retry', 'take', 'give', 'wait'),
      key: fc.constantFrom('a', 'b', 'c'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { queue, clock } = given();
        const inHand = new Set<string>();
        const owed = new Set<string>();
        const take = async (): Promise<void> => {
          if (queue.depth === 0) return;
          const key = (await queue.next()) ?? '';
          expect(inHand.has(key)).toBe(false);
          inHand.add(key);
          owed.delete(key);
        };
        for (const { do: what, key } of steps) {
          if (what === 'take') await take();
          else if (what === 'wait') await clock.advance(30);
          else if (what === 'give') {
            if (inHand.delete(key)) queue.done(key);
          } else {
            owed.add(key);
            if (what === 'add') queue.add(key);
            else if (what === 'later') queue.addAfter(key, 20);
            else queue.addRateLimited(key);
          }
        }
        for (const key of inHand) queue.done(key);
        inHand.clear();
        await clock.advance(5000);
        const last = await drain(queue);
        expect(new Set([...last, ...owed])).toEqual(new Set(last));
      }),
      { numRuns: 60 },
    );
  });

  test('what is measured is what happened', async () => {
    const clock = createFakeClock();
    const seen: string[] = [];
    const metrics = {
      added: (depth: number) => seen.push(`added ${depth}`),
      taken: (queuedMs: number, depth: number) => seen.push(`taken ${queuedMs} ${depth}`),
      done: (workedMs: number) => seen.push(`done ${workedMs}`),
      retried: () => seen.push('retried'),
    };
    const queue = createWorkQueue({ clock, random: () => 0.5, metrics });
    queue.add('a');
    await clock.advance(7);
    await queue.next();
    await clock.advance(4);
    expect(queue.workingSinceMs()).toEqual([7]);
    queue.done('a');
    queue.addRateLimited('a');
    await settle();
    expect(seen).toEqual(['added 1', 'taken 7 0', 'done 4', 'retried']);
  });
});
