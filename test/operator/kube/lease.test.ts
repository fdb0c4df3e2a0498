import { afterEach, describe, expect, test } from 'vitest';
import type { LeaseOptions, Term } from '#operator/kube/lease.ts';
import type { MemoryKube } from '#operator/kube/memory-kube.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { acquireLease, LeaseLostError } from '#operator/kube/lease.ts';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { leases } from '#operator/kube/resources.ts';
import { createFakeClock, settle, type FakeClock } from '../runtime/fake-clock.ts';

const ref = { namespace: 'storj-system', name: 'storj-operator' };
const stops: AbortController[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop.abort()));

interface Candidate {
  term?: Term;
  kube: MemoryKube;
}

/** Two candidates for one Lease; each may be cut off by itself. */
function given() {
  const shared = createMemoryKube();
  const clock = createFakeClock();
  const stop = new AbortController();
  stops.push(stop);
  const enter = (identity: string, options: Partial<LeaseOptions> = {}): Candidate => {
    const candidate: Candidate = { kube: shared };
    const lease = acquireLease({ client: shared, ...ref, identity, clock, random: () => 0, ...options }, stop.signal);
    void lease.then(
      (term) => (candidate.term = term),
      () => {},
    );
    return candidate;
  };
  return { kube: shared, clock, enter, stop };
}

/** A client that can be cut off. */
function cuttable(kube: MemoryKube) {
  let cut: 'no' | 'fails' | 'hangs' = 'no';
  const through =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> => {
      if (cut === 'fails') return Promise.reject(new KubeError('Unavailable', 'cut off'));
      return cut === 'hangs' ? new Promise(() => {}) : call(...args);
    };
  const client = { ...kube, get: through(kube.get), create: through(kube.create), replace: through(kube.replace) } as MemoryKube;
  return { client, cut: (how: typeof cut) => void (cut = how) };
}

const holder = (kube: MemoryKube): string | undefined => kube.peek(leases, ref)?.spec?.holderIdentity;

describe('lease', () => {
  test('one holds it as long as it renews, the other waits', async () => {
    const { kube, clock, enter } = given();
    const a = enter('a');
    const b = enter('b');
    await clock.advance(600_000);
    expect([a.term !== undefined, b.term !== undefined, holder(kube)]).toEqual([true, false, 'a']);
    expect(a.term?.lost.aborted).toBe(false);
    expect(kube.peek(leases, ref)?.spec).toMatchObject({ leaseDurationSeconds: 15, leaseTransitions: 0 });
  });

  test('it renews every 2 s, and that is all it writes', async () => {
    const { kube, clock, enter } = given();
    enter('a');
    await clock.advance(1);
    kube.calls.length = 0;
    await clock.advance(60_000);
    expect(kube.calls.map(({ verb }) => verb)).toEqual(Array.from({ length: 30 }, () => 'replace'));
  });

  test('given back, it goes to the next one at its next look', async () => {
    const { kube, clock, enter } = given();
    const a = enter('a');
    await clock.advance(5000);
    const b = enter('b');
    await a.term?.release();
    expect(holder(kube)).toBe('');
    await clock.advance(2000);
    expect([b.term !== undefined, holder(kube)]).toEqual([true, 'b']);
    expect(a.term?.lost.aborted).toBe(false);
  });

  test('each term begins after the ones before, even when the clock went back', async () => {
    const { clock, enter } = given();
    const a = enter('a');
    await clock.advance(1);
    clock.jumpWall(-3_600_000);
    await a.term?.release();
    const b = enter('b');
    await clock.advance(2000);
    expect(b.term?.acquireTimeMs).toBeGreaterThan(a.term?.acquireTimeMs ?? Infinity);
  });

  test.each(['fails', 'hangs'] as const)('cut off (%s), the holder stops before another may begin', async (how) => {
    const { kube, clock, enter } = given();
    const wire = cuttable(kube);
    const a = enter('a', { client: wire.client });
    const b = enter('b');
    await clock.advance(20_000);
    wire.cut(how);
    const lostAt = await when(clock, 60_000, () => a.term?.lost.aborted === true);
    const takenAt = await when(clock, 60_000, () => b.term !== undefined);
    expect(lostAt).toBeLessThanOrEqual(10_000);
    expect(lostAt + takenAt).toBeGreaterThan(lostAt);
    expect(takenAt).toBeLessThanOrEqual(10_000);
    expect(a.term?.lost.reason).toBeInstanceOf(LeaseLostError);
    expect(holder(kube)).toBe('b');
  });

  test('a short cut costs nothing', async () => {
    const { kube, clock, enter } = given();
    const wire = cuttable(kube);
    const a = enter('a', { client: wire.client });
    const b = enter('b');
    await clock.advance(20_000);
    wire.cut('fails');
    await clock.advance(7000);
    wire.cut('no');
    await clock.advance(60_000);
    expect([a.term?.lost.aborted, b.term]).toEqual([false, undefined]);
  });

  test('the holder’s clock doesn’t matter, only whether its Lease moves', async () => {
    const { kube, clock, enter } = given();
    const old = '2001-01-01T00:00:00.000000Z';
    const spec = { holderIdentity: 'elsewhere', leaseDurationSeconds: 15, acquireTime: old, renewTime: old, leaseTransitions: 7 };
    await kube.create(leases, { apiVersion: leases.apiVersion, kind: 'Lease', metadata: ref, spec });
    const b = enter('b');
    await clock.advance(14_000);
    expect(b.term).toBeUndefined();
    await clock.advance(3000);
    expect(b.term).toBeDefined();
    expect(kube.peek(leases, ref)?.spec?.leaseTransitions).toBe(8);
  });

  test.each([
    [
      'taken by force',
      async (kube: MemoryKube) => void (await kube.mergePatch(leases, ref, { spec: { holderIdentity: 'thief' } })),
    ],
    ['deleted', (kube: MemoryKube) => kube.delete(leases, ref)],
  ])('%s, it is lost at the next renewal', async (_how, steal) => {
    const { kube, clock, enter } = given();
    const a = enter('a');
    await clock.advance(1000);
    await steal(kube);
    await clock.advance(2000);
    expect(a.term?.lost.aborted).toBe(true);
  });

  test('somebody who only labels the Lease takes nothing away', async () => {
    const { kube, clock, enter } = given();
    const a = enter('a');
    await clock.advance(1000);
    await kube.mergePatch(leases, ref, { metadata: { labels: { seen: 'yes' } } });
    await clock.advance(60_000);
    expect(a.term?.lost.aborted).toBe(false);
  });

  test('of two that see it free at the same time one gets it', async () => {
    const { kube, clock, enter } = given();
    const spec = { holderIdentity: '', leaseDurationSeconds: 15 };
    await kube.create(leases, { apiVersion: leases.apiVersion, kind: 'Lease', metadata: ref, spec });
    const candidates = ['a', 'b', 'c'].map((identity) => enter(identity));
    await clock.advance(30_000);
    expect(candidates.filter(({ term }) => term !== undefined)).toHaveLength(1);
  });

  test('an answer that is lost on the way costs nothing', async () => {
    const { kube, clock, enter } = given();
    const a = enter('a');
    await clock.advance(1000);
    let lost = 1;
    kube.intercept = ({ verb }) => (verb === 'replace' && lost-- > 0 ? 'lose-answer' : undefined);
    await clock.advance(60_000);
    expect([a.term?.lost.aborted, holder(kube)]).toEqual([false, 'a']);
  });

  test('waiting ends with the signal', async () => {
    const { kube, clock, stop } = given();
    kube.intercept = () => Promise.reject(new KubeError('Unavailable', 'down'));
    const waiting = acquireLease({ client: kube, ...ref, identity: 'a', clock, random: () => 0 }, stop.signal).catch(
      (error: unknown) => error,
    );
    await clock.advance(10_000);
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await waiting).toBe(reason);
    await settle();
    expect(clock.timers).toBe(0);
  });
});

/** How long it takes until `is` is true, in steps of 100 ms. */
async function when(clock: FakeClock, limitMs: number, is: () => boolean): Promise<number> {
  const startMs = clock.monotonicMs();
  while (!is()) {
    if (clock.monotonicMs() - startMs > limitMs) throw new Error('It never happened.');
    await clock.advance(100);
  }
  return clock.monotonicMs() - startMs;
}
