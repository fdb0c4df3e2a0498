import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileWriterState } from '#node/log/file-writer-state.ts';
import { NO_HASH } from '#node/wire/batch.ts';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'writer-state-'))));
afterEach(() => rmSync(folder, { recursive: true }));
const log = (seq: number) => ({ seed: new Uint8Array(32).fill(3), seq, hash: NO_HASH, pending: new Uint8Array([1, 2]) });

describe('the state of a writer on disk', () => {
  it('is what was saved last, and only that', async () => {
    const path = join(folder, 'deep', 'log');
    const state = fileWriterState(path);
    expect(await state.load()).toBeNull();
    await Promise.all([1, 2, 3, 4].map((seq) => state.save(log(seq))));
    expect(await fileWriterState(path).load()).toEqual(log(4));
    await state.save({ ...log(5), pending: null });
    expect(await state.load()).toEqual({ ...log(5), pending: null });
    expect(readdirSync(join(folder, 'deep'))).toEqual(['log']);
  });

  it('that is damaged counts as lost', async () => {
    const path = join(folder, 'log');
    await fileWriterState(path).save(log(1));
    writeFileSync(path, 'torn');
    expect(await fileWriterState(path).load()).toBeNull();
  });
});
