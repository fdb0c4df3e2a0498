// Bad input gives a clear error or condition, and loses nothing.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply, condition, farmUntil, kubectl, ready, s3, type Condition, type Place } from '#infra/demo/farm-steps.ts';
import { s3ClientImage } from '#infra/images/client-images.ts';
import { inPod, startClientPod } from '#test/support/client-pod.ts';
import { bucket, emptyNamespace, farm, installedOperator, type Installed } from '#test/support/installed-operator.ts';

const SCRIPT = readFileSync(new URL('../../infra/demo/s3-client.py', import.meta.url), 'utf8');
let installed: Installed;
let place: Place;

beforeAll(async () => {
  installed = await installedOperator('bad-input');
  place = installed.place('small');
  await emptyNamespace(place);
  await apply(place, farm(place, 3, { farmers: { replicas: 3, storage: { size: '300Mi' } } }));
  await apply(place, bucket(place, 'photos'));
  await farmUntil(place, 'Ready', ready);
  await kubectl(place, ['wait', 'storjbucket/photos', '--for=condition=Ready', '--timeout=120s']);
  const image = await installed.cluster.provideImage(await s3ClientImage());
  await startClientPod(place, {
    name: 's3-client',
    image,
    command: ['python3', '-c', 'import signal; signal.pause()'],
    secret: 'photos-s3',
    files: { 's3-client.py': SCRIPT },
  });
}, 1_800_000);

/** The bucket's condition once it has this reason. */
async function bucketSays(name: string, type: string, reason: string): Promise<Condition> {
  let found: Condition | undefined;
  await expect
    .poll(
      async () => {
        const one = JSON.parse(await kubectl(place, ['get', `storjbucket/${name}`, '-o', 'json'])) as {
          status?: { conditions?: Condition[] };
        };
        found = one.status?.conditions?.find((each) => each.type === type);
        return found?.reason;
      },
      { timeout: 60_000, interval: 500 },
    )
    .toBe(reason);
  return found!;
}

const refused = async (manifest: string): Promise<string> => {
  try {
    await apply(place, manifest);
  } catch (error) {
    return String(error);
  }
  throw new Error(`accepted: ${manifest}`);
};
const python = (code: string) => inPod(place, 's3-client', ['python3', '-c', code]);

describe('resources', () => {
  it('an unknown farm', async () => {
    await apply(
      place,
      JSON.stringify({ ...(JSON.parse(bucket(place, 'lonely')) as object), spec: { farmRef: { name: 'nowhere' } } }),
    );
    const said = await bucketSays('lonely', 'Ready', 'FarmNotFound');
    expect(said.message).toBe(
      `There is no StorjFarm ${place.namespace}/nowhere. Create it, or create this bucket anew with the right farmRef.`,
    );
  });

  it('a Secret name that is taken stays as it is', async () => {
    await kubectl(place, ['create', 'secret', 'generic', 'mine', '--from-literal=precious=1']);
    await apply(place, bucket(place, 'second', { credentialsSecretName: 'mine' }));
    const said = await bucketSays('second', 'Ready', 'SecretNameTaken');
    expect(said.message).toBe(
      "The Secret mine isn't this bucket's and is left alone. Delete it, or set spec.credentialsSecretName.",
    );
    expect(JSON.parse(await kubectl(place, ['get', 'secret', 'mine', '-o', 'json'])).data).toEqual({ precious: 'MQ==' });
  });

  it('a bucket name that is taken', async () => {
    await apply(place, bucket(place, 'third', { bucketName: 'photos' }));
    const said = await bucketSays('third', 'Ready', 'BucketNameTaken');
    expect(said.message).toMatch(
      /^The bucket name photos belongs to .*\/photos on this farm\. Create this bucket anew with another bucketName\.$/,
    );
  });

  it('redundancy that the farmers cannot meet, and the way back', async () => {
    await apply(
      place,
      farm(place, 3, {
        farmers: { replicas: 3, storage: { size: '300Mi' } },
        redundancy: { required: 4, repair: 5, optimal: 6, total: 6 },
      }),
    );
    const stalled = await farmUntil(place, 'RedundancyUnmet', (one) => condition(one, 'Stalled')?.reason === 'RedundancyUnmet');
    expect(condition(stalled, 'Stalled')?.message).toBe(
      'spec.redundancy.total is 6, but spec.farmers.replicas is 3: raise replicas to at least 6, or lower redundancy.',
    );
    await s3(place, ['put', 'still.bin', '1', '1']);
    await kubectl(place, ['patch', 'storjfarm/small', '--type=json', '-p', '[{"op":"remove","path":"/spec/redundancy"}]']);
    await farmUntil(place, 'Ready, not stalled', (one) => ready(one) && condition(one, 'Stalled')?.status !== 'True');
  });

  it('the API server refuses what can never be, and says why', async () => {
    expect(await refused(farm(place, 0))).toContain('replicas');
    expect(await refused(farm(place, 3, { redundancy: { required: 3, repair: 2, optimal: 3, total: 3 } }))).toMatch(/repair/);
    expect(await refused(bucket(place, 'photos', { bucketName: 'other' }))).toMatch(/bucketName can't be changed/);
    expect(await refused(farm({ ...place, farm: 'x'.repeat(31) }, 3))).toMatch(/30 characters/);
    expect(await refused(bucket(place, 'bad', { bucketName: 'Not_A_Bucket' }))).toContain('bucketName');
  });
});

describe('S3', () => {
  it('wrong credentials', async () => {
    const said = await python(`
import boto3, botocore
for kw in ({"aws_access_key_id": "SJWRONG"}, {"aws_secret_access_key": "wrong"}):
    try: boto3.client("s3", **{"aws_access_key_id": __import__("os").environ["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": __import__("os").environ["AWS_SECRET_ACCESS_KEY"], **kw}).list_objects_v2(Bucket="photos")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"])`);
    expect(said.split('\n')).toEqual(['InvalidAccessKeyId 403', 'SignatureDoesNotMatch 403']);
  });

  it('another bucket than its own', async () => {
    const said = await python(`
import boto3, botocore
try: boto3.client("s3").list_objects_v2(Bucket="not-mine")
except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])`);
    expect(['AccessDenied', 'NoSuchBucket']).toContain(said);
  });

  it('a truncated upload leaves the object as it was', async () => {
    const before = await s3(place, ['put', 'whole.bin', '2', '5']);
    const said = await python(`
import boto3, http.client, os, urllib.parse
url = boto3.client("s3").generate_presigned_url("put_object", Params={"Bucket": os.environ["BUCKET_NAME"], "Key": "whole.bin"})
u = urllib.parse.urlsplit(url)
c = http.client.HTTPConnection(u.hostname, u.port, timeout=30)
c.putrequest("PUT", u.path + "?" + u.query); c.putheader("Content-Length", str(5 << 20)); c.endheaders()
c.send(b"x" * (1 << 20)); c.sock.shutdown(1)
try: r = c.getresponse(); print(r.status, r.read().decode()[:300])
except Exception as e: print("closed", type(e).__name__)`);
    expect(said).toMatch(/^(400 .*IncompleteBody|closed)/s);
    expect((await s3(place, ['get', 'whole.bin'])).sha256).toBe(before.sha256);
  });

  it('a full volume: the put fails and says so, what was there stays readable, and a larger size ends it', async () => {
    const before = await s3(place, ['put', 'before.bin', '8', '6']);
    const full = await python(`
import boto3, botocore, io, os
s3 = boto3.client("s3", config=botocore.config.Config(retries={"max_attempts": 1}))
try:
    for i in range(30): s3.put_object(Bucket=os.environ["BUCKET_NAME"], Key=f"fill/{i}", Body=os.urandom(32 << 20))
    print("never full")
except botocore.exceptions.ClientError as e: print(e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"], e.response["Error"]["Message"])`);
    expect(full).toMatch(/^50[37] \w+ .*no space left: delete something or grow their volumes/);
    expect((await s3(place, ['get', 'before.bin'])).sha256).toBe(before.sha256);
    await apply(place, farm(place, 3, { farmers: { replicas: 3, storage: { size: '600Mi' } } }));
    for (const ordinal of [0, 1, 2]) {
      await kubectl(place, [
        'wait',
        `pvc/data-small-farmer-main-${ordinal}`,
        '--for=jsonpath={.status.capacity.storage}=600Mi',
        '--timeout=120s',
      ]);
    }
    await farmUntil(
      place,
      'Ready on larger volumes',
      (one) => ready(one) && condition(one, 'StorageResizing')?.status !== 'True',
    );
    const after = await s3(place, ['put', 'after.bin', '64', '8']);
    expect((await s3(place, ['get', 'after.bin'])).sha256).toBe(after.sha256);
  });
});
