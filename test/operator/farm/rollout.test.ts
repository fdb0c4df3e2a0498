import { describe, expect, it } from 'vitest';
import type { FarmReport } from '#node/interface/status.ts';
import type { PodFact, ZoneFact } from '#operator/farm/observed.ts';
import { atRest, nextPartitions } from '#operator/farm/rollout.ts';

const healthy = { state: 'Healthy', margin: 2 } as FarmReport;

function zone(name: string, more: Partial<ZoneFact> = {}): ZoneFact {
  const same = { zone: name, replicas: 3, image: 'i', partition: atRest, isObserved: true, storageRequest: '1Gi' };
  return { ...same, currentRevision: 'old', updateRevision: 'new', ...more };
}

function podsOf(name: string, revisions: string[], notReady: number[] = []): PodFact[] {
  return revisions.map(
    (revision, ordinal) =>
      ({ name: `${name}-${ordinal}`, zone: name, ordinal, revision, isReady: !notReady.includes(ordinal) }) as PodFact,
  );
}

describe('a changed template', () => {
  it('at rest nothing restarts', () => {
    const rest = zone('a', { currentRevision: 'new' });
    expect(nextPartitions([rest], podsOf('a', ['new', 'new', 'new']), healthy, 2)).toMatchObject({
      partitions: new Map([['a', atRest]]),
      outdated: 0,
    });
  });

  it('goes slot by slot, from the top, one zone at a time', () => {
    const pods = [...podsOf('a', ['old', 'old', 'old']), ...podsOf('b', ['old', 'old', 'old'])];
    expect(nextPartitions([zone('a'), zone('b')], pods, healthy, 2)).toMatchObject({
      partitions: new Map([
        ['a', 2],
        ['b', atRest],
      ]),
      outdated: 6,
    });
    const next = nextPartitions([zone('a', { partition: 2 })], podsOf('a', ['old', 'old', 'new']), healthy, 2);
    expect(next.partitions.get('a')).toBe(1);
  });

  it('waits until the restarted one is back', () => {
    const down = nextPartitions([zone('a', { partition: 2 })], podsOf('a', ['old', 'old', 'new'], [2]), healthy, 2);
    expect(down.partitions.get('a')).toBe(2);
    expect(down.waitsFor).toContain('ready');
    const notYet = nextPartitions([zone('a', { partition: 2 })], podsOf('a', ['old', 'old']), healthy, 2);
    expect(notYet.partitions.get('a')).toBe(2);
  });

  it.each<[string, FarmReport | undefined]>([
    ['nothing is known', undefined],
    ['data is degraded', { ...healthy, state: 'Degraded' }],
    ['there is no margin', { ...healthy, margin: 0 }],
  ])('holds while %s', (_, report) => {
    const held = nextPartitions([zone('a')], podsOf('a', ['old', 'old', 'old']), report, 2);
    expect(held.partitions.get('a')).toBe(atRest);
    expect(held.waitsFor).toBeDefined();
  });

  it('holds while another farmer is down, but restarts one that is down itself', () => {
    expect(nextPartitions([zone('a')], podsOf('a', ['old', 'old', 'old'], [0]), healthy, 2).partitions.get('a')).toBe(atRest);
    expect(nextPartitions([zone('a')], podsOf('a', ['old', 'old', 'old'], [2]), undefined, 2).partitions.get('a')).toBe(2);
  });

  it('is not begun before the controller has seen it', () => {
    expect(
      nextPartitions([zone('a', { isObserved: false })], podsOf('a', ['old', 'old', 'old']), healthy, 2).partitions.get('a'),
    ).toBe(atRest);
  });
});
