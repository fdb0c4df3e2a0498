// Files kept open for reading: the ones used last, within a bound.
import type { DiskFile } from './disk.ts';

const MAX_OPEN = 128;

export interface ReaderCache {
  use<T>(segment: number, work: (file: DiskFile) => Promise<T>): Promise<T>;
  /** The file is about to be written anew or removed. */
  forget(segment: number): void;
  close(): Promise<void>;
}

interface Entry {
  file: Promise<DiskFile>;
  users: number;
  isEvicted: boolean;
}

export function readerCache(open: (segment: number) => Promise<DiskFile>): ReaderCache {
  const entries = new Map<number, Entry>();
  const closeIfUnused = (entry: Entry) => {
    if (entry.isEvicted && entry.users === 0) void entry.file.then((file) => file.close()).catch(() => {});
  };
  const evict = (segment: number, entry: Entry) => {
    if (entries.get(segment) === entry) entries.delete(segment);
    entry.isEvicted = true;
    closeIfUnused(entry);
  };
  return {
    async use(segment, work) {
      const entry = entries.get(segment) ?? { file: open(segment), users: 0, isEvicted: false };
      entries.delete(segment);
      entries.set(segment, entry);
      entry.users += 1;
      const [oldest] = entries;
      if (entries.size > MAX_OPEN && oldest) evict(...oldest);
      try {
        return await work(await entry.file);
      } catch (error) {
        entry.isEvicted = true;
        if (entries.get(segment) === entry) entries.delete(segment);
        throw error;
      } finally {
        entry.users -= 1;
        closeIfUnused(entry);
      }
    },
    forget(segment) {
      const entry = entries.get(segment);
      if (entry) evict(segment, entry);
    },
    async close() {
      for (const [segment, entry] of entries) evict(segment, entry);
    },
  };
}
