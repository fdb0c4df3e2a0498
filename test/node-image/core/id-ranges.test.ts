import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareRange, digestOf, idRange, ORPHAN_AFTER_MS, rangeBits, type HeldId } from '#node/core/id-ranges.ts';

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const isIn = (id: string, { fromId, toId }: ReturnType<typeof idRange>) => id >= fromId && (toId === '' || id < toId);

describe('ranges of ids', () => {
  it('hold every id once, whatever the number of bits', () => {
    fc.assert(
      fc.property(anyId, fc.integer({ min: 0, max: 24 }), (id, bits) => {
        const range = Math.floor(parseInt(id.slice(0, 8), 16) / 2 ** (32 - bits));
        expect(isIn(id, idRange(bits, range))).toBe(true);
        if (range > 0) expect(isIn(id, idRange(bits, range - 1))).toBe(false);
        if (range + 1 < 2 ** bits) expect(isIn(id, idRange(bits, range + 1))).toBe(false);
      }),
    );
    expect(idRange(0, 0)).toEqual({ fromId: '0'.repeat(64), toId: '' });
    expect(idRange(1, 1)).toEqual({ fromId: '8'.padEnd(64, '0'), toId: '' });
  });

  it('have about 512 ids each', () => {
    expect([0, 1, 512, 513, 1025, 10_000_000].map(rangeBits)).toEqual([0, 0, 0, 1, 2, 15]);
    expect(rangeBits(2 ** 50)).toBe(24);
  });

  it('have the same digest exactly when they hold the same ids', () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyId, { maxLength: 20 }), anyId, (ids, other) => {
        expect(digestOf(ids.toReversed())).toEqual(digestOf(ids));
        if (!ids.includes(other)) expect(digestOf([...ids, other])).not.toEqual(digestOf(ids));
        expect(digestOf(ids).pieces).toBe(ids.length);
      }),
    );
  });
});

describe('comparing a range', () => {
  const cutMs = 10 * ORPHAN_AFTER_MS;
  const held = (pieceId: string, storedMs: number, trashedMs: number | null = null): HeldId => ({ pieceId, storedMs, trashedMs });
  const compare = (input: Partial<Parameters<typeof compareRange>[0]>) =>
    compareRange({ named: new Set(), believedMissing: new Set(), held: [], isDropped: () => false, cutMs, ...input });

  it('tells orphans by their age, and dropped ones at once', () => {
    const old = cutMs - ORPHAN_AFTER_MS;
    const there = [held('a', old - 1), held('b', old), held('c', cutMs - 1), held('d', cutMs), held('e', 0, 5), held('f', 0)];
    const isDropped = (id: string) => ['c', 'd'].includes(id);
    expect(compare({ named: new Set(['f']), held: there, isDropped }).orphans).toEqual(['a', 'c']);
    expect(compare({ held: there, isDropped, cutMs: null }).orphans).toEqual([]);
  });

  it('tells what is missing, what came back, and what lies in the trash although it is named', () => {
    const named = new Set(['here', 'gone', 'trashed', 'back', 'still gone']);
    const believedMissing = new Set(['back', 'still gone']);
    const there = [held('here', 0), held('trashed', 0, 7), held('back', 0)];
    expect(compare({ named, believedMissing, held: there })).toEqual({
      orphans: [],
      trashed: ['trashed'],
      missing: ['gone'],
      found: ['back'],
    });
  });
});
