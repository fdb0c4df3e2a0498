import { mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tarMembers } from '#node/oci/read-tar.ts';
import { tarChunks, type TarEntry } from '#node/oci/tar.ts';

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'tar-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function packed(entries: readonly TarEntry[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarChunks(entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function unpacked(bytes: Buffer): Promise<Map<string, { mode: number; type: string; linkTo: string; content: string }>> {
  const file = join(folder, 'archive.tar');
  writeFileSync(file, bytes);
  const descriptor = openSync(file, 'r');
  const members = await tarMembers(file);
  return new Map(
    [...members].map(([path, { mode, type, linkTo, offset, sizeBytes }]) => {
      const content = Buffer.alloc(sizeBytes);
      readSync(descriptor, content, 0, sizeBytes, offset);
      return [path, { mode, type, linkTo, content: content.toString('hex') }];
    }),
  );
}

const part = fc
  .string({ unit: fc.constantFrom('a', 'b', '.x', 'ü', ' ', '='), minLength: 1, maxLength: 60 })
  .filter((name) => name !== '.' && name !== '..');
const path = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join('/'));
const bytes = fc.uint8Array({ maxLength: 1600 });

describe('tar', () => {
  it('gives back paths of any length, modes, contents and links', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(path, bytes, fc.constantFrom(0o644, 0o755)), { selector: ([name]) => name, maxLength: 6 }),
        path,
        async (files, linkTo) => {
          // Below numbered folders, so that none is another one's folder.
          const entries: TarEntry[] = files.map(([name, content, mode], index) => ({
            path: `${index}/${name}`,
            mode,
            content: { bytes: content },
          }));
          const all = await unpacked(await packed([...entries, { path: 'link', mode: 0o777, content: { linkTo } }]));
          for (const [index, [name, content, mode]] of files.entries()) {
            expect(all.get(`${index}/${name}`)).toEqual({
              mode,
              type: '0',
              linkTo: '',
              content: Buffer.from(content).toString('hex'),
            });
            expect(all.get(String(index))?.type).toBe('5');
          }
          expect(all.get('link')).toEqual({ mode: 0o777, type: '2', linkTo, content: '' });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('depends on the entries, not on their order nor on where their bytes come from', async () => {
    const file = join(folder, 'source');
    writeFileSync(file, 'content');
    const inMemory: TarEntry = { path: 'b/c', mode: 0o644, content: { bytes: Buffer.from('content') } };
    const onDisk: TarEntry = { path: 'b/c', mode: 0o644, content: { file } };
    const other: TarEntry = { path: 'a', mode: 0o755, content: { bytes: Buffer.from('x') } };
    const one = await packed([inMemory, other]);
    expect(await packed([other, onDisk])).toEqual(one);
    expect(one.length % 512).toBe(0);
    expect(await packed([inMemory])).not.toEqual(one);
  });

  it.each(['/absolute', 'a/../b', 'folder/', ''])('refuses the path %j', async (bad) => {
    await expect(packed([{ path: bad, mode: 0o644, content: { bytes: Buffer.alloc(0) } }])).rejects.toThrow(/tar path/);
  });

  it('refuses a file that is there twice', async () => {
    const entry: TarEntry = { path: 'a', mode: 0o644, content: { bytes: Buffer.alloc(0) } };
    await expect(packed([entry, entry])).rejects.toThrow(/twice/);
  });

  it('reading notices a cut and a damaged archive', async () => {
    const file = join(folder, 'bad.tar');
    const good = await packed([{ path: 'a', mode: 0o644, content: { bytes: Buffer.alloc(700, 1) } }]);
    writeFileSync(file, good.subarray(0, 1024));
    await expect(tarMembers(file)).rejects.toThrow(/cut/);
    const damaged = Buffer.from(good);
    damaged[3] = 7;
    writeFileSync(file, damaged);
    await expect(tarMembers(file)).rejects.toThrow(/damaged/);
    expect(readFileSync(file)).toHaveLength(good.length);
  });
});
