// Deleting never destroys by surprise: farms, charts, CRDs and whole namespaces go and come back with their data.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply, farmUntil, healthy, kubectl, ready, s3, type Place, type Transfer } from '#infra/demo/farm-steps.ts';
import { s3ClientImage } from '#infra/images/client-images.ts';
import { startClientPod } from '#test/support/client-pod.ts';
import {
  bucket,
  emptyNamespace,
  farm,
  installedOperator,
  RELEASE,
  SYSTEM,
  type Installed,
} from '#test/support/installed-operator.ts';

const SCRIPT = readFileSync(new URL('../../infra/demo/s3-client.py', import.meta.url), 'utf8');
let installed: Installed;
let place: Place;
let file: Transfer;

interface Saved {
  kind: string;
  metadata: Record<string, unknown> & { name: string };
  spec?: Record<string, unknown>;
}

beforeAll(async () => {
  installed = await installedOperator('retain');
  place = installed.place('keep');
  await emptyNamespace(place);
}, 1_800_000);

const isUp = (replicas: number) =>
  farmUntil(place, `Ready with ${replicas}`, (one) => ready(one) && healthy(one) && one.status?.replicas === replicas);
const mustRead = async () => expect((await s3(place, ['get', 'kept.bin'])).sha256).toBe(file.sha256);
const bucketReady = () => kubectl(place, ['wait', 'storjbucket/photos', '--for=condition=Ready', '--timeout=180s']);
const client = async () => {
  const image = await installed.cluster.provideImage(await s3ClientImage());
  const command = ['python3', '-c', 'import signal; signal.pause()'];
  await kubectl(place, ['delete', 'pod', 's3-client', '--ignore-not-found', '--grace-period=0', '--force']);
  await startClientPod(place, { name: 's3-client', image, command, secret: 'photos-s3', files: { 's3-client.py': SCRIPT } });
};
const claims = async () =>
  (await kubectl(place, ['get', 'pvc', '-l', 'app.kubernetes.io/component=farmer', '-o', 'name'])).trim().split('\n');

describe('a deleted farm', () => {
  it('keeps its volumes and keys, and leaves nothing running', async () => {
    await apply(place, farm(place, 8));
    await apply(place, bucket(place, 'photos'));
    await isUp(8);
    await bucketReady();
    await client();
    file = await s3(place, ['put', 'kept.bin', '32', '7']);
    await kubectl(place, ['delete', 'storjfarm/keep', 'storjbucket/photos', '--timeout=60s']);
    await kubectl(place, ['wait', 'pods', '-l', 'storjfarm.io/farm=keep', '--for=delete', '--timeout=120s']);
    expect(await claims()).toHaveLength(8);
    expect(await kubectl(place, ['get', 'secrets', '-o', 'name'])).toContain('secret/keep-control');
  });

  it('is adopted by a new one with fewer farmers: all volumes start, then it drains down, and all data is there', async () => {
    await apply(place, farm(place, 6));
    await apply(place, bucket(place, 'photos'));
    await isUp(6);
    await bucketReady();
    await client();
    await mustRead();
  });
});

describe('the order of removal', () => {
  it('operator first: the farm goes on, farms can be deleted without it, and a reinstall goes on', async () => {
    await installed.cluster.helm(['uninstall', RELEASE, '--namespace', SYSTEM, '--wait']);
    await mustRead();
    await kubectl(place, ['delete', 'storjbucket/photos', '--timeout=60s']);
    await kubectl(place, ['delete', 'storjfarm/keep', '--timeout=60s']);
    installed = await installedOperator('retain');
    await apply(place, farm(place, 6));
    await apply(place, bucket(place, 'photos'));
    await isUp(6);
    await bucketReady();
    await client();
    await mustRead();
  });

  it('CRDs first: nothing hangs, and applying everything again brings the data back', async () => {
    await installed.cluster.kubectl(['delete', 'crd', 'storjfarms.storjfarm.io', 'storjbuckets.storjfarm.io', '--timeout=120s'], {
      timeoutMs: 130_000,
    });
    installed = await installedOperator('retain');
    await apply(place, farm(place, 6));
    await apply(place, bucket(place, 'photos'));
    await isUp(6);
    await bucketReady();
    await client();
    await mustRead();
  });
});

describe('a deleted namespace', () => {
  it('comes back from retained volumes and saved key Secrets', async () => {
    const list = async (kind: string) =>
      (JSON.parse(await kubectl(place, ['get', kind, '-o', 'json'])) as { items: Saved[] }).items;
    const volumes = (await list('pvc')).filter(
      (one) => one.metadata.name.startsWith('data-keep-farmer-') || one.metadata.name.includes('keep-bridge'),
    );
    const secrets = (await list('secrets')).filter(
      (one) => one.metadata.name.startsWith('keep-') || one.metadata.name.startsWith('photos-'),
    );
    expect(volumes.length).toBeGreaterThanOrEqual(7);
    const names = volumes.map((one) => String(one.spec?.['volumeName']));
    for (const name of names)
      await installed.cluster.kubectl(['patch', 'pv', name, '-p', '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}']);

    await installed.cluster.kubectl(['delete', 'namespace', 'retain', '--timeout=180s'], { timeoutMs: 190_000 });
    for (const name of names)
      await installed.cluster.kubectl(['patch', 'pv', name, '--type=json', '-p', '[{"op":"remove","path":"/spec/claimRef"}]']);
    installed = await installedOperator('retain');
    const again = [...volumes, ...secrets].map((one) => {
      const {
        uid: _uid,
        resourceVersion: _version,
        ownerReferences: _owners,
        managedFields: _fields,
        ...metadata
      } = one.metadata;
      return { ...one, metadata, status: undefined };
    });
    await apply(place, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: again }));
    await apply(place, farm(place, 6));
    await apply(place, bucket(place, 'photos'));
    await isUp(6);
    await bucketReady();
    await client();
    await mustRead();
  });
});
