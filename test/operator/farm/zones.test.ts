import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitOverZones } from '#operator/farm/zones.ts';

const zoneNames = fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 4 });
const counts = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'old'), fc.nat({ max: 12 }))
  .map((o) => new Map(Object.entries(o)));
const sum = (map: ReadonlyMap<string, number>) => [...map.values()].reduce((all, one) => all + one, 0);

describe('slots of zones', () => {
  it('add up to the total, and zones that are not listed get none', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), zoneNames, counts, (total, zones, existing) => {
        const split = splitOverZones(total, zones, existing);
        expect(sum(split)).toBe(total);
        for (const zone of existing.keys()) if (!zones.includes(zone)) expect(split.get(zone)).toBe(0);
      }),
    );
  });

  it('never grow one zone and shrink another listed one at the same time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), zoneNames, counts, (total, zones, existing) => {
        const split = splitOverZones(total, zones, existing);
        const changes = zones.map((zone) => (split.get(zone) ?? 0) - (existing.get(zone) ?? 0));
        expect(changes.some((by) => by > 0) && changes.some((by) => by < 0)).toBe(false);
      }),
    );
  });

  it('a number that is set back undoes the change', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }), zoneNames, (before, then, zones) => {
        const first = splitOverZones(before, zones, new Map());
        const back = splitOverZones(before, zones, splitOverZones(then, zones, first));
        expect(back).toEqual(first);
      }),
    );
  });

  it('an even split stays even', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), zoneNames, (total, zones) => {
        const sizes = [...splitOverZones(total, zones, new Map()).values()];
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
