import { beforeEach, describe, expect, test } from 'vitest';
import type { EventRecorder, Story } from '#operator/kube/events.ts';
import type { KubeMetrics } from '#operator/kube/kube-metrics.ts';
import type { MemoryKube } from '#operator/kube/memory-kube.ts';
import type { KubeObject, Live } from '#operator/kube/resources.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { createEventRecorder } from '#operator/kube/events.ts';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { events } from '#operator/kube/resources.ts';
import { createFakeClock, type FakeClock } from '../runtime/fake-clock.ts';

const farm = (name = 'demo'): Live => ({
  apiVersion: 'storjfarm.io/v1alpha1',
  kind: 'StorjFarm',
  metadata: { name, namespace: 'farm', uid: `uid-${name}`, resourceVersion: '7', creationTimestamp: '2026-01-01T00:00:00Z' },
});
const story = (note = 'farmer 7 is leaving'): Story => ({ type: 'Normal', reason: 'Draining', action: 'ScaleDown', note });

let kube: MemoryKube;
let clock: FakeClock;
let recorder: EventRecorder;
let results: string[];

beforeEach(() => {
  kube = createMemoryKube();
  clock = createFakeClock();
  results = [];
  let dice = 0;
  const metrics = { event: (result: string) => results.push(result) } as unknown as KubeMetrics;
  // Names must differ even for events of the same millisecond.
  const random = (): number => (dice += 1) / 100_000;
  recorder = createEventRecorder({
    client: kube,
    controller: 'storjfarm.io/operator',
    instance: 'pod-1',
    clock,
    random,
    metrics,
  });
});

const stored = (): (KubeObject & Record<string, unknown>)[] => kube.peekAll(events) as never;

describe('events', () => {
  test('have all that kubectl describe asks for', async () => {
    recorder.record(farm(), story());
    await recorder.flush();
    expect(stored()).toMatchObject([
      {
        metadata: { namespace: 'farm', name: expect.stringMatching(/^demo\.[0-9a-f]+$/) },
        regarding: { apiVersion: 'storjfarm.io/v1alpha1', kind: 'StorjFarm', namespace: 'farm', name: 'demo', uid: 'uid-demo' },
        type: 'Normal',
        reason: 'Draining',
        action: 'ScaleDown',
        note: 'farmer 7 is leaving',
        eventTime: '2026-01-01T00:00:00.000000Z',
        reportingController: 'storjfarm.io/operator',
        reportingInstance: 'pod-1',
      },
    ]);
  });

  test('repetitions become a count, sent at most once a minute', async () => {
    for (let n = 0; n < 10; n += 1) {
      recorder.record(farm(), story());
      await clock.advance(1000);
    }
    expect(kube.writes()).toHaveLength(1);
    await clock.advance(60_000);
    expect(kube.writes()).toHaveLength(2);
    expect(stored()).toMatchObject([{ series: { count: 10, lastObservedTime: '2026-01-01T00:00:09.000000Z' } }]);
  });

  test('after a long silence the same story is a new event', async () => {
    recorder.record(farm(), story());
    await clock.advance(6 * 60_000);
    recorder.record(farm(), story());
    await recorder.flush();
    expect(stored()).toHaveLength(2);
  });

  test('other stories and other objects are other events', async () => {
    recorder.record(farm(), story());
    recorder.record(farm(), story('farmer 6 is leaving'));
    recorder.record(farm('other'), story());
    await recorder.flush();
    expect(stored()).toHaveLength(3);
  });

  test('no object can flood: 25 at once, then one in five minutes', async () => {
    for (let n = 0; n < 40; n += 1) recorder.record(farm(), story(`note ${n}`));
    recorder.record(farm('quiet'), story());
    await recorder.flush();
    expect(stored()).toHaveLength(26);
    expect(results.filter((result) => result === 'dropped')).toHaveLength(15);
    await clock.advance(300_000);
    for (let n = 40; n < 45; n += 1) recorder.record(farm(), story(`note ${n}`));
    await recorder.flush();
    expect(stored()).toHaveLength(27);
  });

  test('an outage can’t fill the memory, and nobody waits or fails', async () => {
    kube.intercept = () => Promise.reject(new KubeError('Unavailable', 'down'));
    for (let n = 0; n < 2000; n += 1) recorder.record(farm(`farm-${n}`), story());
    await recorder.flush();
    expect(results.filter((result) => result === 'dropped')).toHaveLength(1500);
    expect(results.filter((result) => result === 'failed')).toHaveLength(500);
    kube.intercept = undefined;
    recorder.record(farm('later'), story());
    await recorder.flush();
    expect(stored()).toHaveLength(1);
  });

  test('a count for an event that has expired makes it anew', async () => {
    recorder.record(farm(), story());
    await clock.advance(1000);
    recorder.record(farm(), story());
    const [first] = stored();
    await kube.delete(events, { namespace: 'farm', name: first?.metadata.name ?? '' });
    await recorder.flush();
    expect(stored()).toMatchObject([{ series: { count: 2 } }]);
    expect(clock.timers).toBe(0);
  });

  test('long notes and names are cut to what the API takes', async () => {
    recorder.record(farm('n'.repeat(253)), story('ä'.repeat(2000)));
    await recorder.flush();
    const [event] = stored();
    expect(Buffer.byteLength(event?.['note'] as string)).toBeLessThanOrEqual(1024);
    expect(event?.['note']).toMatch(/^ä+…$/);
    expect(event?.metadata.name.length).toBeLessThanOrEqual(253);
  });
});
