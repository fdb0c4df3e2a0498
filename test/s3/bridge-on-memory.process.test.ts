// The S3 server with the bridge's own rules behind it, on a farm in memory; the client is AWS' SDK.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as requestTls } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { request } from 'node:http';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Objects } from '#node/bridge/objects.ts';
import { watchCertificate } from '#node/bridge/s3/certificate.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { testAuthority, testCertificates } from '#test/support/tls-fixture.ts';
import { startS3Server, type RequestRecord, type S3Server, type S3ServerOptions } from '#node/bridge/s3/server.ts';
import { canonicalRequest, createSigningKeys, requestStringToSign, sign } from '#node/bridge/s3/signature.ts';
import { memoryBridge, SECRET, type MemoryBridge } from '#test/node-image/bridge/memory-bridge.ts';
import { clientOf, failure, s3Exam, type Endpoint } from './s3-exam.ts';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';

let bridge: MemoryBridge;
let server: S3Server;
let endpoint: Endpoint;
const records: RequestRecord[] = [];

async function serve(more: Partial<S3ServerOptions>): Promise<S3Server> {
  const { account, objects } = bridge;
  return await startS3Server({
    objects,
    findKey: (accessKeyId) => (accessKeyId === account.accessKeyId ? { ...account, secretAccessKey: SECRET } : null),
    region: 'storj-1',
    domains: ['localhost'],
    host: '127.0.0.1',
    port: 0,
    maxInFlight: 100,
    nowMs: () => Date.now(),
    ...more,
  });
}

beforeAll(async () => {
  bridge = await memoryBridge();
  const { account } = bridge;
  server = await serve({ onDone: (record) => records.push(record) });
  endpoint = {
    endpoint: `http://127.0.0.1:${server.port}`,
    region: 'storj-1',
    accessKeyId: account.accessKeyId,
    secretAccessKey: SECRET,
  };
});
afterAll(async () => {
  await server.close(0);
  await bridge.close();
});

describe('S3 on a farm in memory', () => s3Exam(() => endpoint));

it('lets a request wait while the bridge still reads the bucket', async () => {
  const asked: (string | null)[] = [];
  const read = Promise.withResolvers<void>();
  const untilReady: Objects['untilReady'] = (_, bucket) => (asked.push(bucket), read.promise);
  const starting = await serve({ objects: { ...bridge.objects, untilReady } });
  try {
    const client = clientOf({ ...endpoint, endpoint: `http://127.0.0.1:${starting.port}` });
    let isAnswered = false;
    const answer = client.send(new CreateBucketCommand({ Bucket: 'early' })).finally(() => (isAnswered = true));
    await expect.poll(() => asked).toEqual(['early']);
    expect(isAnswered).toBe(false);
    expect(await failure(clientOf(endpoint).send(new ListObjectsV2Command({ Bucket: 'early' })))).toContain('NoSuchBucket');
    read.resolve();
    await answer;
    await clientOf(endpoint).send(new ListObjectsV2Command({ Bucket: 'early' }));
  } finally {
    await starting.close(0);
  }
});

describe('S3 over HTTPS', () => {
  it('serves with its certificate, and with a renewed one from then on', async () => {
    const secure = await serve({ certificate: testCertificates.one });
    /** Whose certificate it was, and the status of an unsigned request. */
    const ask = (ca: string) =>
      new Promise<{ subject: string; status: number | undefined }>((resolve, reject) => {
        const asked = requestTls({ host: '127.0.0.1', port: secure.port, ca, agent: false }, (response) => {
          const { subject } = (response.socket as TLSSocket).getPeerCertificate();
          response.resume();
          resolve({ subject: String(subject['CN']), status: response.statusCode });
        });
        asked.on('error', reject);
        asked.end();
      });
    try {
      expect(await ask(testAuthority)).toEqual({ subject: 'test bridge one', status: 403 });
      await expect(ask(testCertificates.two.cert)).rejects.toThrow();
      const plain = await fetch(`http://127.0.0.1:${secure.port}/`).catch((error: unknown) => error);
      expect(plain).toBeInstanceOf(Error);
      secure.setCertificate(testCertificates.two);
      expect(await ask(testAuthority)).toMatchObject({ subject: 'test bridge two' });
      expect(() => secure.setCertificate({ cert: 'nonsense', key: '' })).toThrow();
      expect(await ask(testAuthority)).toMatchObject({ subject: 'test bridge two' });
    } finally {
      await secure.close(0);
    }
  });

  it('takes up a renewed certificate, and keeps the last one while the new one cannot be used', async () => {
    const folder = await mkdtemp(join(tmpdir(), 's3-tls-'));
    const write = (cert: string, key: string) =>
      Promise.all([writeFile(join(folder, 'tls.crt'), cert), writeFile(join(folder, 'tls.key'), key)]);
    const { one, two } = testCertificates;
    await write(one.cert, one.key);
    const stop = new AbortController();
    const taken: string[] = [];
    const warned: string[] = [];
    const log = { debug() {}, info() {}, error() {}, warn: (_: object, text: string) => void warned.push(text) };
    const watching = watchCertificate(
      { folder, inForce: one },
      ({ cert }) => {
        if (cert === 'nonsense') throw new Error('no certificate');
        taken.push(cert);
      },
      { log, signal: stop.signal, runtime: { ...systemRuntime, sleep: () => systemRuntime.sleep(10) } },
    );
    await write('nonsense', one.key);
    await expect.poll(() => warned.length).toBeGreaterThan(0);
    await write(two.cert, two.key);
    await expect.poll(() => taken.at(-1)).toBe(two.cert);
    stop.abort();
    await watching;
    await rm(folder, { recursive: true });
  });
});

describe('S3 under bad conditions', () => {
  /** Sends a signed PUT by hand: `announced` bytes in Content-Length, `sent` of them on the wire. */
  const rawPut = (
    key: string,
    { announced, sent, headers = {} }: { announced: number; sent: Buffer; headers?: Record<string, string> },
  ) =>
    new Promise<{ status: number; text: string } | null>((resolve) => {
      const amzDate = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
      const scope = { date: amzDate.slice(0, 8), region: 'storj-1' };
      const all: Record<string, string> = {
        host: `127.0.0.1:${server.port}`,
        'x-amz-date': amzDate,
        'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
        ...headers,
      };
      const signedHeaders = Object.keys(all).sort();
      const canonical = canonicalRequest({
        method: 'PUT',
        path: `/rough/${key}`,
        query: [],
        signedHeaders,
        headerValue: (name) => all[name] ?? '',
        payloadHash: all['x-amz-content-sha256'] ?? '',
      });
      const signature = sign(createSigningKeys()(SECRET, scope), requestStringToSign(amzDate, scope, canonical));
      const credential = `${bridge.account.accessKeyId}/${scope.date}/${scope.region}/s3/aws4_request`;
      const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`;
      const asked = request(
        {
          port: server.port,
          host: '127.0.0.1',
          method: 'PUT',
          path: `/rough/${key}`,
          headers: { ...all, authorization, 'content-length': announced },
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      asked.on('error', () => resolve(null));
      asked.write(sent);
      if (sent.length === announced) asked.end();
      else setTimeout(() => asked.destroy(), 50);
    });

  beforeAll(async () => {
    await clientOf(endpoint).send(new CreateBucketCommand({ Bucket: 'rough' }));
  });

  it('stores nothing of a body that breaks off', async () => {
    expect(await rawPut('cut', { announced: 100_000, sent: Buffer.alloc(50_000) })).toBeNull();
    await expect.poll(() => records.findLast((record) => record.path === '/rough/cut')?.code).toBe('IncompleteBody');
    const { Contents = [] } = await clientOf(endpoint).send(new ListObjectsV2Command({ Bucket: 'rough', Prefix: 'cut' }));
    expect(Contents).toEqual([]);
  });

  it('refuses an aws-chunked body that is shorter than announced, and one that is no chunks at all', async () => {
    const chunked = { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '10' };
    const short = Buffer.from('5\r\nabcde\r\n0\r\n\r\n');
    expect((await rawPut('short', { announced: short.length, sent: short, headers: chunked }))?.text).toContain('IncompleteBody');
    const none = Buffer.from('this is not a chunk\r\n');
    expect((await rawPut('none', { announced: none.length, sent: none, headers: chunked }))?.text).toContain('InvalidRequest');
    const good = Buffer.from(`a;x\r\n`);
    expect((await rawPut('odd', { announced: good.length, sent: good, headers: chunked }))?.status).toBe(400);
    expect(await failure(clientOf(endpoint).send(new HeadObjectCommand({ Bucket: 'rough', Key: 'short' })))).toBe('404 NotFound');
  });

  it('checks the hash of the body that was signed', async () => {
    const wrong = { 'x-amz-content-sha256': createHash('sha256').update('other').digest('hex') };
    const answer = await rawPut('hash', { announced: 4, sent: Buffer.from('body'), headers: wrong });
    expect(answer?.text).toContain('XAmzContentSHA256Mismatch');
  });

  it('says that the farm is too small for a write, and takes the next one', async () => {
    const s3 = clientOf(endpoint);
    bridge.farm.away = true;
    const large = new PutObjectCommand({ Bucket: 'rough', Key: 'large', Body: Buffer.alloc(200_000) });
    expect(await failure(s3.send(large))).toBe('503 SlowDown');
    bridge.farm.away = false;
    await s3.send(large);
    bridge.farm.away = true;
    expect(await failure(s3.send(new GetObjectCommand({ Bucket: 'rough', Key: 'large' })))).toBe('503 SlowDown');
    bridge.farm.away = false;
  });

  it('keeps to the quota, exactly', async () => {
    const s3 = clientOf(endpoint);
    await s3.send(new CreateBucketCommand({ Bucket: 'limited' }));
    bridge.quotas.set('limited', { maxBytes: 1000, maxObjects: 3 });
    const put = (Key: string, size: number) =>
      s3.send(new PutObjectCommand({ Bucket: 'limited', Key, Body: Buffer.alloc(size) }));
    const answers = await Promise.allSettled(Array.from({ length: 8 }, (_, number) => put(`k${number}`, 300)));
    expect(answers.filter((answer) => answer.status === 'fulfilled')).toHaveLength(3);
    expect(await failure(put('k9', 1))).toBe('403 QuotaExceeded');
    const [first] = (await s3.send(new ListObjectsV2Command({ Bucket: 'limited' }))).Contents ?? [];
    expect(await failure(put(first?.Key ?? '', 500))).toBe('403 QuotaExceeded');
    await put(first?.Key ?? '', 400);
  });

  it('serves buckets by host name too', async () => {
    const s3 = clientOf(endpoint);
    await s3.send(new PutObjectCommand({ Bucket: 'rough', Key: 'by/host', Body: 'yes' }));
    const { account } = bridge;
    const amzDate = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const scope = { date: amzDate.slice(0, 8), region: 'storj-1' };
    const query: [string, string][] = [
      ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
      ['X-Amz-Credential', `${account.accessKeyId}/${scope.date}/storj-1/s3/aws4_request`],
      ['X-Amz-Date', amzDate],
      ['X-Amz-Expires', '60'],
      ['X-Amz-SignedHeaders', 'host'],
    ];
    const host = `rough.localhost:${server.port}`;
    const about = { method: 'GET', path: '/by/host', signedHeaders: ['host'], payloadHash: 'UNSIGNED-PAYLOAD' };
    const canonical = canonicalRequest({ ...about, query, headerValue: () => host });
    const signature = sign(createSigningKeys()(SECRET, scope), requestStringToSign(amzDate, scope, canonical));
    const path = `/by/host?${new URLSearchParams([...query, ['X-Amz-Signature', signature]]).toString()}`;
    const text = await new Promise<string>((resolve) => {
      request({ port: server.port, host: '127.0.0.1', path, headers: { host } }, (response) => {
        let all = '';
        response.on('data', (chunk: Buffer) => (all += chunk.toString()));
        response.on('end', () => resolve(all));
      }).end();
    });
    expect(text).toBe('yes');
  });

  it('tells a port that is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as { port: number };
    const options = {
      objects: bridge.objects,
      findKey: () => null,
      region: 'r',
      domains: [],
      host: '127.0.0.1',
      port,
      maxInFlight: 1,
      nowMs: () => 0,
    };
    await expect(startS3Server(options)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    holder.close();
  });
});
