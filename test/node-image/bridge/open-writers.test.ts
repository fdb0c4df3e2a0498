// What a request meets that comes while the bridge still reads a bucket from the farmers.
import { expect, it } from 'vitest';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { createOpenWriters } from '#node/bridge/open-writers.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { createMemoryFarm } from './memory-farm.ts';

const OWNER = 'a1'.repeat(32);
const BUCKET = 'b2'.repeat(16);
const access = { owner: OWNER, accountSecret: new Uint8Array(32) };
const never = new AbortController().signal;

function start() {
  const farm = createMemoryFarm();
  farm.away = true;
  const limit = new AbortController();
  let sleeps = 0;
  const runtime = {
    ...systemRuntime,
    sleep: () => new Promise<void>((resolve) => setImmediate(resolve)).then(() => void sleeps++),
    deadline: (_: number, ...signals: AbortSignal[]) => AbortSignal.any([limit.signal, ...signals]),
  };
  const writers = createOpenWriters({ catalog: createMemoryCatalog(), farm, runtime });
  const tries = (count: number) => expect.poll(() => sleeps, { interval: 1 }).toBeGreaterThan(count);
  return { farm, writers, limit, tries };
}

it('waits until the farmers answer, also where nothing has begun to read the bucket yet', async () => {
  const { farm, writers, tries } = start();
  const waiting = writers.untilReady(OWNER, BUCKET, never);
  await tries(3);
  void writers.serve(access, BUCKET, never).catch(() => undefined);
  await tries(10);
  expect(() => writers.ready(OWNER, BUCKET)).toThrow('still reading');
  farm.away = false;
  await waiting;
  expect(writers.ready(OWNER, BUCKET).bucketId).toBe(BUCKET);
  expect(writers.untilReady(OWNER, BUCKET, never)).toBeNull();
  await writers.close();
});

it('waits no longer than its limit, no longer than its client, and not beyond the end of the bridge', async () => {
  const { writers, limit, tries } = start();
  void writers.serve(access, BUCKET, never).catch(() => undefined);
  const client = new AbortController();
  const gone = writers.untilReady(OWNER, BUCKET, client.signal);
  const stays = writers.untilReady(OWNER, BUCKET, never);
  await tries(3);
  client.abort(new Error('the client has gone'));
  await expect(gone).rejects.toThrow('the client has gone');
  limit.abort(new Error('10 s are over'));
  await stays;
  expect(() => writers.ready(OWNER, BUCKET)).toThrow('still reading');

  const other = start();
  void other.writers.serve(access, BUCKET, never).catch(() => undefined);
  const atEnd = other.writers.untilReady(OWNER, BUCKET, never);
  await other.tries(3);
  await Promise.all([atEnd, other.writers.close(), writers.close()]);
});
