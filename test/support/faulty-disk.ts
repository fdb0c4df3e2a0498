// A disk in memory that behaves as badly as disks may: what wasn't made durable is lost, kept or torn by a
// crash, space runs out, writes and syncs fail.
import type { Disk, DiskFile } from '#node/farmer/disk.ts';

interface Write {
  position: number;
  bytes: Uint8Array;
}
interface Content {
  /** As a reader sees it. */
  current: Bytes;
  /** As it is on the medium for sure. */
  durable: Bytes;
  /** Between the two, in order. */
  pending: Write[];
}

/** Grows as it is written; what is between writes is zero. */
class Bytes {
  #room = new Uint8Array(0);
  length = 0;

  set(position: number, bytes: Uint8Array): void {
    const end = Math.max(this.length, position + bytes.length);
    if (end > this.#room.length) {
      const room = new Uint8Array(Math.max(end, 2 * this.#room.length));
      room.set(this.#room.subarray(0, this.length));
      this.#room = room;
    }
    this.#room.set(bytes, position);
    this.length = end;
  }
  cut(length: number): void {
    if (length >= this.length) return;
    this.#room.fill(0, length, this.length);
    this.length = length;
  }
  part(position: number, end: number): Uint8Array {
    return this.#room.subarray(position, Math.min(end, this.length));
  }
  copy(): Bytes {
    const copy = new Bytes();
    copy.set(0, this.part(0, this.length));
    return copy;
  }
}

export interface FaultyDisk extends Disk {
  /** Bytes left; writes that would grow files beyond it fail with ENOSPC, half written. */
  freeBytes: number;
  /** Next calls of that kind fail with EIO. */
  failNext: { write: number; datasync: number; read: number };
  /** A datasync takes until this resolves. */
  beforeSync: () => Promise<void>;
  /** Called before anything that changes what is on the disk. */
  beforeChange: () => void;
  /** The folder is gone: unmounted, or taken away. */
  isGone: boolean;
  readonly syncs: number;
  /**
   * Power is lost: of each unsynced write a part may have reached the medium; then all handles are dead, and
   * nothing works until the power is back.
   */
  crash(random: () => number): void;
  powerOn(): void;
}

export function faultyDisk(freeBytes = 1e12): FaultyDisk {
  const files = new Map<string, Content>();
  let names = new Set<string>();
  /** Removed, which isn't durable yet. */
  const removed = new Map<string, Content>();
  let life = 0;
  let syncs = 0;
  let isOff = false;
  const error = (code: string) => Object.assign(new Error(code), { code });
  const disk: FaultyDisk = {
    freeBytes,
    failNext: { write: 0, datasync: 0, read: 0 },
    beforeSync: async () => {},
    beforeChange: () => {},
    isGone: false,
    get syncs() {
      return syncs;
    },
    async open(name, mode) {
      if (mode === 'create') change();
      reach();
      const known = files.get(name);
      if (mode === 'create' && known) throw error('EEXIST');
      if (mode !== 'create' && !known) throw error('ENOENT');
      const content = known ?? { current: new Bytes(), durable: new Bytes(), pending: [] };
      files.set(name, content);
      return handle(content, life);
    },
    async list() {
      reach();
      return [...files.keys()];
    },
    async remove(name) {
      change();
      const content = files.get(name);
      if (!content) throw error('ENOENT');
      disk.freeBytes += content.current.length;
      files.delete(name);
      if (names.has(name)) removed.set(name, content);
    },
    async syncFolder() {
      change();
      names = new Set(files.keys());
      removed.clear();
    },
    async space() {
      reach();
      return { freeBytes: disk.freeBytes, totalBytes: 0 };
    },
    powerOn() {
      isOff = false;
    },
    crash(random) {
      if (isOff) return;
      isOff = true;
      life += 1;
      for (const [name, content] of removed) if (!files.has(name) && random() < 0.5) files.set(name, content);
      removed.clear();
      for (const [name, content] of files) {
        // A name that was never made durable may be gone, with all its bytes.
        if (!names.has(name) && random() < 0.5) {
          files.delete(name);
          continue;
        }
        for (const { position, bytes } of content.pending) {
          const kept = random() < 0.4 ? 0 : random() < 0.5 ? bytes.length : Math.floor(random() * bytes.length);
          content.durable.set(position, bytes.subarray(0, kept));
        }
        content.pending = [];
        content.current = content.durable.copy();
      }
    },
  };
  const reach = () => {
    if (isOff) throw error('EIO');
    if (disk.isGone) throw error('ENOENT');
  };
  const change = () => {
    if (!isOff) disk.beforeChange();
    reach();
  };
  const spend = (name: 'write' | 'datasync' | 'read') => {
    if (disk.failNext[name] <= 0) return;
    disk.failNext[name] -= 1;
    throw error('EIO');
  };
  const handle = (content: Content, born: number): DiskFile => {
    const alive = () => {
      if (born !== life || disk.isGone) throw error('EIO');
    };
    const put = (position: number, bytes: Uint8Array) => {
      content.current.set(position, bytes);
      content.pending.push({ position, bytes: new Uint8Array(bytes) });
    };
    return {
      async write(parts, position) {
        change();
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
        const part = content.current.part(Math.min(position, content.current.length), position + into.length);
        into.set(part);
        return part.length;
      },
      async datasync() {
        change();
        alive();
        const until = content.pending.length;
        await disk.beforeSync();
        alive();
        spend('datasync');
        syncs += 1;
        for (const { position, bytes } of content.pending.splice(0, until)) content.durable.set(position, bytes);
        content.durable.cut(content.current.length);
      },
      async truncate(sizeBytes) {
        change();
        alive();
        disk.freeBytes += Math.max(0, content.current.length - sizeBytes);
        content.current.cut(sizeBytes);
        // Not durable by itself: what lies behind may be back after a crash.
        content.pending = content.pending.filter(({ position }) => position < sizeBytes);
      },
      async sizeBytes() {
        alive();
        return content.current.length;
      },
      async close() {},
    };
  };
  return disk;
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
