import { describe, expect, it } from 'vitest';
import { createKeyLocks } from '#node/bridge/key-locks.ts';

const never = () => new AbortController().signal;

describe('key locks', () => {
  it('let one in at a time, in order, and others pass by', async () => {
    const locks = createKeyLocks();
    const order: string[] = [];
    const release = await locks.take(['a'], never);
    const second = locks.take(['a'], never).then((free) => {
      order.push('second');
      free();
    });
    const third = locks.take(['a', 'b'], never).then((free) => {
      order.push('third');
      free();
    });
    (await locks.take(['c'], never))();
    order.push('first');
    release();
    release();
    await Promise.all([second, third, locks.idle()]);
    expect(order).toEqual(['first', 'second', 'third']);
  });

  it('of several names never wait in a circle', async () => {
    const locks = createKeyLocks();
    const work = async (names: string[]) => {
      const free = await locks.take(names, never);
      await new Promise((resolve) => setImmediate(resolve));
      free();
    };
    await Promise.all(Array.from({ length: 50 }, (_, number) => work(number % 2 === 0 ? ['a', 'b'] : ['b', 'a'])));
    await locks.idle();
  });

  it('are given up by who stops waiting, and by him alone', async () => {
    const locks = createKeyLocks();
    const release = await locks.take(['a'], never);
    const aborter = new AbortController();
    const gone = locks.take(['b', 'a'], () => aborter.signal);
    const patient = locks.take(['a'], never);
    aborter.abort(new Error('gone'));
    await expect(gone).rejects.toThrow('gone');
    (await locks.take(['b'], never))();
    release();
    (await patient)();
    await locks.idle();
  });
});
