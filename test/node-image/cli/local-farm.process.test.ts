// `npm run farm` as people use it: real processes, a real S3 client, a stop, a lost folder, a start, and it heals.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { openStorj } from 'storjfarm';
import { wordsFile } from '#node/cli/farm-folder.ts';
import { startLocalFarm, type LocalFarm } from '#node/cli/local-farm.ts';
import { farmReportSchema } from '#node/interface/status.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-farm-'));
const dataDir = join(folder, 'farm');
const large = randomBytes(20_000_000);
const small = randomBytes(3_000);
let farm: LocalFarm;
const FARM = fileURLToPath(import.meta.resolve('#node/cli/farm.ts'));

async function start(): Promise<LocalFarm> {
  return await startLocalFarm({
    dataDir,
    farmers: 6,
    zones: 0,
    accounts: 2,
    s3Port: 0,
    say: () => {},
    signal: new AbortController().signal,
  });
}
const client = (account = 0) => {
  const { accessKey = '', secretKey = '' } = farm.accounts[account] ?? {};
  return new S3Client({
    endpoint: farm.endpoint,
    region: farm.region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
};
const get = async (Key: string, range?: string) => {
  const { Body } = await client().send(new GetObjectCommand({ Bucket: 'photos', Key, ...(range ? { Range: range } : {}) }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
};
/** Whether something listens there. */
const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
const report = async () =>
  farmReportSchema.parse(
    await farm.admin.call({ url: farm.adminUrl('repairer'), method: 'GET', path: '/report', signal: AbortSignal.timeout(5_000) }),
  );
const untilHealthy = () =>
  expect
    .poll(
      async () =>
        await report().then(
          (one) => [one.state, one.margin],
          () => null,
        ),
      { timeout: 90_000, interval: 500 },
    )
    .toEqual(['Healthy', 2]);

beforeAll(async () => void (farm = await start()));
afterAll(async () => {
  await farm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a local farm', () => {
  it('serves S3 with the printed credentials', async () => {
    await client().send(new CreateBucketCommand({ Bucket: 'photos' }));
    await client().send(new PutObjectCommand({ Bucket: 'photos', Key: 'large', Body: large }));
    await client().send(new PutObjectCommand({ Bucket: 'photos', Key: 'dir/small', Body: small, Metadata: { note: 'x' } }));
    expect((await get('large')).equals(large)).toBe(true);
    expect((await get('large', 'bytes=9999990-10000009')).equals(large.subarray(9_999_990, 10_000_010))).toBe(true);
    expect((await get('dir/small')).equals(small)).toBe(true);
    expect((await client().send(new HeadObjectCommand({ Bucket: 'photos', Key: 'dir/small' }))).Metadata).toEqual({ note: 'x' });
  });

  it('keeps accounts apart', async () => {
    expect(new Set(farm.accounts.map((one) => one.canonicalId)).size).toBe(2);
    await expect(client(1).send(new ListObjectsV2Command({ Bucket: 'photos' }))).rejects.toMatchObject({ name: 'AccessDenied' });
  });

  it('says how the command and the library get there without the bridge', async () => {
    const words = readFileSync(join(dataDir, wordsFile(1)), 'utf8').trim();
    const storj = await openStorj({ words, farmers: farm.farmers.slice(-1) });
    expect((await storj.buckets()).map(({ name }) => name)).toEqual(['photos']);
    await storj.close();
  });

  it('goes on after a stop, with two folders gone heals, and then bears the loss of two others', async () => {
    await farm.stop();
    for (const name of ['farmer-1', 'farmer-4']) {
      expect(existsSync(join(dataDir, name))).toBe(true);
      rmSync(join(dataDir, name), { recursive: true });
    }
    farm = await start();
    expect((await get('large')).equals(large)).toBe(true);
    await untilHealthy();
    await farm.stop();
    for (const name of ['farmer-0', 'farmer-5']) rmSync(join(dataDir, name), { recursive: true });
    farm = await start();
    expect((await get('large')).equals(large)).toBe(true);
    expect((await get('dir/small')).equals(small)).toBe(true);
    await untilHealthy();
  });

  it('restarts a node that is killed, and reads go on meanwhile', async () => {
    const pid = farm.children.get('farmer-3')?.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    expect((await get('large')).equals(large)).toBe(true);
    await expect.poll(() => farm.children.get('farmer-3')?.pid !== pid, { timeout: 20_000 }).toBe(true);
    await client().send(new PutObjectCommand({ Bucket: 'photos', Key: 'after', Body: small }));
    expect((await get('after')).equals(small)).toBe(true);
  });

  it('comes back without the catalog: the bridge reads it from the farmers', async () => {
    await farm.stop();
    rmSync(join(dataDir, 'bridge'), { recursive: true });
    farm = await start();
    expect((await get('large')).equals(large)).toBe(true);
    const { Contents } = await client().send(new ListObjectsV2Command({ Bucket: 'photos' }));
    expect(Contents?.map((one) => one.Key)).toEqual(['after', 'dir/small', 'large']);
    await client().send(new PutObjectCommand({ Bucket: 'photos', Key: 'again', Body: small }));
  });
});

describe('a farm whose process is killed', () => {
  it('leaves no node behind, and goes on when it is started again', async () => {
    const data = join(folder, 'killed');
    const begin = async () => {
      const args = [FARM, '--farmers', '1', '--port', '0', '--data', data, '--json'];
      const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(process_.stdout, 'data')) as [Buffer];
      return { farm: process_, endpoint: (JSON.parse(line.toString()) as { endpoint: string }).endpoint };
    };
    const first = await begin();
    const { ports } = JSON.parse(readFileSync(join(data, 'state.json'), 'utf8')) as { ports: Record<string, { admin: number }> };
    const listening = () => Promise.all(Object.values(ports).map(({ admin }) => answers(admin)));
    expect(await listening()).toEqual([true, true, true]);
    first.farm.kill('SIGKILL');
    await expect.poll(listening, { timeout: 30_000 }).toEqual([false, false, false]);
    const second = await begin();
    expect(second.endpoint).toBe(first.endpoint);
    second.farm.kill('SIGTERM');
    expect(await once(second.farm, 'exit')).toEqual([0, null]);
  });
});

describe('what it refuses', () => {
  it('a second farm on the same folder, a folder with something else, a port that is taken', async () => {
    await expect(start()).rejects.toMatchObject({ code: 'InUse' });
    const other = join(folder, 'other');
    const options = { farmers: 1, zones: 0, accounts: 1, s3Port: 0, say: () => {}, signal: new AbortController().signal };
    mkdirSync(other);
    writeFileSync(join(other, 'holiday.jpg'), 'x');
    await expect(startLocalFarm({ ...options, dataDir: other })).rejects.toMatchObject({ code: 'NotOurs' });
    await expect(
      startLocalFarm({ ...options, dataDir: join(folder, 'third'), s3Port: Number(new URL(farm.endpoint).port) }),
    ).rejects.toMatchObject({ code: 'PortTaken' });
  });
});
