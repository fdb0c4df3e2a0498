import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareClocks,
  emptyView,
  liveVersions,
  mergeEntries,
  nextClock,
  resolve,
  type MergedView,
} from '#node/core/log-merge.ts';
import type { Clock, OwnerEntry, PutEntry } from '#node/wire/types.ts';

const put = (key: string, versionId: string, clock: Clock, replaces: string[] = [], etag = ''): PutEntry => ({
  kind: 'put',
  key,
  versionId,
  clock,
  replaces,
  sizeBytes: 0,
  etag,
  modifiedMs: 0,
  headers: {},
  checksums: [],
  inline: new Uint8Array(0),
});
const at = (wallMs: number, counter = 0): Clock => ({ wallMs, counter });
const current = (view: MergedView, key: string) => {
  const state = view.keys.get(key);
  return state ? (resolve(state)?.entry.versionId ?? null) : null;
};

describe('one key', () => {
  it('the highest clock wins among concurrent writes', () => {
    const view = emptyView();
    mergeEntries(view, 'log-a', [put('k', 'v1', at(5))]);
    mergeEntries(view, 'log-b', [put('k', 'v2', at(4))]);
    expect(current(view, 'k')).toBe('v1');
    expect(liveVersions(view.keys.get('k')!).map(({ entry }) => entry.versionId)).toEqual(['v1', 'v2']);
  });

  it('a named version never wins, whatever its clock', () => {
    const view = mergeEntries(emptyView(), 'log-a', [put('k', 'old', at(1_000_000)), put('k', 'new', at(1), ['old'])]);
    expect(current(view, 'k')).toBe('new');
  });

  it('a delete that comes before its version still lets it go', () => {
    const view = emptyView();
    mergeEntries(view, 'log-b', [{ kind: 'delete', key: 'k', clock: at(1), names: ['v1'] }]);
    expect(current(view, 'k')).toBeNull();
    mergeEntries(view, 'log-a', [put('k', 'v1', at(9))]);
    expect(current(view, 'k')).toBeNull();
    mergeEntries(view, 'log-a', [put('k', 'v2', at(2))]);
    expect(current(view, 'k')).toBe('v2');
  });

  it('a rewritten version has its newest segments and its old place among the others, in any order', () => {
    const first = put('k', 'v1', at(5)) as PutEntry;
    const segmentsOf = (view: MergedView) => resolve(view.keys.get('k')!)?.entry.segments;
    const moved = (wallMs: number): OwnerEntry => ({ ...first, rewritten: at(wallMs), segments: [] });
    for (const order of [
      [first, moved(8), moved(9)],
      [moved(9), first, moved(8)],
      [moved(8), moved(9), first],
    ]) {
      const view = mergeEntries(emptyView(), 'log-a', order);
      expect(resolve(view.keys.get('k')!)?.entry.rewritten).toEqual(at(9));
      expect(segmentsOf(view)).toEqual([]);
      mergeEntries(view, 'log-b', [put('k', 'v2', at(6))]);
      expect(current(view, 'k')).toBe('v2');
      mergeEntries(view, 'log-b', [{ kind: 'delete', key: 'k', clock: at(7), names: ['v1', 'v2'] }, moved(10)]);
      expect(current(view, 'k')).toBeNull();
    }
  });

  it('equal clocks fall to the log', () => {
    const view = emptyView();
    mergeEntries(view, 'log-b', [put('k', 'v2', at(5))]);
    mergeEntries(view, 'log-a', [put('k', 'v1', at(5))]);
    expect(current(view, 'k')).toBe('v2');
  });
});

describe('uploads and buckets', () => {
  const upload = (state: 'open' | 'closed', clock: Clock): OwnerEntry => ({
    kind: 'upload',
    uploadId: 'u',
    key: 'k',
    clock,
    createdMs: 0,
    headers: {},
    state,
  });
  it('a closed upload stays closed', () => {
    const view = mergeEntries(emptyView(), 'log', [upload('open', at(1)), upload('closed', at(2)), upload('open', at(3))]);
    expect(view.uploads.get('u')?.upload?.entry.state).toBe('closed');
  });
  it('the newest part of a number counts', () => {
    const part = (etag: string, clock: Clock): OwnerEntry => ({
      kind: 'part',
      uploadId: 'u',
      partNumber: 1,
      clock,
      sizeBytes: 0,
      etag,
      modifiedMs: 0,
      checksums: [],
    });
    const view = mergeEntries(emptyView(), 'log', [part('b', at(2)), part('a', at(1))]);
    expect(view.uploads.get('u')?.parts.get(1)?.entry.etag).toBe('b');
  });
  it('the newest word on a bucket counts', () => {
    const bucket = (deleted: boolean, clock: Clock): OwnerEntry => ({
      kind: 'bucket',
      bucketId: '01',
      name: 'photos',
      clock,
      createdMs: 0,
      deleted,
    });
    const view = mergeEntries(emptyView(), 'log', [bucket(true, at(2)), bucket(false, at(1))]);
    expect(view.buckets.get('01')?.entry.deleted).toBe(true);
  });
});

describe('merging', () => {
  const clock = fc.record({ wallMs: fc.nat(3), counter: fc.nat(2) });
  const version = fc.constantFrom('v1', 'v2', 'v3', 'v4');
  const key = fc.constantFrom('a', 'b');
  const entry: fc.Arbitrary<OwnerEntry> = fc.oneof(
    fc
      .tuple(key, version, clock, fc.array(version, { maxLength: 2 }), fc.constantFrom('x', 'y'))
      .map(([k, v, c, replaces, etag]) => put(k, v, c, replaces, etag)),
    fc
      .tuple(key, clock, fc.array(version, { maxLength: 2 }))
      .map(([k, c, names]): OwnerEntry => ({ kind: 'delete', key: k, clock: c, names })),
    fc
      .tuple(clock, fc.boolean())
      .map(([c, deleted]): OwnerEntry => ({ kind: 'bucket', bucketId: '01', name: 'b', clock: c, createdMs: 0, deleted })),
    fc
      .tuple(clock, fc.constantFrom('open' as const, 'closed' as const))
      .map(([c, state]): OwnerEntry => ({ kind: 'upload', uploadId: 'u', key: 'k', clock: c, createdMs: 0, headers: {}, state })),
    fc.tuple(clock, fc.integer({ min: 1, max: 2 }), fc.constantFrom('x', 'y')).map(([c, partNumber, etag]): OwnerEntry => ({
      kind: 'part',
      uploadId: 'u',
      partNumber,
      clock: c,
      sizeBytes: 0,
      etag,
      modifiedMs: 0,
      checksums: [],
    })),
  );
  const logged = fc.array(fc.tuple(fc.constantFrom('log-a', 'log-b'), entry), { maxLength: 12 });
  const merged = (all: readonly (readonly [string, OwnerEntry])[]) => {
    const view = emptyView();
    for (const [logId, one] of all) mergeEntries(view, logId, [one]);
    return view;
  };
  /** The view without the order of its maps. */
  const normal = (view: MergedView) => ({
    keys: [...view.keys].toSorted().map(([k, s]) => [k, [...s.versions].toSorted(), [...s.named].toSorted(), resolve(s)]),
    buckets: [...view.buckets],
    uploads: [...view.uploads].map(([id, { upload, parts }]) => [id, upload, [...parts].toSorted()]),
  });

  it('does not care for order, repetition or grouping', () => {
    fc.assert(
      fc.property(logged, fc.infiniteStream(fc.nat()), (all, order) => {
        const expected = normal(merged(all));
        const shuffled = all.map((one) => ({ one, key: order.next().value })).toSorted((a, b) => a.key - b.key);
        expect(normal(merged(shuffled.map(({ one }) => one)))).toEqual(expected);
        expect(normal(merged([...all, ...all]))).toEqual(expected);
      }),
    );
  });

  it('a later put through nextClock that names what it saw always wins', () => {
    fc.assert(
      fc.property(logged, fc.nat(3), (all, wallMs) => {
        const view = merged(all);
        const seen = view.keys.get('a');
        const versions = seen ? liveVersions(seen) : [];
        const last =
          versions
            .map((one) => one.entry.clock)
            .toSorted(compareClocks)
            .at(-1) ?? at(0);
        const replaces = versions.map((one) => one.entry.versionId);
        mergeEntries(view, 'log-a', [put('a', 'fresh', nextClock(last, wallMs), replaces)]);
        expect(current(view, 'a')).toBe('fresh');
        expect(liveVersions(view.keys.get('a')!)).toHaveLength(1);
      }),
    );
  });
});
