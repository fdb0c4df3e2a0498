// Downloads that were broken off: what came stays, what is asked for is the rest, and the file appears whole.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { download, eachOf, filesBelow } from '#node/cli/commands/local-files.ts';
import type { Bucket, ObjectInfo } from '#node/device/open-storj.ts';
import { seededBytes } from '../../client/support/test-farm.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const bytes = seededBytes(300_000, 9);
const never = new AbortController().signal;

/** One object; `breakAt` ends the next read there. */
function objectOf(versionId: string, content = bytes) {
  const asked: number[] = [];
  const breaks: number[] = [];
  const info: ObjectInfo = {
    key: 'x',
    versionId,
    sizeBytes: content.length,
    etag: createHash('md5').update(content).digest('hex'),
    modifiedMs: 1,
    headers: {},
  };
  async function* body(offset: number, end: number | undefined) {
    for (let at = offset; at < content.length; at += 50_000) {
      if (end !== undefined && at >= end) throw new Error('the line is down');
      yield content.subarray(at, at + 50_000);
    }
  }
  const get = async (_: string, { offset = 0 } = {}) => {
    asked.push(offset);
    return { info, body: body(offset, breaks.shift()) };
  };
  return { bucket: { head: async () => info, get } as unknown as Bucket, asked, breaks };
}
const fetch = (bucket: Bucket, file: string) => download({ bucket, key: 'x', file, onProgress: () => {}, signal: never });

describe('a download', () => {
  it('that was broken off goes on where it ended', async () => {
    const { bucket, asked, breaks } = objectOf('a'.repeat(32));
    const file = join(folder, 'one/x');
    breaks.push(100_000);
    await expect(fetch(bucket, file)).rejects.toThrow('the line is down');
    expect([existsSync(file), readdirSync(join(folder, 'one'))]).toEqual([false, ['.x.aaaaaaaaaaaa.part']]);
    await fetch(bucket, file);
    expect(asked).toEqual([0, 100_000]);
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(readdirSync(join(folder, 'one'))).toEqual(['x']);
  });

  it('never mixes two versions', async () => {
    const [old, now] = [objectOf('b'.repeat(32), seededBytes(300_000, 1)), objectOf('c'.repeat(32))];
    const file = join(folder, 'two/x');
    old.breaks.push(100_000);
    await expect(fetch(old.bucket, file)).rejects.toThrow('the line is down');
    await fetch(now.bucket, file);
    expect(now.asked).toEqual([0]);
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });

  it('notices that what was left is damaged, and begins anew the next time', async () => {
    const { bucket, asked } = objectOf('d'.repeat(32));
    const file = join(folder, 'x');
    writeFileSync(join(folder, '.x.dddddddddddd.part'), new Uint8Array(70_000));
    await expect(fetch(bucket, file)).rejects.toMatchObject({ code: 'Changed' });
    await fetch(bucket, file);
    expect(asked).toEqual([70_000, 0]);
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });
});

describe('many at once', () => {
  it('are bounded, and the first that fails ends it', async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    const work = async (item: number) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      if (item === 7) throw new Error('seven');
      done.push(item);
    };
    async function* items() {
      for (let i = 0; i < 20; i++) yield i;
    }
    await expect(eachOf(items(), 3, work)).rejects.toThrow('seven');
    expect(most).toBe(3);
    expect(done.length).toBeLessThan(12);
  });

  it('files of a folder come in order', async () => {
    const found = await Array.fromAsync(filesBelow(folder));
    expect(found.map(({ path }) => path)).toEqual(
      ['.x.dddddddddddd.part', 'one/x', 'two/.x.bbbbbbbbbbbb.part', 'two/x', 'x'].filter((path) =>
        existsSync(join(folder, path)),
      ),
    );
  });
});
