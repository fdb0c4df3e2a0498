import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isOurTurn } from '#node/core/repair-turn.ts';

const key = (name: string) => createHash('sha256').update(name).digest('hex');
const repairers = ['a', 'b', 'c'].map(key);
const segments = Array.from({ length: 300 }, (_, i) => key(`segment ${i}`));
const turns = (segmentId: string, waitedMs: number, silentMs: (repairer: string) => number) =>
  repairers.filter((self) => isOurTurn({ segmentId, repairers, self, waitedMs, silentMs, takeOverMs: 60 }));

describe('turns of repairers', () => {
  it('give each segment to one, and to each about as many', () => {
    const counts = new Map<string, number>();
    for (const segmentId of segments) {
      const [first, ...more] = turns(segmentId, 0, () => Infinity);
      expect(more).toEqual([]);
      counts.set(first!, (counts.get(first!) ?? 0) + 1);
    }
    for (const self of repairers) expect(counts.get(self)).toBeGreaterThan(60);
  });

  it('pass on one by one while those before are silent, and not while one is heard', () => {
    for (const segmentId of segments.slice(0, 20)) {
      const silent = (waitedMs: number) => turns(segmentId, waitedMs, () => Infinity).length;
      expect([0, 59, 60, 119, 120].map(silent)).toEqual([1, 1, 2, 2, 3]);
      const [first] = turns(segmentId, 0, () => Infinity);
      expect(turns(segmentId, 1000, (repairer) => (repairer === first ? 59 : Infinity))).toEqual([first]);
    }
  });

  it('are always ours alone without others', () => {
    const [self] = repairers;
    const input = { segmentId: segments[0]!, self: self!, waitedMs: 0, silentMs: () => 0, takeOverMs: 60 };
    for (const alone of [[], [self!]]) expect(isOurTurn({ ...input, repairers: alone })).toBe(true);
  });
});
