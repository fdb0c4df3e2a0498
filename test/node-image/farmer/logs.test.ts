// Replicas of logs at real farmers: sequence, hashes, epochs, seals, roles, and catching up after a start.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyPair } from '#node/core/keys.ts';
import { LogStore } from '#node/farmer/log-store.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { decodeBatchHeader, encodeBatch, encodePlacementsBatch, NO_HASH, type EncodedBatch } from '#node/wire/batch.ts';
import { bucketHeads, decodeAnswerHead, decodeLogHead, encodeCallHead } from '#node/wire/calls.ts';
import { collect, frameAll, unframeAll } from '#node/wire/framing.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import { signStatement } from '#node/wire/statements.ts';
import { MAX_BATCH_BYTES, type RootStatement } from '#node/wire/types.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';

const NOW_MS = 1_700_000_000_000;
const [ownerKey, keeper, logKey] = [testKey('owner'), testKey('keeper'), testKey('log')];
const owner = ownerKey.publicKey;
const bucketId = '12'.repeat(16);
const logId = logKey.publicKey;
/** Of the test that runs. */
let signal: AbortSignal;

let farm: MemoryFarm;
let network: Network;
let epoch: number;
/** Farmers wait so many times shorter. */
let hurry: number;
const farmer = (i = 0): FarmerAddress => farm.farmers[i]!.address;

beforeEach(async () => {
  signal = AbortSignal.timeout(60_000);
  hurry = 1;
  farm = await memoryFarm({
    farmers: 3,
    nowMs: () => NOW_MS,
    sleep: (delayMs, inner) => systemRuntime.sleep(delayMs / hurry, inner),
  });
  network = farm.networkOf(farm.bridge);
  epoch = 1;
  for (const { address } of farm.farmers) await putRoots(address, ...statements());
});
afterEach(() => farm.stop());

const say = (key: KeyPair, body: RootStatement) => signRootStatement(key, body).bytes;
const set = (members: string[], number: number) =>
  say(keeper, { kind: 'replica-set', owner, bucketId, epoch: number, f: 1, members, issuedMs: number });
function statements(): Uint8Array[] {
  return [
    say(ownerKey, {
      kind: 'role',
      owner,
      subject: keeper.publicKey,
      role: 'keeper',
      bucketId: '*',
      sealedSecret: new Uint8Array(0),
      issuedMs: 1,
    }),
    say(keeper, { kind: 'log-opened', owner, bucketId, logId, writer: keeper.publicKey, openedMs: 2, grant: null }),
    set(
      farm.farmers.map(({ keyPair }) => keyPair.publicKey),
      1,
    ),
  ];
}
const closed = (lastSeq: number, lastHash: string) =>
  say(keeper, { kind: 'log-closed', owner, bucketId, logId, lastSeq, lastHash, closedMs: 5 });

async function* once(bytes: Uint8Array) {
  yield bytes;
}
async function putRoots(to: FarmerAddress, ...bytes: Uint8Array[]): Promise<number> {
  const answer = await network.call(
    to,
    { operation: 'roots.put', head: encodeCallHead('roots.put', { owner }), body: once(frameAll(bytes)) },
    signal,
  );
  return decodeAnswerHead('roots.put', answer.head).kept;
}
/** A chain of batches of that length. */
function chain(length: number, after?: EncodedBatch, timeMs = NOW_MS, key = logKey): EncodedBatch[] {
  const batches: EncodedBatch[] = [];
  let last = after;
  for (let i = 0; i < length; i++) {
    const position = {
      seq: (last?.header.seq ?? 0) + 1,
      prevHash: last?.hash ?? NO_HASH,
      timeMs,
      salt: new Uint8Array(randomBytes(32)),
    };
    const keys = { ownerPartKey: new Uint8Array(32), repairPartKey: new Uint8Array(32) };
    last = encodeBatch({ logKey: key, position, entries: [], repair: { added: [], released: [] }, ...keys });
    batches.push(last);
  }
  return batches;
}
async function append(batches: EncodedBatch[], to = farmer(), net = network, firstSeq = 0) {
  const id = batches[0]?.header.logId ?? logId;
  const head = encodeCallHead('log.append', { owner, bucketId, logId: id, epoch, firstSeq });
  const answer = await net.call(
    to,
    { operation: 'log.append', head, body: once(frameAll(batches.map(({ bytes }) => bytes))) },
    signal,
  );
  return decodeAnswerHead('log.append', answer.head);
}
async function read(fromSeq = 1, maxBytes = MAX_BATCH_BYTES, to = farmer()) {
  const answer = await network.call(
    to,
    { operation: 'log.read', head: encodeCallHead('log.read', { owner, logId, fromSeq, maxBytes }) },
    signal,
  );
  return unframeAll(await collect(answer.body, 1 << 26), MAX_BATCH_BYTES);
}
/** As the collector would, once a checkpoint covers them. */
const drop = (belowSeq: number, i = 0) => new LogStore(farm.farmers[i]!.farmer.store).dropBatches({ owner, logId, belowSeq });
async function heads(to = farmer(), net = network) {
  const answer = await net.call(to, { operation: 'log.heads', head: encodeCallHead('log.heads', { owner, bucketId }) }, signal);
  return bucketHeads.decode(await collect(answer.body, bucketHeads.maxBytes));
}
async function seal(by: KeyPair, to = farmer()) {
  const order = signStatement(by, { kind: 'seal', owner, bucketId, logId, issuedMs: NOW_MS });
  const answer = await network.call(
    to,
    { operation: 'log.seal', head: encodeCallHead('log.seal', { owner }), body: once(order.bytes) },
    signal,
  );
  return decodeAnswerHead('log.seal', answer.head);
}
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: unknown) => (error instanceof CallError ? error.code : `not a CallError: ${String(error)}`),
  );

describe('a replica', () => {
  it('takes batches in their order and gives them back byte for byte', async () => {
    const batches = chain(5);

    await append(batches.slice(0, 2));
    const head = await append(batches.slice(2));

    expect(head).toEqual({ seq: 5, hash: batches[4]!.hash, epoch: 1 });
    expect((await read()).map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual(
      batches.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
    );
    expect(await read(4)).toHaveLength(2);
    expect(await read(6)).toHaveLength(0);
    expect(await heads()).toEqual({
      epoch: 1,
      setMember: true,
      logs: [{ logId, seq: 5, hash: batches[4]!.hash, sealed: false, firstSeq: 1 }],
    });
  });

  it('takes equal batches again, with new ones behind them', async () => {
    const batches = chain(4);
    await append(batches.slice(0, 3));

    expect(await append(batches)).toMatchObject({ seq: 4 });
    expect(await append(batches.slice(1, 2))).toMatchObject({ seq: 4 });
    expect(await read()).toHaveLength(4);
  });

  it('takes one of two appends that race for a number', async () => {
    const [left, right] = [chain(1), chain(1)];

    const results = await Promise.all([refusal(append(left)), refusal(append(right))]);

    expect(results.toSorted()).toEqual(['Conflict', 'accepted']);
    expect(await read()).toHaveLength(1);
  });

  it('refuses a gap and another batch under a known number, and says where it stands', async () => {
    const batches = chain(3);
    await append(batches.slice(0, 1));

    const gap = await append(batches.slice(2)).catch((error: unknown) => error);
    expect(gap).toMatchObject({ code: 'Conflict' });
    expect(decodeLogHead((gap as CallError).detail)).toEqual({ seq: 1, hash: batches[0]!.hash, epoch: 1 });
    expect(await refusal(append(chain(1)))).toBe('Conflict');
    expect(await refusal(append(chain(1, chain(1)[0])))).toBe('Conflict');
    expect(await read()).toHaveLength(1);
  });

  it('refuses wrong signatures, foreign logs, and times far ahead', async () => {
    const [batch] = chain(1);
    const broken = { ...batch!, bytes: Uint8Array.from(batch!.bytes) };
    broken.bytes[broken.bytes.length - 1]! ^= 1;
    expect(await refusal(append([broken]))).toBe('BadRequest');
    expect(await refusal(append(chain(1, undefined, NOW_MS + 6 * 60_000)))).toBe('BadRequest');
    expect(await refusal(append(chain(1, undefined, NOW_MS + 4 * 60_000)))).toBe('accepted');
  });

  it('holds a log to its kind', async () => {
    const position = { seq: 1, prevHash: NO_HASH, timeMs: NOW_MS, salt: new Uint8Array(32) };
    expect(await refusal(append([encodePlacementsBatch({ logKey, position, placements: [] })]))).toBe('BadRequest');
  });

  it('keeps its batches over a restart', async () => {
    const batches = chain(3);
    for (const { address } of farm.farmers) await append(batches, address);

    await farm.restart(0);

    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect(await read()).toHaveLength(3);
    expect(await append(chain(1, batches[2]))).toMatchObject({ seq: 4 });
  });

  it('sends at most what was asked for, but at least one batch', async () => {
    const batches = chain(6);
    await append(batches);
    const one = 4 + batches[0]!.bytes.length;

    expect(await read(1, 3 * one)).toHaveLength(3);
    expect(await read(2, 1)).toHaveLength(1);
  });
});

describe('epochs', () => {
  it('refuses writers that know another set, and those who are no members of it', async () => {
    await append(chain(1));
    epoch = 2;
    expect(await refusal(append(chain(1)))).toBe('WrongEpoch');
    await putRoots(farmer(0), set([farmer(1).farmer, farmer(2).farmer], 2));
    expect(await refusal(append(chain(1)))).toBe('WrongEpoch');
    epoch = 1;
    expect(await refusal(append(chain(1)))).toBe('WrongEpoch');
    expect(await heads()).toMatchObject({ epoch: 2, setMember: false });
  });

  it('acknowledges nothing any more that the set has changed under', async () => {
    async function* body() {
      await putRoots(farmer(), set([farmer(1).farmer, farmer(2).farmer], 2));
      yield frameAll([chain(1)[0]!.bytes]);
    }
    const head = encodeCallHead('log.append', { owner, bucketId, logId, epoch, firstSeq: 0 });
    expect(await refusal(network.call(farmer(), { operation: 'log.append', head, body: body() }, signal))).toBe('WrongEpoch');
  });

  it('lets a new member be filled under the new epoch', async () => {
    const batches = chain(3);
    await append(batches, farmer(1));
    const added = await farm.add();
    const next = set([farmer(1).farmer, farmer(2).farmer, added.address.farmer], 2);
    await putRoots(added.address, ...statements().slice(0, 2), next);
    epoch = 2;

    expect(await append(batches, added.address)).toMatchObject({ seq: 3, epoch: 2 });
  });
});

describe('a seal', () => {
  it('ends a log for good, also over a restart', async () => {
    const batches = chain(2);
    await append(batches);

    expect(await seal(keeper)).toMatchObject({ seq: 2 });

    const refused = await append(chain(1, batches[1])).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'Sealed' });
    expect(decodeLogHead((refused as CallError).detail)).toMatchObject({ seq: 2 });
    expect(await append(batches)).toMatchObject({ seq: 2 });
    expect((await heads()).logs[0]).toMatchObject({ sealed: true });
    await farm.restart(0);
    await expect.poll(() => refusal(append(chain(1, batches[1]))), { timeout: 15_000 }).toBe('Sealed');
  });

  it('counts before the first batch too', async () => {
    expect(await seal(keeper)).toMatchObject({ seq: 0, hash: NO_HASH });
    expect(await refusal(append(chain(1)))).toBe('Sealed');
  });

  it('lets what the closing statement covers still come in, and nothing else', async () => {
    const batches = chain(4);
    await append(batches.slice(0, 1));
    await seal(keeper);
    await putRoots(farmer(), closed(3, batches[2]!.hash));

    expect(await refusal(append(batches))).toBe('Sealed');
    expect(await append(batches.slice(1, 3))).toMatchObject({ seq: 3 });
    expect(await refusal(append(batches.slice(3)))).toBe('Sealed');
  });

  it("isn't taken from strangers", async () => {
    expect(await refusal(seal(testKey('stranger')))).toBe('Forbidden');
    expect(await refusal(append(chain(1)))).toBe('accepted');
  });
});

describe('dropped batches', () => {
  it('are gone for good, the head stays, and the log goes on', async () => {
    const batches = chain(5);
    await append(batches.slice(0, 4));
    const before = await farm.farmers[0]!.farmer.store.numbers();

    expect(await drop(4)).toBe(4);

    const after = await farm.farmers[0]!.farmer.store.numbers();
    expect(after.liveBytes).toBeLessThan(before.liveBytes);
    expect(after.liveBytes + after.trashBytes).toBeGreaterThanOrEqual(before.liveBytes + before.trashBytes);
    for (const restarts of [0, 1]) {
      if (restarts > 0) await farm.restart(0);
      await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
      expect((await heads()).logs).toMatchObject([{ seq: 4, hash: batches[3]!.hash, firstSeq: 4 }]);
      expect((await read()).map((bytes) => decodeBatchHeader(bytes).seq)).toEqual([4]);
    }
    // Those that it had are still fine when they come again.
    expect(await append(batches)).toMatchObject({ seq: 5 });
  });

  it('may be all there are', async () => {
    const batches = chain(3);
    await append(batches.slice(0, 2));

    expect(await drop(1000)).toBe(3);

    expect((await heads()).logs).toMatchObject([{ seq: 2, hash: batches[1]!.hash, firstSeq: 3 }]);
    expect(await read()).toEqual([]);
    expect(await append(batches.slice(2))).toMatchObject({ seq: 3 });
    expect(await refusal(append(chain(1, chain(2)[1])))).toBe('Conflict');
  });

  it('need not be had: a replica begins where the others keep on, if it is told so', async () => {
    const batches = chain(4);
    expect(await refusal(append(batches.slice(2)))).toBe('Conflict');

    expect(await append(batches.slice(2), farmer(), network, 3)).toMatchObject({ seq: 4 });

    expect((await heads()).logs).toMatchObject([{ seq: 4, firstSeq: 3 }]);
    expect(await read()).toHaveLength(2);
  });
});

describe('admission', () => {
  it('lets writers append, members and readers read, strangers neither', async () => {
    const stranger = farm.networkOf(testKey('stranger'));
    expect(await refusal(append(chain(1), farmer(), stranger))).toBe('Forbidden');
    expect(await refusal(heads(farmer(), stranger))).toBe('Forbidden');
    expect(await refusal(append(chain(1), farmer(), farm.networkOf(keeper)))).toBe('accepted');
    expect(await refusal(heads(farmer(), farm.networkOf(keeper)))).toBe('accepted');
    expect(await refusal(heads(farmer(), farm.networkOf(ownerKey)))).toBe('accepted');
    expect(await refusal(heads(farmer(), farm.networkOf(farm.farmers[1]!.keyPair)))).toBe('accepted');
  });

  it('wants the log opened first', async () => {
    const other = testKey('other log');
    const head = encodeCallHead('log.append', { owner, bucketId, logId: other.publicKey, epoch: 1, firstSeq: 0 });
    const body = once(frameAll([chain(1)[0]!.bytes]));
    expect(await refusal(network.call(farmer(), { operation: 'log.append', head, body }, signal))).toBe('NotFound');
  });

  it('lets a leaving farmer go on with what it has, and takes no new bucket', async () => {
    const batches = chain(2);
    await append(batches.slice(0, 1));
    farm.setState(farmer(0).farmer, 'Leaving');
    farm.setState(farmer(1).farmer, 'Leaving');

    expect(await refusal(append(batches))).toBe('accepted');
    expect(await refusal(append(batches, farmer(1)))).toBe('Leaving');
  });
});

describe('after a start', () => {
  it('takes what the others have that it lacks, before it answers for it', async () => {
    const batches = chain(4);
    await append(batches.slice(0, 1));
    for (const i of [1, 2]) await append(batches, farmer(i));

    await farm.restart(0);

    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect((await heads()).logs).toEqual([{ logId, seq: 4, hash: batches[3]!.hash, sealed: false, firstSeq: 1 }]);
    expect(await read()).toHaveLength(4);
  });

  it('goes on behind what all others have dropped, and not before somebody has been asked who has not', async () => {
    const batches = chain(5);
    await append(batches.slice(0, 1));
    for (const i of [1, 2]) await append(batches, farmer(i));
    await drop(4, 1);
    await farm.restart(0);
    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect((await heads()).logs).toMatchObject([{ seq: 5, firstSeq: 1 }]);

    const more = chain(3, batches[4]);
    for (const i of [1, 2]) await append(more, farmer(i));
    for (const i of [1, 2]) await drop(8, i);
    await farm.restart(0);

    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect((await heads()).logs).toMatchObject([{ seq: 8, hash: more[2]!.hash, firstSeq: 8 }]);
    expect(await read()).toHaveLength(1);
  });

  it('answers neither readers nor writers while too few others answer it, but the other members', async () => {
    const [first, second] = chain(2);
    await append([first!]);
    const self = farmer(0).farmer;
    let tries = 0;
    farm.net.faultOf = ({ from, operation }) => {
      if (from !== self || operation !== 'log.heads') return undefined;
      tries += 1;
      return { kind: 'refuse' };
    };

    await farm.restart(0);

    await expect.poll(() => tries, { timeout: 15_000 }).toBeGreaterThan(4);
    expect(await refusal(heads())).toBe('Unavailable');
    expect(await refusal(append([second!]))).toBe('Unavailable');
    expect(await refusal(heads(farmer(0), farm.networkOf(farm.farmers[1]!.keyPair)))).toBe('accepted');
    farm.net.faultOf = () => undefined;
    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect(await append([second!])).toMatchObject({ seq: 2 });
  });

  it('takes nothing more into a log that others have sealed: set back, it may have sealed it, too', async () => {
    const batches = chain(2);
    await append(batches.slice(0, 1));
    await seal(keeper, farmer(1));

    await farm.restart(0);

    await expect.poll(() => refusal(append(batches)), { timeout: 15_000 }).toBe('Sealed');
    for (const i of [0, 1]) await putRoots(farmer(i), closed(2, batches[1]!.hash));
    expect(await append(batches)).toMatchObject({ seq: 2 });
  });

  describe('set back to before a batch that it and one other had acknowledged', () => {
    const away = (...farmers: number[]) => {
      const keys = farmers.map((i) => farmer(i).farmer);
      farm.net.faultOf = ({ from, to }) => (from === farmer(0).farmer && keys.includes(to) ? { kind: 'refuse' } : undefined);
    };
    const batches = chain(4);
    beforeEach(async () => {
      for (const { address } of farm.farmers) await append(batches.slice(0, 1), address);
      await append(batches, farmer(1));
    });

    it("hides nothing while that other isn't there yet, neither from readers nor from who ends the log", async () => {
      away(1);
      await farm.restart(0);

      // Two members are enough for both questions, and these two don't know the batch.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect((await heads(farmer(2), farm.networkOf(farm.farmers[0]!.keyPair))).logs).toMatchObject([{ seq: 1 }]);
      expect(await refusal(heads())).toBe('Unavailable');
      expect(await refusal(seal(keeper))).toBe('Unavailable');

      away();
      await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
      expect((await heads()).logs).toMatchObject([{ seq: 4, hash: batches[3]!.hash }]);
      expect(await seal(keeper)).toMatchObject({ seq: 4 });
    });

    it('answers with what is left when that other stays away', async () => {
      hurry = 600;
      away(1);
      await farm.restart(0);

      await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
      expect((await heads()).logs).toMatchObject([{ seq: 1 }]);
    });

    it("knows logs that were opened since, and buckets that weren't known at all", async () => {
      const other = testKey('other log');
      const opening = say(keeper, {
        kind: 'log-opened',
        owner,
        bucketId,
        logId: other.publicKey,
        writer: keeper.publicKey,
        openedMs: 3,
        grant: null,
      });
      for (const i of [1, 2]) await putRoots(farmer(i), opening);
      await append(chain(2, undefined, NOW_MS, other), farmer(1));
      const found = async () => {
        await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
        return new Map((await heads()).logs.map(({ logId: id, seq }) => [id, seq]));
      };
      const whole = new Map([logId, other.publicKey].map((id, i) => [id, [4, 2][i]!]));

      await farm.restart(0);
      expect(await found()).toEqual(whole);

      const { keyPair } = farm.farmers[0]!;
      await farm.restart(0, { empty: true, keyPair });
      expect(await found()).toEqual(whole);
    });
  });

  it('stands where it was sealed, until the log is closed', async () => {
    const batches = chain(4);
    await append(batches.slice(0, 1));
    expect(await seal(keeper)).toMatchObject({ seq: 1 });
    for (const i of [1, 2]) await append(batches, farmer(i));

    await farm.restart(0);

    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect((await heads()).logs).toMatchObject([{ seq: 1, sealed: true }]);
    await putRoots(farmer(), closed(4, batches[3]!.hash));
    await farm.restart(0);
    await expect.poll(() => refusal(heads()), { timeout: 15_000 }).toBe('accepted');
    expect((await heads()).logs).toMatchObject([{ seq: 4 }]);
  });

  it('comes up when all start at once', async () => {
    for (const { address } of farm.farmers) await append(chain(1), address).catch(() => {});
    await Promise.all([0, 1, 2].map((i) => farm.restart(i)));

    for (const i of [0, 1, 2]) await expect.poll(() => refusal(heads(farmer(i))), { timeout: 15_000 }).toBe('accepted');
  });
});
