// A farmer's disk: writes take time, and what was not made durable before the power went is gone, there, or torn.
// It can be copied (back-ups) and rot.
import type { Disk, DiskFile } from '#node/farmer/disk.ts';
import { never, type Dice, type Process } from './virtual-time.ts';

interface Unsynced {
  position: number;
  bytes: Uint8Array;
  before: Uint8Array;
}
interface Content {
  bytes: Uint8Array;
  sizeBytes: number;
  /** Since the last datasync, in order, with what was there before. */
  unsynced: Unsynced[];
  /** Size that is durable. */
  durableBytes: number;
  isNamed: boolean;
}

export class SimDisk {
  readonly #dice: Dice;
  readonly #files = new Map<string, Content>();
  /** Removed names whose removal isn't durable; a power cut may bring them back. */
  readonly #removed = new Map<string, Content>();

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  /** The disk as this process sees it, for as long as that lives. */
  for(process: Process): Disk {
    const wait = async (ms: number) => {
      await process.runtime.sleep(ms);
      if (!process.isAlive) await never();
    };
    return {
      open: async (name, mode) => {
        await wait(0);
        const known = this.#files.get(name);
        if (mode === 'create' && known) throw failure('EEXIST');
        if (mode !== 'create' && !known) throw failure('ENOENT');
        const content = known ?? { bytes: new Uint8Array(1024), sizeBytes: 0, unsynced: [], durableBytes: 0, isNamed: false };
        this.#files.set(name, content);
        return this.#handle(content, wait);
      },
      list: async () => [...this.#files.keys()],
      remove: async (name) => {
        const content = this.#files.get(name);
        if (!content) throw failure('ENOENT');
        this.#files.delete(name);
        if (content.isNamed) this.#removed.set(name, content);
      },
      syncFolder: async () => {
        await wait(1);
        for (const content of this.#files.values()) content.isNamed = true;
        this.#removed.clear();
      },
      space: async () => ({ freeBytes: 1e12, totalBytes: 1e12 }),
    };
  }

  #handle(content: Content, wait: (ms: number) => Promise<void>): DiskFile {
    return {
      write: async (parts, position) => {
        await wait(0);
        for (const part of parts) {
          put(content, position, part, true);
          position += part.length;
        }
      },
      read: async (into, position) => {
        await wait(0);
        const part = content.bytes.subarray(
          Math.min(position, content.sizeBytes),
          Math.min(position + into.length, content.sizeBytes),
        );
        into.set(part);
        return part.length;
      },
      datasync: async () => {
        const until = content.unsynced.length;
        const sizeBytes = content.sizeBytes;
        await wait(this.#dice.between(1, 6));
        content.unsynced.splice(0, until);
        content.durableBytes = content.unsynced.length === 0 ? content.sizeBytes : Math.max(sizeBytes, content.durableBytes);
      },
      truncate: async (sizeBytes) => {
        await wait(0);
        content.sizeBytes = Math.min(content.sizeBytes, sizeBytes);
        content.durableBytes = Math.min(content.durableBytes, sizeBytes);
        content.unsynced = content.unsynced.filter(({ position }) => position < sizeBytes);
      },
      sizeBytes: async () => content.sizeBytes,
      close: async () => {},
    };
  }

  /** Each unsynced write may have reached the medium, or a part of it, or nothing. */
  cutPower(): void {
    for (const [name, content] of this.#removed) {
      if (this.#dice.chance(0.5) && !this.#files.has(name)) this.#files.set(name, content);
    }
    this.#removed.clear();
    for (const [name, content] of this.#files) {
      if (!content.isNamed && this.#dice.chance(0.5)) {
        this.#files.delete(name);
        continue;
      }
      content.isNamed = true;
      const lost = content.unsynced.splice(0);
      for (const { position, before } of lost.toReversed()) content.bytes.set(before, position);
      content.sizeBytes = content.durableBytes;
      for (const { position, bytes } of lost) {
        const kept = this.#dice.chance(0.4) ? 0 : this.#dice.chance(0.5) ? bytes.length : this.#dice.between(0, bytes.length);
        put(content, position, bytes.subarray(0, kept), false);
      }
      content.durableBytes = content.sizeBytes;
    }
  }

  /** As a snapshot of the volume would be: with everything that was written. */
  copy(): SimDisk {
    const copy = new SimDisk(this.#dice);
    for (const [name, content] of this.#files) {
      const bytes = content.bytes.slice();
      copy.#files.set(name, { ...content, bytes, unsynced: [], durableBytes: content.sizeBytes, isNamed: true });
    }
    return copy;
  }

  /** Turns over some bits, somewhere behind the files' beginnings. */
  rot(flips: number): void {
    const files = [...this.#files.values()].filter(({ sizeBytes }) => sizeBytes > 4096);
    for (let i = 0; i < flips && files.length > 0; i++) {
      const file = this.#dice.pick(files);
      file.bytes[this.#dice.between(64, file.sizeBytes - 1)]! ^= 1 << this.#dice.between(0, 7);
    }
  }

  holds(needle: Buffer): boolean {
    return [...this.#files.values()].some(({ bytes, sizeBytes }) => Buffer.from(bytes.buffer, 0, sizeBytes).includes(needle));
  }
}

function put(content: Content, position: number, bytes: Uint8Array, isUnsynced: boolean): void {
  const end = position + bytes.length;
  if (end > content.bytes.length) {
    const larger = new Uint8Array(Math.max(end, 2 * content.bytes.length));
    larger.set(content.bytes);
    content.bytes = larger;
  }
  // What was cut off before reads as zeros.
  if (position > content.sizeBytes) content.bytes.fill(0, content.sizeBytes, position);
  if (isUnsynced) content.unsynced.push({ position, bytes: bytes.slice(), before: content.bytes.slice(position, end) });
  content.bytes.set(bytes, position);
  content.sizeBytes = Math.max(content.sizeBytes, end);
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
