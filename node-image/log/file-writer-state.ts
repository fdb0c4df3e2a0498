// A writer's state in one small file: written beside, made durable, put in place. The last save wins, whole.
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hex32, struct, uint, bytes, bytesUpTo, decode, encode, nullable } from '#node/wire/codec.ts';
import { MAX_BATCH_BYTES } from '#node/wire/types.ts';
import type { SavedLog, WriterState } from './log-writer.ts';

const savedLog = struct<SavedLog>({ seed: bytes(32), seq: uint(), hash: hex32, pending: nullable(bytesUpTo(MAX_BATCH_BYTES)) });

/** One writer at a time for a path: the caller's folder is locked. A file that can't be read counts as lost. */
export function fileWriterState(path: string): WriterState {
  let last: Promise<void> = Promise.resolve();
  return {
    async load() {
      let found: Uint8Array;
      try {
        found = await readFile(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
      try {
        return decode(savedLog, found, 2 * MAX_BATCH_BYTES);
      } catch {
        return null;
      }
    },
    async save(log) {
      const content = encode(savedLog, log);
      // In order: a later save must not be overtaken by an earlier one.
      last = last.catch(() => {}).then(() => replaceFile(path, content));
      await last;
    },
  };
}

async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const parent = await open(folder, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
