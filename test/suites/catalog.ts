// The exam that every catalog has to pass. `open` gives an empty one; `reopen` closes it and opens it again
// (null where nothing outlives closing).
import * as fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { CatalogError, type AppliedBatch, type Catalog, type ListPage } from '#node/catalog/catalog.ts';
import type { OwnerEntry, PartEntry, PutEntry, SegmentPlacement, UploadEntry } from '#node/wire/types.ts';

const OWNER = 'aa'.repeat(32);
const BUCKET = 'b0'.repeat(16);
const LOG = 'c1'.repeat(32);
const OTHER_LOG = 'd2'.repeat(32);

let counter = 0;
const id = () => (++counter).toString(16).padStart(32, '0');

export function put(key: string, more: Partial<PutEntry> = {}): PutEntry {
  const versionId = more.versionId ?? id();
  const base = { kind: 'put' as const, key, versionId, clock: { wallMs: 1000, counter: counter }, replaces: [] };
  const about = { sizeBytes: 3, etag: versionId, modifiedMs: 5, headers: { 'content-type': 'text/plain' }, checksums: [] };
  const bytes = more.segments === undefined ? { inline: new Uint8Array([1, 2, 3]) } : {};
  return { ...base, ...about, ...bytes, ...more };
}
const segmentKey = (segmentId: string) => ({
  segmentId,
  key: new Uint8Array(32).fill(7),
  commitment: new Uint8Array(16),
  plainBytes: 9,
});
const placement = (segmentId: string): SegmentPlacement => ({
  segmentId,
  secret: new Uint8Array(32).fill(9),
  scheme: { required: 1, repair: 1, optimal: 2, total: 2 },
  sizeBytes: 25,
  root: 'ee'.repeat(32),
  farmers: [OWNER, null],
  createdMs: 4,
});
const upload = (key: string, uploadId: string, state: 'open' | 'closed' = 'open'): UploadEntry => ({
  kind: 'upload',
  uploadId,
  key,
  clock: { wallMs: 1, counter: 0 },
  createdMs: 7,
  headers: { 'x-amz-meta-a': 'b' },
  state,
  checksumAlgorithm: 'CRC32',
  checksumType: 'COMPOSITE',
});
const part = (uploadId: string, partNumber: number, more: Partial<PartEntry> = {}): PartEntry => ({
  kind: 'part',
  uploadId,
  partNumber,
  clock: { wallMs: 2, counter: ++counter },
  sizeBytes: 9,
  etag: `part-${partNumber}`,
  modifiedMs: 8,
  checksums: [{ algorithm: 'CRC32', value: 'AAAAAA==', type: 'COMPOSITE' }],
  ...more,
});

export function catalogExam(open: () => Promise<Catalog>, reopen: ((catalog: Catalog) => Promise<Catalog>) | null): void {
  const opened: Catalog[] = [];
  const fresh = async (): Promise<Catalog> => {
    const catalog = await open();
    opened.push(catalog);
    return catalog;
  };
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((catalog) => catalog.close()));
  });

  const batchOf = (seq: number, entries: OwnerEntry[], more: Partial<AppliedBatch> = {}): AppliedBatch => ({
    owner: OWNER,
    bucketId: BUCKET,
    logId: LOG,
    seq,
    hash: seq.toString(16).padStart(64, '0'),
    entries,
    repair: null,
    placements: [],
    ...more,
  });
  const writer = (catalog: Catalog, logId = LOG) => {
    let seq = 0;
    return (entries: OwnerEntry[], more: Partial<AppliedBatch> = {}) =>
      catalog.apply(batchOf(++seq, entries, { logId, ...more }));
  };
  const names = (page: ListPage) => page.items.map((item) => (item.kind === 'object' ? item.object.key : `${item.prefix}*`));
  const all = { prefix: '', delimiter: '', after: '', limit: 1000 };

  it('shows a version as soon as apply resolves, with its content', async () => {
    const catalog = await fresh();
    const entry = put('a/ü', { partSizes: [3] });
    await writer(catalog)([entry]);
    expect(catalog.current(BUCKET, 'a/ü')).toEqual({
      key: 'a/ü',
      versionId: entry.versionId,
      clock: entry.clock,
      logId: LOG,
      sizeBytes: 3,
      etag: entry.etag,
      modifiedMs: 5,
      headers: { 'content-type': 'text/plain' },
      checksums: [],
      partSizes: [3],
    });
    expect([...(catalog.content(BUCKET, 'a/ü', entry.versionId)?.inline ?? [])]).toEqual([1, 2, 3]);
    const listed = { key: 'a/ü', sizeBytes: 3, etag: entry.etag, modifiedMs: 5, checksum: null };
    expect(catalog.list(BUCKET, all).items).toEqual([{ kind: 'object', object: listed }]);
    const summed = put('b', { checksums: [{ algorithm: 'CRC32', value: 'AAAAAA==', type: 'FULL_OBJECT' }] });
    await catalog.apply(batchOf(2, [summed]));
    const [, second] = catalog.list(BUCKET, all).items;
    expect(second).toMatchObject({ object: { key: 'b', checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT' } } });
    expect(catalog.current(BUCKET, 'a/')).toBeNull();
    expect(catalog.content(BUCKET, 'other', entry.versionId)).toBeNull();
  });

  it('applies a batch once, keeps its position, and refuses a gap', async () => {
    const catalog = await fresh();
    const first = batchOf(1, [put('a')]);
    await catalog.apply(first);
    await catalog.apply(first);
    expect(catalog.usage(BUCKET)).toEqual({ objects: 1, bytes: 3, uploadBytes: 0 });
    const error: unknown = await catalog.apply(batchOf(3, [put('late')])).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CatalogError);
    expect((error as CatalogError).code).toBe('Gap');
    expect(catalog.current(BUCKET, 'late')).toBeNull();
    expect(catalog.positions(OWNER, BUCKET)).toEqual([{ logId: LOG, seq: 1, hash: first.hash }]);
  });

  it('keeps a failing batch out of the commit that it shares', async () => {
    const catalog = await fresh();
    const results = await Promise.allSettled([
      catalog.apply(batchOf(1, [put('good')])),
      catalog.apply(batchOf(9, [put('bad')], { logId: OTHER_LOG })),
      catalog.apply(batchOf(2, [put('better')])),
    ]);
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(names(catalog.list(BUCKET, all))).toEqual(['better', 'good']);
  });

  it('never lets a named version win, in whatever order logs are read', async () => {
    const old = put('k', { clock: { wallMs: 9000, counter: 0 } });
    const newer = put('k', { clock: { wallMs: 1, counter: 0 }, replaces: [old.versionId] });
    for (const turned of [false, true]) {
      const catalog = await fresh();
      const [one, two] = [writer(catalog, LOG), writer(catalog, OTHER_LOG)];
      const steps = [() => one([old]), () => two([newer])];
      for (const step of turned ? steps.reverse() : steps) await step();
      expect(catalog.current(BUCKET, 'k')?.versionId).toBe(newer.versionId);
      expect(catalog.liveVersions(BUCKET, 'k')).toEqual([newer.versionId]);
      expect(catalog.usage(BUCKET)).toEqual({ objects: 1, bytes: 3, uploadBytes: 0 });
    }
  });

  it('lets the later clock win among versions that nobody named, and the loser come back after a delete of the winner only', async () => {
    const catalog = await fresh();
    const low = put('k', { clock: { wallMs: 5, counter: 1 }, sizeBytes: 10 });
    const high = put('k', { clock: { wallMs: 5, counter: 2 }, sizeBytes: 20 });
    await writer(catalog)([high]);
    const other = writer(catalog, OTHER_LOG);
    await other([low]);
    expect(catalog.current(BUCKET, 'k')?.versionId).toBe(high.versionId);
    expect(catalog.usage(BUCKET).bytes).toBe(20);
    expect(catalog.liveVersions(BUCKET, 'k').sort()).toEqual([low.versionId, high.versionId].sort());
    await other([{ kind: 'delete', key: 'k', clock: { wallMs: 6, counter: 0 }, names: [high.versionId] }]);
    expect(catalog.current(BUCKET, 'k')?.versionId).toBe(low.versionId);
    expect(catalog.usage(BUCKET)).toEqual({ objects: 1, bytes: 10, uploadBytes: 0 });
    await other([{ kind: 'delete', key: 'k', clock: { wallMs: 6, counter: 1 }, names: [low.versionId] }]);
    expect(catalog.current(BUCKET, 'k')).toBeNull();
    expect(catalog.usage(BUCKET)).toEqual({ objects: 0, bytes: 0, uploadBytes: 0 });
  });

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

  it('lists in byte order, folds common prefixes and pages without loss', async () => {
    const catalog = await fresh();
    const keys = ['a', 'a/b', 'a/b/c', 'a/d', 'b', 'c/', 'c/1', 'c/2', '\uFFFD', '\u{1F600}'];
    await writer(catalog)(keys.toReversed().map((key) => put(key)));
    expect(names(catalog.list(BUCKET, all))).toEqual(keys);
    expect(names(catalog.list(BUCKET, { ...all, delimiter: '/' }))).toEqual(['a', 'a/*', 'b', 'c/*', '\uFFFD', '\u{1F600}']);
    expect(names(catalog.list(BUCKET, { ...all, prefix: 'a/', delimiter: '/' }))).toEqual(['a/b', 'a/b/*', 'a/d']);
    expect(names(catalog.list(BUCKET, { ...all, prefix: 'c/', after: 'c/1' }))).toEqual(['c/2']);
    expect(names(catalog.list(BUCKET, { ...all, after: 'a/b', delimiter: '/' }))).toEqual(['b', 'c/*', '\uFFFD', '\u{1F600}']);
    expect(catalog.list(BUCKET, { ...all, limit: 0 })).toEqual({ items: [], next: null });
    expect(names(catalog.list(BUCKET, { ...all, prefix: 'none' }))).toEqual([]);
  });

  it('pages like a list of everything, for any keys and page size', async () => {
    const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', '0', 'é', '\u{1F600}'), minLength: 1, maxLength: 6 });
    const catalog = await fresh();
    const write = writer(catalog);
    let round = 0;
    const one = fc.record({
      keys: fc.uniqueArray(key, { maxLength: 25 }),
      limit: fc.integer({ min: 1, max: 5 }),
      prefix: fc.constantFrom('', 'a', 'a/', 'b'),
      delimiter: fc.constantFrom('', '/', 'ab'),
    });
    await fc.assert(
      fc.asyncProperty(one, async ({ keys, limit, prefix, delimiter }) => {
        const bucketId = (++round).toString(16).padStart(32, '9');
        await write([]);
        await catalog.apply(
          batchOf(
            1,
            keys.map((name) => put(name)),
            { bucketId },
          ),
        );
        const folded = keys
          .filter((name) => name.startsWith(prefix))
          .map((name) => {
            const at = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length);
            return at < 0 ? name : `${name.slice(0, at + delimiter.length)}*`;
          });
        const expected = [...new Set(folded)].sort((a, b) =>
          Buffer.compare(Buffer.from(a.replace(/\*$/, '')), Buffer.from(b.replace(/\*$/, ''))),
        );
        const seen: string[] = [];
        let after: string | null = '';
        while (after !== null) {
          const page: ListPage = catalog.list(bucketId, { prefix, delimiter, after, limit });
          expect(page.items.length).toBeLessThanOrEqual(limit);
          seen.push(...names(page));
          after = page.next;
        }
        expect(seen.toSorted()).toEqual(expected.toSorted());
        expect(seen.map((name) => name.replace(/\*$/, ''))).toEqual(expected.map((name) => name.replace(/\*$/, '')));
      }),
      { numRuns: 60 },
    );
  });

  it('keeps uploads and parts until they are closed, and counts their bytes', async () => {
    const catalog = await fresh();
    const write = writer(catalog);
    await write([upload('k', 'u1'), part('u1', 2), part('u1', 1, { segments: [segmentKey('s1')] })], {
      repair: { added: [placement('s1')], released: [] },
    });
    expect(catalog.upload(BUCKET, 'u1')).toEqual({
      uploadId: 'u1',
      key: 'k',
      createdMs: 7,
      headers: { 'x-amz-meta-a': 'b' },
      checksumAlgorithm: 'CRC32',
      checksumType: 'COMPOSITE',
    });
    expect(catalog.parts(BUCKET, 'u1', 0, 10).map((row) => row.partNumber)).toEqual([1, 2]);
    expect(catalog.parts(BUCKET, 'u1', 1, 10).map((row) => row.partNumber)).toEqual([2]);
    expect(catalog.part(BUCKET, 'u1', 1)?.segments[0]?.segmentId).toBe('s1');
    expect(catalog.usage(BUCKET).uploadBytes).toBe(18);
    await write([part('u1', 2, { sizeBytes: 100, etag: 'again' })]);
    expect(catalog.part(BUCKET, 'u1', 2)?.etag).toBe('again');
    expect(catalog.usage(BUCKET).uploadBytes).toBe(109);
    expect(catalog.references(BUCKET, 's1')).toBe(1);
    await write([upload('k', 'u1', 'closed')]);
    expect(catalog.upload(BUCKET, 'u1')).toBeNull();
    expect(catalog.parts(BUCKET, 'u1', 0, 10)).toEqual([]);
    expect(catalog.references(BUCKET, 's1')).toBe(0);
    expect(catalog.cut(OWNER, 10).dropped).toEqual(['s1']);
    await write([part('u1', 3), upload('k', 'u1')]);
    expect(catalog.upload(BUCKET, 'u1')).toBeNull();
    expect(catalog.usage(BUCKET).uploadBytes).toBe(0);
  });

  it('lists uploads by key and id, from a marker', async () => {
    const catalog = await fresh();
    await writer(catalog)([upload('b', 'u2'), upload('a/x', 'u9'), upload('b', 'u1'), upload('a/y', 'u0'), upload('c', 'u5')]);
    const query = { ...all, afterUploadId: '' };
    const show = (more: object) =>
      catalog
        .uploads(BUCKET, { ...query, ...more })
        .items.map((item) => (item.kind === 'upload' ? `${item.upload.key}:${item.upload.uploadId}` : item.prefix));
    expect(show({})).toEqual(['a/x:u9', 'a/y:u0', 'b:u1', 'b:u2', 'c:u5']);
    expect(show({ delimiter: '/' })).toEqual(['a/', 'b:u1', 'b:u2', 'c:u5']);
    expect(show({ after: 'b' })).toEqual(['c:u5']);
    expect(show({ after: 'b', afterUploadId: 'u1' })).toEqual(['b:u2', 'c:u5']);
    expect(catalog.uploads(BUCKET, { ...query, limit: 3 }).next).toEqual({ key: 'b', uploadId: 'u1' });
    expect(show({ prefix: 'a/' })).toEqual(['a/x:u9', 'a/y:u0']);
  });

  const cutOf = (...dropped: string[]) => ({ statement: new Uint8Array(1), heads: [], dropped });

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
      return { kind: 'checkpoint', number, previous: number - 1, clock: { wallMs: 1, counter: ++counter }, segments };
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

  it('finds moves by tag, each once', async () => {
    const catalog = await fresh();
    const move = { tag: '01'.repeat(16), sealed: new Uint8Array([1, 2]) };
    await writer(catalog, OTHER_LOG)([], { placements: [move, move, { tag: '02'.repeat(16), sealed: new Uint8Array([3]) }] });
    expect(catalog.moves(move.tag).map((one) => [...one.sealed])).toEqual([[1, 2]]);
  });

  it('keeps buckets by the later clock and finds them by name', async () => {
    const catalog = await fresh();
    const account = '0'.repeat(32);
    const write = writer(catalog);
    const bucket = (name: string, wallMs: number, deleted = false) =>
      ({ kind: 'bucket', bucketId: BUCKET, name, clock: { wallMs, counter: 0 }, createdMs: 3, deleted }) as const;
    await write([bucket('photos', 5)], { bucketId: account });
    expect(catalog.buckets(OWNER)).toEqual([{ bucketId: BUCKET, owner: OWNER, name: 'photos', createdMs: 3 }]);
    expect(catalog.bucketsNamed('photos')).toHaveLength(1);
    await write([bucket('older', 4)], { bucketId: account });
    expect(catalog.bucketsNamed('older')).toEqual([]);
    expect(catalog.deletedBuckets(OWNER)).toEqual([]);
    await write([bucket('photos', 6, true)], { bucketId: account });
    expect(catalog.buckets(OWNER)).toEqual([]);
    expect(catalog.deletedBuckets(OWNER)).toEqual([BUCKET]);
    expect(catalog.bucketsNamed('photos')).toEqual([]);
  });

  it('keeps settings', async () => {
    const catalog = await fresh();
    await catalog.saveSetting('desired', new Uint8Array([4, 5]));
    expect([...(catalog.setting('desired') ?? [])]).toEqual([4, 5]);
    await catalog.saveSetting('desired', null);
    expect(catalog.setting('desired')).toBeNull();
  });

  it('says that it is closed', async () => {
    const catalog = await open();
    await catalog.close();
    const error: unknown = await catalog.apply(batchOf(1, [put('a')])).catch((thrown: unknown) => thrown);
    expect((error as CatalogError).code).toBe('Closed');
  });

  if (reopen !== null) {
    it('has everything after it was closed and opened again', async () => {
      const catalog = await open();
      await catalog.apply(batchOf(1, [put('a')]));
      const again = await reopen(catalog);
      opened.push(again);
      expect(again.current(BUCKET, 'a')?.key).toBe('a');
      expect(again.positions(OWNER, BUCKET)).toHaveLength(1);
      await again.apply(batchOf(2, [put('b')]));
      expect(again.usage(BUCKET).objects).toBe(2);
    });
  }
}
