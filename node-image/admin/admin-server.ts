// The admin port of every role: probes, status, metrics and the farm's configuration. HTTPS with the
// node's libp2p certificate. Reading is open (the NetworkPolicy says to whom); writing needs the control
// key's certificate.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Registry } from 'prom-client';
import * as z from 'zod';
import type { KeyPair } from '#node/core/keys.ts';
import { farmConfigSchema } from '#node/interface/config.ts';
import { provePeer, TLS_OPTIONS, tlsIdentity } from '#node/net/tls-identity.ts';
import type { FarmConfigStore } from './farm-config-store.ts';
import type { Log } from './log.ts';

const MAX_BODY = '32mb';
/** Nobody keeps an admin request open longer. */
const REQUEST_TIMEOUT_MS = 60_000;

interface Readiness {
  ready: boolean;
  reason: string;
}

/** A write of one role: body validated by the schema, then handled; the answer is sent as JSON. */
export interface AdminWrite<Body> {
  method: 'put' | 'post';
  path: string;
  schema: z.ZodType<Body>;
  handle: (body: Body) => Promise<unknown> | unknown;
}

/** Refuses a write with an HTTP status of its own: 409 for an older generation, 422 for what can't be done. */
export class AdminRefusal extends Error {
  readonly code = 'Refused';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'AdminRefusal';
    this.status = status;
  }
}

export interface AdminOptions {
  keyPair: KeyPair;
  host: string;
  /** 0 = a free one. */
  port: number;
  controlKey: string;
  registry: Registry;
  config: FarmConfigStore;
  readiness: () => Readiness;
  /** GET /status. */
  status: () => Promise<unknown> | unknown;
  /** More GETs, by path: `/report`. */
  reads?: Record<string, () => Promise<unknown> | unknown>;
  writes?: AdminWrite<never>[];
  log: Log;
}

export interface AdminServer {
  port: number;
  close(): Promise<void>;
}

/** Helper that keeps a write's body typed. */
export function adminWrite<Body>(write: AdminWrite<Body>): AdminWrite<never> {
  return write as unknown as AdminWrite<never>;
}

export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const { cert, key } = await tlsIdentity(options.keyPair);
  const server = createServer(
    { ...TLS_OPTIONS, cert, key, requestCert: true, requestTimeout: REQUEST_TIMEOUT_MS },
    adminApp(options),
  );
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, options.host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function adminApp(options: AdminOptions): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Answering at all shows that the event loop turns.
  app.get('/healthz', (_request, response) => void response.type('text').send('ok'));
  app.get('/readyz', (_request, response) => {
    const { ready, reason } = options.readiness();
    response
      .status(ready ? 200 : 503)
      .type('text')
      .send(ready ? 'ok' : reason);
  });
  app.get('/metrics', async (_request, response) => {
    response.set('content-type', options.registry.contentType).send(await options.registry.metrics());
  });
  for (const [path, read] of Object.entries({ '/status': options.status, ...options.reads })) {
    app.get(path, async (_request, response) => void response.json(await read()));
  }
  const config = adminWrite({
    method: 'put',
    path: '/admin/config',
    schema: farmConfigSchema,
    handle: (body) => applyConfig(options, body),
  });
  for (const write of [config, ...(options.writes ?? [])]) {
    app[write.method](
      write.path,
      onlyControlKey(options.controlKey),
      express.json({ limit: MAX_BODY }),
      async (request, response) => {
        const body = write.schema.safeParse(request.body);
        if (!body.success) throw new AdminRefusal(400, z.prettifyError(body.error));
        response.json((await write.handle(body.data)) ?? {});
      },
    );
  }
  app.use((request, response) => void response.status(404).json({ error: `there is no ${request.method} ${request.path}` }));
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const status = error instanceof AdminRefusal ? error.status : Number((error as { status?: unknown }).status ?? 500);
    const message = error instanceof Error ? error.message : String(error);
    if (status >= 500) options.log.error({ path: request.path, error: message }, 'an admin request failed');
    if (response.headersSent) response.destroy();
    else response.status(status).json({ error: message });
  });
  return app;
}

function applyConfig(options: AdminOptions, body: z.infer<typeof farmConfigSchema>): object {
  const verdict = options.config.offer(body);
  const current = options.config.current();
  if (verdict === 'foreign') throw new AdminRefusal(403, `this node belongs to the control key ${options.controlKey}`);
  if (verdict === 'older')
    throw new AdminRefusal(
      409,
      `generation ${body.generation} of epoch ${body.epoch} is older than ${current?.generation} of ${current?.epoch}, which is in force`,
    );
  return { epoch: body.epoch, generation: body.generation, verdict };
}

function onlyControlKey(controlKey: string) {
  return async (request: Request, _response: Response, next: NextFunction): Promise<void> => {
    const { raw } = (request.socket as TLSSocket).getPeerCertificate() as { raw?: Uint8Array };
    const from = await provePeer(raw).catch(() => null);
    next(from === controlKey ? undefined : new AdminRefusal(403, 'only the control key of the farm may write here'));
  };
}
