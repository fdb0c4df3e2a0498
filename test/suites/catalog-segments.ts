// The part of the catalogs' exam about segments: what names them, where they lie, and when they may go.
import { expect, it } from 'vitest';
import { PORTIONS, type Catalog, type RestoreStep } from '#node/catalog/catalog.ts';
import type { OwnerRecord, RepairRecord } from '#node/wire/checkpoints.ts';
import type { OwnerEntry, PutEntry } from '#node/wire/types.ts';
import {
  OWNER,
  BUCKET,
  LOG,
  OTHER_LOG,
  tick,
  put,
  segmentKey,
  placement,
  upload,
  part,
  batchOf,
  writer,
  cutOf,
} from './catalog-entries.ts';

export function catalogSegmentsExam(fresh: () => Promise<Catalog>): void {
  it('takes a rewritten version for what it is, in whatever order logs are read', async () => {
    const first = put('k', { clock: { wallMs: 5, counter: 1 }, segments: [segmentKey('s1')] });
    const rival = put('k', { clock: { wallMs: 6, counter: 0 } });
    const moved = (segmentId: string, wallMs: number): PutEntry => ({
      ...first,
      replaces: [],
      segments: [segmentKey(segmentId)],
      rewritten: { wallMs, counter: 0 },
    });
    const wide = { required: 2, repair: 3, optimal: 4, total: 4 };
    const added = (segmentId: string, scheme = wide) => ({
      repair: { added: [{ ...placement(segmentId), scheme }], released: [] },
    });
    const steps: ((write: ReturnType<typeof writer>) => Promise<void>)[] = [
      (write) => write([first], added('s1', placement('s1').scheme)),
      (write) => write([moved('s2', 10)], added('s2')),
      (write) => write([moved('s3', 20)], added('s3')),
    ];
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    for (const order of orders) {
      const catalog = await fresh();
      for (const step of order) await steps[step]!(writer(catalog, `${step}`.repeat(64)));
      expect(catalog.current(BUCKET, 'k')).toMatchObject({ versionId: first.versionId, clock: first.clock, etag: first.etag });
      expect(catalog.content(BUCKET, 'k', first.versionId)?.segments.map(({ segmentId }) => segmentId)).toEqual(['s3']);
      expect(['s1', 's2', 's3'].map((id_) => catalog.references(BUCKET, id_))).toEqual([0, 0, 1]);
      expect(catalog.schemes(BUCKET)).toEqual([{ required: 2, optimal: 4 }]);
      expect(catalog.usage(BUCKET)).toEqual({ objects: 1, bytes: 3, uploadBytes: 0 });
      expect(catalog.version(BUCKET, 'k', first.versionId)?.etag).toBe(first.etag);
      // However late it was rewritten: a version written after it wins, and one that is gone stays gone.
      const other = writer(catalog, OTHER_LOG);
      await other([rival]);
      expect(catalog.current(BUCKET, 'k')?.versionId).toBe(rival.versionId);
      await other([{ kind: 'delete', key: 'k', clock: { wallMs: 7, counter: 0 }, names: [first.versionId, rival.versionId] }]);
      await other([moved('s4', 30)], added('s4'));
      expect(catalog.current(BUCKET, 'k')).toBeNull();
      expect(catalog.references(BUCKET, 's3') + catalog.references(BUCKET, 's4')).toBe(0);
    }
  });

  it('pages through versions that have segments, and knows the schemes in use', async () => {
    const catalog = await fresh();
    const write = writer(catalog);
    const keys = ['a', 'a', 'b', 'b\u0000', 'c'];
    const puts = keys.map((key, i) => put(key, { segments: [segmentKey(`s${i}`)] }));
    const schemes = [
      { required: 2, repair: 3, optimal: 4, total: 4 },
      { required: 1, repair: 3, optimal: 4, total: 4 },
      { required: 4, repair: 5, optimal: 6, total: 6 },
      { required: 4, repair: 4, optimal: 6, total: 7 },
      { required: 1, repair: 1, optimal: 1, total: 1 },
    ];
    const added = puts.map((_, i) => ({ ...placement(`s${i}`), scheme: schemes[i]! }));
    await write([...puts, put('inline')], { repair: { added: [...added, placement('unnamed')], released: [] } });
    const seen: string[] = [];
    for (let page = catalog.segmented(BUCKET, null, 2); page.length > 0; page = catalog.segmented(BUCKET, page.at(-1)!, 2)) {
      expect(page.length).toBeLessThanOrEqual(2);
      seen.push(...page.map(({ key, versionId }) => `${key} ${versionId}`));
    }
    expect(seen.sort()).toEqual(puts.map(({ key, versionId }) => `${key} ${versionId}`).sort());
    expect(catalog.schemes(BUCKET)).toEqual([
      { required: 1, optimal: 1 },
      { required: 1, optimal: 4 },
      { required: 2, optimal: 4 },
      { required: 4, optimal: 6 },
    ]);
  });

  it('remembers segments that nothing names any more until a cut drops them', async () => {
    const catalog = await fresh();
    const [write, other, account] = [writer(catalog), writer(catalog, OTHER_LOG), '0'.repeat(32)];
    const named = (segmentId: string, more: Partial<PutEntry> = {}) =>
      put(segmentId, { segments: [segmentKey(segmentId)], ...more });
    const added = (...ids: string[]) => ({ repair: { added: ids.map(placement), released: [] } });
    const [a, b, moved] = [named('a'), named('b'), named('m')];
    await write([a, b, moved], added('a', 'b', 'm'));
    expect(catalog.cut(OWNER, 10)).toEqual({
      heads: [{ bucketId: BUCKET, logId: LOG, seq: 1, hash: (1).toString().padStart(64, '0') }],
      dropped: [],
    });
    // A version that was dead before it came, a part of an upload that is closed: brought in, named by nothing.
    const dead = named('dead');
    await write([{ kind: 'delete', key: 'dead', clock: { wallMs: 1, counter: 1 }, names: [dead.versionId] }]);
    await write([dead, upload('k', 'u', 'closed'), part('u', 1, { segments: [segmentKey('late')] })], added('dead', 'late'));
    expect(catalog.cut(OWNER, 10).dropped.sort()).toEqual(['dead', 'late']);
    // A copy in another bucket keeps it; with the copy it goes.
    const copy = named('m');
    await other([copy], { bucketId: 'cc'.repeat(16), ...added('m') });
    const gone = ({ key, clock, versionId }: PutEntry): OwnerEntry => ({ kind: 'delete', key, clock, names: [versionId] });
    await write([gone(a), gone(moved)]);
    expect(catalog.cut(OWNER, 10).dropped.sort()).toEqual(['a', 'dead', 'late']);
    expect(catalog.cut(OWNER, 2).dropped).toHaveLength(2);
    expect(catalog.cut('ee'.repeat(32), 10)).toEqual({ heads: [], dropped: [] });
    await other([gone(copy)], { bucketId: 'cc'.repeat(16) });
    expect(catalog.cut(OWNER, 10).dropped.sort()).toEqual(['a', 'dead', 'late', 'm']);
    // Brought back by a late copy in another bucket: its row in the first one tells of nothing.
    const late = named('a');
    const third = writer(catalog, 'e3'.repeat(32));
    await third([late], { bucketId: 'dd'.repeat(16), ...added('a') });
    expect(catalog.cut(OWNER, 10).dropped.sort()).toEqual(['dead', 'late', 'm']);
    await third([gone(late)], { bucketId: 'dd'.repeat(16) });
    // Named again before the cut is applied: it stays.
    await write([named('late', { key: 'again' })]);
    const cuts = { repair: { added: [], released: [], cuts: [cutOf('a', 'late', 'm', 'b')] } };
    await writer(catalog, 'f7'.repeat(32))([], { bucketId: account, ...cuts });
    expect(catalog.cut(OWNER, 10).dropped).toEqual(['dead']);
    expect([catalog.placement(BUCKET, 'a'), catalog.placement(BUCKET, 'late')?.segmentId]).toEqual([null, 'late']);
    expect(catalog.placement(BUCKET, 'b')?.segmentId).toBe('b');
    expect(
      catalog
        .cut(OWNER, 10)
        .heads.map(({ seq }) => seq)
        .sort(),
    ).toEqual([1, 2, 2, 5]);
  });

  it('holds what two checkpoints of one number hold, whichever comes first, until the next but one', async () => {
    const checkpoint = (number: number, segments: string[]): OwnerEntry => {
      return { kind: 'checkpoint', number, previous: number - 1, clock: { wallMs: 1, counter: tick() }, segments };
    };
    const added = (...ids: string[]) => ({ repair: { added: ids.map(placement), released: [] } });
    for (const twins of [
      [
        ['x', 'y'],
        ['y', 'z'],
      ],
      [
        ['y', 'z'],
        ['x', 'y'],
      ],
    ]) {
      const catalog = await fresh();
      const write = writer(catalog);
      await write([checkpoint(1, twins[0]!)], added('x', 'y', 'z'));
      await writer(catalog, OTHER_LOG)([checkpoint(1, twins[1]!)]);
      expect(catalog.cut(OWNER, 10).dropped).toEqual([]);
      await write([checkpoint(2, ['w'])], added('w'));
      expect(catalog.cut(OWNER, 10).dropped).toEqual([]);
      await write([checkpoint(3, ['v'])], added('v'));
      expect(catalog.cut(OWNER, 10).dropped).toEqual(['x', 'y', 'z']);
    }
  });

  it('counts what restored versions name when their portion is counted, once', async () => {
    const catalog = await fresh();
    const [low, high] = ['07'.repeat(32), 'f7'.repeat(32)];
    const restore = (step: RestoreStep['step']) => catalog.restore({ owner: OWNER, bucketId: BUCKET, step });
    const version = (key: string, ...ids: string[]): OwnerRecord => {
      return { kind: 'entry', logId: LOG, entry: put(key, { segments: ids.map(segmentKey) }) };
    };
    const record = (segmentId: string): RepairRecord => {
      return { kind: 'segment', segmentId, live: true, placement: placement(segmentId) };
    };
    const all = { fromPortion: 0, toPortion: PORTIONS };
    const counts = () => [low, high].map((segmentId) => catalog.references(BUCKET, segmentId));
    const records = async () => {
      await restore({ kind: 'begin' });
      await restore({ kind: 'records', ownerRecords: [], repairRecords: [low, high].map(record) });
      const ownerRecords = [version('a', low), version('b', low, high, high)];
      await restore({ kind: 'records', ownerRecords, repairRecords: [] });
    };
    // Broken off before the end: the next restoring begins with nothing.
    await records();
    await records();
    expect(counts()).toEqual([0, 0]);
    await restore({ kind: 'references', fromPortion: 0, toPortion: 0xf7 });
    expect(counts()).toEqual([2, 0]);
    await restore({ kind: 'references', ...all });
    expect(counts()).toEqual([2, 2]);
    await restore({ kind: 'references', ...all });
    await restore({ kind: 'end', positions: [{ logId: LOG, seq: 1, hash: 'd4'.repeat(32) }] });
    expect(counts()).toEqual([2, 2]);
    expect([catalog.schemes(BUCKET).length, catalog.cut(OWNER, 10).dropped]).toEqual([1, []]);
    const b = catalog.current(BUCKET, 'b')!;
    const gone: OwnerEntry = { kind: 'delete', key: 'b', clock: { wallMs: 9, counter: 9 }, names: [b.versionId] };
    await catalog.apply(batchOf(2, [gone]));
    expect(counts()).toEqual([1, 0]);
    expect(catalog.cut(OWNER, 10).dropped).toEqual([high]);
  });

  it('holds a placement as long as anything names its segment', async () => {
    const catalog = await fresh();
    const write = writer(catalog);
    const first = put('one', { segments: [segmentKey('s')] });
    const copy = put('two', { segments: [segmentKey('s')] });
    await write([first], { repair: { added: [placement('s')], released: [] } });
    await write([copy]);
    expect(catalog.references(BUCKET, 's')).toBe(2);
    expect(catalog.placement(BUCKET, 's')).toEqual(placement('s'));
    await write([{ kind: 'delete', key: 'one', clock: { wallMs: 9, counter: 9 }, names: [first.versionId] }]);
    expect(catalog.placement(BUCKET, 's')?.segmentId).toBe('s');
    const onto = put('two', { segments: [segmentKey('s')], replaces: [copy.versionId] });
    await write([onto], { repair: { added: [placement('s')], released: ['s'] } });
    expect(catalog.placement(BUCKET, 's')?.segmentId).toBe('s');
    await write([put('two', { replaces: [onto.versionId] })]);
    await write([], { repair: { added: [], released: [], cuts: [cutOf('s')] } });
    expect(catalog.placement(BUCKET, 's')).toBeNull();
  });
}
