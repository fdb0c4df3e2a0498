// A disk in memory that behaves as badly as disks may: what wasn't made durable is lost, kept or torn by a
// crash, space runs out, writes and syncs fail.
import type { Disk, DiskFile } from '#node/farmer/disk.ts';

interface Write {
  position: number;
  bytes: Uint8Array;
}
interface Content {
  /** As a reader sees it. */
  current: Uint8Array;
  /** As it is on the medium for sure. */
  durable: Uint8Array;
  /** Between the two, in order. */
  pending: Write[];
}

export interface FaultyDisk extends Disk {
  /** Bytes left; writes that would grow files beyond it fail with ENOSPC, half written. */
  freeBytes: number;
  /** Next calls of that kind fail with EIO. */
  failNext: { write: number; datasync: number; read: number };
  /** A datasync takes until this resolves. */
  beforeSync: () => Promise<void>;
  readonly syncs: number;
  /** Power is lost: of each unsynced write a part may have reached the medium; then all handles are dead. */
  crash(random: () => number): void;
}

export function faultyDisk(freeBytes = 1e12): FaultyDisk {
  const files = new Map<string, Content>();
  let names = new Set<string>();
  let life = 0;
  let syncs = 0;
  const error = (code: string) => Object.assign(new Error(code), { code });
  const disk: FaultyDisk = {
    freeBytes,
    failNext: { write: 0, datasync: 0, read: 0 },
    beforeSync: async () => {},
    get syncs() {
      return syncs;
    },
    async open(name, mode) {
      const known = files.get(name);
      if (mode === 'create' && known) throw error('EEXIST');
      if (mode !== 'create' && !known) throw error('ENOENT');
      const content = known ?? { current: new Uint8Array(0), durable: new Uint8Array(0), pending: [] };
      files.set(name, content);
      return handle(content, life);
    },
    list: async () => [...files.keys()],
    async remove(name) {
      disk.freeBytes += files.get(name)?.current.length ?? 0;
      if (!files.delete(name)) throw error('ENOENT');
    },
    async syncFolder() {
      names = new Set(files.keys());
    },
    space: async () => ({ freeBytes: disk.freeBytes, totalBytes: 0 }),
    crash(random) {
      life += 1;
      for (const [name, content] of files) {
        // A name that was never made durable may be gone, with all its bytes.
        if (!names.has(name) && random() < 0.5) {
          files.delete(name);
          continue;
        }
        for (const { position, bytes } of content.pending) {
          const kept = random() < 0.4 ? 0 : random() < 0.5 ? bytes.length : Math.floor(random() * bytes.length);
          content.durable = written(content.durable, position, bytes.subarray(0, kept));
        }
        content.pending = [];
        content.current = content.durable;
      }
    },
  };
  const spend = (name: 'write' | 'datasync' | 'read') => {
    if (disk.failNext[name] <= 0) return;
    disk.failNext[name] -= 1;
    throw error('EIO');
  };
  const handle = (content: Content, born: number): DiskFile => {
    const alive = () => {
      if (born !== life) throw error('EIO');
    };
    const put = (position: number, bytes: Uint8Array) => {
      content.current = written(content.current, position, bytes);
      content.pending.push({ position, bytes: new Uint8Array(bytes) });
    };
    return {
      async write(parts, position) {
        alive();
        spend('write');
        for (const part of parts) {
          const grows = Math.max(0, position + part.length - content.current.length);
          if (grows > disk.freeBytes) {
            put(position, part.subarray(0, Math.floor(part.length / 2)));
            throw error('ENOSPC');
          }
          disk.freeBytes -= grows;
          put(position, part);
          position += part.length;
        }
      },
      async read(into, position) {
        alive();
        spend('read');
        const part = content.current.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      async datasync() {
        alive();
        const until = content.pending.length;
        await disk.beforeSync();
        alive();
        spend('datasync');
        syncs += 1;
        for (const { position, bytes } of content.pending.splice(0, until))
          content.durable = written(content.durable, position, bytes);
        if (content.durable.length > content.current.length) content.durable = content.durable.slice(0, content.current.length);
      },
      async truncate(sizeBytes) {
        alive();
        disk.freeBytes += Math.max(0, content.current.length - sizeBytes);
        content.current = content.current.slice(0, sizeBytes);
        // Not durable by itself: what lies behind may be back after a crash.
        content.pending = content.pending.filter(({ position }) => position < sizeBytes);
      },
      sizeBytes: async () => content.current.length,
      async close() {},
    };
  };
  return disk;
}

function written(before: Uint8Array, position: number, bytes: Uint8Array): Uint8Array {
  const after = new Uint8Array(Math.max(before.length, position + bytes.length));
  after.set(before);
  after.set(bytes, position);
  return after;
}

/** The same seed gives the same numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
