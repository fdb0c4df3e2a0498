import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RosterMember } from '#node/interface/config.ts';
import type { PodFact } from '#operator/farm/observed.ts';
import { volume } from './facts.ts';
import { isFree, leavingSlots, maxLeaving, nextReplicas, slotsAbove } from '#operator/farm/slots.ts';

const slotName = (zone: string, ordinal: number) => `demo-farmer-${zone}-${ordinal}`;

function member(ordinal: number, state: RosterMember['state']): RosterMember {
  const name = slotName('main', ordinal);
  return {
    slot: name,
    farmer: `f${ordinal}`,
    peerId: `p${ordinal}`,
    volumeUid: `v${ordinal}`,
    zone: 'main',
    domain: 'd',
    state,
    url: '',
    multiaddr: '',
    membership: '',
  };
}

describe('a slot is free', () => {
  it('with the proof on its volume, and only while its farmer is Leaving', () => {
    expect(isFree(member(1, 'Leaving'), volume(1, { isDrained: true }))).toBe(true);
    expect(isFree(member(1, 'Leaving'), volume(1))).toBe(false);
    expect(isFree(member(1, 'Active'), volume(1, { isDrained: true }))).toBe(false);
    expect(isFree(member(1, 'Leaving'), volume(1, { uid: 'another', isDrained: true }))).toBe(false);
    expect(isFree(member(1, 'Leaving'), undefined)).toBe(false);
  });

  it('where nobody was ever met, but not where somebody may live', () => {
    expect(isFree(undefined, undefined)).toBe(true);
    expect(isFree(undefined, volume(1, { peerId: '' }))).toBe(true);
    expect(isFree(undefined, volume(1))).toBe(false);
    expect(isFree(undefined, volume(1, { peerId: 'unknown' }))).toBe(false);
    expect(isFree(member(1, 'Lost'), volume(1, { peerId: '' }))).toBe(true);
  });
});

const pod = (ordinal: number): PodFact => ({ ordinal, name: slotName('main', ordinal) }) as PodFact;

describe('replicas of a zone', () => {
  it('never fall past a slot that is not free, nor by two pods at once', () => {
    const input = fc.record({
      target: fc.nat({ max: 10 }),
      existing: fc.nat({ max: 12 }),
      free: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      podsOf: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      below: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(input, ({ target, existing, free, podsOf, below }) => {
        const replicas = Math.max(0, existing - below);
        const pods = podsOf.flatMap((has, ordinal) => (has ? [pod(ordinal)] : []));
        const next = nextReplicas({ target, existing, replicas, pods, isFree: (ordinal) => free[ordinal] ?? false });
        expect(next).toBeGreaterThanOrEqual(Math.min(target, existing));
        for (let ordinal = next; ordinal < existing; ordinal += 1) expect(free[ordinal]).toBe(true);
        expect(next).toBeGreaterThanOrEqual(Math.min(replicas - 1, existing));
        if (target >= existing) expect(next).toBe(target);
      }),
    );
  });

  it('wait until the last pod that went is really gone', () => {
    const input = { target: 6, existing: 8, isFree: () => true };
    expect(nextReplicas({ ...input, replicas: 8, pods: [pod(6), pod(7)] })).toBe(7);
    expect(nextReplicas({ ...input, existing: 7, replicas: 7, pods: [pod(6), pod(7)] })).toBe(7);
    expect(nextReplicas({ ...input, existing: 7, replicas: 7, pods: [pod(6)] })).toBe(6);
    // Pods that haven't come (back) yet may come any moment: still one at a time.
    expect(nextReplicas({ ...input, existing: 7, replicas: 7, pods: [] })).toBe(6);
  });
});

describe('who leaves', () => {
  const roster = Array.from({ length: 20 }, (_, i) => member(i, 'Active'));
  const victims = (from: number, to: number) => slotsAbove(new Map([['main', from]]), new Map([['main', to]]), slotName);

  it('takes the highest slots, and as many as wanted stay', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (size, wanted) => {
        const members = roster.slice(0, size);
        const leaving = leavingSlots({ victims: victims(size, Math.min(size, wanted)), roster: members, wanted, gate: 'go' });
        expect(members.length - leaving.size).toBeGreaterThanOrEqual(Math.min(size, wanted));
        expect(leaving.size).toBe(Math.min(maxLeaving, Math.max(0, size - wanted)));
        for (const slot of leaving) expect(Number(slot.split('-').at(-1))).toBeGreaterThanOrEqual(size - leaving.size);
      }),
    );
  });

  it('a removed zone waits for the newcomers', () => {
    const members = [member(0, 'Active'), { ...member(1, 'Active'), slot: slotName('old', 0), zone: 'old' }];
    const gone = slotsAbove(
      new Map([
        ['main', 1],
        ['old', 1],
      ]),
      new Map([
        ['main', 2],
        ['old', 0],
      ]),
      slotName,
    );
    expect(leavingSlots({ victims: gone, roster: members, wanted: 2, gate: 'go' })).toEqual(new Set());
    expect(leavingSlots({ victims: gone, roster: [...members, member(2, 'Active')], wanted: 2, gate: 'go' })).toEqual(
      new Set([slotName('old', 0)]),
    );
  });

  it('on hold nobody new leaves, on refusal everybody stays', () => {
    const members = roster.slice(0, 8).map((one, i) => (i === 7 ? { ...one, state: 'Leaving' as const } : one));
    const input = { victims: victims(8, 6), roster: members, wanted: 6 };
    expect(leavingSlots({ ...input, gate: 'hold' })).toEqual(new Set([slotName('main', 7)]));
    expect(leavingSlots({ ...input, gate: 'refuse' })).toEqual(new Set());
  });
});
