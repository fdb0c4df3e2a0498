// The S3 server: its own thin path on node:http. A request is parsed, authenticated, routed to its verb and
// answered; every error becomes one XML document, and a client that is turned away never sees its body stored.
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { Objects } from '../objects.ts';
import { authenticate, type Authenticated, type Credentials } from './authenticate.ts';
import { MAX_PUT_BYTES, openBody, readSmallBody } from './body.ts';
import type { Context, Reply } from './context.ts';
import { S3Error, toS3Error } from './errors.ts';
import type { Certificate } from './certificate.ts';
import { checkKey, headerOf, parseTarget, type Target } from './request.ts';
import { route } from './router.ts';
import { createSigningKeys } from './signature.ts';
import { errorDocument, leaf } from './xml.ts';

/** XML bodies: 1,000 keys of 1,024 bytes, percent-escaped; 10,000 parts with checksums. */
const MAX_XML_BYTES = 8 * 1024 * 1024;
/** Of a body that nobody wants, so much is read away, so that the client gets to read the answer. */
const MAX_DRAIN_BYTES = 64 * 1024 * 1024;
const MAX_DRAIN_MS = 10_000;
const IDLE_TIMEOUT_MS = 5 * 60_000;
const MAX_CONNECTIONS = 4096;

export interface RequestRecord {
  requestId: string;
  operation: string;
  method: string;
  path: string;
  status: number;
  /** S3's error code; empty where all went well. */
  code: string;
  durationMs: number;
  receivedBytes: number;
  sentBytes: number;
  cause: unknown;
}

export interface S3ServerOptions {
  objects: Objects;
  findKey: (accessKeyId: string) => Credentials | null;
  region: string;
  /** Names under which `bucket.name` is a bucket. */
  domains: readonly string[];
  host: string;
  port: number;
  /** More requests at once are told to slow down. */
  maxInFlight: number;
  nowMs: () => number;
  /** HTTPS with this; without, plain HTTP. */
  certificate?: Certificate;
  onStart?(): void;
  onDone?(record: RequestRecord): void;
}

export interface S3Server {
  port: number;
  /** For connections from now on; throws where it can't be used. */
  setCertificate(certificate: Certificate): void;
  /** Takes nothing new, lets what runs end within `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export async function startS3Server(options: S3ServerOptions): Promise<S3Server> {
  const signingKey = createSigningKeys();
  const running = new Set<AbortController>();
  const handle = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const aborter = new AbortController();
    running.add(aborter);
    options.onStart?.();
    void serve({
      options,
      request,
      response,
      aborter,
      signingKey,
      expectsContinue,
      isBusy: running.size > options.maxInFlight,
    }).finally(() => running.delete(aborter));
  };
  const settings = { keepAliveTimeout: 75_000, headersTimeout: 60_000, requestTimeout: 0, noDelay: true };
  const secure: TlsServer | null = options.certificate
    ? createTlsServer({ ...settings, minVersion: 'TLSv1.2', ...options.certificate })
    : null;
  const server: Server | TlsServer = secure ?? createServer(settings);
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = IDLE_TIMEOUT_MS;
  server.on('request', (request, response) => handle(request, response, false));
  // A client that waits for 100-continue gets it when its body is wanted, and an error before it sends 5 GiB.
  server.on('checkContinue', (request, response) => handle(request, response, true));
  // What can't be parsed, and a body that its client ends too early: the request's own handler sees it as aborted.
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const isCutShort = error.code === 'HPE_INVALID_EOF_STATE';
    const code = isCutShort ? 'IncompleteBody' : 'InvalidRequest';
    const message = isCutShort ? 'The request ended before its body was complete; nothing was stored' : 'This is no HTTP request';
    const body = errorDocument(leaf('Code', code), leaf('Message', message));
    const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
    socket.end(`${head}\r\n\r\n${body}`);
  });
  await listen(server, options.port, options.host);
  return {
    port: (server.address() as AddressInfo).port,
    setCertificate(certificate) {
      secure?.setSecureContext({ minVersion: 'TLSv1.2', ...certificate });
    },
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // Kept-alive connections become idle one by one as their last answer goes out.
      const sweep = setInterval(() => server.closeIdleConnections(), 100);
      const timer = setTimeout(() => {
        for (const aborter of running) aborter.abort(new Error('the bridge is stopping'));
        server.closeAllConnections();
      }, graceMs);
      await closed;
      clearTimeout(timer);
      clearInterval(sweep);
    },
  };
}

function listen(server: Server | TlsServer, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

const processId = randomBytes(4).toString('hex').toUpperCase();
let requests = 0;
/** Unique among all bridges, and without a call to the system for each. */
const nextRequestId = (): string => processId + (++requests).toString(16).toUpperCase().padStart(8, '0');

interface Serving {
  options: S3ServerOptions;
  request: IncomingMessage;
  response: ServerResponse;
  aborter: AbortController;
  signingKey: ReturnType<typeof createSigningKeys>;
  /** The client waits for 100-continue and hasn't got it. */
  expectsContinue: boolean;
  isBusy: boolean;
}

async function serve(serving: Serving): Promise<void> {
  const { options, request, response, aborter } = serving;
  const startedMs = performance.now();
  const requestId = nextRequestId();
  const known: { operation: string; error: S3Error | null } = { operation: 'Unknown', error: null };
  // 'close' comes for every response; only one that wasn't finished means that the client has gone.
  response.on('close', () => {
    if (!response.writableFinished) aborter.abort(new Error('the client closed the connection'));
  });
  request.on('error', () => undefined);
  response.setHeader('x-amz-request-id', requestId);
  response.setHeader('x-amz-id-2', requestId);
  response.setHeader('server', 'storj-bridge');
  const sent = { bytes: 0 };
  try {
    await respond(serving, sent, await answer(serving, known));
  } catch (thrown) {
    known.error = toS3Error(thrown);
    await respondError(serving, requestId, known.error).catch(() => response.destroy());
  }
  options.onDone?.({
    requestId,
    operation: known.operation,
    method: request.method ?? '',
    path: request.url ?? '',
    status: response.statusCode,
    code: known.error?.code ?? '',
    durationMs: performance.now() - startedMs,
    receivedBytes: Number(request.headers['content-length'] ?? 0),
    sentBytes: sent.bytes,
    cause: known.error?.cause,
  });
}

async function answer(serving: Serving, known: { operation: string }): Promise<Reply> {
  const { options, request, aborter, isBusy } = serving;
  const raw = { method: request.method ?? 'GET', url: request.url ?? '/', headers: request.headers };
  const target = parseTarget(raw, options.domains);
  if (target.key !== null) checkKey(target.key);
  const authenticated = authenticate(raw, target, {
    findKey: options.findKey,
    signingKey: serving.signingKey,
    nowMs: options.nowMs,
  });
  if (isBusy) throw new S3Error('SlowDown');
  const context = createContext(serving, target, authenticated);
  const { method } = raw;
  const isCopy = context.header('x-amz-copy-source') !== null;
  const { operation, verb } = route({ method, bucket: target.bucket, key: target.key, query: target.query, isCopy });
  known.operation = operation;
  const expectedOwner = context.header('x-amz-expected-bucket-owner');
  if (expectedOwner !== null && expectedOwner !== authenticated.account.owner)
    throw new S3Error('AccessDenied', 'The bucket has another owner than expected');
  // After a start the bridge may still read the bucket: waiting a moment is better than an error.
  await options.objects.untilReady(authenticated.account, target.bucket, aborter.signal);
  return verb(context);
}

function createContext(serving: Serving, target: Target, { account, payload, presigned }: Authenticated): Context {
  const { options, request, response, aborter } = serving;
  const hoisted = new Map(
    presigned
      ? target.query.pairs
          .map(([name, value]) => [name.toLowerCase(), value] as const)
          .filter(([name]) => name.startsWith('x-amz-'))
      : [],
  );
  const header = (name: string) => headerOf(request.headers, name) ?? hoisted.get(name) ?? null;
  const bytes = lazily(() => {
    if (serving.expectsContinue && !response.headersSent) response.writeContinue();
    serving.expectsContinue = false;
    // Not destroyed when the body turns out wrong: the answer still has to go out on this connection.
    return request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  });
  const about = { bytes, header, payload };
  return {
    objects: options.objects,
    account,
    region: options.region,
    query: target.query,
    header,
    headerNames: () => [...new Set([...Object.keys(request.headers), ...hoisted.keys()])],
    bucket: () => options.objects.bucket(account, target.bucket ?? ''),
    bucketName: target.bucket ?? '',
    key: target.key ?? '',
    body: (defaultAlgorithm = 'CRC64NVME') => openBody({ ...about, defaultAlgorithm, maxBytes: MAX_PUT_BYTES }),
    async text() {
      const hasBody = header('content-length') !== null || header('transfer-encoding') !== null;
      if (!hasBody) return '';
      return (await readSmallBody({ ...about, defaultAlgorithm: 'CRC32', maxBytes: MAX_XML_BYTES })).toString('utf8');
    },
    nowMs: options.nowMs,
    signal: aborter.signal,
  };
}

async function* lazily(open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* open();
}

async function respond({ request, response, aborter }: Serving, sent: { bytes: number }, reply: Reply): Promise<void> {
  const isHead = request.method === 'HEAD';
  const { body } = reply;
  const headers: Record<string, string> = { ...reply.headers };
  if (body === undefined || typeof body === 'string') headers['content-length'] ??= String(Buffer.byteLength(body ?? ''));
  if (reply.status === 204 || reply.status === 304) delete headers['content-length'];
  if (body === undefined || typeof body === 'string' || isHead) {
    response.writeHead(reply.status, headers);
    sent.bytes = typeof body === 'string' ? Buffer.byteLength(body) : 0;
    response.end(isHead ? undefined : body);
    return;
  }
  // The first bytes decide: until they are there, an unreadable object still gets a proper error.
  const source = body[Symbol.asyncIterator]();
  const first = await source.next();
  response.writeHead(reply.status, headers);
  const rest = async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; next.done !== true; next = await source.next()) {
        sent.bytes += next.value.length;
        yield next.value;
      }
    } finally {
      await source.return?.();
    }
  };
  await pipeline(Readable.from(rest(), { objectMode: true, highWaterMark: 1 }), response, { signal: aborter.signal });
}

async function respondError(serving: Serving, requestId: string, error: S3Error): Promise<void> {
  const { request, response } = serving;
  if (response.headersSent || response.destroyed) {
    // In the middle of an object the only way to say it is to break the connection.
    response.destroy();
    return;
  }
  const body = errorDocument(
    leaf('Code', error.code),
    leaf('Message', error.message),
    leaf('Resource', (request.url ?? '').split('?')[0]),
    ...Object.entries(error.details).map(([name, value]) => leaf(name, value)),
    leaf('RequestId', requestId),
    leaf('HostId', requestId),
  );
  const isUnread = !request.complete;
  response.writeHead(error.status, {
    'content-type': 'application/xml',
    'content-length': String(Buffer.byteLength(body)),
    ...(error.code === 'SlowDown' ? { 'retry-after': '1' } : {}),
    ...(isUnread ? { connection: 'close' } : {}),
    ...error.headers,
  });
  if (request.method !== 'HEAD') response.write(body);
  // Closing while the client still sends would reset the connection before it has read the answer.
  if (isUnread && !serving.expectsContinue) await drain(request);
  response.end();
}

/** Reads away what is left of a body, within bounds; then the connection goes. */
async function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return;
  let bytes = 0;
  const timer = setTimeout(() => request.destroy(), MAX_DRAIN_MS);
  request.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > MAX_DRAIN_BYTES) request.destroy();
  });
  await new Promise<void>((resolve) => {
    request.once('close', resolve);
    request.once('end', resolve);
    request.resume();
  });
  clearTimeout(timer);
}
