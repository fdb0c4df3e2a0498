import { describe, expect, it } from 'vitest';
import { createFarmWorld, namespace, type FarmWorld, type WorldOperator } from '#test/support/farm-world.ts';
import { storjBuckets } from '#operator/api.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { ownerFromEntropy, wordsFromEntropy } from '#node/core/keys.ts';

const size = '10Gi';

async function worldWithFarm(farm: object = {}): Promise<{ world: FarmWorld; operator: WorldOperator }> {
  const world = createFarmWorld();
  const operator = world.startOperator();
  await world.createFarm({ farmers: { replicas: 3, storage: { size } }, ...farm });
  await world.settle(operator);
  return { world, operator };
}

const farmRef = { name: 'demo' };

function secretText(world: FarmWorld, name: string, where = namespace): Record<string, string> | undefined {
  const data = world.kube.peek<Secret>(secrets, { namespace: where, name })?.data;
  return data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

function foreignSecret(name: string): Secret {
  const data = { words: Buffer.from('mine').toString('base64') };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data };
}

describe('a bucket comes up', () => {
  it('is Ready, its keys are on the bridge, and its Secret speaks to every client', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef, quota: { maxBytes: '1Gi', maxObjects: 10 } });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
    const text = secretText(world, 'photos-s3')!;
    const { desired } = world.nodes.bridge;
    expect(desired?.buckets).toEqual([
      {
        claim: 'farm/photos',
        owner: world.bucket('photos').status?.ownerId,
        bucketName: 'photos',
        maxBytes: 2 ** 30,
        maxObjects: 10,
      },
    ]);
    expect(desired?.accessKeys).toEqual([
      {
        accessKeyId: text['AWS_ACCESS_KEY_ID'],
        secretAccessKey: text['AWS_SECRET_ACCESS_KEY'],
        owner: world.bucket('photos').status?.ownerId,
        bucketName: 'photos',
      },
    ]);
    expect(text['AWS_ENDPOINT_URL_S3']).toMatch(/^http:\/\/10\.96\.0\.\d+:9000$/);
    expect(text).toMatchObject({
      AWS_REGION: 'storj-1',
      BUCKET_NAME: 'photos',
      BUCKET_PORT: '9000',
      COSI_S3_ENDPOINT: text['AWS_ENDPOINT_URL_S3'],
      COSI_S3_ADDRESSING_STYLE: 'path',
      RCLONE_CONFIG_STORJ_TYPE: 's3',
      RCLONE_CONFIG_STORJ_ENDPOINT: text['AWS_ENDPOINT_URL_S3'],
    });
  });

  it('puts the words of a new owner aside, and asks until they are said to be saved', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    const { ownerId } = world.bucket('photos').status!;
    expect(secretText(world, 'photos-owner')!['words']!.split(' ')).toHaveLength(24);
    expect(world.kube.peek<Secret>(secrets, { namespace, name: 'photos-owner' })?.metadata.ownerReferences).toBeUndefined();
    expect(world.bucketCondition('RecoverySaved', 'photos')).toMatchObject({ status: 'False' });
    await world.kube.mergePatch(
      storjBuckets,
      { namespace, name: 'photos' },
      { metadata: { annotations: { 'storjfarm.io/recovery-saved': ownerId } } },
    );
    await world.settle(operator);
    expect(world.bucketCondition('RecoverySaved', 'photos')).toMatchObject({ status: 'True' });
  });

  it('reads the words no more once the bridge has the owner', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    await world.kube.delete(secrets, { namespace, name: 'photos-owner' });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
    expect(world.kube.peek(secrets, { namespace, name: 'photos-owner' })).toBeUndefined();
  });

  it('never makes another owner when the bridge forgot the one it had, but asks for the words', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    const words = world.kube.peek<Secret>(secrets, { namespace, name: 'photos-owner' })!;
    await world.kube.delete(secrets, { namespace, name: 'photos-owner' });
    world.nodes.bridge.owners.clear();
    await world.settle(operator);
    expect(world.bucketCondition('Stalled', 'photos')).toMatchObject({ reason: 'OwnerWordsNeeded' });
    expect(world.kube.peek(secrets, { namespace, name: 'photos-owner' })).toBeUndefined();
    const { metadata, ...rest } = words;
    await world.kube.create(secrets, { ...rest, metadata: { name: metadata.name, namespace, labels: metadata.labels! } });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
  });

  it('makes no other owner for a bridge that knows nothing at all', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    const { ownerId } = world.bucket('photos').status!;
    await world.kube.delete(secrets, { namespace, name: 'photos-owner' });
    world.nodes.bridge.owners.clear();
    world.nodes.bridge.desired = undefined;
    world.nodes.putBuckets = () => Promise.reject(new Error('the bridge is being rebuilt'));
    for (let i = 0; i < 6; i += 1) await world.round(operator);
    expect(world.kube.peek(secrets, { namespace, name: 'photos-owner' })).toBeUndefined();
    expect(world.bucket('photos').status?.ownerId).toBe(ownerId);
  });

  it('takes the owner whose words it is given, several buckets too', async () => {
    const { world, operator } = await worldWithFarm();
    const entropy = new Uint8Array(32).fill(7);
    const data = { words: Buffer.from(wordsFromEntropy(entropy)).toString('base64') };
    await world.kube.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'me', namespace }, data });
    for (const name of ['one', 'two']) await world.createBucket(name, { farmRef, owner: { secretRef: { name: 'me' } } });
    await world.settle(operator);
    const owner = ownerFromEntropy(entropy).keyPair.publicKey;
    expect([world.bucket('one').status?.ownerId, world.bucket('two').status?.ownerId]).toEqual([owner, owner]);
    expect(world.bucketCondition('RecoverySaved', 'one')).toBeUndefined();
    expect(world.kube.peek(secrets, { namespace, name: 'one-owner' })).toBeUndefined();
  });

  it('writes nothing at rest', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    world.advance(600_000);
    await world.settle(operator);
    world.kube.calls.splice(0);
    for (let i = 0; i < 60; i += 1) await world.round(operator);
    expect(world.kube.writes().map(({ verb, key, body }) => [verb, key, body])).toEqual([]);
  });
});

describe('the grant in the Secret', () => {
  const days = (count: number) => count * 24 * 3_600_000;
  const grantOf = (world: FarmWorld, name = 'photos-s3') => secretText(world, name)?.['STORJ_GRANT'];
  const settled = async (world: FarmWorld, operator: WorldOperator) => {
    await world.settle(operator);
    // Usage is written every ten minutes; after that there is nothing more to say.
    world.advance(600_000);
    await world.settle(operator);
  };

  it('comes when the bucket is served, and is renewed at half of its life, once', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await settled(world, operator);
    expect(grantOf(world)).toBe('sj-grant/1:photos-1');
    expect(world.nodes.bridge.grants).toEqual([
      { owner: world.bucket('photos').status?.ownerId, bucketName: 'photos', endOlder: false },
    ]);
    world.advance(days(14));
    await settled(world, operator);
    world.kube.calls.splice(0);
    for (let i = 0; i < 20; i += 1) await world.round(operator);
    expect(world.kube.writes().map(({ verb, key }) => [verb, key])).toEqual([]);
    world.advance(days(1));
    await settled(world, operator);
    expect(grantOf(world)).toBe('sj-grant/1:photos-2');
    expect(world.nodes.bridge.grants).toHaveLength(2);
  });

  it('is kept by a new operator', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await settled(world, operator);
    await settled(world, world.startOperator());
    expect([grantOf(world), world.nodes.bridge.grants.length]).toEqual(['sj-grant/1:photos-1', 1]);
  });

  it('is replaced when the bridge says that older ones are no good, and when somebody broke it', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await settled(world, operator);
    world.advance(1000);
    world.nodes.bridge.grantsFromMs = world.nowMs();
    await settled(world, operator);
    expect(grantOf(world)).toBe('sj-grant/1:photos-2');
    await world.kube.mergePatch(secrets, { namespace, name: 'photos-s3' }, { data: { STORJ_GRANT: null } });
    await settled(world, operator);
    expect(grantOf(world)).toBe('sj-grant/1:photos-3');
  });

  it('of a Secret that was renamed ends with it', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await settled(world, operator);
    await world.kube.mergePatch(storjBuckets, { namespace, name: 'photos' }, { spec: { credentialsSecretName: 'other' } });
    await settled(world, operator);
    expect([grantOf(world), grantOf(world, 'other')]).toEqual([undefined, 'sj-grant/1:photos-2']);
    expect(world.nodes.bridge.grants.map(({ endOlder }) => endOlder)).toEqual([false, true]);
  });

  it('that the bridge does not issue holds up nobody', async () => {
    const { world, operator } = await worldWithFarm();
    const issue = world.nodes.postGrant;
    world.nodes.postGrant = () => Promise.reject(new Error('not now'));
    await world.createBucket('photos', { farmRef });
    await settled(world, operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
    expect(grantOf(world)).toBeUndefined();
    world.nodes.postGrant = issue;
    world.advance(600_000);
    await settled(world, operator);
    expect(grantOf(world)).toBe('sj-grant/1:photos-1');
  });
});

describe('changes', () => {
  it('a quota comes and goes', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    const patch = (quota: unknown) => world.kube.mergePatch(storjBuckets, { namespace, name: 'photos' }, { spec: { quota } });
    await patch({ maxObjects: 5 });
    await world.settle(operator);
    expect(world.nodes.bridge.desired?.buckets[0]).toMatchObject({ maxObjects: 5, maxBytes: null });
    await patch(null);
    await world.settle(operator);
    expect(world.nodes.bridge.desired?.buckets[0]).toMatchObject({ maxObjects: null, maxBytes: null });
  });

  it('another name for the Secret ends the old one and its keys', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    const old = secretText(world, 'photos-s3')!['AWS_ACCESS_KEY_ID'];
    await world.kube.mergePatch(storjBuckets, { namespace, name: 'photos' }, { spec: { credentialsSecretName: 'other' } });
    await world.settle(operator);
    expect(secretText(world, 'photos-s3')).toBeUndefined();
    const now = secretText(world, 'other')!['AWS_ACCESS_KEY_ID'];
    expect(now).not.toBe(old);
    expect(world.nodes.bridge.desired?.accessKeys.map(({ accessKeyId }) => accessKeyId)).toEqual([now]);
  });

  it('a new operator keeps all keys alive from its first word on', async () => {
    const { world, operator } = await worldWithFarm();
    for (const name of ['one', 'two']) await world.createBucket(name, { farmRef });
    await world.settle(operator);
    const before = world.nodes.bridge.desired!.accessKeys;
    const put = world.nodes.putBuckets;
    const seen: number[] = [];
    world.nodes.putBuckets = (address, control, desired, signal) => {
      seen.push(desired.accessKeys.length);
      return put(address, control, desired, signal);
    };
    const next = world.startOperator();
    await world.settle(next);
    expect(seen.every((count) => count === 2)).toBe(true);
    expect(seen.length).toBeGreaterThan(0);
    expect(world.nodes.bridge.desired!.accessKeys).toEqual(before);
  });
});

describe('refusals', () => {
  it('an unknown farm, and goes on when it comes', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    expect(world.bucketCondition('Stalled', 'photos')).toMatchObject({ reason: 'FarmNotFound' });
    await world.createFarm({ farmers: { replicas: 3, storage: { size } } });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
    expect(world.bucketCondition('Stalled', 'photos')).toBeUndefined();
  });

  it('a Secret of somebody else is left alone', async () => {
    const { world, operator } = await worldWithFarm();
    await world.kube.create(secrets, foreignSecret('photos-s3'));
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    expect(world.bucketCondition('Stalled', 'photos')).toMatchObject({ reason: 'SecretNameTaken' });
    expect(secretText(world, 'photos-s3')).toEqual({ words: 'mine' });
    await world.kube.delete(secrets, { namespace, name: 'photos-s3' });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'photos')).toMatchObject({ status: 'True' });
  });

  it('wrong words are named, not repeated', async () => {
    const { world, operator } = await worldWithFarm();
    await world.kube.create(secrets, foreignSecret('me'));
    await world.createBucket('photos', { farmRef, owner: { secretRef: { name: 'me' } } });
    await world.settle(operator);
    expect(world.bucketCondition('Stalled', 'photos')).toMatchObject({ reason: 'OwnerWordsInvalid' });
  });

  it('the oldest has a name, and its end makes room', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    world.advance(5000);
    await world.createBucket('second', { farmRef, bucketName: 'photos' });
    await world.settle(operator);
    expect(world.bucketCondition('Stalled', 'second')).toMatchObject({ reason: 'BucketNameTaken' });
    expect(world.nodes.bridge.desired?.buckets.map(({ claim }) => claim)).toEqual(['farm/photos']);
    await world.kube.delete(storjBuckets, { namespace, name: 'photos' });
    await world.settle(operator);
    expect(world.bucketCondition('Ready', 'second')).toMatchObject({ status: 'True' });
  });

  it('a namespace that the farm does not serve loses its keys, and gets them back', async () => {
    const { world, operator } = await worldWithFarm({ allowedBuckets: { from: 'All' } });
    await world.createBucket('photos', { farmRef: { name: 'demo', namespace } }, { namespace: 'guests' });
    await world.settle(operator);
    const ready = () => world.bucket('photos', 'guests').status?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready()).toMatchObject({ status: 'True' });
    const [key] = world.nodes.bridge.desired!.accessKeys;
    await world.patchFarm({ spec: { allowedBuckets: { from: 'Same' } } });
    await world.settle(operator);
    expect(ready()).toMatchObject({ status: 'False', reason: 'BucketNotAllowed' });
    expect(world.nodes.bridge.desired?.accessKeys).toEqual([]);
    await world.patchFarm({ spec: { allowedBuckets: { from: 'All' } } });
    await world.settle(operator);
    expect(world.nodes.bridge.desired?.accessKeys).toEqual([key]);
  });
});

describe('the end of a bucket', () => {
  it('kills its keys and keeps its data', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    expect(world.bucket('photos').metadata.finalizers ?? []).toEqual([]);
    const owner = world.bucket('photos').status?.ownerId;
    await world.kube.delete(storjBuckets, { namespace, name: 'photos' });
    await world.settle(operator);
    expect(world.nodes.bridge.desired?.accessKeys).toEqual([]);
    expect(world.nodes.bridge.deleted).toEqual([]);
    expect(secretText(world, 'photos-s3')).toBeUndefined();
    await world.createBucket('photos', { farmRef });
    await world.settle(operator);
    expect(world.bucket('photos').status?.ownerId).toBe(owner);
  });

  it('deletes the data only with the name repeated, and waits for the bridge', async () => {
    const { world, operator } = await worldWithFarm();
    await world.createBucket(
      'photos',
      { farmRef, deletionPolicy: 'Delete' },
      { annotations: { 'storjfarm.io/confirm-delete': 'photos' } },
    );
    await world.settle(operator);
    world.nodes.silent.add('demo-bridge-0');
    await world.kube.delete(storjBuckets, { namespace, name: 'photos' });
    for (let i = 0; i < 3; i += 1) await world.round(operator);
    expect(world.bucketCondition('DeletionBlocked', 'photos')).toMatchObject({ status: 'True' });
    world.nodes.silent.clear();
    await world.settle(operator);
    expect(world.nodes.bridge.deleted).toEqual(['photos']);
    expect(world.bucket('photos')).toBeUndefined();
  });

  it('lets go when the farm is gone', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    await world.createBucket(
      'photos',
      { farmRef, deletionPolicy: 'Delete' },
      { annotations: { 'storjfarm.io/confirm-delete': 'photos' } },
    );
    await world.settle(operator);
    await world.kube.delete(storjBuckets, { namespace, name: 'photos' });
    await world.settle(operator);
    expect(world.bucket('photos')).toBeUndefined();
  });
});
