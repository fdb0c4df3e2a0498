// The port to one folder of a disk, and its adapter. All the store's bytes go through here, so that tests
// can lose unsynced writes, tear them, fill the disk or break it.
import { constants } from 'node:fs';
import { mkdir, open, readdir, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

export interface DiskFile {
  /** All parts, one after the other, from `position` on. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** How many bytes were there, up to the length of `into`. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** What was written is on the medium when this resolves. */
  datasync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}
export interface Disk {
  /** `create` fails where the file exists, the others where it doesn't. */
  open(name: string, mode: 'create' | 'write' | 'read'): Promise<DiskFile>;
  list(): Promise<string[]>;
  remove(name: string): Promise<void>;
  /** Names that were created or removed are on the medium. */
  syncFolder(): Promise<void>;
  space(): Promise<DiskSpace>;
}
interface DiskSpace {
  /** For us: without what the file system keeps for root. */
  freeBytes: number;
  totalBytes: number;
}

const FLAGS = {
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  write: constants.O_RDWR,
  read: constants.O_RDONLY,
};

/** The folder, made where it is missing. */
export async function folderDisk(folder: string): Promise<Disk> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { dev, ino } = await stat(folder);
  /** What is written into the folder below an unmounted volume is lost as soon as that comes back. */
  const checkSame = async () => {
    const now = await stat(folder);
    if (now.dev === dev && now.ino === ino) return;
    const message = `${folder} isn't the folder of the start any more: its volume was taken away. Mount it again, or restart.`;
    throw Object.assign(new Error(message), { code: 'ENODEV' });
  };
  return {
    async open(name, mode) {
      if (mode === 'create') await checkSame();
      return fileOf(await open(join(folder, name), FLAGS[mode], 0o600));
    },
    list: () => readdir(folder),
    remove: (name) => rm(join(folder, name)),
    async syncFolder() {
      const handle = await open(folder, constants.O_RDONLY);
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    },
    async space() {
      const { bavail, blocks, bsize } = await statfs(folder);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    },
  };
}

function fileOf(handle: FileHandle): DiskFile {
  return {
    async write(parts, position) {
      let left = parts.filter(({ length }) => length > 0);
      while (left.length > 0) {
        const { bytesWritten } = await handle.writev(left, position);
        position += bytesWritten;
        left = behind(left, bytesWritten);
      }
    },
    async read(into, position) {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    datasync: () => handle.datasync(),
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    sizeBytes: async () => (await handle.stat()).size,
    close: () => handle.close(),
  };
}

/** The parts without their first bytes. */
function behind(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  return parts.flatMap((part) => {
    const done = Math.min(bytes, part.length);
    bytes -= done;
    return done < part.length ? [part.subarray(done)] : [];
  });
}
