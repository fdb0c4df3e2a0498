// The S3 exam against a whole farm as processes of this machine: six farmers, bridge, repairer.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLocalFarm, type LocalFarm } from '#node/cli/local-farm.ts';
import { clientOf, failure, s3Exam, type Endpoint } from './s3-exam.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-s3-'));
const dataDir = join(folder, 'farm');
let farm: LocalFarm;

const start = () =>
  startLocalFarm({ dataDir, farmers: 6, zones: 0, accounts: 2, s3Port: 0, say: () => {}, signal: new AbortController().signal });
const endpoint = (account = 0): Endpoint => {
  const { accessKey = '', secretKey = '' } = farm.accounts[account] ?? {};
  return { endpoint: farm.endpoint, region: farm.region, accessKeyId: accessKey, secretAccessKey: secretKey };
};

beforeAll(async () => void (farm = await start()));
afterAll(async () => {
  await farm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('S3 on a farm of processes', () => s3Exam(() => endpoint()));

describe('a bridge', () => {
  const Bucket = 'outlives';
  const large = randomBytes(3_000_000);

  it('keeps accounts apart', async () => {
    await clientOf(endpoint()).send(new CreateBucketCommand({ Bucket }));
    await clientOf(endpoint()).send(new PutObjectCommand({ Bucket, Key: 'large', Body: large }));
    await clientOf(endpoint()).send(new PutObjectCommand({ Bucket, Key: 'small', Body: 'small' }));
    const other = clientOf(endpoint(1));
    expect(await failure(other.send(new GetObjectCommand({ Bucket, Key: 'small' })))).toBe('403 AccessDenied');
    expect(await failure(other.send(new CreateBucketCommand({ Bucket })))).toBe('409 BucketAlreadyExists');
  });

  it('that lost its disk has everything again, and goes on', async () => {
    await farm.stop();
    rmSync(join(dataDir, 'bridge'), { recursive: true });
    farm = await start();
    const s3 = clientOf(endpoint(), { maxAttempts: 5 });
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
    expect(Contents.map(({ Key }) => Key)).toEqual(['large', 'small']);
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'large' }));
    expect(Buffer.compare(Buffer.from((await Body?.transformToByteArray()) ?? []), large)).toBe(0);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'after' }));
    expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(3);
  });
});
