// What others install: a program written against the package alone, type-checked and run outside this tree.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandFailedError, runCommand } from '#infra/local/run-command.ts';
import { wordsFile } from '#node/cli/farm-folder.ts';
import { startLocalFarm, type LocalFarm } from '#node/cli/local-farm.ts';
import { npmPackage } from '#node/npm-package.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = mkdtempSync(join(tmpdir(), 'storj-package-'));
const dataDir = join(folder, 'farm');
const installed = join(folder, 'node_modules/storjfarm');
const program = `
import { openStorj, StorjError, type Bucket, type ListItem } from 'storjfarm';
const [words = '', farmer = ''] = process.argv.slice(2);
const storj = await openStorj({ words, farmers: [farmer] });
const bucket: Bucket = await storj.createBucket('outside');
const bytes = new Uint8Array(3_000_000).fill(7);
const { sizeBytes } = await bucket.put('large', bytes);
const items: ListItem[] = [];
for await (const item of bucket.list()) items.push(item);
let got = 0;
for await (const chunk of (await bucket.get('large')).body) got += chunk.length;
const code = await bucket.head('none').catch((error: unknown) => error instanceof StorjError && error.code);
const name: string = items[0]?.kind === 'object' ? items[0].object.key : '';
console.log(JSON.stringify([sizeBytes, name, got, code]));
await storj.close();
`;
let farm: LocalFarm;

const tsc = (file: string) => {
  const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
  return runCommand(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...flags, file], { cwd: folder });
};

beforeAll(async () => {
  for (const [path, bytes] of await npmPackage()) {
    mkdirSync(dirname(join(installed, path)), { recursive: true });
    writeFileSync(join(installed, path), bytes);
  }
  // What npm would bring with it, and what a program in TypeScript has itself.
  for (const name of ['@napi-rs', '@types']) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const signal = new AbortController().signal;
  farm = await startLocalFarm({ dataDir, farmers: 4, zones: 0, accounts: 1, s3Port: 0, say: () => {}, signal });
});
afterAll(async () => {
  await farm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the npm package', () => {
  it('needs nothing but what its package.json names', () => {
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, object>;
    expect(Object.keys(dependencies ?? {})).toEqual(['@napi-rs/blake-hash']);
  });

  it('has types that hold without a look away, and that refuse what is wrong', async () => {
    writeFileSync(join(folder, 'program.ts'), program);
    await tsc('program.ts');
    writeFileSync(join(folder, 'wrong.ts'), program.replace("bucket.head('none')", 'bucket.head(5)'));
    const error = await tsc('wrong.ts').catch((cause: unknown) => cause);
    expect(error instanceof CommandFailedError && error.stdout).toMatch(/wrong\.ts\(.*'number' is not assignable/);
  });

  it('writes to a farm and reads from it, as library and as command', async () => {
    const words = readFileSync(join(dataDir, wordsFile(1)), 'utf8').trim();
    const door = farm.farmers[0]!;
    writeFileSync(join(folder, 'program.ts'), program);
    const { stdout } = await runCommand(process.execPath, ['program.ts', words, door], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual([3_000_000, 'large', 3_000_000, 'NoSuchKey']);
    const listed = await runCommand(
      process.execPath,
      [join(installed, 'storj.mjs'), 'ls', 'outside', '--farmer', door, '--json'],
      {
        env: { STORJ_WORDS: words },
      },
    );
    expect(listed.stdout).toContain('"large"');
  });
});
