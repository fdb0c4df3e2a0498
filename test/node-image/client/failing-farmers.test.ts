// Segments through real farmers, whatever farmers do in between.
import { afterEach, describe, expect, it } from 'vitest';
import type { Client } from '#node/client/client.ts';
import { confirmHolders, RECEIPT_COUNTS_MS } from '#node/client/confirm-holders.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { chunked, readAll, seededBytes, startTestFarm, type TestFarm } from './support/test-farm.ts';
import { expectSame, get, holders, MIB, owner, put, signal } from './support/transfers.ts';

let world: TestFarm;
afterEach(() => world.stop());

describe('a put while farmers fail', () => {
  it('gives the piece of a farmer that dies to another one', async () => {
    world = await startTestFarm({ farmers: 8 });
    const client = world.client();
    const bytes = seededBytes(3 * MIB, 8);
    let victim = '';
    const stored = await put(client, bytes, (at) => {
      if (victim || at < MIB) return;
      victim = world.calls.find(({ operation }) => operation === 'piece.put')!.to;
      world.kill(victim);
    });
    const { placement } = stored.segments[0]!;
    expect(placement.scheme).toEqual({ required: 4, repair: 5, optimal: 6, total: 6 });
    expect(new Set(placement.farmers).size).toBe(6);
    expect(placement.farmers).not.toContain(victim);
    expect(placement.farmers).not.toContain(null);
    expectSame(await get(world.client(), stored), bytes);
  });

  it('starts again with a smaller scheme where nobody is left to take the piece', async () => {
    world = await startTestFarm({ farmers: 6 });
    const bytes = seededBytes(3 * MIB, 9);
    const stored = await put(world.client(), bytes, (at) => {
      if (at > MIB) world.kill(world.name(0));
      if (at > 2 * MIB) world.kill(world.name(1));
    });
    const { placement } = stored.segments[0]!;
    expect(placement.scheme).toEqual({ required: 2, repair: 3, optimal: 4, total: 4 });
    expect(placement.farmers).not.toContain(world.name(0));
    // What was promised holds: two more may go.
    for (const farmer of placement.farmers.slice(0, 2)) world.kill(farmer!);
    expectSame(await get(world.client(), stored), bytes);
  });

  it('never promises below f + 1 farmers', async () => {
    world = await startTestFarm({ farmers: 6 });
    for (const i of [0, 1, 2]) world.kill(world.name(i));
    const client = world.client();
    const stored = await put(client, seededBytes(MIB, 1));
    expect(stored.segments[0]!.placement.scheme).toEqual({ required: 1, repair: 2, optimal: 3, total: 3 });
    world.kill(world.name(3));
    await expect(put(world.client(), seededBytes(MIB, 1))).rejects.toMatchObject({ code: 'NotEnoughFarmers' });
    // The client that knows them as silent asks them again before it gives up.
    for (const i of [0, 1, 2, 3]) world.revive(world.name(i));
    expect(holders(await put(client, seededBytes(MIB, 1))).length).toBeGreaterThanOrEqual(3);
  });

  it('gives up a farmer that takes nothing and one that refuses', async () => {
    world = await startTestFarm({ farmers: 8 });
    world.fault(world.name(0), (operation) => (operation === 'piece.put' ? { kind: 'hang' } : undefined));
    world.fault(world.name(1), (operation) =>
      operation === 'piece.put' ? { kind: 'cut-request', afterBytes: 100_000 } : undefined,
    );
    const bytes = seededBytes(2 * MIB, 2);
    const stored = await put(world.client(), bytes);
    expect(holders(stored)).toHaveLength(6);
    expect(holders(stored)).not.toContain(world.name(0));
    expect(holders(stored)).not.toContain(world.name(1));
    expectSame(await get(world.client(), stored), bytes);
  });

  it('places nothing on farmers that leave or are lost', async () => {
    world = await startTestFarm({ farmers: 8 });
    world.farm.setState(world.name(0), 'Leaving');
    world.farm.setState(world.name(1), 'Lost');
    const named = [1, 2, 3].map(() => put(world.client(), seededBytes(100_000, 1)));
    for (const stored of await Promise.all(named)) {
      expect(holders(stored)).not.toContain(world.name(0));
      expect(holders(stored)).not.toContain(world.name(1));
    }
  });

  it('names no farmer that is lost by the time all is stored, and asks again those that leave and after a day', async () => {
    world = await startTestFarm({ farmers: 8, config: { redundancy: { required: 2, repair: 3, optimal: 4, total: 5 } } });
    const client = world.client();
    const stored = await put(client, seededBytes(1000, 1));
    const { placement } = stored.segments[0]!;
    const [first, second] = holders(stored);
    const later = { ...client, runtime: { ...client.runtime, nowMs: () => Date.now() + RECEIPT_COUNTS_MS + 1000 } };
    const confirm = (by: Client) => confirmHolders(by, owner, placement, signal());
    const without = (...gone: string[]) => {
      const farmers = placement.farmers.map((one) => (gone.includes(one ?? '') ? null : one));
      // Four of five keep the promise of two.
      return farmers.filter((one) => one !== null).length >= 4 ? { ...placement, farmers } : null;
    };
    expect([await confirm(client), await confirm(later)]).toEqual([placement, placement]);
    world.kill(first!);
    expect([await confirm(client), await confirm(later)]).toEqual([placement, without(first!)]);
    world.farm.setState(first!, 'Leaving');
    expect(await confirm(client)).toEqual(without(first!));
    world.revive(first!);
    expect(await confirm(client)).toEqual(placement);
    world.farm.setState(first!, 'Lost');
    expect(await confirm(client)).toEqual(without(first!));
    world.farm.setState(second!, 'Lost');
    expect(await confirm(client)).toBeNull();
  });

  it('gives up a farmer that takes nothing, also where the clock here is set back', async () => {
    world = await startTestFarm({ farmers: 5, config: { redundancy: { required: 2, repair: 3, optimal: 4, total: 4 } } });
    const client = world.client({ stallMs: 300 });
    let aheadMs = 3_600_000;
    const jumping = { ...client, runtime: { ...client.runtime, nowMs: () => Date.now() + aheadMs } };
    for (const i of [0, 1]) world.fault(world.name(i), (operation) => (operation === 'piece.put' ? { kind: 'hang' } : undefined));
    // While those two are waited for, and before that is too long.
    setTimeout(() => (aheadMs = 0), 200);
    const stored = await put(jumping, seededBytes(400_000, 1));
    expect(holders(stored)).toEqual(expect.arrayContaining([2, 3, 4].map((i) => world.name(i))));
  });

  it('believes no receipt that is not for what was sent', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const liar = world.name(2);
    const { network } = client;
    const call: typeof network.call = async (to, one, inner) => {
      const answer = await network.call(to, one, inner);
      if (to.farmer === liar && one.operation === 'piece.put') answer.head[answer.head.length - 5]! ^= 1;
      return answer;
    };
    const stored = await put({ ...client, network: { ...network, call } }, seededBytes(MIB, 6));
    expect(holders(stored)).not.toContain(liar);
    expect(holders(stored)).toHaveLength(5);
    const accused = client.health.snapshot().filter(({ lies }) => lies > 0);
    expect(accused.map(({ farmer }) => farmer)).toEqual([liar]);
  });

  it('ends with the error of its source, and leaves no memory behind', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const broken = async function* () {
      yield seededBytes(2 * MIB, 1);
      throw new Error('the renter hung up');
    };
    await expect(putSegments(client, { owner, source: broken(), signal: signal() })).rejects.toThrow('hung up');
    expect(client.writeBudget.usedBytes).toBe(0);
  });

  it('takes neither fewer nor more bytes than announced', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client();
    const source = () => chunked(seededBytes(300_000, 1));
    for (const sizeBytes of [299_999, 300_001, 100]) {
      await expect(putSegments(client, { owner, source: source(), sizeBytes, signal: signal() })).rejects.toMatchObject({
        code: 'WrongLength',
      });
    }
    expect(client.writeBudget.usedBytes).toBe(0);
  });

  it('stops at once when its caller gives up, also while the source hangs', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const abort = new AbortController();
    const hangs = async function* () {
      yield seededBytes(MIB, 1);
      abort.abort(new Error('changed my mind'));
      await new Promise(() => {});
    };
    await expect(putSegments(client, { owner, source: hangs(), signal: abort.signal })).rejects.toThrow('changed my mind');
    expect(client.writeBudget.usedBytes).toBe(0);
  });
});

describe('a get while farmers fail', () => {
  it('reads with any f farmers gone', async () => {
    world = await startTestFarm({ farmers: 6 });
    const bytes = seededBytes(2 * MIB + 5, 11);
    const stored = await put(world.client(), bytes);
    const { placement } = stored.segments[0]!;
    expect(promiseOf(placement.scheme)).toBe(2);
    for (let a = 0; a < 6; a++) {
      const b = (a + 1 + (a % 3)) % 6;
      world.kill(world.name(a));
      world.kill(world.name(b));
      expectSame(await get(world.client(), stored), bytes);
      world.revive(world.name(a));
      world.revive(world.name(b));
    }
  });

  it('goes on when farmers die under a slow reader', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const bytes = seededBytes(8 * MIB, 12);
    const stored = await put(client, bytes);
    const read = getRange(client, { owner, segments: stored.segments, offset: 0, length: bytes.length, signal: signal() });
    let dead = 0;
    const got = await readAll(read, async (readBytes) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (dead < 2 && readBytes > (dead + 1) * MIB) world.kill(stored.segments[0]!.placement.farmers[dead++]!);
    });
    expect(dead).toBe(2);
    expectSame(got, bytes);
    expect(client.readBudget.usedBytes).toBe(0);
  });

  it('reads around wrong bytes and blames the right farmer', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const bytes = seededBytes(3 * MIB, 13);
    const stored = await put(client, bytes);
    const liar = stored.segments[0]!.placement.farmers[1]!;
    // Far behind the proof: inside the leaves.
    world.fault(liar, (operation) => (operation === 'piece.get' ? { kind: 'flip-answer', atByte: 100_000 } : undefined));
    expectSame(await get(client, stored), bytes);
    expect(
      client.health
        .snapshot()
        .filter(({ lies }) => lies > 0)
        .map(({ farmer }) => farmer),
    ).toEqual([liar]);
  });

  it('does not wait for a farmer that hangs, nor for a slow one', async () => {
    world = await startTestFarm({ farmers: 6 });
    const bytes = seededBytes(2 * MIB, 14);
    const stored = await put(world.client(), bytes);
    const [first, second] = stored.segments[0]!.placement.farmers;
    world.fault(first!, (operation) => (operation === 'piece.get' ? { kind: 'hang' } : undefined));
    world.fault(second!, (operation) => (operation === 'piece.get' ? { kind: 'delay', delayMs: 60_000 } : undefined));
    const client = world.client({ stallMs: 60_000 });
    expectSame(await get(client, stored), bytes);
  });

  it('finds a piece that moved by what the repairer wrote down', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const bytes = seededBytes(MIB, 15);
    const stored = await put(client, bytes);
    const { placement, key } = stored.segments[0]!;
    // Three of six are named wrongly: only the moves say where those pieces are.
    const wrong = { ...placement, farmers: placement.farmers.map((farmer, i) => (i < 3 ? null : farmer)) };
    let asked = 0;
    const order = { owner, segments: [{ key, placement: wrong }], offset: 0, length: MIB, signal: signal() };
    await expect(readAll(getRange(client, order))).rejects.toMatchObject({ code: 'TooFewPieces' });
    const findMoves = async () => {
      asked += 1;
      return new Map([[1, [placement.farmers[1]!]]]);
    };
    expectSame(await readAll(getRange(client, { ...order, findMoves })), bytes);
    expect(asked).toBe(1);
    const moved = new Map([[0, [placement.farmers[0]!]]]);
    expectSame(await readAll(getRange(client, { ...order, segments: [{ key, placement: wrong, moved }] })), bytes);
  });

  it('says so when too few farmers are left', async () => {
    world = await startTestFarm({ farmers: 6 });
    const stored = await put(world.client(), seededBytes(MIB, 16));
    for (const i of [0, 1, 2]) world.kill(world.name(i));
    await expect(get(world.client(), stored)).rejects.toMatchObject({ code: 'TooFewPieces' });
  });

  it('refuses a key that is not the segment’s', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client();
    const a = await put(client, seededBytes(100_000, 1));
    const b = await put(client, seededBytes(100_000, 2));
    const mixed = [{ key: a.segments[0]!.key, placement: b.segments[0]!.placement }];
    const read = getRange(client, { owner, segments: mixed, offset: 0, length: 10, signal: signal() });
    await expect(readAll(read)).rejects.toMatchObject({ code: 'Damaged' });
  });

  it('frees everything when the reader goes away in the middle', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const stored = await put(client, seededBytes(6 * MIB, 17));
    for await (const chunk of getRange(client, {
      owner,
      segments: stored.segments,
      offset: 0,
      length: 6 * MIB,
      signal: signal(),
    })) {
      if (chunk.length > 0) break;
    }
    expect(client.readBudget.usedBytes).toBe(0);
  });
});

describe('a farmer that is slow again and again', () => {
  const slowOne = (client: Client) => {
    const [slow, ...others] = [0, 1, 2, 3, 4, 5, 6].map((i) => world.name(i));
    for (let i = 0; i < 8; i++) {
      client.health.good(slow!, 'read', 80);
      for (const farmer of others) client.health.good(farmer, 'read', 2);
    }
    return slow!;
  };

  it('gets no pieces and is read last where the others are enough', async () => {
    world = await startTestFarm({ farmers: 7, config: { redundancy: { required: 4, repair: 5, optimal: 6, total: 6 } } });
    const bytes = seededBytes(MIB, 43);
    const before = await put(world.client(), bytes);
    const client = world.client();
    const slow = slowOne(client);
    for (let i = 0; i < 3; i++) expect(holders(await put(client, bytes))).not.toContain(slow);
    for (let i = 0; i < 3; i++) {
      world.calls.length = 0;
      expectSame(await get(client, before), bytes);
      expect(world.calls.slice(0, 4).map(({ to }) => to)).not.toContain(slow);
    }
  });

  it('carries its piece where it is needed for all of them, or for its zone', async () => {
    world = await startTestFarm({
      farmers: 7,
      domainOf: (i) => (i === 0 ? 'alone' : 'together'),
      config: { redundancy: { required: 4, repair: 5, optimal: 6, total: 6 } },
    });
    const client = world.client();
    const slow = slowOne(client);
    expect(holders(await put(client, seededBytes(MIB, 44)))).toContain(slow);
  });
});
