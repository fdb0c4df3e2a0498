import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repairPlan, type FarmerFacts, type PlanInput } from '#node/core/repair-plan.ts';
import { segmentHealth, type FarmerState, type SegmentHolders } from '#node/core/segment-health.ts';
import { domainLimit, domainSizes } from '#node/core/spread.ts';
import { promiseOf } from '#node/core/schemes.ts';
import type { Scheme } from '#node/wire/types.ts';

const SIX: Scheme = { required: 4, repair: 5, optimal: 6, total: 6 };
const name = (index: number) => String(index).padStart(64, '0');

interface World {
  scheme?: Scheme;
  farmers: { state?: FarmerState; answers?: boolean; domain?: string; freeBytes?: number }[];
  /** Farmer numbers by piece; default: piece i on farmer i. */
  holders?: number[][];
  pieceBytes?: number;
}

/** Judged as the repairer does, domains included. */
function judged(segment: SegmentHolders, facts: readonly FarmerFacts[]) {
  const stateOf = (farmer: string): FarmerState => facts.find((one) => one.farmer === farmer)?.state ?? 'Lost';
  const active = facts.filter(({ state }) => state === 'Online' || state === 'Offline');
  const of = (farmer: string) => facts.find((one) => one.farmer === farmer)?.domain;
  return segmentHealth(segment, stateOf, { activeFarmers: active.length, domains: { of, sizes: domainSizes(active) } });
}

function planFor({ scheme = SIX, farmers, holders, pieceBytes = 1000 }: World) {
  const facts = farmers.map((one, index): FarmerFacts => {
    const state = one.state ?? 'Online';
    return {
      farmer: name(index),
      domain: one.domain ?? name(index),
      state,
      answers: one.answers ?? (state === 'Online' || state === 'Leaving'),
      ...(one.freeBytes === undefined ? {} : { freeBytes: one.freeBytes }),
    };
  });
  const segment = {
    scheme,
    holders: (holders ?? Array.from({ length: scheme.total }, (_, index) => [index])).map((some) => some.map(name)),
  };
  const stateOf = (farmer: string): FarmerState => facts.find((one) => one.farmer === farmer)?.state ?? 'Lost';
  const activeFarmers = facts.filter(({ state }) => state === 'Online' || state === 'Offline').length;
  const health = judged(segment, facts);
  const input: PlanInput = { segment, health, farmers: facts, pieceBytes, seed: 'seed' };
  return { plan: repairPlan(input), input, facts, segment, stateOf, activeFarmers };
}

const farmers = (count: number, some: Record<number, World['farmers'][number]> = {}) =>
  Array.from({ length: count }, (_, index) => some[index] ?? {});

describe('repair plan', () => {
  it('does nothing for a healthy segment', () => {
    expect(planFor({ farmers: farmers(8) }).plan).toEqual({ copies: [], rebuilds: [], sources: [], unplaced: [], blocked: null });
  });

  it('rebuilds what a lost farmer held, on a farmer that holds nothing of it', () => {
    const { plan } = planFor({ farmers: farmers(7, { 2: { state: 'Lost' } }) });
    expect(plan).toMatchObject({ copies: [], rebuilds: [{ pieceNumber: 2, to: name(6) }], unplaced: [], blocked: null });
    expect(plan.sources.map(({ pieceNumber }) => pieceNumber).sort()).toEqual([0, 1, 3, 4, 5]);
  });

  it('copies straight from a leaving farmer', () => {
    const { plan } = planFor({ farmers: farmers(7, { 2: { state: 'Leaving' } }) });
    expect(plan).toMatchObject({ copies: [{ pieceNumber: 2, to: name(6), from: [name(2)] }], rebuilds: [], blocked: null });
  });

  it('rebuilds a leaving farmer’s piece when that farmer is silent', () => {
    const { plan } = planFor({ farmers: farmers(7, { 2: { state: 'Leaving', answers: false } }) });
    expect(plan).toMatchObject({ copies: [], rebuilds: [{ pieceNumber: 2, to: name(6) }] });
  });

  it('takes moving pieces along when it rebuilds anyway, missing ones first', () => {
    const { plan } = planFor({ farmers: farmers(7, { 1: { state: 'Leaving' }, 4: { state: 'Lost' } }) });
    // One place for two pieces: what is missing goes first.
    expect(plan).toMatchObject({ copies: [], rebuilds: [{ pieceNumber: 4, to: name(6) }] });
    const roomy = planFor({ farmers: farmers(8, { 1: { state: 'Leaving' }, 4: { state: 'Lost' } }) }).plan;
    expect(roomy.rebuilds.map(({ pieceNumber }) => pieceNumber)).toEqual([4, 1]);
    expect(roomy.copies).toEqual([]);
  });

  it('still copies from a leaving farmer where a segment can’t be rebuilt now', () => {
    const lost = { state: 'Lost' } as const;
    const { plan } = planFor({ farmers: farmers(9, { 0: lost, 1: lost, 2: lost, 3: { state: 'Leaving' } }) });
    expect(plan).toMatchObject({ copies: [{ pieceNumber: 3, from: [name(3)] }], rebuilds: [], blocked: 'NotEnoughSources' });
  });

  it('copies out of a domain that has too many pieces, where another has room', () => {
    const zones = (...names: string[]) => names.map((domain) => ({ domain }));
    const { plan, input, segment, facts } = planFor({ farmers: zones('a', 'a', 'a', 'b', 'b', 'c', 'c', 'c') });
    expect(input.health).toMatchObject({ state: 'Healthy', queued: true, missing: [], leaving: [] });
    expect(plan.copies).toHaveLength(1);
    const [copy] = plan.copies;
    expect(['a', 'c'].map((domain) => facts.filter((one) => one.domain === domain).map(({ farmer }) => farmer))).toEqual([
      expect.arrayContaining(copy!.from),
      expect.arrayContaining([copy!.to]),
    ]);
    const holders = segment.holders.map((some, number) => (number === copy!.pieceNumber ? [...some, copy!.to] : some));
    expect(judged({ ...segment, holders }, facts)).toMatchObject({ crowded: [], queued: false });
    // Too few domains: as even as it can be, so nothing to do. And nothing while something else is to do.
    expect(planFor({ farmers: zones('a', 'a', 'a', 'b', 'b', 'b') }).input.health.crowded).toEqual([]);
    expect(planFor({ farmers: zones('a', 'a', 'a', 'a', 'b', 'b', 'b') }).plan.copies).toHaveLength(1);
    const leaving = planFor({ farmers: [...zones('a', 'a', 'a', 'b', 'b', 'c', 'c'), { domain: 'c', state: 'Leaving' }] });
    expect(leaving.input.health.crowded).toHaveLength(1);
    expect(
      planFor({ farmers: [{ domain: 'a', state: 'Leaving' }, ...zones('a', 'a', 'b', 'b', 'c', 'c')] }).input.health.crowded,
    ).toEqual([]);
    // Room only where it would be crowded again, or on farmers that are away or full: later.
    for (const more of [{ answers: false, state: 'Offline' as const }, { freeBytes: 10 }]) {
      const later = planFor({ farmers: [...zones('a', 'a', 'a', 'b', 'b', 'c'), { domain: 'c', ...more }] });
      expect(later.plan).toMatchObject({ copies: [], rebuilds: [], blocked: 'NoPlaces' });
    }
  });

  it('says when there is no place, and fills what places there are', () => {
    expect(planFor({ farmers: farmers(6, { 5: { state: 'Lost' } }) }).plan).toMatchObject({ rebuilds: [], blocked: 'NoPlaces' });
    const { plan } = planFor({ farmers: farmers(7, { 4: { state: 'Lost' }, 5: { state: 'Lost' } }) });
    expect(plan.rebuilds).toEqual([{ pieceNumber: 4, to: name(6) }]);
    expect(plan.blocked).toBeNull();
  });

  it('gives nothing to farmers that leave, are silent or have no room', () => {
    const { plan } = planFor({
      farmers: farmers(10, {
        0: { state: 'Lost' },
        6: { state: 'Leaving' },
        7: { state: 'Offline' },
        8: { freeBytes: 999 },
        9: { freeBytes: 5000 },
      }),
    });
    expect(plan.rebuilds).toEqual([{ pieceNumber: 0, to: name(9) }]);
  });

  it('keeps a domain at f pieces where another has room', () => {
    // Zones a and b hold two each already (f = 2), c holds one: only c's farmers may take the missing piece.
    const zones = ['a', 'a', 'b', 'b', 'c', 'c', 'a', 'b', 'c'];
    const { plan } = planFor({ farmers: zones.map((domain, index) => (index === 5 ? { domain, state: 'Lost' } : { domain })) });
    expect(plan.rebuilds).toEqual([{ pieceNumber: 5, to: name(8) }]);
  });

  it('spreads evenly where there are too few domains', () => {
    const zones = ['a', 'a', 'a', 'b', 'b', 'b', 'a', 'b'];
    const { plan } = planFor({ farmers: zones.map((domain, index) => (index === 4 ? { domain, state: 'Lost' } : { domain })) });
    expect(plan.rebuilds).toEqual([{ pieceNumber: 4, to: name(7) }]);
  });

  it('lets a farmer that holds a spare copy take another piece', () => {
    // Piece 5 is on 5 and on 6; farmer 0 is lost; only 5 or 6 can be spared for piece 0.
    const { plan } = planFor({
      farmers: farmers(7, { 0: { state: 'Lost' } }),
      holders: [[0], [1], [2], [3], [4], [5, 6]],
    });
    expect(plan.rebuilds).toEqual([{ pieceNumber: 0, to: name(6) }]);
  });

  it('reads silent holders last', () => {
    const { plan } = planFor({ farmers: farmers(7, { 0: { state: 'Lost' }, 1: { state: 'Offline' }, 2: { state: 'Leaving' } }) });
    expect(plan.sources.map(({ pieceNumber }) => pieceNumber)).toEqual([3, 4, 5, 2, 1]);
  });
});

describe('repair plan, for any farm', () => {
  const farmer = fc.record({
    state: fc.constantFrom<FarmerState>('Online', 'Online', 'Online', 'Offline', 'Leaving', 'Lost'),
    domain: fc.constantFrom('a', 'b', 'c', 'd'),
    freeBytes: fc.constantFrom(500, 5000, 50_000),
  });
  const world = fc.record({
    farmers: fc.array(farmer, { minLength: 6, maxLength: 14 }),
    holders: fc.array(fc.uniqueArray(fc.nat(13), { maxLength: 2 }), { minLength: 6, maxLength: 6 }),
  });

  it('is the same for the same seed, and every task is sound', () => {
    fc.assert(
      fc.property(world, (one) => {
        const { plan, input, facts, segment } = planFor(one);
        expect(repairPlan(input)).toEqual(plan);
        const tasks = [...plan.copies, ...plan.rebuilds];
        const counted = input.health.counted.filter((held) => held !== null);
        expect(new Set([...counted, ...tasks.map(({ to }) => to)]).size).toBe(counted.length + tasks.length);
        for (const { to } of tasks) {
          expect(facts.find(({ farmer: candidate }) => candidate === to)).toMatchObject({ state: 'Online', answers: true });
          expect(facts.find(({ farmer: candidate }) => candidate === to)?.freeBytes).toBeGreaterThan(1000);
        }
        for (const { pieceNumber, from } of plan.copies) {
          expect(from.length).toBeGreaterThan(0);
          for (const holder of from) expect(segment.holders[pieceNumber]).toContain(holder);
        }
        if (plan.rebuilds.length > 0) {
          const readable = new Set(plan.sources.map(({ pieceNumber }) => pieceNumber));
          expect(readable.size).toBeGreaterThanOrEqual(SIX.required);
        }
      }),
    );
  });

  it('carried out, always gets further, and comes to an end', () => {
    fc.assert(
      fc.property(world, (one) => {
        let { segment, health, ...rest } = planFor(one).input;
        const { facts } = planFor(one);
        for (let round = 0; ; round++) {
          const plan = repairPlan({ segment, health, ...rest });
          const tasks = [...plan.copies, ...plan.rebuilds];
          if (tasks.length === 0) break;
          const holders = segment.holders.map((some, pieceNumber) => [
            ...some,
            ...tasks.filter((task) => task.pieceNumber === pieceNumber).map(({ to }) => to),
          ]);
          segment = { ...segment, holders };
          const after = judged(segment, facts);
          if (health.crowded.length === 0) expect(after.staying).toBe(health.staying + tasks.length);
          else expect(after.healthy).toBe(health.healthy);
          expect(round).toBeLessThan(2 * SIX.total);
          health = after;
        }
      }),
    );
  });

  it('spreads what was placed badly, until no domain has more than must be', () => {
    const layout = fc.record({
      domains: fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 6, maxLength: 14 }),
      order: fc.shuffledSubarray(
        Array.from({ length: 14 }, (_, i) => i),
        { minLength: 14 },
      ),
    });
    fc.assert(
      fc.property(layout, ({ domains, order }) => {
        const places = order.filter((i) => i < domains.length).slice(0, SIX.total);
        const { facts, ...first } = planFor({
          farmers: domains.map((domain) => ({ domain })),
          holders: places.map((i) => [i]),
        });
        let { segment } = first;
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(SIX.total);
          const health = judged(segment, facts);
          const { copies } = repairPlan({ segment, health, farmers: facts, pieceBytes: 1000, seed: 'seed' });
          if (copies.length === 0) break;
          // Each gets it out of its domain.
          for (const { from, to } of copies)
            expect(from.map((one) => facts.find(({ farmer }) => farmer === one)?.domain)).not.toContain(
              facts.find(({ farmer }) => farmer === to)?.domain,
            );
          segment = {
            ...segment,
            holders: segment.holders.map((some, number) => [
              ...some,
              ...copies.filter(({ pieceNumber }) => pieceNumber === number).map(({ to }) => to),
            ]),
          };
        }
        const limit = domainLimit(domainSizes(facts), SIX.total, promiseOf(SIX));
        for (const domain of new Set(domains)) {
          const inIt = new Set(facts.filter((one) => one.domain === domain).map(({ farmer }) => farmer));
          const lost = segment.holders.filter((some) => some.every((farmer) => inIt.has(farmer))).length;
          expect(lost).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  it('never puts more than f pieces into a domain, or as few more as the farm allows', () => {
    fc.assert(
      fc.property(world, (one) => {
        const { plan, input, facts } = planFor(one);
        const tasks = [...plan.copies, ...plan.rebuilds];
        const domainOf = (farmer: string) => facts.find((fact) => fact.farmer === farmer)?.domain ?? '';
        const { counted, leaving } = input.health;
        const stays = counted.filter((at, piece): at is string => at !== null && !leaving.includes(piece));
        const inDomain = (farmers: string[], domain: string) => farmers.filter((at) => domainOf(at) === domain).length;
        const fits = (limit: number) =>
          ['a', 'b', 'c', 'd'].reduce((sum, domain) => {
            const open = facts.filter(
              (fact) =>
                fact.domain === domain && fact.state === 'Online' && !counted.includes(fact.farmer) && fact.freeBytes! > 1000,
            );
            return sum + Math.min(open.length, Math.max(0, limit - inDomain(stays, domain)));
          }, 0);
        for (const { to } of tasks) {
          const held = inDomain([...stays, ...tasks.map((task) => task.to)], domainOf(to));
          if (held > promiseOf(SIX)) expect(fits(held - 1)).toBeLessThan(tasks.length + plan.unplaced.length);
        }
      }),
    );
  });
});
