// Two copies of a writer's state in use at once: each writes a batch of the same number, and at most one of them counts.
import { afterEach, describe, expect, it } from 'vitest';
import { bucketKeys } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { readSince } from '#node/log/checkpoint-reader.ts';
import { readHeads, type SeenHead } from '#node/log/log-reader.ts';
import type { BucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { CallError, type Network } from '#node/net/net.ts';
import { checkpointOf } from './support/checkpoint-of.ts';
import { BUCKET, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from './support/log-world.ts';

let world: LogWorld;
const logs: BucketLog[] = [];
afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.close()));
  await world.stop();
});
const opened = async (log: Promise<BucketLog>) => {
  logs.push(await log);
  return logs.at(-1)!;
};
/** Once it is `cut`, no other farmer than this one gets anything of its logs. */
const reaching = (farmer: string, line: { cut: boolean }) =>
  world.link(world.farm.bridge, (network: Network) => ({
    self: network.self,
    close: () => network.close(),
    call: async (to, call, signal) => {
      if (line.cut && call.operation === 'log.append' && to.farmer !== farmer) throw new CallError('Unreachable', 'Not now.');
      return await network.call(to, call, signal);
    },
  }));

/** A log whose second batch is another one on each of two farmers; the third has none. */
async function forkedLog(): Promise<string> {
  world = await startLogWorld({ farmers: 3 });
  const state = memoryState();
  const log = await opened(world.open({ state }));
  await log.append([putEntry('first')], NOTHING);
  await expect.poll(() => log.upToDate().length).toBe(3);
  await log.close();
  const line = { cut: false };
  const copies = [memoryState(structuredClone(state.saved)), memoryState(structuredClone(state.saved))];
  const [left, right] = await Promise.all(
    copies.map((copy, i) => opened(world.open({ state: copy, link: reaching(log.set().members[i]!, line), patienceMs: 300 }))),
  );
  line.cut = true;
  for (const [one, key] of [
    [left!, 'left'],
    [right!, 'right'],
  ] as const) {
    await expect(one.append([putEntry(key)], NOTHING)).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
    await one.close();
  }
  return log.logId;
}

async function stateNow() {
  const roots = await fetchRoots(world.link(), world.access.owner, within());
  const { view } = roots;
  const order = { owner: world.access.owner, bucketId: BUCKET, view, signal: within(), all: true };
  return { roots, state: await readHeads(world.link(), order), keys: bucketKeys(world.access, view, BUCKET) };
}
async function readFrom(logId: string, seen: SeenHead) {
  const { state, keys } = await stateNow();
  const logState = { ...state, logs: state.logs.filter(({ log }) => log.logId === logId) };
  const store = segmentStore(world.client(), world.access.owner);
  const order = { state: logState, since: new Map([[logId, seen]]), keys, store, signal: within() };
  const { isAnew, batches } = await readSince(world.link(), order);
  return { isAnew, hashes: (await Array.fromAsync(batches)).map(({ hash }) => hash) };
}

describe('a log with two batches of one number', () => {
  it('is in a checkpoint up to where its replicas agree', async () => {
    const logId = await forkedLog();
    const { keyPair } = world.owner;
    const beside = await opened(world.open({ writer: keyPair, link: world.link(keyPair) }));
    const made = await checkpointOf(world, beside);
    expect(made?.covers).toEqual([{ logId, seq: 1 }]);
  });

  it('is read anew by whoever took the one that turns out not to count', async () => {
    const logId = await forkedLog();
    const { state } = await stateNow();
    const told = [...state.answers.values()].flatMap(({ logs: heads }) => heads.filter((head) => head.logId === logId));
    const ends = told.filter(({ seq }) => seq === 2).map(({ hash }) => hash);
    expect(new Set(ends).size).toBe(2);
    await opened(world.open({ state: memoryState() }));
    const { roots } = await stateNow();
    const { closed } = roots.view.logs.find((log) => log.logId === logId)!;
    expect(closed?.lastSeq).toBe(2);
    const [counts, lost] = ends.sort((a) => (a === closed?.lastHash ? -1 : 1)) as [string, string];
    expect(counts).toBe(closed?.lastHash);
    expect(await readFrom(logId, { seq: 2, hash: counts })).toEqual({ isAnew: false, hashes: [] });
    const anew = await readFrom(logId, { seq: 2, hash: lost });
    expect(anew.isAnew).toBe(true);
    expect(anew.hashes.at(-1)).toBe(counts);
  });
});
