// The Moon test on processes: what went in by S3 is found, read, written and deleted with the 24 words alone
// while neither bridge nor repairer exists, also with f farmers gone; then a bridge on an empty disk has it all.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { startLocalFarm, type LocalFarm } from '#node/cli/local-farm.ts';
import { seededBytes } from '../client/support/test-farm.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-moon-'));
const dataDir = join(folder, 'farm');
const COMMAND = fileURLToPath(new URL('../../../node-image/cli/storj.ts', import.meta.url));
const BUCKET = 'moon';
/** Key → what it holds. */
const expected = new Map<string, Uint8Array>();
let farm: LocalFarm;
let access: { STORJ_WORDS: string; STORJ_FARMER: string };

const start = () =>
  startLocalFarm({
    dataDir,
    farmers: 6,
    zones: 0,
    accounts: 1,
    s3Port: 0,
    say: () => {},
    signal: new AbortController().signal,
  });
const s3 = () => {
  const { accessKey = '', secretKey = '' } = farm.accounts[0] ?? {};
  return new S3Client({
    endpoint: farm.endpoint,
    region: farm.region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
};
/** On a machine that knows nothing but the words and one farmer. */
async function storj(...argv: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], HOME: join(folder, 'empty'), ...access };
  const options = { env, maxBuffer: 64 * 1024 * 1024, timeout: 60_000 };
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', COMMAND, ...argv],
    options,
  );
  return stdout;
}
const lines = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const listed = async () => lines(await storj('ls', '-r', BUCKET, '--json')).map(({ key, sizeBytes }) => [key, sizeBytes]);
const contents = () => [...expected].map(([key, bytes]) => [key, bytes.length]).sort(([a], [b]) => (a! < b! ? -1 : 1));
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function expectAll(name: string): Promise<void> {
  expect(await listed()).toEqual(contents());
  const to = join(folder, name);
  await storj('cp', '-r', `sj://${BUCKET}/`, to);
  for (const [key, bytes] of expected) expect([key, hash(readFileSync(join(to, key)))]).toEqual([key, hash(bytes)]);
}

async function write(name: string, count: number, sizeBytes: number): Promise<void> {
  const from = join(folder, `to-${name}`);
  for (let i = 0; i < count; i++) {
    const bytes = seededBytes(sizeBytes + i, i + 7);
    const path = `${name}/${i}`;
    mkdirSync(dirname(join(from, path)), { recursive: true });
    writeFileSync(join(from, path), bytes);
    expected.set(path, bytes);
  }
  await storj('cp', '-r', from, `sj://${BUCKET}/`);
}
async function remove(...keys: string[]): Promise<void> {
  await storj('rm', ...keys.map((key) => `${BUCKET}/${key}`));
  for (const key of keys) expected.delete(key);
}

beforeAll(async () => {
  farm = await start();
  const [account] = JSON.parse(readFileSync(join(dataDir, 'accounts.json'), 'utf8')) as { words: string }[];
  const { roster } = JSON.parse(readFileSync(join(dataDir, 'state.json'), 'utf8')) as {
    roster: { url: string; peerId: string }[];
  };
  access = { STORJ_WORDS: account!.words, STORJ_FARMER: `${roster[0]!.url}#${roster[0]!.peerId}` };
});
afterAll(async () => {
  await farm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('on the Moon', () => {
  it('takes objects by S3, with versions and deletes', async () => {
    await s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
    const put = async (Key: string, Body: Uint8Array) => {
      await s3().send(new PutObjectCommand({ Bucket: BUCKET, Key, Body }));
      expected.set(Key, Body);
    };
    const sizes = [0, 1, 300, 4096, 65_536, 65_537, 200_000, 1_500_000];
    for (let round = 0; round < 2; round++) {
      await Promise.all(
        Array.from({ length: 64 }, (_, i) => put(`by-s3/${i}`, seededBytes(sizes[i % sizes.length]!, i * 10 + round))),
      );
    }
    for (let i = 0; i < 64; i += 9) {
      await s3().send(new DeleteObjectCommand({ Bucket: BUCKET, Key: `by-s3/${i}` }));
      expected.delete(`by-s3/${i}`);
    }
  });

  it('gives, takes and deletes them without bridge and repairer', async () => {
    for (const name of ['bridge', 'repairer']) {
      await farm.children.get(name)?.kill();
      rmSync(join(dataDir, name), { recursive: true, force: true });
    }
    await expectAll('first');
    await write('on-the-moon', 12, 60_000);
    await remove('by-s3/1', 'by-s3/7', 'on-the-moon/3');
    expect(await listed()).toEqual(contents());
    // A look changes nothing, and without --yes it stays a look.
    const refused = storj('reset', BUCKET);
    await expect(refused).rejects.toMatchObject({ code: 2, stdout: expect.stringContaining('nothing known to be lost') });
    await expect(refused).rejects.toMatchObject({ stderr: expect.stringContaining('--yes') });
    expect(await listed()).toEqual(contents());
  });

  it('and with f farmers gone as well', async () => {
    for (const name of ['farmer-2', 'farmer-5']) {
      await farm.children.get(name)?.kill();
      rmSync(join(dataDir, name), { recursive: true });
    }
    await expectAll('second');
    await write('with-four-farmers', 6, 300_000);
    await remove('by-s3/2', 'on-the-moon/4');
    await expectAll('third');
  });

  it('and a bridge on an empty disk has all of it, and nothing that was deleted', async () => {
    await farm.stop();
    expect(existsSync(join(dataDir, 'bridge'))).toBe(false);
    farm = await start();
    // Until farmers and bridge have caught up the answer is to try again in a moment.
    const listed = () => s3().send(new ListObjectsV2Command({ Bucket: BUCKET }));
    const page = await vi.waitFor(listed, { timeout: 90_000, interval: 500 });
    expect((page.Contents ?? []).map(({ Key, Size }) => [Key, Size])).toEqual(contents());
    for (const [Key, bytes] of expected) {
      const { Body } = await s3().send(new GetObjectCommand({ Bucket: BUCKET, Key }));
      expect([Key, hash((await Body!.transformToByteArray()) as Uint8Array)]).toEqual([Key, hash(bytes)]);
    }
  });
});
