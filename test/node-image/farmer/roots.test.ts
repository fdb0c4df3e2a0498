// Root statements at real farmers: union, what counts, who may bring them, and where they go.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyPair } from '#node/core/keys.ts';
import { nearest } from '#node/core/rendezvous.ts';
import { CallError, type FarmerAddress } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead, farmMembers, holdings, ownerPage } from '#node/wire/calls.ts';
import { collect, frameAll, unframeAll } from '#node/wire/framing.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import { MAX_STATEMENT_BYTES, decodeMembership, verifyMembership } from '#node/wire/statements.ts';
import type { RootStatement } from '#node/wire/types.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';

const [ownerKey, keeper, stranger] = [testKey('owner'), testKey('keeper'), testKey('stranger')];
const owner = ownerKey.publicKey;
/** Of the test that runs. */
let signal: AbortSignal;
beforeEach(() => {
  signal = AbortSignal.timeout(60_000);
});
const bucketId = '34'.repeat(16);
let farm: MemoryFarm;

afterEach(() => farm.stop());

const say = (key: KeyPair, body: RootStatement) => signRootStatement(key, body).bytes;
const role = (subject: KeyPair, by = ownerKey) =>
  say(by, {
    kind: 'role',
    owner,
    subject: subject.publicKey,
    role: 'keeper',
    bucketId: '*',
    sealedSecret: new Uint8Array(0),
    issuedMs: 1,
  });
const opened = (writer: KeyPair) =>
  say(writer, {
    kind: 'log-opened',
    owner,
    bucketId,
    logId: testKey('log').publicKey,
    writer: writer.publicKey,
    openedMs: 2,
    grant: null,
  });

async function* once(bytes: Uint8Array) {
  yield bytes;
}
async function put(bytes: Uint8Array[], as: KeyPair = farm.bridge, to: FarmerAddress = farm.farmers[0]!.address) {
  const call = { operation: 'roots.put', head: encodeCallHead('roots.put', { owner }), body: once(frameAll(bytes)) } as const;
  return decodeAnswerHead('roots.put', (await farm.networkOf(as).call(to, call, signal)).head).kept;
}
async function get(to: FarmerAddress = farm.farmers[0]!.address) {
  const call = { operation: 'roots.get', head: encodeCallHead('roots.get', { owner }) } as const;
  const answer = await farm.networkOf(stranger).call(to, call, signal);
  const statements = unframeAll(await collect(answer.body, 1e7), MAX_STATEMENT_BYTES).map(hex);
  return { statements, nearest: decodeAnswerHead('roots.get', answer.head).nearest };
}
async function ownersOf(as: KeyPair) {
  const call = { operation: 'roots.owners', head: encodeCallHead('roots.owners', { after: '', limit: 10 }) } as const;
  const answer = await farm.networkOf(as).call(farm.farmers[0]!.address, call, signal);
  return ownerPage.decode(await collect(answer.body, 1e6)).owners;
}
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: unknown) => (error instanceof CallError ? error.code : `not a CallError: ${String(error)}`),
  );

describe('a farmer', () => {
  beforeEach(async () => {
    farm = await memoryFarm({ farmers: 1 });
  });

  it('keeps the union of what it is given, also over a restart', async () => {
    const [first, second] = [role(keeper), opened(keeper)];

    expect(await put([first])).toBe(1);
    expect(await put([second, first])).toBe(2);
    await farm.restart(0);

    expect((await get()).statements.toSorted()).toEqual([hex(first), hex(second)].toSorted());
  });

  it('keeps only what counts', async () => {
    const broken = Uint8Array.from(role(stranger));
    broken[broken.length - 1]! ^= 1;
    const bySomebody = role(stranger, stranger);
    const other = signRootStatement(stranger, {
      kind: 'role',
      owner: stranger.publicKey,
      subject: stranger.publicKey,
      role: 'keeper',
      bucketId: '*',
      sealedSecret: new Uint8Array(0),
      issuedMs: 1,
    }).bytes;

    expect(await put([role(keeper), broken, bySomebody, other, opened(stranger)])).toBe(1);
    expect((await get()).statements).toEqual([hex(role(keeper))]);
  });

  it('refuses what is no statement at all', async () => {
    expect(await refusal(put([Uint8Array.of(1, 2, 3)]))).toBe('BadRequest');
  });

  it('lets only the farm introduce an owner, and anybody bring more of a known one', async () => {
    expect(await refusal(put([role(keeper)], ownerKey))).toBe('Forbidden');
    expect(await refusal(put([role(keeper)], stranger))).toBe('Forbidden');
    await put([role(keeper)]);
    expect(await put([role(keeper), opened(keeper)], stranger)).toBe(2);
  });

  it('tells those who are named which owners name them', async () => {
    await put([role(keeper)]);

    expect(await ownersOf(keeper)).toEqual([owner]);
    expect(await ownersOf(stranger)).toEqual([]);
  });

  it("shows holdings to the farm's repairers alone", async () => {
    const ask = (as: KeyPair) => {
      const call = { operation: 'farmer.holdings', head: encodeCallHead('farmer.holdings', {}) } as const;
      return farm.networkOf(as).call(farm.farmers[0]!.address, call, signal);
    };
    expect(await refusal(ask(farm.bridge))).toBe('Forbidden');
    const answer = await ask(farm.repairer);
    const { freeBytes, ...rest } = holdings.decode(await collect(answer.body, 1e6));
    expect(rest).toEqual({ owners: [], cordonedMs: null, lastTransferMs: 0 });
    expect(freeBytes).toBeGreaterThan(0);
  });

  it('tells anybody who the members are, with proof', async () => {
    const call = { operation: 'farm.members', head: encodeCallHead('farm.members', {}) } as const;
    const answer = await farm.networkOf(stranger).call(farm.farmers[0]!.address, call, signal);
    const told = farmMembers.decode(await collect(answer.body, 1e6));

    expect(told).toMatchObject({ controlKey: farm.controlKey.publicKey, redundancy: farm.current().redundancy });
    const membership = decodeMembership(told.members[0]!.membership);
    expect(verifyMembership(membership)).toBe(true);
    expect(membership.body).toMatchObject({ farm: farm.controlKey.publicKey, farmer: farm.farmers[0]!.keyPair.publicKey });
  });
});

describe('a farm', () => {
  it('brings statements to the nine that are nearest to the owner, and refers to them', async () => {
    farm = await memoryFarm({ farmers: 12 });
    await put([role(keeper)]);
    const keys = farm.farmers.map(({ keyPair }) => keyPair.publicKey);
    const wanted = new Set([keys[0]!, ...nearest(owner, keys)]);

    const holders = async () => {
      const held = await Promise.all(
        farm.farmers.map(async ({ address }) => ((await get(address)).statements.length > 0 ? address.farmer : '')),
      );
      return held.filter((farmer) => farmer !== '').toSorted();
    };
    await expect.poll(holders, { timeout: 15_000 }).toEqual([...wanted].toSorted());

    const without = farm.farmers.find(({ keyPair }) => !wanted.has(keyPair.publicKey))!;
    expect((await get(without.address)).nearest.map(({ farmer }) => farmer)).toEqual(nearest(owner, keys));
  });

  it('passes statements on to those who become nearest when others go', async () => {
    farm = await memoryFarm({ farmers: 11 });
    await put([role(keeper)]);
    const keys = () =>
      farm
        .current()
        .roster.filter(({ state }) => state !== 'Lost')
        .map(({ farmer }) => farmer);
    const missing = async () => {
      const near = new Set(nearest(owner, keys()));
      const asked = farm.farmers.filter(({ keyPair }) => near.has(keyPair.publicKey));
      const answers = await Promise.all(asked.map(({ address }) => get(address)));
      return answers.filter(({ statements }) => statements.length === 0).length;
    };
    await expect.poll(missing, { timeout: 15_000 }).toBe(0);

    for (const gone of nearest(owner, keys()).slice(0, 2)) farm.setState(gone, 'Lost');

    await expect.poll(missing, { timeout: 15_000 }).toBe(0);
  });

  it('knows that nobody knows an owner, also while f farmers are silent, once its roster has stood for a while', async () => {
    let aheadMs = 0;
    farm = await memoryFarm({ farmers: 6, nowMs: () => Date.now() + aheadMs });
    const [first, ...others] = farm.farmers;
    for (const { keyPair } of others.slice(0, 2)) farm.net.detach(keyPair.publicKey);
    expect(await refusal(get(first!.address))).toBe('Unavailable');
    aheadMs = 61_000;
    expect(await get(first!.address)).toMatchObject({ statements: [] });
    farm.change({ roster: farm.current().roster.slice(0, 5) });
    expect(await refusal(get(first!.address))).toBe('Unavailable');
  });

  it("finds a stranger's right at the owner's nearest farmers", async () => {
    farm = await memoryFarm({ farmers: 12 });
    const keys = farm.farmers.map(({ keyPair }) => keyPair.publicKey);
    const far = farm.farmers.find(({ keyPair }) => !nearest(owner, keys).includes(keyPair.publicKey))!;
    const near = farm.farmers.find(({ keyPair }) => keyPair.publicKey === nearest(owner, keys)[0])!;
    await put([role(keeper)], farm.bridge, near.address);
    const head = encodeCallHead('piece.get', { owner, pieceId: '00'.repeat(32), firstLeaf: 0, leafCount: 0 });
    const ask = (as: KeyPair) => refusal(farm.networkOf(as).call(far.address, { operation: 'piece.get', head }, signal));

    expect(await ask(keeper)).toBe('NotFound');
    expect(await ask(stranger)).toBe('Forbidden');
  });
});
