// How much may still be written. The file system is asked at most once a second; in between, what we write
// is counted. A reserve stays for logs, statements and the index, so that a full farmer still works.
import type { Disk } from './disk.ts';

const FRESH_MS = 1000;
const MAX_RESERVE_BYTES = 512 * 1024 * 1024;
const RESERVE_SHARE = 0.02;

export interface SpaceGauge {
  /** Bytes that pieces may still take; never negative. */
  freeBytes(): Promise<number>;
  /** Bytes that were just written. */
  wrote(bytes: number): void;
}

/** `spareBytes`: what files of the store take on the disk and have room for. */
export function spaceGauge(disk: Disk, nowMs: () => number, spareBytes: () => number): SpaceGauge {
  let askedMs = -Infinity;
  let freeBytes = 0;
  let asking: Promise<void> | null = null;
  const ask = async () => {
    const space = await disk.space();
    askedMs = nowMs();
    freeBytes = space.freeBytes + spareBytes() - Math.min(MAX_RESERVE_BYTES, Math.ceil(space.totalBytes * RESERVE_SHARE));
  };
  return {
    async freeBytes() {
      if (nowMs() - askedMs >= FRESH_MS) {
        asking ??= ask().finally(() => {
          asking = null;
        });
        await asking;
      }
      return Math.max(0, freeBytes);
    },
    wrote(bytes) {
      freeBytes -= bytes;
    },
  };
}
