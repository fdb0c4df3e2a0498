// An HTTP server that answers as a test says and counts what it is asked: an API server on a bad day.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Access, Credentials } from '#operator/kube/credentials.ts';
import type { TransportOptions } from '#operator/kube/transport.ts';
import { createHttpKube, type HttpKube } from '#operator/kube/http-kube.ts';
import { systemClock } from '#operator/runtime/clock.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string, url: URL) => void | Promise<void>;

export interface StubServer {
  server: string;
  handler: Handler;
  /** `METHOD path` of each request. */
  readonly requests: string[];
  /** Connections so far, and open now. */
  connections(): { made: number; open: number };
  close(): Promise<void>;
}

export async function startStub(handler: Handler): Promise<StubServer> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let made = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://stub');
      requests.push(`${request.method} ${url.pathname}`);
      void stub.handler(request, response, Buffer.concat(parts).toString(), url);
    });
  });
  server.on('connection', (socket) => {
    made += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: StubServer = {
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    handler,
    requests,
    connections: () => ({ made, open: sockets.size }),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return stub;
}

export function answer(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

export function refuse(response: ServerResponse, status: number, reason: string, headers: Record<string, string> = {}): void {
  answer(response, status, { kind: 'Status', status: 'Failure', reason, message: reason, code: status }, headers);
}

export const configMap = (name: string, resourceVersion = '1'): object => ({
  metadata: { name, namespace: 'farm', uid: `uid-${name}`, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z' },
});

export function clientOf(stub: StubServer, options: Partial<TransportOptions> = {}, access: () => Access = noAccess): HttpKube {
  const credentials: Credentials = { server: stub.server, namespace: 'farm', access: () => Promise.resolve(access()) };
  const retryBackoff = { baseMs: 10, maxMs: 100 };
  return createHttpKube({
    credentials,
    clock: systemClock,
    random: () => 0.5,
    userAgent: 'storj-operator/test',
    retryBackoff,
    ...options,
  });
}

const noAccess = (): Access => ({ headers: { authorization: 'Bearer t' }, tls: {} });

/** Waits until `is` is true; fails after 10 s. */
export async function until(is: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    if (is()) return;
    await pause(10);
  }
  throw new Error('It did not happen within 10 s.');
}
