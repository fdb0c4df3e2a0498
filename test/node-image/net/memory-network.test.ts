import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { CallError } from '#node/net/net.ts';
import { memoryNet } from '#node/net/memory-network.ts';
import { collect } from '#node/wire/framing.ts';
import { networkExam } from '#test/suites/network.ts';

networkExam('memory', async () => {
  const net = memoryNet();
  return {
    serve: async (key, service) => net.attach(key.publicKey, service),
    kill: async ({ farmer }) => net.detach(farmer),
    network: async (key) => net.network(key.publicKey),
    stop: async () => {},
  };
});

const echo = {
  handle: async (_from: string, call: { body?: AsyncIterable<Uint8Array> }) => {
    const body = await collect(call.body, 1e6);
    return {
      head: new Uint8Array(0),
      body: (async function* () {
        yield body;
      })(),
    };
  },
};
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: unknown) => (error as CallError).code,
  );
const bytes = async function* () {
  yield Uint8Array.of(1, 2, 3, 4);
};

it('does to a call what its faults say', async () => {
  const waits: number[] = [];
  const net = memoryNet({ sleep: async (delayMs) => (waits.push(delayMs), await sleep(0)) });
  const to = net.attach('ab', echo);
  const network = net.network('cd');
  const call = async () => {
    const answer = await network.call(
      to,
      { operation: 'piece.get', head: new Uint8Array(0), body: bytes() },
      AbortSignal.timeout(30),
    );
    return [...(await collect(answer.body, 1000))];
  };

  net.faultOf = () => ({ kind: 'refuse' });
  expect(await code(call())).toBe('Unreachable');
  net.faultOf = () => ({ kind: 'hang' });
  expect(await code(call())).toBe('Unreachable');
  net.faultOf = () => ({ kind: 'cut-request', afterBytes: 2 });
  expect(await code(call())).toBe('Unreachable');
  net.faultOf = () => ({ kind: 'cut-answer', afterBytes: 3 });
  expect(await code(call())).toBe('Unreachable');
  net.faultOf = () => ({ kind: 'flip-answer', atByte: 2 });
  expect(await call()).toEqual([1, 2, 2, 4]);
  net.faultOf = ({ from, to: at, operation }) =>
    from === 'cd' && at === 'ab' && operation === 'piece.get' ? { kind: 'delay', delayMs: 77 } : undefined;
  expect(await call()).toEqual([1, 2, 3, 4]);
  expect(waits).toEqual([77]);
});
