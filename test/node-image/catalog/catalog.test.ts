import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Catalog } from '#node/catalog/catalog.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { openSqliteCatalog } from '#node/catalog/sqlite-catalog.ts';
import { put } from '#test/suites/catalog-entries.ts';
import { catalogExam } from '#test/suites/catalog.ts';

const folder = mkdtempSync(join(tmpdir(), 'catalog-'));
const secret = new Uint8Array(32).fill(3);
const paths = new Map<Catalog, string>();
let number = 0;
const open = async (path = join(folder, `${++number}.sqlite`)) => {
  const catalog = await openSqliteCatalog({ path, secret });
  paths.set(catalog, path);
  return catalog;
};
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('memory catalog', () => {
  catalogExam(async () => createMemoryCatalog(), null);
});

describe('SQLite catalog', () => {
  catalogExam(open, async (catalog) => {
    await catalog.close();
    return open(paths.get(catalog) ?? '');
  });

  it('holds neither inline bytes nor segment keys nor settings in clear', async () => {
    const secretText = 'the renter wrote this and nobody else may read it';
    const path = join(folder, 'sealed.sqlite');
    const catalog = await open(path);
    const key = Buffer.from('a segment key, thirty-two bytes.');
    const batch = {
      owner: 'aa'.repeat(32),
      bucketId: 'b0'.repeat(16),
      logId: 'c1'.repeat(32),
      hash: '0'.repeat(64),
      repair: null,
      placements: [],
    };
    const segments = [{ segmentId: '11'.repeat(32), key, commitment: new Uint8Array(16), plainBytes: 1 }];
    await catalog.apply({
      ...batch,
      seq: 1,
      entries: [put('visible-name', { inline: Buffer.from(secretText) }), put('other', { segments })],
    });
    await catalog.saveSetting('secret', Buffer.from(secretText));
    const onDisk = Buffer.concat(
      readdirSync(folder)
        .filter((name) => name.startsWith('sealed'))
        .map((name) => readFileSync(join(folder, name))),
    );
    await catalog.close();
    expect(onDisk.includes('visible-name')).toBe(true);
    expect(onDisk.includes(secretText)).toBe(false);
    expect(onDisk.includes(key)).toBe(false);
  });
});
