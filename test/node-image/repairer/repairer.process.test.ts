// The repairer as a process among processes: a drain that it proves, a restart on an empty folder, its metrics.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLocalFarm, type LocalFarm } from '#node/cli/local-farm.ts';
import { farmConfigSchema, type FarmConfig } from '#node/interface/config.ts';
import { farmReportSchema, type FarmReport } from '#node/interface/status.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-repairer-'));
const dataDir = join(folder, 'farm');
const bodies = Array.from({ length: 4 }, (_, index) => randomBytes(300_000 * (index + 1)));
let farm: LocalFarm;
let config: FarmConfig;

beforeAll(async () => {
  farm = await startLocalFarm({
    dataDir,
    farmers: 7,
    zones: 0,
    accounts: 1,
    s3Port: 0,
    say: () => {},
    signal: new AbortController().signal,
  });
  config = farmConfigSchema.parse(JSON.parse(readFileSync(join(dataDir, 'farm.json'), 'utf8')));
});
afterAll(async () => {
  await farm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const client = () =>
  new S3Client({
    endpoint: farm.endpoint,
    region: farm.region,
    forcePathStyle: true,
    credentials: { accessKeyId: farm.accounts[0]!.accessKey, secretAccessKey: farm.accounts[0]!.secretKey },
  });
const ask = async (path: string) =>
  await farm.admin.call({ url: farm.adminUrl('repairer'), method: 'GET', path, signal: AbortSignal.timeout(5_000) });
const report = async (): Promise<FarmReport> => farmReportSchema.parse(await ask('/report'));
const eventually = (facts: () => Promise<unknown>) =>
  expect.poll(() => facts().catch(() => null), { timeout: 60_000, interval: 300 });

/** As the operator does it: a higher generation to every node. */
async function setState(slot: string, state: 'Active' | 'Leaving'): Promise<string> {
  const roster = config.roster.map((member) => (member.slot === slot ? { ...member, state } : member));
  config = { ...config, roster, generation: config.generation + 1000 };
  for (const name of [...config.roster.map((member) => member.slot), 'bridge', 'repairer']) {
    const signal = AbortSignal.timeout(10_000);
    await farm.admin.call({ url: farm.adminUrl(name), method: 'PUT', path: '/admin/config', body: config, signal });
  }
  return roster.find((member) => member.slot === slot)!.farmer;
}

describe('the repairer of a local farm', () => {
  it('reports what the bridge wrote', async () => {
    await client().send(new CreateBucketCommand({ Bucket: 'photos' }));
    for (const [index, Body] of bodies.entries()) {
      await client().send(new PutObjectCommand({ Bucket: 'photos', Key: `photo-${index}`, Body }));
    }
    await eventually(async () => {
      const { state, segments, margin, ownersWithoutWarrant } = await report();
      return { state, segments, margin, ownersWithoutWarrant };
    }).toEqual({ state: 'Healthy', segments: bodies.length, margin: 2, ownersWithoutWarrant: 0 });
    const { farmers } = await report();
    expect(farmers.reduce((sum, { pieces }) => sum + pieces, 0)).toBe(6 * bodies.length);
  });

  it('drains a farmer, proves it, and nothing is missed when that farmer is gone', async () => {
    const leaving = await setState('farmer-2', 'Leaving');
    const of = async () => (await report()).farmers.find(({ farmer }) => farmer === leaving)!;
    await eventually(async () => {
      const { state, piecesToMove, replicaSets, unwarrantedPieces, cordonedMs } = await of();
      return { state, piecesToMove, replicaSets, unwarrantedPieces, isCordoned: cordonedMs !== null };
    }).toEqual({ state: 'Leaving', piecesToMove: 0, replicaSets: 0, unwarrantedPieces: 0, isCordoned: true });
    const { cordonedMs } = await of();
    await eventually(async () => (await report()).readThroughMs > cordonedMs!).toBe(true);
    expect((await report()).segmentsQueued).toBe(0);
    const pid = farm.children.get('farmer-2')?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      for (const [index, body] of bodies.entries()) {
        const { Body } = await client().send(new GetObjectCommand({ Bucket: 'photos', Key: `photo-${index}` }));
        expect(Buffer.compare((await Body?.transformToByteArray())!, body)).toBe(0);
      }
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  it('killed with its folder, it reads everything again and repairs nothing twice', async () => {
    const before = await report();
    const pid = farm.children.get('repairer')?.pid ?? 0;
    rmSync(join(dataDir, 'repairer'), { recursive: true });
    process.kill(pid, 'SIGKILL');
    await eventually(async () => {
      const { startedMs, readThroughMs, segments, segmentsQueued } = await report();
      return { isNew: startedMs > before.startedMs, isRead: readThroughMs > 0, segments, segmentsQueued };
    }).toEqual({ isNew: true, isRead: true, segments: bodies.length, segmentsQueued: 0 });
    expect(await report()).toMatchObject({ repairedPieces: 0, segmentsUnreadable: 0 });
  });
});
