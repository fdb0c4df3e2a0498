// Replica sets on real farmers: one member changes at a time, while writing goes on, and nothing is lost.
import { afterEach, describe, expect, it, vi } from 'vitest';
import * as fc from 'fast-check';
import { replicaCount } from '#node/core/schemes.ts';
import type { LogFarmer } from '#node/log/log-link.ts';
import { readHeads } from '#node/log/log-reader.ts';
import { openBucketLog, type BucketLog } from '#node/log/log-writer.ts';
import { changeMember, nextMemberChange, syncReplicas } from '#node/log/replica-set.ts';
import { CallError, type Network } from '#node/net/net.ts';
import { rootQuorums } from '#node/core/rendezvous.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';
import { BUCKET, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from './support/log-world.ts';

let world: LogWorld | undefined;
const logs: BucketLog[] = [];
const opened = async (log: Promise<BucketLog>) => {
  logs.push(await log);
  return logs.at(-1)!;
};
const put = (log: BucketLog, key: string) => log.append([putEntry(key)], NOTHING);
const input = (w: LogWorld) => ({ owner: w.access.owner, bucketId: BUCKET, keeper: w.farm.bridge, signal: within() });

afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.close()));
  await world?.stop();
  world = undefined;
});

describe('a member that is replaced', () => {
  it.each([
    ['', false],
    [', though whoever changes it is gone as soon as the new set is known', true],
  ])(
    'hands over what others acknowledged at the last moment, also where f of those that stay are lost then%s',
    async (_, isGone) => {
      const w = (world = await startLogWorld({ farmers: 7 }));
      const log = await opened(w.open());
      await put(log, 'first');
      const [one, two, , , leaver] = log.set().members as [string, string, string, string, string];
      const reached = new Set([one, two, leaver]);
      const only = (network: Network) => reaching(network, (farmer) => reached.has(farmer));
      // A writer that the change doesn't hold.
      const { keyPair } = w.owner;
      const other = await opened(w.open({ writer: keyPair, link: w.link(keyPair, only) }));
      let before: Promise<void> | null = null;
      const atLast = async () => {
        await put(other, 'last');
        await other.close();
        for (const lost of [one, two]) {
          w.kill(lost);
          w.farm.setState(lost, 'Lost');
        }
      };
      const late = (network: Network): Network => ({
        self: network.self,
        close: () => network.close(),
        call: async (to, call, signal) => {
          if (call.operation === 'roots.put') await (before ??= atLast());
          else if (before && isGone) throw new CallError('Aborted', 'It is gone.');
          return await network.call(to, call, signal);
        },
      });
      w.farm.setState(leaver, 'Leaving');
      const change = nextMemberChange({ set: log.set(), farmers: w.view.current().members, bucketId: BUCKET, promise: 2 })!;
      expect(change.remove).toBe(leaver);
      const changed = changeMember(w.link(w.farm.bridge, late), { ...input(w), wanted: () => change, logs: [log] });
      if (isGone) await expect(changed).rejects.toThrow();
      else await changed;
      const { set } = await vi.waitFor(() => readHeads(w.link(), input(w)), 10_000);
      expect(set.epoch).toBe(2);
      w.kill(leaver);
      expect(await w.readKeys()).toEqual(['first', 'last']);
    },
  );

  it('hands over everything while writing goes on, also when it is dead', async () => {
    for (const dead of [false, true]) {
      world = await startLogWorld({ farmers: 7 });
      const log = await opened(world.open());
      const keys = Array.from({ length: 60 }, (_, i) => `key ${String(i).padStart(2, '0')}`);
      for (const key of keys.slice(0, 20)) await put(log, key);
      const gone = log.set().members[1]!;
      if (dead) world.kill(gone);
      world.farm.setState(gone, dead ? 'Lost' : 'Leaving');
      const change = nextMemberChange({ set: log.set(), farmers: world.view.current().members, bucketId: BUCKET, promise: 2 })!;
      expect(change).toMatchObject({ remove: gone, f: 2 });
      const writing = (async () => {
        for (const key of keys.slice(20)) await put(log, key);
      })();
      const set = await changeMember(world.link(), { ...input(world), wanted: () => change, logs: [log] });
      await writing;
      expect([set.epoch, set.f, set.members.length]).toEqual([2, 2, 5]);
      expect(set.members).toContain(change.add);
      expect(set.members).not.toContain(gone);
      expect(log.set()).toEqual(set);
      world.kill(gone);
      // Any two of the new set may go, the others have it all.
      for (let i = 0; i < 4; i++) {
        for (const member of [set.members[i]!, set.members[i + 1]!]) world.kill(member);
        expect(await world.readKeys()).toEqual(keys);
        for (const member of [set.members[i]!, set.members[i + 1]!]) world.revive(member);
      }
      await Promise.all(logs.splice(0).map((one) => one.close()));
      await world.stop();
      world = undefined;
    }
  });

  it('can be replaced where its loss has stopped writing: two farmers, f = 1', async () => {
    world = await startLogWorld({ farmers: 2 });
    const log = await opened(world.open({ patienceMs: 20_000 }));
    await put(log, 'a');
    expect([log.set().members.length, log.set().f]).toEqual([2, 1]);
    const gone = log.set().members[0]!;
    world.kill(gone);
    const waiting = put(log, 'b');
    await world.farm.add();
    world.farm.setState(gone, 'Lost');
    world.farm.change({ redundancy: { required: 1, repair: 1, optimal: 2, total: 2 } });
    const change = nextMemberChange({ set: log.set(), farmers: world.view.current().members, bucketId: BUCKET, promise: 1 })!;
    const set = await changeMember(world.link(), { ...input(world), wanted: () => change, logs: [log] });
    await waiting;
    for (const member of set.members) {
      world.kill(member);
      expect(await world.readKeys()).toEqual(['a', 'b']);
      world.revive(member);
    }
  });

  it('is changed again after a failure in the middle', async () => {
    world = await startLogWorld({ farmers: 7, answerTimeoutMs: 400 });
    const log = await opened(world.open());
    for (const key of ['a', 'b', 'c']) await put(log, key);
    const gone = log.set().members[0]!;
    world.farm.setState(gone, 'Leaving');
    const ask = () => nextMemberChange({ set: log.set(), farmers: world!.view.current().members, bucketId: BUCKET, promise: 2 });
    const change = ask()!;
    // The new member knows that it is one, but no batches reach it, and nobody's question makes it ask for them.
    world.fault(change.add!, (operation) => (['log.append', 'log.heads'].includes(operation) ? { kind: 'refuse' } : undefined));
    await expect(changeMember(world.link(), { ...input(world), wanted: () => change, logs: [log] })).rejects.toMatchObject({
      code: 'NotEnoughReplicas',
    });
    await put(log, 'd');
    expect(log.set().epoch).toBe(2);
    world.fault(change.add!, undefined);
    expect(ask()).toBeNull();
    await syncReplicas(world.link(), input(world));
    await expect.poll(() => log.upToDate(), { timeout: 10_000 }).toContain(change.add);
    expect(await world.readKeys()).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('a change that was made, but not to its end', () => {
  it('is not made again: what is wanted is asked of the set that is known by then', async () => {
    const w = (world = await startLogWorld({ farmers: 7 }));
    const log = await opened(w.open());
    await put(log, 'a');
    const leaver = log.set().members[0]!;
    w.farm.setState(leaver, 'Leaving');
    const wanted = (set: ReplicaSet) =>
      nextMemberChange({ set, farmers: w.view.current().members, bucketId: BUCKET, promise: 2 });
    // The log isn't told.
    const made = await changeMember(w.link(), { ...input(w), wanted, logs: [] });
    expect([made.epoch, log.set().epoch]).toEqual([2, 1]);
    expect(wanted(log.set())).not.toBeNull();

    expect(await changeMember(w.link(), { ...input(w), wanted, logs: [log] })).toEqual(made);

    expect(log.set()).toEqual(made);
    expect((await readHeads(w.link(), input(w))).set).toEqual(made);
  });
});

describe('other writers of the bucket', () => {
  it('follow a new epoch that they were not told of', async () => {
    world = await startLogWorld({ farmers: 7 });
    const log = await opened(world.open());
    await put(log, 'a');
    await world.warrant();
    const moves = await opened(openMoves(world));
    const entry = (i: number) => ({ tag: String(i).padStart(32, '0'), sealed: new Uint8Array(40) });
    await moves.appendPlacements([entry(1)]);
    const change = { remove: log.set().members[0]!, add: outside(world, log.set()), f: 2 };
    const set = await changeMember(world.link(), { ...input(world), wanted: () => change, logs: [log] });
    await moves.appendPlacements([entry(2)]);
    await expect.poll(() => moves.set().epoch).toBe(2);
    for (const member of set.members.slice(3)) world.kill(member);
    const found = (await world.read()).filter(({ header }) => header.kind === 'placements');
    expect(found.flatMap(({ placements }) => placements.map(({ tag }) => tag))).toEqual([entry(1).tag, entry(2).tag]);
    expect(found.every(({ log: { writer } }) => writer === world!.farm.repairer.publicKey)).toBe(true);
  });

  it('follow it too where every member that lacks their batch is gone by then', async () => {
    const w = (world = await startLogWorld({ farmers: 8, answerTimeoutMs: 400 }));
    const log = await opened(w.open());
    await put(log, 'a');
    await w.warrant();
    const [, , later, ...gone] = log.set().members as [string, string, string, string, string];
    const moves = await opened(openMoves(w, (network) => reaching(network, (farmer) => farmer !== later)));
    for (const member of gone) w.kill(member);
    const appended = moves.appendPlacements([{ tag: '1'.repeat(32), sealed: new Uint8Array(40) }]);
    // On two of five, which is one too few.
    await expect.poll(() => moves.head().seq).toBe(0);
    for (const member of [...gone, later]) {
      w.kill(member);
      w.farm.setState(member, 'Lost');
      await changeMember(w.link(), {
        ...input(w),
        wanted: (set) => ({ remove: member, add: outside(w, set), f: 2 }),
        logs: [log],
      });
    }
    expect(await appended).toMatchObject({ seq: 1 });
    expect(moves.set()).toEqual(log.set());
  });

  it('read by the newest set even where the statements they know are older', async () => {
    world = await startLogWorld({ farmers: 7 });
    const log = await opened(world.open());
    await put(log, 'a');
    const before = await readHeads(world.link(), input(world));
    const change = { remove: log.set().members[0]!, add: outside(world, log.set()), f: 2 };
    await changeMember(world.link(), { ...input(world), wanted: () => change, logs: [log] });
    await put(log, 'b');
    const after = await readHeads(world.link(), { ...input(world), view: before.view });
    expect(after.set.epoch).toBe(2);
    expect(after.logs[0]!.seq).toBe(2);
  });
});

/** The repairer's log. */
async function openMoves(w: LogWorld, wrap?: (network: Network) => Network): Promise<BucketLog> {
  const { repairer } = w.farm;
  return await openBucketLog({
    link: w.link(repairer, wrap),
    owner: w.access.owner,
    bucketId: BUCKET,
    writer: repairer,
    kind: 'placements',
    state: memoryState(),
    signal: within(),
  });
}

/** Batches of this writer come only to these farmers. */
function reaching(network: Network, isReached: (farmer: string) => boolean): Network {
  return {
    self: network.self,
    close: () => network.close(),
    call: async (to, call, signal) => {
      if (call.operation === 'log.append' && !isReached(to.farmer)) throw new CallError('Unreachable', 'Not now.');
      return await network.call(to, call, signal);
    },
  };
}

function outside(w: LogWorld, { members }: ReplicaSet): string {
  return w.view.current().members.find(({ farmer, state }) => state === 'Active' && !members.includes(farmer))!.farmer;
}

describe('what the roster asks for', () => {
  const farmerNames = Array.from({ length: 12 }, (_, i) => i.toString(16).repeat(64).slice(0, 64));
  const roster = fc.array(fc.constantFrom<LogFarmer['state'][]>('Active', 'Active', 'Leaving', 'Lost'), {
    minLength: 1,
    maxLength: 12,
  });
  const settings = fc.record({
    states: roster,
    domains: fc.array(fc.nat(3), { minLength: 12, maxLength: 12 }),
    members: fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 9 }),
    f: fc.nat(4),
    promise: fc.nat(4),
  });

  it('comes to an end, one member at a time, with as many good members as there can be', () => {
    fc.assert(
      fc.property(settings, ({ states, domains, members, f, promise }) => {
        const farmers = states.map((state, i) => ({ farmer: farmerNames[i]!, domain: `zone-${domains[i]}`, state }));
        let set: ReplicaSet = { epoch: 1, f: Math.min(f, members.length - 1), members: members.map((i) => farmerNames[i]!) };
        for (let step = 0; ; step++) {
          expect(step).toBeLessThan(40);
          const change = nextMemberChange({ set, farmers, bucketId: BUCKET, promise });
          if (!change) break;
          const next = set.members.filter((member) => member !== change.remove);
          if (change.add) next.push(change.add);
          expect(Math.abs(next.length - set.members.length)).toBeLessThanOrEqual(1);
          expect(new Set(next).size).toBe(next.length);
          expect(change.f).toBeLessThan(next.length);
          set = { epoch: set.epoch + 1, f: change.f, members: next };
        }
        const active = farmers.filter(({ state }) => state === 'Active').map(({ farmer }) => farmer);
        const good = set.members.filter((member) => active.includes(member));
        expect(good.length).toBeGreaterThanOrEqual(Math.min(replicaCount(promise, active.length), active.length));
        // No domain has more than f, or no more than must be.
        if (good.length === set.members.length) {
          const inDomain = (who: readonly string[], domain: string) =>
            farmers.filter((one) => one.domain === domain && who.includes(one.farmer)).length;
          const zones = [...new Set(farmers.map(({ domain }) => domain))];
          const room = (limit: number) => zones.reduce((sum, zone) => sum + Math.min(limit, inDomain(active, zone)), 0);
          let least = Math.max(1, promise);
          while (room(least) < good.length) least++;
          for (const zone of zones) expect(inDomain(good, zone)).toBeLessThanOrEqual(least);
        }
        // Nobody stays who could be done without.
        if (good.length > promise && good.length >= replicaCount(promise, active.length)) expect(set.members).toEqual(good);
      }),
    );
  });

  it('is another member where too many are in one domain and another has room', () => {
    const zones = ['a', 'a', 'a', 'b', 'b', 'c', 'c'];
    const farmers = zones.map((domain, i) => ({ farmer: farmerNames[i]!, domain, state: 'Active' as const }));
    const set = { epoch: 3, f: 2, members: farmerNames.slice(0, 5) };
    const change = nextMemberChange({ set, farmers, bucketId: BUCKET, promise: 2 });
    expect(change).toMatchObject({ remove: farmerNames[2], f: 2 });
    expect([farmerNames[5], farmerNames[6]]).toContain(change?.add);
    // One too many: it goes from the fullest domain.
    const smaller = nextMemberChange({ set, farmers, bucketId: BUCKET, promise: 1 });
    expect(smaller).toMatchObject({ remove: farmerNames[2] });
  });

  it('is nothing where all members stay and are enough', () => {
    const farmers = farmerNames.slice(0, 6).map((farmer) => ({ farmer, domain: farmer, state: 'Active' as const }));
    const set = { epoch: 3, f: 2, members: farmerNames.slice(0, 5) };
    expect(nextMemberChange({ set, farmers, bucketId: BUCKET, promise: 2 })).toBeNull();
  });
});

describe('quorums of root statements', () => {
  it('see every write, and bear f losses of written statements', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(4), (farmers, promise) => {
        const f = Math.min(promise, farmers - 1);
        const { write, read } = rootQuorums(farmers, f);
        expect(write + read).toBeGreaterThan(farmers);
        expect(write).toBeGreaterThan(f);
        expect(read).toBeLessThanOrEqual(farmers - f);
        expect(write).toBeLessThanOrEqual(farmers);
      }),
    );
  });
});
