// A bucket's log on real farmers: acknowledged at f + 1, found by every N − f, never lost, never forked.
import { frameAll } from '#node/wire/framing.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { appendBatches } from '#node/log/log-calls.ts';
import type { BucketLog } from '#node/log/log-writer.ts';
import { CallError } from '#node/net/net.ts';
import { testKey } from '#test/support/memory-farmer.ts';
import { BUCKET, Life, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from './support/log-world.ts';

let world: LogWorld;
const logs: BucketLog[] = [];
const opened = async (log: Promise<BucketLog>) => {
  logs.push(await log);
  return logs.at(-1)!;
};
const put = (log: BucketLog, key: string) => log.append([putEntry(key)], NOTHING);

afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.close()));
  await world.stop();
});

describe('appending', () => {
  it('puts what comes at once into few batches, in order, with numbers without gaps', async () => {
    world = await startLogWorld({ farmers: 6 });
    const seen: number[] = [];
    const log = await opened(world.open({ onAcknowledged: ({ seq }) => void seen.push(seq) }));
    const positions = await Promise.all(Array.from({ length: 200 }, (_, i) => put(log, `key ${i}`)));
    expect(log.head().seq).toBeLessThan(20);
    expect(seen).toEqual(Array.from({ length: log.head().seq }, (_, i) => i + 1));
    expect(positions.map(({ seq }) => seq)).toEqual(positions.map(({ seq }) => seq).sort((a, b) => a - b));
    const batches = await world.read();
    expect(batches.map(({ header }) => header.seq)).toEqual(seen);
    expect(batches.flatMap(({ entries }) => entries!.map((entry) => entry.kind === 'put' && entry.key))).toEqual(
      Array.from({ length: 200 }, (_, i) => `key ${i}`),
    );
  });

  it('acknowledges with f members gone, not with f + 1, and then as soon as one is back', async () => {
    world = await startLogWorld({ farmers: 6 });
    const acknowledged: number[] = [];
    const log = await opened(world.open({ patienceMs: 500, onAcknowledged: ({ seq }) => void acknowledged.push(seq) }));
    const { members, f } = log.set();
    expect([members.length, f]).toEqual([5, 2]);
    for (const member of members.slice(0, f)) world.kill(member);
    await put(log, 'with two gone');
    world.kill(members[f]!);
    const behind = put(log, 'with three gone').then(null, (error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const waiting = put(log, 'behind it').then(null, (error: unknown) => error);
    // The first is on its way and may come true; the other was never sent and never will be.
    expect(await behind).toMatchObject({ code: 'NotEnoughReplicas' });
    expect(await waiting).toMatchObject({ code: 'NotSent' });
    expect(acknowledged).toEqual([1]);
    world.revive(members[0]!);
    await expect.poll(() => acknowledged, { timeout: 15_000 }).toEqual([1, 2]);
    expect(await world.readKeys()).toEqual(['with three gone', 'with two gone']);
  });

  it('refuses entries that no batch can hold, and goes on', async () => {
    world = await startLogWorld({ farmers: 3 });
    const log = await opened(world.open());
    const entries = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ ...putEntry(`large ${i}`), inline: new Uint8Array(60_000) }));
    await expect(log.append(entries(140), NOTHING)).rejects.toMatchObject({ code: 'TooLarge' });
    await log.append(entries(120), NOTHING);
    await put(log, 'small');
    expect(await world.readKeys()).toHaveLength(121);
  });

  it('brings members that were away up to date', async () => {
    world = await startLogWorld({ farmers: 6 });
    const log = await opened(world.open());
    const late = log.set().members[0]!;
    await put(log, 'a');
    world.kill(late);
    for (const key of ['b', 'c', 'd']) await put(log, key);
    world.revive(late);
    await expect.poll(() => log.upToDate(), { timeout: 15_000 }).toContain(late);
    for (const member of log.set().members.slice(1, 3)) world.kill(member);
    expect(await world.readKeys()).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('reading', () => {
  it('finds every acknowledged batch with any f members gone', async () => {
    world = await startLogWorld({ farmers: 6 });
    const log = await opened(world.open());
    const { members } = log.set();
    const keys: string[] = [];
    // Different members miss different batches.
    for (let i = 0; i < 12; i++) {
      const away = [members[i % 5]!, members[(i * 2 + 1) % 5]!];
      for (const member of away) world.kill(member);
      keys.push(`key ${i}`);
      await put(log, `key ${i}`);
      for (const member of away) world.revive(member);
    }
    await log.close();
    for (let a = 0; a < 5; a++) {
      for (let b = a + 1; b < 5; b++) {
        world.kill(members[a]!);
        world.kill(members[b]!);
        expect(await world.readKeys()).toEqual(keys.sort());
        world.revive(members[a]!);
        world.revive(members[b]!);
      }
    }
    for (const member of members.slice(0, 3)) world.kill(member);
    await expect(world.read()).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
  });

  it('goes on from where it was, and believes no head that lies below', async () => {
    world = await startLogWorld({ farmers: 3 });
    const log = await opened(world.open());
    const first = await put(log, 'a');
    const second = await put(log, 'b');
    const after = await world.read(new Map([[log.logId, first]]));
    expect(after.map(({ header }) => header.seq)).toEqual([2]);
    expect(await world.read(new Map([[log.logId, second.seq]]))).toEqual([]);
    expect(await world.read(new Map([[log.logId, 7]]))).toEqual([]);
    const forked = { seq: 1, hash: 'f'.repeat(64) };
    await expect(world.read(new Map([[log.logId, forked]]))).rejects.toMatchObject({ code: 'Forked' });
  });

  it('reads around a replica that sends changed bytes', async () => {
    world = await startLogWorld({ farmers: 6 });
    const log = await opened(world.open());
    for (const key of ['a', 'b', 'c']) await put(log, key);
    await expect.poll(() => log.upToDate().length).toBe(5);
    for (const liar of log.set().members.slice(0, 2)) {
      world.fault(liar, (operation) => (operation === 'log.read' ? { kind: 'flip-answer', atByte: 300 } : undefined));
    }
    expect(await world.readKeys()).toEqual(['a', 'b', 'c']);
  });

  it('opens nothing without the keys', async () => {
    world = await startLogWorld({ farmers: 3 });
    const log = await opened(world.open());
    await put(log, 'secret name');
    const [batch] = await world.read();
    expect(Buffer.from(batch!.bytes).includes('secret name')).toBe(false);
  });
});

describe('a writer that comes back', () => {
  it('goes on with its state, in the same log', async () => {
    world = await startLogWorld({ farmers: 6 });
    const state = memoryState();
    const before = await opened(world.open({ state }));
    await put(before, 'a');
    await before.close();
    const log = await opened(world.open({ state }));
    expect(log.logId).toBe(before.logId);
    await put(log, 'b');
    expect((await world.read()).map(({ header }) => header.seq)).toEqual([1, 2]);
  });

  it('without its state seals the log, loses nothing and starts a new one', async () => {
    world = await startLogWorld({ farmers: 6 });
    const before = await opened(world.open());
    await put(before, 'a');
    await before.close();
    const log = await opened(world.open());
    expect(log.logId).not.toBe(before.logId);
    await put(log, 'b');
    expect(await world.readKeys()).toEqual(['a', 'b']);
  });

  it('with an old state never forks: it seals and starts a new log', async () => {
    world = await startLogWorld({ farmers: 6 });
    const state = memoryState();
    const before = await opened(world.open({ state }));
    await put(before, 'a');
    const old = structuredClone(state.saved);
    for (const key of ['b', 'c', 'd']) await put(before, key);
    await before.close();
    const log = await opened(world.open({ state: memoryState(old) }));
    expect(log.logId).not.toBe(before.logId);
    await put(log, 'e');
    expect(await world.readKeys()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('leaves a zombie powerless', async () => {
    world = await startLogWorld({ farmers: 6 });
    const other = testKey('second bridge');
    world.farm.change({ bridges: [world.farm.bridge.publicKey, other.publicKey] });
    await world.admit(other);
    const zombie = await opened(world.open());
    await put(zombie, 'a');
    const log = await opened(world.open({ writer: other, link: world.link(other) }));
    await expect(put(zombie, 'too late')).rejects.toMatchObject({ code: 'LogEnded' });
    await expect(zombie.ended).resolves.toMatchObject({ code: 'LogEnded' });
    await put(log, 'b');
    expect(await world.readKeys()).toEqual(['a', 'b']);
  });

  it('with its state is open when what was pending is acknowledged, not before', async () => {
    world = await startLogWorld({ farmers: 3 });
    const state = memoryState();
    const log = await opened(world.open({ state, patienceMs: 300 }));
    const { members } = log.set();
    for (const member of members.slice(1)) world.kill(member);
    await expect(put(log, 'pending')).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
    await log.close();
    world.revive(members[1]!);
    const acknowledged: number[] = [];
    await opened(world.open({ state, onAcknowledged: ({ seq }) => void acknowledged.push(seq) }));
    expect(acknowledged).toEqual([1]);
  });

  it('counts a batch that only one replica had when the state was lost, on f + 1 from then on', async () => {
    world = await startLogWorld({ farmers: 6 });
    const log = await opened(world.open({ patienceMs: 400 }));
    const { members } = log.set();
    for (const member of members.slice(1)) world.kill(member);
    await expect(put(log, 'on one replica')).rejects.toMatchObject({ code: 'NotEnoughReplicas' });
    await log.close();
    // The new life hears of it from that replica: just N − f of them answer.
    for (const member of members.slice(1, 3)) world.revive(member);
    await opened(world.open());
    for (const member of members.slice(3)) world.revive(member);
    for (const pair of [members.slice(0, 2), [members[0]!, members[2]!], members.slice(3)]) {
      for (const member of pair) world.kill(member);
      expect(await world.readKeys()).toEqual(['on one replica']);
      for (const member of pair) world.revive(member);
    }
  });
});

describe('a crash between any two steps', () => {
  /** Opens and appends until the life is over; answers the keys that were acknowledged. */
  const liveOnce = async (life: Life, state: ReturnType<typeof memoryState>, round: number) => {
    const acknowledged: string[] = [];
    try {
      const log = await opened(
        world.open({
          link: world.link(world.farm.bridge, life.network),
          state: life.state(state),
          signal: AbortSignal.any([within(), life.over]),
        }),
      );
      for (let i = 0; i < 3; i++) {
        await log.append([putEntry(`round ${round} key ${i}`)], NOTHING, AbortSignal.any([within(), life.over]));
        acknowledged.push(`round ${round} key ${i}`);
      }
    } catch (error) {
      const isExpected = error instanceof Error && ('code' in error || error.name === 'TimeoutError');
      if (!isExpected) throw error;
    }
    await Promise.all(logs.splice(0).map((log) => log.close()));
    return acknowledged;
  };

  for (const keepsState of [true, false]) {
    it(`loses nothing that was acknowledged, ${keepsState ? 'with' : 'without'} the writer's state`, async () => {
      world = await startLogWorld({ farmers: 3 });
      const state = memoryState();
      const acknowledged: string[] = [];
      let steps = 0;
      for (let round = 0; round < 48; round++) {
        const life = new Life(steps);
        acknowledged.push(...(await liveOnce(life, state, round)));
        if (!keepsState) state.saved = null;
        // The steps of a whole life are all tried; then it starts over in a world with a longer past.
        steps = life.steps < steps ? 3 : steps + 1;
      }
      const log = await opened(world.open({ state }));
      await put(log, 'the end');
      const found = await world.readKeys();
      expect(acknowledged.length).toBeGreaterThan(3);
      for (const key of [...acknowledged, 'the end']) expect(found).toContain(key);
      const twice = found.filter((key, i) => key === found[i + 1]);
      expect(twice).toEqual([]);
    });
  }
});

describe('what farmers take', () => {
  it('not a batch that its log key did not sign', async () => {
    world = await startLogWorld({ farmers: 3 });
    const log = await opened(world.open());
    await put(log, 'a');
    const [batch] = await world.read();
    const changed = Uint8Array.from(batch!.bytes);
    changed[changed.length - 70]! ^= 1;
    const link = world.link();
    const member = log.set().members[0]!;
    const name = { owner: world.access.owner, bucketId: BUCKET, logId: log.logId, epoch: log.set().epoch, firstSeq: 0 };
    const append = appendBatches(link, link.addressOf(member)!, name, [frameAll([changed])], within());
    await expect(append).rejects.toBeInstanceOf(CallError);
  });
});
