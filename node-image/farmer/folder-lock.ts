// One process for each folder: an identity never runs twice. The lock is SQLite's on a file of its own; the
// operating system lets go of it when the process ends, however it ends.
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from './store-error.ts';

export interface FolderLock {
  release(): void;
}

/** Throws StoreError 'FolderInUse' where another process (or this one) holds it. */
export function lockFolder(folder: string, path: string): FolderLock {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE;');
  } catch (cause) {
    db.close();
    const message = `${folder} is in use by another process. End that one, or give each its own folder.`;
    throw new StoreError('FolderInUse', message, { cause });
  }
  return { release: () => db.close() };
}
