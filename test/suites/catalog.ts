// The exam that every catalog has to pass. `open` gives an empty one; `reopen` closes it and opens it again
// (null where nothing outlives closing).
import { afterEach, expect, it } from 'vitest';
import { CatalogError, type Catalog } from '#node/catalog/catalog.ts';
import {
  OWNER,
  BUCKET,
  LOG,
  OTHER_LOG,
  put,
  segmentKey,
  placement,
  upload,
  part,
  batchOf,
  writer,
  names,
  all,
} from './catalog-entries.ts';
import { catalogListingExam } from './catalog-listing.ts';
import { catalogSegmentsExam } from './catalog-segments.ts';

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

  catalogListingExam(fresh);
  catalogSegmentsExam(fresh);

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
