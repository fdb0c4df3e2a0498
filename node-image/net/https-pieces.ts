// The real network: HTTPS with mutual TLS on libp2p certificates. POST /v1/<operation>, the head in a
// header, the body streamed. The peer's identity is checked once for each connection, on both ends.
import { createServer } from 'node:https';
import { raceAbort } from '#node/core/race-abort.ts';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { callbackify, promisify } from 'node:util';
import { buildConnector, Pool, type Dispatcher } from 'undici';
import { MAX_HEAD_BYTES, type PublicKey } from '#node/wire/types.ts';
import { fromBase64Url, toBase64Url } from './base64-url.ts';
import { transportError, HEAD_HEADER, MAX_MESSAGE_BYTES, refusalOf } from './http-errors.ts';
import { answerCall } from './https-answer.ts';
import { CallError, WholeBody, type Answer, type Call, type FarmerAddress, type Network, type Service } from './net.ts';
import { ownChunks } from './own-chunk.ts';
import { provePeer, TLS_OPTIONS, type TlsIdentity } from './tls-identity.ts';

// ---- answering ------------------------------------------------------------------------------

export interface PieceServerOptions {
  identity: TlsIdentity;
  service: Service;
  host: string;
  /** 0 = any free one. */
  port: number;
  /** Errors that are nobody's refusal: bugs and broken disks. */
  onError?: (error: unknown) => void;
  maxConnections?: number;
}
export interface PieceServer {
  readonly port: number;
  /** https://host:port of the listening socket. */
  readonly url: string;
  /** No new connections; calls in flight may end until the signal fires. */
  close(signal: AbortSignal): Promise<void>;
}

/** A connection on which nothing moves for so long is dead. */
const IDLE_SOCKET_MS = 120_000;
const MAX_CONNECTIONS = 4096;

/** Serves calls. Rejects where the port is taken. */
export async function servePieces(options: PieceServerOptions): Promise<PieceServer> {
  const { identity, service, host } = options;
  const onError = options.onError ?? (() => {});
  const peers = new WeakMap<object, Promise<PublicKey>>();
  const server = createServer(
    {
      ...TLS_OPTIONS,
      cert: identity.cert,
      key: identity.key,
      requestCert: true,
      keepAliveTimeout: 60_000,
      headersTimeout: 20_000,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      let peer = peers.get(socket);
      if (!peer) {
        peer = provePeer(socket.getPeerCertificate().raw);
        peer.catch(() => {});
        peers.set(socket, peer);
      }
      answerCall({ request, response, peer, service, onError }).catch(onError);
    },
  );
  // Long transfers are bounded by their callers and by silence, not by a total time.
  server.requestTimeout = 0;
  server.setTimeout(IDLE_SOCKET_MS);
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', onError);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: pieceUrl(host, port),
    close: (signal) =>
      new Promise((resolve) => {
        const cut = () => server.closeAllConnections();
        signal.addEventListener('abort', cut, { once: true });
        server.close(() => {
          signal.removeEventListener('abort', cut);
          resolve();
        });
        server.closeIdleConnections();
        if (signal.aborted) cut();
      }),
  };
}

function pieceUrl(host: string, port: number): string {
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

// ---- asking ---------------------------------------------------------------------------------

export interface HttpsNetworkOptions {
  identity: TlsIdentity;
  /** Kept connections to one peer, each with one call at a time. */
  connectionsPerPeer?: number;
  connectTimeoutMs?: number;
}

/** Peers whose connections are kept; the one unused for longest goes. */
const MAX_PEERS = 1024;
/** An answer that doesn't begin in this time doesn't come; callers mostly give less. */
const HEADERS_TIMEOUT_MS = 120_000;

export function httpsNetwork(options: HttpsNetworkOptions): Network {
  const pools = new Map<string, Pool>();
  const poolOf = ({ farmer, url }: FarmerAddress) => {
    const name = `${farmer} ${url}`;
    const pool = pools.get(name) ?? openPool(farmer, url, options);
    pools.delete(name);
    pools.set(name, pool);
    const [oldest] = pools.keys();
    if (pools.size > MAX_PEERS && oldest !== undefined) {
      pools
        .get(oldest)
        ?.close()
        .catch(() => {});
      pools.delete(oldest);
    }
    return pool;
  };
  let isClosed = false;
  return {
    self: options.identity.publicKey,
    async call(to, call, signal) {
      if (isClosed) throw new CallError('Aborted', 'The network is closed.');
      if (call.head.length > MAX_HEAD_BYTES) throw new CallError('BadRequest', `The head has more than ${MAX_HEAD_BYTES} bytes.`);
      try {
        signal.throwIfAborted();
        return await exchange(poolOf(to), to, call, signal);
      } catch (error) {
        throw transportError(error, signal, to.url);
      }
    },
    async close() {
      isClosed = true;
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
      pools.clear();
    },
  };
}

function openPool(farmer: PublicKey, url: string, options: HttpsNetworkOptions): Pool {
  const connect = provenConnector(options.identity, farmer, options.connectTimeoutMs ?? 5000);
  return new Pool(url, {
    connections: options.connectionsPerPeer ?? 16,
    pipelining: 1,
    keepAliveTimeout: 50_000,
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: 0,
    connect,
  });
}

/** A connector that hands out a socket only after the other end has proven that it is `expected` (null: anybody). */
export function provenConnector(
  { cert, key }: TlsIdentity,
  expected: PublicKey | null,
  timeoutMs: number,
): buildConnector.connector {
  const dial = promisify(buildConnector({ ...TLS_OPTIONS, cert, key, maxCachedSessions: 0, timeout: timeoutMs }));
  const proven = callbackify(async (target: buildConnector.Options) => {
    const socket = (await dial(target)) as TLSSocket;
    try {
      const peer = await provePeer(socket.getPeerCertificate().raw);
      if (expected === null || peer === expected) return socket;
      throw new CallError('WrongPeer', `${target.hostname}:${target.port} is another peer than expected.`);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  });
  return (target, done) => proven(target, (error, socket) => (error ? done(error, null) : done(null, socket)));
}

async function exchange(pool: Pool, to: FarmerAddress, call: Call, signal: AbortSignal): Promise<Answer> {
  const request = pool.request({
    method: 'POST',
    path: `/v1/${call.operation}`,
    headers: { [HEAD_HEADER]: toBase64Url(call.head) },
    body: call.body instanceof WholeBody ? call.body.bytes : streamed(call.body),
    signal,
  });
  const response: Dispatcher.ResponseData = await untilAborted(request, signal);
  const refusal =
    response.statusCode === 200 ? null : refusalOf(response.statusCode, response.headers, await shortText(response.body));
  if (refusal) throw refusal;
  const head = response.headers[HEAD_HEADER];
  const answer: Answer = { head: typeof head === 'string' ? fromBase64Url(head) : new Uint8Array(0) };
  if (response.headers['content-length'] === '0') {
    await response.body.dump();
    return answer;
  }
  return { ...answer, body: answerBody(response.body, signal, to.url) };
}

/** Undici looks at the signal when the request has a connection: whoever gives up doesn't wait for one. */
async function untilAborted(request: Promise<Dispatcher.ResponseData>, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
  try {
    return await raceAbort(request, signal);
  } catch (error) {
    // Its answer, should there be one, is nobody's.
    request.then(({ body }) => body.destroy()).catch(() => {});
    throw error;
  }
}

/** Any async iterable is a body to undici; its types name only some. */
function streamed(body: AsyncIterable<Uint8Array> | undefined): Readable | null {
  return (body ? ownChunks(body) : null) as Readable | null;
}

async function shortText(body: Dispatcher.ResponseData['body']): Promise<string> {
  let text = '';
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    if (text.length > MAX_MESSAGE_BYTES) break;
  }
  return text.slice(0, MAX_MESSAGE_BYTES);
}

/** The rest of an answer; what goes wrong on the way is a CallError. `return` frees the connection, read or not. */
function answerBody(body: Dispatcher.ResponseData['body'], signal: AbortSignal, peer: string): AsyncIterableIterator<Uint8Array> {
  // An unread body that is torn must not end the process.
  body.on('error', () => {});
  const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        const next = await iterator.next();
        return next.done ? { done: true, value: undefined } : next;
      } catch (error) {
        throw transportError(error, signal, peer);
      }
    },
    async return() {
      body.destroy();
      return { done: true, value: undefined };
    },
  };
}
