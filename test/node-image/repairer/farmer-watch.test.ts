import { describe, expect, it } from 'vitest';
import { FarmerWatch } from '#node/repairer/farmer-watch.ts';
import { farmConfig } from '#test/node-image/repairer/support/farm-config.ts';

const key = (index: number) => String(index).padStart(64, '0');

function watching(states: ('Active' | 'Leaving' | 'Lost')[], lostAfterMs = 600_000) {
  const watch = new FarmerWatch(60_000);
  const config = farmConfig({ states, lostAfterMs });
  watch.configure(config);
  return { watch, config };
}

describe('farmer watch', () => {
  it('takes silence of a minute for offline, of lostAfter for lost, and one answer for online', () => {
    const { watch } = watching(['Active']);
    watch.heard(key(0), 5);
    expect(watch.state(key(0))).toBe('Online');
    watch.silent(key(0), 59_999);
    expect([watch.state(key(0)), watch.answers(key(0))]).toEqual(['Online', false]);
    watch.silent(key(0), 1);
    expect(watch.state(key(0))).toBe('Offline');
    watch.silent(key(0), 540_000);
    expect(watch.state(key(0))).toBe('Lost');
    expect(watch.contact(key(0))?.lastSeenMs).toBe(5);
    watch.heard(key(0), 10);
    expect([watch.state(key(0)), watch.answers(key(0))]).toEqual(['Online', true]);
  });

  it('believes the roster: lost is lost at once, unknown too, leaving stays leaving while it is not lost', () => {
    const { watch } = watching(['Active', 'Leaving', 'Lost']);
    for (const index of [0, 1, 2]) watch.heard(key(index), 1);
    expect([0, 1, 2, 3].map((index) => watch.state(key(index)))).toEqual(['Online', 'Leaving', 'Lost', 'Lost']);
    watch.silent(key(1), 120_000);
    expect(watch.state(key(1))).toBe('Leaving');
    watch.silent(key(1), 600_000);
    expect(watch.state(key(1))).toBe('Lost');
    expect(watch.size().activeFarmers).toBe(1);
  });

  it('counts nobody as silent before it has listened', () => {
    const { watch } = watching(['Active', 'Active']);
    expect(watch.state(key(0))).toBe('Online');
    expect(watch.answers(key(0))).toBe(false);
  });

  it('follows a changed roster and a changed lostAfter', () => {
    const { watch } = watching(['Active', 'Active']);
    watch.silent(key(0), 90_000);
    watch.heard(key(1), 1);
    watch.configure(farmConfig({ states: ['Active', 'Leaving'], lostAfterMs: 80_000, generation: 2 }));
    expect([watch.state(key(0)), watch.state(key(1))]).toEqual(['Lost', 'Leaving']);
    watch.configure(farmConfig({ states: ['Active'], generation: 3 }));
    expect(watch.contact(key(1))).toBeUndefined();
    watch.heard(key(1), 2);
    expect(watch.contact(key(1))).toBeUndefined();
  });
});
