// S3 over HTTPS on a real node: the certificate from a Secret, the authority in the bucket's, a renewed one without a
// restart, and the way back.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { apply, farmUntil, kubectl, ready, type Place } from '#infra/demo/farm-steps.ts';
import { s3ClientImage } from '#infra/images/client-images.ts';
import { runCommand } from '#infra/local/run-command.ts';
import { inPod, startClientPod } from '#test/support/client-pod.ts';
import { bucket, emptyNamespace, farm, installedOperator } from '#test/support/installed-operator.ts';

let place: Place;
let folder: string;
const file = (name: string) => join(folder, name);

/** An authority, and certificates of it for the bridge's address. */
async function issue(name: string, address: string): Promise<void> {
  const openssl = (...args: string[]) => runCommand('openssl', args, { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const authority = ['-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=authority', '-addext', 'keyUsage=critical,keyCertSign'];
  if (name === 'first') await openssl('req', '-x509', ...key, ...authority);
  await writeFile(file('ext'), `subjectAltName=IP:${address}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n`);
  await openssl('req', ...key.slice(0, 5), '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'ext'];
  await openssl('x509', '-req', '-in', `${name}.csr`, ...sign, '-out', `${name}.crt`);
}

async function applyTls(name: string): Promise<void> {
  const text = async (one: string) => (await readFile(file(one))).toString('base64');
  const data = { 'tls.crt': await text(`${name}.crt`), 'tls.key': await text(`${name}.key`), 'ca.crt': await text('ca.crt') };
  const metadata = { name: 's3-tls', namespace: place.namespace };
  await apply(place, JSON.stringify({ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata, data }));
}

const field = async (name: string): Promise<string> => {
  const { data } = JSON.parse(await kubectl(place, ['get', 'secret', 'photos-s3', '-o', 'json'])) as {
    data: Record<string, string>;
  };
  return Buffer.from(data[name] ?? '', 'base64').toString();
};
const untilEndpoint = async (scheme: string): Promise<void> => {
  await expect.poll(() => field('AWS_ENDPOINT_URL_S3'), { timeout: 90_000, interval: 500 }).toMatch(new RegExp(`^${scheme}:`));
  await farmUntil(place, 'Ready again', ready);
};
const python = (code: string) => inPod(place, 's3-client', ['python3', '-c', code]);
/** Whose certificate S3 shows now. */
const shown = async (): Promise<string> => {
  const url = new URL(await field('AWS_ENDPOINT_URL_S3'));
  return python(`
import ssl, socket
ctx = ssl.create_default_context(cadata=${JSON.stringify(await field('CA_CRT'))})
with ctx.wrap_socket(socket.create_connection(("${url.hostname}", ${url.port})), server_hostname="${url.hostname}") as s:
    print(dict(x[0] for x in s.getpeercert()["subject"])["commonName"])`);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'https-'));
  const installed = await installedOperator('https');
  place = installed.place('small');
  await emptyNamespace(place);
  await apply(place, farm(place, 3, { farmers: { replicas: 3, storage: { size: '300Mi' } } }));
  await apply(place, bucket(place, 'photos'));
  await farmUntil(place, 'Ready', ready);
  await kubectl(place, ['wait', 'storjbucket/photos', '--for=condition=Ready', '--timeout=120s']);
  const image = await installed.cluster.provideImage(await s3ClientImage());
  const command = ['python3', '-c', 'import signal; signal.pause()'];
  await startClientPod(place, { name: 's3-client', image, command, secret: 'photos-s3' });
}, 1_800_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

it('is served with the Secret, renewed without a restart, and taken back', async () => {
  const { hostname } = new URL(await field('AWS_ENDPOINT_URL_S3'));
  await issue('first', hostname);
  await issue('second', hostname);
  await applyTls('first');
  await kubectl(place, [
    'patch',
    'storjfarm/small',
    '--type=merge',
    '-p',
    '{"spec":{"bridge":{"tls":{"secretRef":{"name":"s3-tls"}}}}}',
  ]);
  await untilEndpoint('https');
  await expect.poll(shown, { timeout: 90_000, interval: 1000 }).toBe('first');
  const put = await python(`
import boto3, os
open("/work/ca.crt", "w").write(${JSON.stringify(await field('CA_CRT'))})
s3 = boto3.client("s3", endpoint_url="${await field('AWS_ENDPOINT_URL_S3')}", verify="/work/ca.crt")
s3.put_object(Bucket=os.environ["BUCKET_NAME"], Key="k", Body=b"over https")
print(s3.get_object(Bucket=os.environ["BUCKET_NAME"], Key="k")["Body"].read().decode())`);
  expect(put).toBe('over https');

  const pod = await kubectl(place, ['get', 'pod', 'small-bridge-0', '-o', 'jsonpath={.metadata.uid}']);
  await applyTls('second');
  await expect.poll(shown, { timeout: 180_000, interval: 2000 }).toBe('second');
  expect(await kubectl(place, ['get', 'pod', 'small-bridge-0', '-o', 'jsonpath={.metadata.uid}'])).toBe(pod);

  await kubectl(place, ['patch', 'storjfarm/small', '--type=merge', '-p', '{"spec":{"bridge":{"tls":null}}}']);
  await untilEndpoint('http');
  expect(await field('CA_CRT')).toBe('');
  await expect
    .poll(
      () =>
        python(
          'import boto3, os; print(boto3.client("s3").get_object(Bucket=os.environ["BUCKET_NAME"], Key="k")["Body"].read().decode())',
        ).catch(String),
      {
        timeout: 90_000,
        interval: 1000,
      },
    )
    .toBe('over https');
});
