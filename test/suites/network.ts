// The exam of every network: what callers and services may rely on, whatever carries their calls.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import { CallError, WholeBody, type Answer, type Call, type FarmerAddress, type Network, type Service } from '#node/net/net.ts';
import { collect } from '#node/wire/framing.ts';

export interface NetworkUnderTest {
  /** Starts a peer that answers. */
  serve(key: KeyPair, service: Service): Promise<FarmerAddress>;
  /** Ends it at once, with whatever it is doing. */
  kill(address: FarmerAddress): Promise<void>;
  network(key: KeyPair): Promise<Network>;
  /** Ends everything. */
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;
const newKey = () => keyPairFromSeed(new Uint8Array(randomBytes(32)));
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: unknown) => (error instanceof CallError ? error.code : `not a CallError: ${String(error)}`),
  );
const never = new AbortController().signal;
const ask = (call: Partial<Call> = {}): Call => ({ operation: 'piece.get', head: new Uint8Array(0), ...call });

export function networkExam(name: string, create: () => Promise<NetworkUnderTest>): void {
  describe(`network: ${name}`, () => {
    let net: NetworkUnderTest;
    let [server, client] = [newKey(), newKey()];
    let network: Network;
    const serve = (handle: Service['handle']) => net.serve(server, { handle });

    beforeEach(async () => {
      net = await create();
      [server, client] = [newKey(), newKey()];
      network = await net.network(client);
    });
    afterEach(async () => {
      await network.close();
      await net.stop();
    });

    it('carries operation, head and body there, head and body back, and who asks', async () => {
      const seen: unknown[] = [];
      const to = await serve(async (from, call) => {
        seen.push(from, call.operation, [...call.head], [...(await collect(call.body, MIB))]);
        return { head: Uint8Array.of(9, 8, 0), body: chunks(Uint8Array.of(1), Uint8Array.of(2, 3)) };
      });

      const answer = await network.call(
        to,
        ask({ operation: 'log.append', head: Uint8Array.of(0, 255), body: chunks(Uint8Array.of(7, 7)) }),
        never,
      );
      await network.call(to, ask({ body: new WholeBody(Uint8Array.of(6, 6, 6)) }), never);

      expect([...answer.head]).toEqual([9, 8, 0]);
      expect([...(await collect(answer.body, MIB))]).toEqual([1, 2, 3]);
      expect(seen.slice(0, 4)).toEqual([client.publicKey, 'log.append', [0, 255], [7, 7]]);
      expect(seen.slice(4)).toEqual([client.publicKey, 'piece.get', [], [6, 6, 6]]);
    });

    it('carries large bodies both ways unchanged', async () => {
      const payload = new Uint8Array(randomBytes(5 * MIB + 17));
      const to = await serve(async (_from, call) => {
        const body = await collect(call.body, 8 * MIB);
        return { head: new Uint8Array(0), body: pieces(body, 70_000) };
      });

      const answer = await network.call(to, ask({ body: pieces(payload, 300_000) }), never);

      expect(Buffer.compare(await collect(answer.body, 8 * MIB), payload)).toBe(0);
    });

    it('answers without a body, many at once', async () => {
      const to = await serve(async (_from, call) => ({ head: call.head }));

      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, i) => network.call(to, ask({ head: Uint8Array.of(i) }), never)),
      );

      expect(answers.map(({ head }) => head[0])).toEqual(Array.from({ length: 40 }, (_, i) => i));
    });

    it('carries refusals with code, message and detail', async () => {
      const to = await serve(async () => {
        throw new CallError('Conflict', 'The log ends at 5 here.', { detail: Uint8Array.of(5, 0, 1) });
      });

      const error = await network.call(to, ask({ body: chunks(new Uint8Array(10)) }), never).catch((reason: unknown) => reason);

      expect(error).toBeInstanceOf(CallError);
      expect(error).toMatchObject({ code: 'Conflict', message: 'The log ends at 5 here.' });
      expect([...(error as CallError).detail]).toEqual([5, 0, 1]);
    });

    it('carries a refusal that comes before the body is read, and works on', async () => {
      const to = await serve(async (_from, call) => {
        if (call.operation === 'piece.put') throw new CallError('Full', 'No space.');
        return { head: Uint8Array.of(1) };
      });

      for (let i = 0; i < 5; i++) {
        const body = pieces(new Uint8Array(4 * MIB), 65_536);
        expect(await refusal(network.call(to, ask({ operation: 'piece.put', body }), never))).toBe('Full');
      }
      expect((await network.call(to, ask(), never)).head[0]).toBe(1);
    });

    it("keeps a service's failure to itself", async () => {
      const to = await serve(async () => {
        throw new Error('secret detail');
      });

      const error = await network.call(to, ask(), never).catch((reason: unknown) => reason);

      expect(error).toMatchObject({ code: 'Unavailable' });
      expect((error as Error).message).not.toContain('secret');
    });

    it('refuses another peer than the expected one', async () => {
      const to = await serve(async () => ({ head: new Uint8Array(0) }));

      expect(await refusal(network.call({ ...to, farmer: newKey().publicKey }, ask(), never))).toBe('WrongPeer');
    });

    it('says Unreachable where nobody is', async () => {
      const to = await serve(async () => ({ head: new Uint8Array(0) }));
      await net.kill(to);

      expect(await refusal(network.call(to, ask(), never))).toBe('Unreachable');
    });

    it('gives up by its own signal: Aborted when we will, Unreachable when time is over', async () => {
      const to = await serve(() => new Promise<Answer>(() => {}));
      const stop = new AbortController();

      const aborted = refusal(network.call(to, ask(), stop.signal));
      stop.abort();

      expect(await aborted).toBe('Aborted');
      expect(await refusal(network.call(to, ask(), AbortSignal.timeout(20)))).toBe('Unreachable');
      expect(await refusal(network.call(to, ask(), AbortSignal.abort()))).toBe('Aborted');
    });

    it('tells the service when the caller has gone', async () => {
      let gone: Promise<void> | undefined;
      const started = Promise.withResolvers<void>();
      const to = await serve((_from, _call, signal) => {
        gone = new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        started.resolve();
        return new Promise<Answer>(() => {});
      });
      const stop = new AbortController();
      const call = refusal(network.call(to, ask(), stop.signal));
      await started.promise;

      stop.abort();

      await call;
      await gone;
    });

    it('breaks the answer of a peer that dies in the middle', async () => {
      const to = await serve(async () => ({ head: new Uint8Array(0), body: endless() }));
      const answer = await network.call(to, ask(), never);
      const iterator = answer.body![Symbol.asyncIterator]();
      await iterator.next();

      await net.kill(to);

      expect(await refusal(readAll(iterator))).toBe('Unreachable');
    });

    it('breaks the answer of a service that fails in the middle, rather than end it early', async () => {
      const to = await serve(async () => ({ head: new Uint8Array(0), body: failing() }));

      const answer = await network.call(to, ask(), never);

      const code = await refusal(collect(answer.body, 64 * MIB));
      expect(['Unreachable', 'Unavailable', 'Corrupt']).toContain(code);
    });

    it('frees what an unwanted answer holds, read a little or not at all', async () => {
      const returned: string[] = [];
      const done = Promise.withResolvers<void>();
      const to = await serve(async (_from, call) => ({
        head: new Uint8Array(0),
        body: endless(() => {
          returned.push(String(call.head[0]));
          if (returned.length === 2) done.resolve();
        }),
      }));
      const [unread, little] = await Promise.all([0, 1].map((i) => network.call(to, ask({ head: Uint8Array.of(i) }), never)));
      await little!.body![Symbol.asyncIterator]().next();

      await unread!.body![Symbol.asyncIterator]().return!();
      await little!.body![Symbol.asyncIterator]().return!();

      await done.promise;
      expect(returned.toSorted()).toEqual(['0', '1']);
    });

    it('holds back a service whose reader is slow', async () => {
      let sentBytes = 0;
      const to = await serve(async () => ({
        head: new Uint8Array(0),
        body: endless(undefined, (bytes) => (sentBytes += bytes)),
      }));
      const answer = await network.call(to, ask(), never);
      const iterator = answer.body![Symbol.asyncIterator]();
      await iterator.next();

      let before = -1;
      while (before !== sentBytes) {
        before = sentBytes;
        await new Promise((resolve) => setTimeout(resolve, 150));
      }

      expect(sentBytes).toBeLessThan(32 * MIB);
      await iterator.return!();
    });

    it('serves nobody after it was closed', async () => {
      const to = await serve(async () => ({ head: new Uint8Array(0) }));
      await network.call(to, ask(), never);

      await network.close();

      expect(await refusal(network.call(to, ask(), never))).toBe('Aborted');
    });
  });
}

async function* chunks(...parts: Uint8Array[]) {
  yield* parts;
}
async function* pieces(bytes: Uint8Array, chunkBytes: number) {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
async function* failing() {
  yield new Uint8Array(100_000);
  throw new Error('disk broke');
}
/** Written out: what `return` does before the first byte matters here. */
function endless(onReturn: () => void = () => {}, onSend: (bytes: number) => void = () => {}): AsyncIterableIterator<Uint8Array> {
  let isReturned = false;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (isReturned) return { done: true, value: undefined };
      await new Promise(setImmediate);
      onSend(65_536);
      return { done: false, value: new Uint8Array(65_536) };
    },
    async return() {
      if (!isReturned) onReturn();
      isReturned = true;
      return { done: true, value: undefined };
    },
  };
}
async function readAll(iterator: AsyncIterator<Uint8Array>): Promise<void> {
  while (!(await iterator.next()).done);
}
