import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CredentialsError, loadCredentials } from '#operator/kube/credentials.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function kubeconfig(cluster: object, user: object): Promise<string> {
  const path = join(folder, 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [
      { name: 'first', context: { cluster: 'c', user: 'u', namespace: 'farm' } },
      { name: 'broken', context: { cluster: 'none', user: 'u' } },
    ],
    'current-context': 'first',
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

const server = 'https://kube.test:6443/';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

test('certificates, token and server name come from the file', async () => {
  const cluster = { server, 'certificate-authority-data': base64('ca'), 'tls-server-name': 'inside' };
  const user = { 'client-certificate-data': base64('cert'), 'client-key-data': base64('key'), token: 't' };
  const credentials = loadCredentials({ kubeconfigPath: await kubeconfig(cluster, user) });
  expect([credentials.server, credentials.namespace]).toEqual(['https://kube.test:6443', 'farm']);
  const { headers, tls } = await credentials.access();
  expect(headers).toEqual({ Authorization: 'Bearer t' });
  expect({ ...tls, ca: String(tls.ca), cert: String(tls.cert), key: String(tls.key) }).toEqual({
    ca: 'ca',
    cert: 'cert',
    key: 'key',
    servername: 'inside',
  });
});

test('a CA file is read anew, so that it may rotate', async () => {
  await writeFile(join(folder, 'ca.crt'), 'first');
  const credentials = loadCredentials({ kubeconfigPath: await kubeconfig({ server, 'certificate-authority': 'ca.crt' }, {}) });
  expect(String((await credentials.access()).tls.ca)).toBe('first');
  await writeFile(join(folder, 'ca.crt'), 'second');
  expect(String((await credentials.access()).tls.ca)).toBe('second');
});

test('user and password become a header', async () => {
  const credentials = loadCredentials({ kubeconfigPath: await kubeconfig({ server }, { username: 'a', password: 'b' }) });
  expect((await credentials.access()).headers).toEqual({ Authorization: `Basic ${base64('a:b')}` });
});

test.each([
  ['a context that isn’t there', { server }, 'second', /no context second; there are: first, broken/],
  ['a context without its cluster', { server }, 'broken', /names no current cluster/],
  ['a SOCKS proxy', { server, 'proxy-url': 'socks5://127.0.0.1:1' }, undefined, /SOCKS proxies/],
])('%s is told in words', async (_name, cluster, context, message) => {
  const kubeconfigPath = await kubeconfig(cluster, {});
  const load = (): unknown => loadCredentials({ kubeconfigPath, ...(context ? { context } : {}) });
  expect(load).toThrow(CredentialsError);
  expect(load).toThrow(message);
});

test('a file that isn’t there is told in words', () => {
  expect(() => loadCredentials({ kubeconfigPath: join(folder, 'none') })).toThrow(/kubeconfig can't be read/);
});
