// The part of the catalogs' exam about lists: order, prefixes, pages.
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Catalog, ListPage } from '#node/catalog/catalog.ts';
import { BUCKET, put, upload, batchOf, writer, names, all } from './catalog-entries.ts';

export function catalogListingExam(fresh: () => Promise<Catalog>): void {
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
}
