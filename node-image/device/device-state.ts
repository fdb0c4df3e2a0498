// What a device keeps on its disk, all of it sealed and none of it needed: the catalog (a view), the state of
// its own logs, and which uploads may go on. One process has it at a time; others do without.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSavedLogs, type SavedLogs } from '#node/bridge/saved-logs.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { openCatalogView } from '#node/catalog/open-view.ts';
import { hkdf } from '#node/core/hkdf.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { lockFolder } from '#node/farmer/folder-lock.ts';
import type { SavedLog } from '#node/log/log-writer.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { UnfinishedUploads } from './put-object.ts';

export interface DeviceState {
  catalog: Catalog;
  saved: Pick<SavedLogs, 'of' | 'close'>;
  uploads: UnfinishedUploads;
  isPassing: boolean;
  release(): void;
}

/** The folder's state, or one in memory where there is no folder, it can't be written or somebody else has it. */
export async function openState(input: { folder: string | undefined; owner: PublicKey; writer: KeyPair }): Promise<DeviceState> {
  const { folder, owner, writer } = input;
  if (folder === undefined) return passingState();
  const own = join(folder, `${owner.slice(0, 16)}-${writer.publicKey.slice(0, 16)}`);
  try {
    await mkdir(own, { recursive: true, mode: 0o700 });
    const lock = lockFolder(own, join(own, 'lock'));
    const secret = hkdf(writer.seed, 'storj/1 device state', 32);
    return {
      catalog: await openCatalogView({ path: join(own, 'catalog.sqlite'), secret, onLost: () => {} }),
      saved: createSavedLogs({ folder: join(own, 'logs'), secret, random: (bytes) => systemRuntime.random(bytes) }),
      uploads: uploadsIn(join(own, 'uploads')),
      isPassing: false,
      release: () => lock.release(),
    };
  } catch (error) {
    const { code } = error as { code?: string };
    if (!['FolderInUse', 'EACCES', 'EROFS', 'ENOENT', 'EPERM'].includes(code ?? '')) throw error;
    return passingState();
  }
}

/** For a process that leaves nothing behind. */
export function passingState(): DeviceState {
  const logs = new Map<string, SavedLog>();
  const uploads = new Map<string, string>();
  return {
    catalog: createMemoryCatalog(),
    saved: {
      of: (owner, bucketId) => ({
        load: async () => logs.get(`${owner}/${bucketId}`) ?? null,
        save: async (log) => void logs.set(`${owner}/${bucketId}`, log),
      }),
      close: async () => {},
    },
    uploads: {
      load: async (name) => uploads.get(name) ?? null,
      save: async (name, uploadId) => void uploads.set(name, uploadId),
      remove: async (name) => void uploads.delete(name),
    },
    isPassing: true,
    release: () => {},
  };
}

/** A file for each. */
function uploadsIn(folder: string): UnfinishedUploads {
  return {
    load: (name) => readFile(join(folder, name), 'utf8').catch(() => null),
    async save(name, uploadId) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(join(folder, `${name}.new`), uploadId, { mode: 0o600, flush: true });
      await rename(join(folder, `${name}.new`), join(folder, name));
    },
    remove: (name) => rm(join(folder, name), { force: true }),
  };
}
