// Segments through real farmers: what goes in comes out, within the memory that was given.
import { afterEach, describe, expect, it } from 'vitest';
import { getRange } from '#node/client/segment-reader.ts';
import { MAX_SEGMENT_PLAIN_BYTES } from '#node/core/segments.ts';
import { MAX_SEGMENT_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { readAll, seededBytes, startTestFarm, type TestFarm } from './support/test-farm.ts';
import { expectSame, get, holders, MIB, owner, put, signal } from './support/transfers.ts';

let world: TestFarm;
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
