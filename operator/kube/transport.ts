// HTTP to the API server: kept connections, one deadline for each call, and patience where the server asks
// for it. client-node opens a connection per request, has no timeout and never retries.
import type { SecureContext } from 'node:tls';
import type { Dispatcher } from 'undici';
import type { Backoff } from '../runtime/backoff.ts';
import type { Clock, Random } from '../runtime/clock.ts';
import type { Access, Credentials } from './credentials.ts';
import type { StatusBody } from './errors.ts';
import type { KubeMetrics } from './kube-metrics.ts';
import { createSecureContext } from 'node:tls';
import { Agent, ProxyAgent, request as send } from 'undici';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import { errorOf, KubeError } from './errors.ts';

export interface TransportOptions {
  credentials: Credentials;
  clock: Clock;
  random: Random;
  userAgent: string;
  /** Connections for calls; default 16. Each watch has one of its own. */
  connections?: number;
  /** Pauses between the attempts of one call; default 200 ms to 10 s. */
  retryBackoff?: Backoff;
  metrics?: KubeMetrics;
}

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  path: string;
  /** For messages: `GET pods farm/a-0`. */
  what: string;
  body?: unknown;
  contentType?: string;
  /** May be sent again when nobody knows whether it arrived. */
  repeatable: boolean;
  deadlineMs: number;
  signal?: AbortSignal;
}

export interface Answer {
  status: number;
  body: unknown;
}

export interface Transport {
  /** Fails with KubeError for anything but 2xx, or with the reason of the caller's signal. */
  call(call: Call): Promise<Answer>;
  /** An answer without end. */
  stream(path: string, what: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): Promise<void>;
}

const defaultConnections = 16;
/** How old what we know of our credentials may be. */
const accessMaxAgeMs = 10_000;
const attempts = 6;
const defaultRetryBackoff: Backoff = { baseMs: 200, maxMs: 10_000 };
/** More than any page of ours. */
const answerLimitBytes = 256 * 2 ** 20;
const connectTimeoutMs = 10_000;
const headersTimeoutMs = 60_000;
/** How long an idle connection is kept; the API server keeps it for 90 s. */
const idleMs = 60_000;
/** After which TCP asks a silent peer whether it is still there. */
const keepAliveMs = 30_000;

export function createTransport(options: TransportOptions): Transport {
  const { clock, random, credentials, metrics, retryBackoff = defaultRetryBackoff } = options;
  const host = new URL(credentials.server).host;
  const pools = createPools(options);

  /** One attempt: the answer, or a KubeError with what is known of it. */
  const attempt = async (call: Call, signal: AbortSignal): Promise<Answer> => {
    const startMs = clock.monotonicMs();
    let code = '<error>';
    try {
      const { headers, dispatcher } = await pools.calls();
      const answer = await send(credentials.server + call.path, {
        method: call.method,
        dispatcher,
        signal,
        headers: { ...headers, accept: 'application/json', ...(call.contentType ? { 'content-type': call.contentType } : {}) },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
      code = String(answer.statusCode);
      const body = await readBody(call.what, answer.body);
      if (answer.statusCode >= 300) throw refusalOf(call.what, answer.statusCode, answer.headers, body);
      return { status: answer.statusCode, body: parse(call.what, body) };
    } finally {
      metrics?.request(call.method, host, code, clock.monotonicMs() - startMs);
    }
  };

  return {
    async call(call) {
      const deadline = new AbortController();
      const cancel = clock.schedule(call.deadlineMs, () => deadline.abort(deadlineError(call)));
      const endMs = clock.monotonicMs() + call.deadlineMs;
      const signal = call.signal ? AbortSignal.any([call.signal, deadline.signal]) : deadline.signal;
      let unsure = false;
      try {
        for (let failures = 1; ; failures += 1) {
          try {
            return await attempt(call, signal);
          } catch (error) {
            if (signal.aborted) throw signal.reason;
            const failure = failureOf(call.what, error);
            // A delete whose answer was lost has worked if the object is gone now.
            if (unsure && call.method === 'DELETE' && failure.error.code === 'NotFound') return { status: 200, body: {} };
            if (!failure.retry(call.repeatable) || failures === attempts) throw failure.error;
            unsure ||= failure.unsure;
            const pauseMs = Math.max(backoffMs(retryBackoff, failures, random), failure.error.retryAfterMs ?? 0);
            if (clock.monotonicMs() + pauseMs >= endMs) throw failure.error;
            await sleep(clock, pauseMs, signal);
          }
        }
      } finally {
        cancel();
      }
    },
    async stream(path, what, signal) {
      try {
        const { headers, dispatcher } = await pools.watches();
        const answer = await send(credentials.server + path, {
          dispatcher,
          signal,
          headers: { ...headers, accept: 'application/json' },
        });
        metrics?.request('WATCH', host, String(answer.statusCode), 0);
        if (answer.statusCode < 300) return chunks(what, answer.body, signal);
        throw refusalOf(what, answer.statusCode, answer.headers, await readBody(what, answer.body));
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw failureOf(what, error).error;
      }
    },
    close: () => pools.close(),
  };
}

function deadlineError(call: Call): KubeError {
  return new KubeError('Timeout', `${call.what}: no answer within ${call.deadlineMs} ms; is the API server there and well?`);
}

type SharedTls = Pick<Access['tls'], 'servername' | 'rejectUnauthorized'> & { secureContext: SecureContext };

/** Kept connections, anew whenever certificates change. */
function createPools(options: TransportOptions) {
  const { clock, credentials, userAgent } = options;
  let access: { value: Promise<Access>; atMs: number } | undefined;
  let agents: { key: string; calls: Dispatcher; watches: Dispatcher } | undefined;

  const agent = (tls: SharedTls, connections: number | null): Dispatcher => {
    // HTTP/1.1: a connection for each watch. Go servers would choose HTTP/2, where all share one and end with it.
    const common = { allowH2: false, connections, headersTimeout: headersTimeoutMs, bodyTimeout: 0, keepAliveTimeout: idleMs };
    const connect = { ...tls, timeout: connectTimeoutMs, keepAlive: true, keepAliveInitialDelay: keepAliveMs };
    if (credentials.proxyUrl === undefined) return new Agent({ ...common, connect });
    return new ProxyAgent({ ...common, uri: credentials.proxyUrl, requestTls: connect });
  };
  const current = async () => {
    const nowMs = clock.monotonicMs();
    if (access === undefined || nowMs - access.atMs > accessMaxAgeMs) {
      const value = credentials.access();
      access = { value, atMs: nowMs };
      value.catch(() => (access = undefined));
    }
    const { tls, headers } = await access.value;
    const key = [tls.ca, tls.cert, tls.key, tls.servername, tls.rejectUnauthorized].map(String).join('\n');
    if (agents?.key !== key) {
      closeAgents(agents);
      // One context for all: each connection would keep the authority's certificates for itself.
      const { ca, cert, key: privateKey, ...rest } = tls;
      const shared: SharedTls = { ...rest, secureContext: createSecureContext({ ca, cert, key: privateKey }) };
      agents = { key, calls: agent(shared, options.connections ?? defaultConnections), watches: agent(shared, null) };
    }
    return { headers: { 'user-agent': userAgent, ...headers }, agents };
  };
  return {
    async calls() {
      const { headers, agents: now } = await current();
      return { headers, dispatcher: now.calls };
    },
    async watches() {
      const { headers, agents: now } = await current();
      return { headers, dispatcher: now.watches };
    },
    async close() {
      await Promise.all([agents?.calls.destroy(), agents?.watches.destroy()]);
      agents = undefined;
    },
  };
}

/** What runs on old certificates may end in peace. */
function closeAgents(agents: { calls: Dispatcher; watches: Dispatcher } | undefined): void {
  for (const agent of agents ? [agents.calls, agents.watches] : []) agent.close().catch(() => {});
}

type Body = AsyncIterable<Uint8Array> & { destroy(error?: Error): unknown };

async function readBody(what: string, body: Body): Promise<string> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of body) {
    sizeBytes += part.length;
    if (sizeBytes > answerLimitBytes) {
      body.destroy();
      throw new KubeError('Invalid', `${what}: the answer is longer than ${answerLimitBytes} bytes; use smaller pages.`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KubeError('Unavailable', `${what}: the answer isn't JSON; is this an API server?`, { cause });
  }
}

function refusalOf(what: string, status: number, headers: Record<string, unknown>, text: string): KubeError {
  let body: StatusBody;
  try {
    const parsed: unknown = JSON.parse(text);
    body = typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    body = { message: `HTTP ${status} ${text.slice(0, 200)}`.trim() };
  }
  const seconds = Number(headers['retry-after']);
  return errorOf(what, status, body, Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined);
}

async function* chunks(what: string, body: Body, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw failureOf(what, error).error;
  } finally {
    body.destroy();
  }
}

/** Errors of a connection that was never made: nothing was sent. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

interface Failure {
  error: KubeError;
  /** It may have arrived and been done. */
  unsure: boolean;
  retry(repeatable: boolean): boolean;
}

function failureOf(what: string, thrown: unknown): Failure {
  if (thrown instanceof KubeError) {
    const { code, status, retryAfterMs } = thrown;
    // A server that says when to come back has done nothing yet.
    const untouched = status === 429 || retryAfterMs !== undefined;
    const passing = code === 'Unavailable' || code === 'Timeout';
    return { error: thrown, unsure: passing && !untouched, retry: (repeatable) => passing && (untouched || repeatable) };
  }
  const cause = thrown as { code?: string; message?: string };
  const sent = !neverSent.has(cause.code ?? '');
  const error = new KubeError('Unavailable', `${what}: ${cause.message ?? String(thrown)}`, { cause: thrown });
  return { error, unsure: sent, retry: (repeatable) => !sent || repeatable };
}
