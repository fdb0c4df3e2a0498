// Segments through real farmers: what goes in comes out, whatever farmers do in between.
import { afterEach, describe, expect, it } from 'vitest';
import type { Client } from '#node/client/client.ts';
import { confirmHolders, RECEIPT_COUNTS_MS } from '#node/client/confirm-holders.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments, type PutResult } from '#node/client/segment-writer.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { MAX_SEGMENT_PLAIN_BYTES } from '#node/core/segments.ts';
import { MAX_SEGMENT_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { chunked, readAll, seededBytes, startTestFarm, type TestFarm } from './support/test-farm.ts';

const owner = 'ab'.repeat(32);
const MIB = 1024 * 1024;
let world: TestFarm;
const signal = () => AbortSignal.timeout(15_000);
const put = (client: Client, bytes: Uint8Array, between?: (at: number) => void | Promise<void>) =>
  putSegments(client, { owner, source: chunked(bytes, 50_001, between), sizeBytes: bytes.length, signal: signal() });
const get = (client: Client, stored: PutResult, offset = 0, length = stored.plainBytes - offset) =>
  readAll(getRange(client, { owner, segments: stored.segments, offset, length, signal: signal() }));
/** Holders of each segment, all that took a piece. */
const holders = (stored: PutResult) =>
  stored.segments.flatMap(({ placement }) => placement.farmers.filter((one) => one !== null));

/** Comparing megabytes byte by byte in JavaScript takes seconds. */
const expectSame = (got: Uint8Array, wanted: Uint8Array) => {
  expect(got.length).toBe(wanted.length);
  expect(Buffer.compare(got, wanted)).toBe(0);
};

afterEach(() => world.stop());

describe('put and get', () => {
  it('gives back objects of all sizes around the edges of records and stripes', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const stripe = 4 * RECORD_PLAIN_BYTES;
    for (const size of [1, 15, 16, RECORD_PLAIN_BYTES, RECORD_PLAIN_BYTES + 1, stripe - 1, stripe, stripe + 1, 3 * stripe + 77]) {
      const bytes = seededBytes(size, size);
      const stored = await put(client, bytes);
      expect(stored.plainBytes).toBe(size);
      expectSame(await get(world.client(), stored), bytes);
    }
  });

  it('gives nothing new to a farmer that failed its audits, while f + 1 others are there', async () => {
    world = await startTestFarm({ farmers: 4 });
    const client = world.client();
    const before = await put(client, seededBytes(300_000, 1));
    const distrust = (...farmers: number[]) => {
      const failed = farmers.map((i) => world.name(i));
      const roster = world.farm.current().roster.map((one) => (failed.includes(one.farmer) ? { ...one, distrusted: true } : one));
      world.farm.change({ roster });
    };

    distrust(0);
    const after = await put(client, seededBytes(300_000, 2));
    expect(holders(before)).toContain(world.name(0));
    expect(holders(after)).toEqual(expect.arrayContaining([1, 2, 3].map((i) => world.name(i))));
    expect(holders(after)).not.toContain(world.name(0));
    expectSame(await get(client, before), seededBytes(300_000, 1));

    distrust(0, 1);
    expect(holders(await put(client, seededBytes(300_000, 3)))).toHaveLength(4);
  });

  it('stores nothing for an empty source', async () => {
    world = await startTestFarm({ farmers: 3 });
    expect(await put(world.client(), new Uint8Array(0))).toEqual({ plainBytes: 0, segments: [] });
  });

  it('cuts large objects into segments and reads across their edges', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client({ threads: 2, stallMs: 5000 });
    const bytes = seededBytes(MAX_SEGMENT_PLAIN_BYTES + 3 * MIB, 5);
    const stored = await put(client, bytes);
    expect(stored.segments.map(({ key }) => key.plainBytes)).toEqual([MAX_SEGMENT_PLAIN_BYTES, 3 * MIB]);
    expect(stored.segments[0]!.placement.sizeBytes).toBe(MAX_SEGMENT_BYTES);
    const from = MAX_SEGMENT_PLAIN_BYTES - 100_000;
    expectSame(await get(client, stored, from, 250_000), bytes.subarray(from, from + 250_000));
  });

  it('reads any range', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client();
    const bytes = seededBytes(2 * MIB, 3);
    const stored = await put(client, bytes);
    for (const [offset, length] of [
      [0, 1],
      [RECORD_PLAIN_BYTES - 1, 2],
      [777_777, 600_000],
      [2 * MIB - 1, 1],
      [0, 2 * MIB],
    ] as const) {
      expectSame(await get(client, stored, offset, length), bytes.subarray(offset, offset + length));
    }
    await expect(get(client, stored, 2 * MIB, 1)).rejects.toMatchObject({ code: 'OutOfRange' });
  });

  it('asks one farmer for a range inside one record', async () => {
    world = await startTestFarm({ farmers: 6 });
    const client = world.client({ hedgeMs: 5000 });
    const bytes = seededBytes(MIB, 4);
    const stored = await put(client, bytes);
    world.calls.length = 0;
    expectSame(await get(client, stored, 300_000, 50), bytes.subarray(300_000, 300_050));
    expect(world.calls.filter(({ operation }) => operation === 'piece.get')).toHaveLength(1);
  });

  it('sends nothing that contains the plaintext', async () => {
    world = await startTestFarm({ farmers: 1 });
    const client = world.client();
    const bytes = Buffer.from('attack at dawn. '.repeat(5000));
    const seen: Uint8Array[] = [];
    const network = client.network;
    const call: typeof network.call = async (to, one, inner) => {
      const body = one.body;
      const spied = async function* () {
        for await (const chunk of body ?? []) {
          seen.push(Uint8Array.from(chunk));
          yield chunk;
        }
      };
      return await network.call(to, body ? { ...one, body: spied() } : one, inner);
    };
    const stored = await put({ ...client, network: { ...network, call } }, bytes);
    expect(Buffer.concat(seen).includes('attack at dawn')).toBe(false);
    expect(Buffer.concat(seen).length).toBeGreaterThan(bytes.length);
    expectSame(await get(client, stored), new Uint8Array(bytes));
  });

  it('keeps zones apart: no zone holds more than f pieces', async () => {
    world = await startTestFarm({ farmers: 9, domainOf: (i) => `zone-${i % 3}` });
    const stored = await put(world.client(), seededBytes(5 * MIB, 1));
    const domainOf = new Map(world.view.current().members.map(({ farmer, domain }) => [farmer, domain]));
    for (const { placement } of stored.segments) {
      const zones = placement.farmers.map((farmer) => domainOf.get(farmer!));
      for (const zone of new Set(zones)) expect(zones.filter((one) => one === zone).length).toBeLessThanOrEqual(2);
    }
  });
});

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

describe('memory', () => {
  it('of many uploads stays within the budget: segments get smaller', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client({ writeBytes: 8 * MIB });
    let mostBytes = 0;
    const objects = Array.from({ length: 8 }, (_, i) => seededBytes(4 * MIB, 20 + i));
    const watch = () => void (mostBytes = Math.max(mostBytes, client.writeBudget.usedBytes));
    const stored = await Promise.all(objects.map((bytes) => put(client, bytes, watch)));
    expect(mostBytes).toBeLessThanOrEqual(8 * MIB);
    expect(mostBytes).toBeGreaterThan(4 * MIB);
    expect(client.writeBudget.usedBytes).toBe(0);
    expect(stored.some(({ segments }) => segments.length > 1)).toBe(true);
    for (const [i, one] of stored.entries()) expectSame(await get(client, one), objects[i]!);
  });

  it('of readers that stall stays within the budget, and farmers are asked for nothing meanwhile', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client({ readBytes: 4 * MIB });
    const bytes = seededBytes(12 * MIB, 41);
    const stored = await put(client, bytes);
    const readers = Array.from({ length: 4 }, () =>
      getRange(client, { owner, segments: stored.segments, offset: 0, length: bytes.length, signal: signal() }),
    );
    const firsts = await Promise.all(readers.map(async (reader) => (await reader.next()).value!));
    const asked = () => world.calls.filter(({ operation }) => operation === 'piece.get').length;
    const settled = async () => {
      for (let before = -1; before !== asked();) {
        before = asked();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return asked();
    };
    // Each has its window and the one behind it, with all three pieces at the most: not the whole object.
    const stalledAt = await settled();
    expect(stalledAt).toBeLessThanOrEqual(4 * 2 * 3);
    expect(client.readBudget.usedBytes).toBeLessThanOrEqual(4 * MIB);
    for (const [i, reader] of readers.entries()) expectSame(Buffer.concat([firsts[i]!, await readAll(reader)]), bytes);
    expect(asked()).toBeGreaterThan(stalledAt);
    expect(client.readBudget.usedBytes).toBe(0);
  });

  it('of an upload is held back by a farmer that takes its time', async () => {
    world = await startTestFarm({ farmers: 3 });
    const client = world.client({ stallMs: 10_000 });
    const late = 600;
    world.fault(world.name(1), (operation) => (operation === 'piece.put' ? { kind: 'delay', delayMs: late } : undefined));
    const bytes = seededBytes(8 * MIB, 42);
    const startMs = performance.now();
    let readMeanwhile = 0;
    const stored = await put(client, bytes, (at) => {
      if (performance.now() - startMs < late) readMeanwhile = at;
    });
    expect(readMeanwhile).toBeGreaterThan(0);
    expect(readMeanwhile).toBeLessThan(3 * MIB);
    expectSame(await get(client, stored), bytes);
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
