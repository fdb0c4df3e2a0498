// The farmer tries its own disk: a small file is written, made durable and read back. A disk that hangs, fails
// or has been taken away puts the farmer out of service before its audits fail.
import { pause, type Runtime } from '#node/log/runtime.ts';
import type { Disk, DiskFile } from './disk.ts';

const PROBE_FILE = 'probe';
const PROBE_BYTES = 4096;

export interface DiskProbe {
  /** '' = fit. */
  readonly reason: string;
  /** One try; never rejects. */
  probe(): Promise<void>;
}

export interface DiskProbeOptions {
  disk: Disk;
  runtime: Runtime;
  /** A try that takes longer has failed, even if it ends one day. */
  deadlineMs: number;
  onChange: (reason: string) => void;
}

export function diskProbe({ disk, runtime, deadlineMs, onChange }: DiskProbeOptions): DiskProbe {
  let reason = '';
  /** A hanging try isn't joined by others: that many stuck threads would stop everything else too. */
  let isStuck = false;
  const set = (next: string) => {
    if (next === reason) return;
    reason = next;
    onChange(reason);
  };
  return {
    get reason() {
      return reason;
    },
    async probe() {
      if (isStuck) return;
      isStuck = true;
      const trial = tryDisk(disk, runtime.random(PROBE_BYTES)).then(
        () => '',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      const over = new AbortController();
      const late = pause(runtime, deadlineMs, over.signal).then(() => `no answer in ${deadlineMs} ms`);
      void trial.then((result) => {
        isStuck = false;
        set(result);
      });
      const first = await Promise.race([trial, late]);
      over.abort();
      set(first);
    },
  };
}

async function tryDisk(disk: Disk, bytes: Uint8Array): Promise<void> {
  const file = await openProbe(disk);
  try {
    await file.write([bytes], 0);
    await file.datasync();
    const back = new Uint8Array(bytes.length);
    const got = await file.read(back, 0);
    if (got < back.length || Buffer.compare(back, bytes) !== 0)
      throw new Error('the disk gave back other bytes than were written');
  } catch (error) {
    // A full disk is not a broken one: reading goes on.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    await file.close();
  }
}

async function openProbe(disk: Disk): Promise<DiskFile> {
  try {
    return await disk.open(PROBE_FILE, 'write');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return await disk.open(PROBE_FILE, 'create');
    throw error;
  }
}
