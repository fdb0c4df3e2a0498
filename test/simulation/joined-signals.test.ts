import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import './joined-signals.ts';

describe('joined signals', () => {
  it('fire once, with the reason of the first that does', () => {
    const [a, b] = [new AbortController(), new AbortController()];
    const joined = AbortSignal.any([a.signal, b.signal]);
    let fired = 0;
    joined.addEventListener('abort', () => fired++);
    b.abort('b');
    a.abort('a');
    expect([joined.aborted, joined.reason, fired]).toEqual([true, 'b', 1]);
  });

  it('are over from the start where one is', () => {
    const joined = AbortSignal.any([new AbortController().signal, AbortSignal.abort('gone')]);
    expect([joined.aborted, joined.reason]).toEqual([true, 'gone']);
  });

  it('follow through a chain, and listeners may join others meanwhile', () => {
    const first = new AbortController();
    const second = AbortSignal.any([first.signal]);
    const third = AbortSignal.any([second, new AbortController().signal]);
    const seen: unknown[] = [];
    second.addEventListener('abort', () => seen.push(AbortSignal.any([first.signal]).aborted));
    first.abort('over');
    expect([third.aborted, third.reason, seen]).toEqual([true, 'over', [true]]);
  });

  it('that nobody follows any more are forgotten', async () => {
    const held = new WeakRef(joinedWithListener());
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let i = 0; i < 50 && held.deref() !== undefined; i++) {
      await wait(1);
      collect();
    }
    expect(held.deref()).toBeUndefined();
  });
});

function joinedWithListener(): AbortSignal {
  const joined = AbortSignal.any([new AbortController().signal]);
  joined.addEventListener('abort', () => {});
  return joined;
}
