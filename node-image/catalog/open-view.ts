// A catalog that can't be opened or read is as good as none: it is a view, and read again from the farmers.
import { rm } from 'node:fs/promises';
import type { Catalog } from './catalog.ts';
import { openSqliteCatalog } from './sqlite-catalog.ts';

/** Opens it, or throws it away (after `onLost`) and begins a new one. */
export async function openCatalogView(input: {
  path: string;
  secret: Uint8Array;
  onLost: (why: unknown) => void;
}): Promise<Catalog> {
  const { path, secret, onLost } = input;
  try {
    const catalog = await openSqliteCatalog({ path, secret });
    catalog.setting('desired');
    return catalog;
  } catch (error) {
    onLost(error);
    for (const end of ['', '-wal', '-shm']) await rm(path + end, { force: true });
    return await openSqliteCatalog({ path, secret });
  }
}
