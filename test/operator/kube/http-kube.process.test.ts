// What client-node gets wrong, against a server that misbehaves on purpose.
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '#operator/runtime/clock.ts';
import type { KubeMetrics } from '#operator/kube/kube-metrics.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { systemClock } from '#operator/runtime/clock.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { answer, clientOf, configMap, refuse, startStub, until, type StubServer } from './stub-server.ts';

let stub: StubServer;
const clients: { close(): Promise<void> }[] = [];
const client = (...args: Parameters<typeof clientOf> extends [unknown, ...infer Rest] ? Rest : never) => {
  const made = clientOf(stub, ...args);
  clients.push(made);
  return made;
};
const ref = { namespace: 'farm', name: 'a' };
const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata: ref };
const failure = (call: Promise<unknown>): Promise<KubeError> =>
  call.then(
    () => expect.unreachable('the call was expected to fail'),
    (error: KubeError) => error,
  );

beforeEach(async () => {
  stub = await startStub((_request, response) => answer(response, 200, configMap('a')));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((each) => each.close()));
  await stub.close();
});

describe('connections', () => {
  test('300 calls share a handful', async () => {
    const kube = client({ connections: 4 });
    await Promise.all(Array.from({ length: 300 }, () => kube.get(configMaps, ref)));
    expect(stub.requests).toHaveLength(300);
    expect(stub.connections().made).toBeLessThanOrEqual(4);
  });

  test('are HTTP/1.1, also where the server prefers HTTP/2', async () => {
    const versions: string[] = [];
    const { cert, key } = await tlsIdentity(keyPairFromSeed(new Uint8Array(32)));
    const server = createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
      versions.push(request.httpVersion);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(configMap('a')));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tls = { rejectUnauthorized: false };
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const kube = clientOf({ ...stub, server: url }, {}, () => ({ headers: {}, tls }));

    await kube.get(configMaps, ref);

    expect(versions).toEqual(['1.1']);
    await kube.close();
    server.close();
  });

  test('watches have their own, so they can’t starve calls', async () => {
    const kube = client({ connections: 1 });
    stub.handler = (_request, response, _body, url) => {
      if (url.searchParams.has('watch')) response.writeHead(200).write('\n');
      else answer(response, 200, configMap('a'));
    };
    const stop = new AbortController();
    const options = { namespace: 'farm', resourceVersion: '1', timeoutSeconds: 60, signal: stop.signal };
    const watches = Array.from({ length: 5 }, async () => {
      for await (const _event of kube.watch(configMaps, options));
    });
    const ended = Promise.allSettled(watches);
    await until(() => stub.requests.length === 5);
    await kube.get(configMaps, ref);
    await kube.get(configMaps, ref);
    expect(stub.connections().made).toBe(6);
    stop.abort();
    await ended;
    await until(() => stub.connections().open === 1);
  });

  test('new certificates mean new connections, a new token doesn’t', async () => {
    let tls: { ca?: string } = { ca: 'first' };
    let token = 'first';
    let aheadMs = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
    const tokens: string[] = [];
    stub.handler = (request, response) => {
      tokens.push(request.headers.authorization ?? '');
      answer(response, 200, configMap('a'));
    };
    const kube = client({ clock, connections: 1 }, () => ({ headers: { authorization: token }, tls }));
    await kube.get(configMaps, ref);
    token = 'second';
    await kube.get(configMaps, ref);
    aheadMs += 30_000;
    await kube.get(configMaps, ref);
    expect([tokens, stub.connections().made]).toEqual([['first', 'first', 'second'], 1]);
    tls = { ca: 'second' };
    aheadMs += 30_000;
    await kube.get(configMaps, ref);
    expect(stub.connections().made).toBe(2);
    await until(() => stub.connections().open === 1);
  });

  test('it says who it is and what it sends', async () => {
    const seen: unknown[] = [];
    stub.handler = (request, response, body, url) => {
      seen.push([request.headers['user-agent'], request.headers['content-type'], url.pathname + url.search, body]);
      answer(response, 201, configMap('a'));
    };
    const { created } = await client().apply(configMaps, made);
    expect(created).toBe(true);
    expect(seen).toEqual([
      [
        'storj-operator/test',
        'application/apply-patch+yaml',
        '/api/v1/namespaces/farm/configmaps/a?fieldManager=storj-operator&force=true',
        JSON.stringify(made),
      ],
    ]);
  });
});

describe('patience', () => {
  /** Answers as the script says, then well. */
  const scripted = (...script: ((response: Parameters<StubServer['handler']>[1]) => void)[]): void => {
    stub.handler = (_request, response) => (script.shift() ?? ((ok) => answer(ok, 200, configMap('a'))))(response);
  };
  const overloaded = (retryAfter: string) => (response: Parameters<StubServer['handler']>[1]) =>
    refuse(response, 429, 'TooManyRequests', { 'retry-after': retryAfter });
  const broken = (response: Parameters<StubServer['handler']>[1]): void => void response.destroy();

  test('after a 429 it waits as long as it was told, also with a create', async () => {
    scripted(overloaded('7'));
    const pausesMs: number[] = [];
    const schedule: Clock['schedule'] = (afterMs, run) => {
      pausesMs.push(afterMs);
      // The deadline is kept, the pauses are skipped.
      return systemClock.schedule(afterMs === 30_000 ? afterMs : 0, run);
    };
    await client({ clock: { ...systemClock, schedule } }).create(configMaps, made);
    expect(pausesMs).toEqual([30_000, 7000]);
    expect(stub.requests).toHaveLength(2);
  });

  test('longer than the deadline it doesn’t wait', async () => {
    scripted(overloaded('3600'));
    expect(await failure(client().get(configMaps, ref))).toMatchObject({
      code: 'Unavailable',
      status: 429,
      retryAfterMs: 3_600_000,
    });
    expect(stub.requests).toHaveLength(1);
  });

  test.each([
    ['a 503', (response: Parameters<StubServer['handler']>[1]) => refuse(response, 503, 'ServiceUnavailable')],
    ['a cut connection', broken],
    [
      'half an answer',
      (response: Parameters<StubServer['handler']>[1]) => (
        response.writeHead(200, { 'content-length': '100' }),
        response.write('{'),
        void setTimeout(broken, 20, response)
      ),
    ],
  ])('after %s what may be repeated is, and a create isn’t', async (_name, fault) => {
    scripted(fault);
    await client().get(configMaps, ref);
    expect(stub.requests).toHaveLength(2);
    scripted(fault);
    expect(await failure(client().create(configMaps, made))).toMatchObject({ code: 'Unavailable' });
    expect(stub.requests).toHaveLength(3);
  });

  test('a delete whose answer was lost has worked when the object is gone', async () => {
    scripted(broken, (response) => refuse(response, 404, 'NotFound'));
    await client().delete(configMaps, ref);
    scripted((response) => refuse(response, 404, 'NotFound'));
    expect(await failure(client().delete(configMaps, ref))).toMatchObject({ code: 'NotFound' });
  });

  test('it gives up after a few attempts', async () => {
    stub.handler = (_request, response) => refuse(response, 500, 'InternalError');
    expect(await failure(client().get(configMaps, ref))).toMatchObject({ code: 'Unavailable', status: 500 });
    expect(stub.requests).toHaveLength(6);
  });

  test('a server that never answers costs the deadline and no more', async () => {
    stub.handler = () => {};
    const error = await failure(client().get(configMaps, ref, { deadlineMs: 200 }));
    expect(error).toBeInstanceOf(KubeError);
    expect(error).toMatchObject({ code: 'Timeout', message: expect.stringContaining('GET configmaps farm/a') });
    await until(() => stub.connections().open === 0);
  });

  test('no server at all is Unavailable', async () => {
    const kube = client();
    await stub.close();
    expect(await failure(kube.get(configMaps, ref, { deadlineMs: 500 }))).toMatchObject({ code: 'Unavailable' });
    stub = await startStub(() => {});
  });

  test('what isn’t an API server is Unavailable', async () => {
    stub.handler = (_request, response) => void response.writeHead(200).end('<html>');
    expect(await failure(client().get(configMaps, ref, { deadlineMs: 2000 }))).toMatchObject({ code: 'Unavailable' });
  });

  test('calls are counted by what came of them', async () => {
    scripted(overloaded('0'), broken);
    const codes: string[] = [];
    const metrics = {
      request: (method: string, _host: string, code: string) => codes.push(`${method} ${code}`),
    } as unknown as KubeMetrics;
    await client({ metrics }).get(configMaps, ref);
    expect(codes).toEqual(['GET 429', 'GET <error>', 'GET 200']);
  });
});

describe('errors', () => {
  test.each([
    [404, 'NotFound', 'NotFound'],
    [409, 'AlreadyExists', 'AlreadyExists'],
    [409, 'Conflict', 'Conflict'],
    [403, 'Forbidden', 'Forbidden'],
    [401, 'Unauthorized', 'Unauthorized'],
    [422, 'Invalid', 'Invalid'],
    [400, 'BadRequest', 'Invalid'],
    [410, 'Expired', 'Gone'],
  ])('%i %s is %s, at once', async (status, reason, code) => {
    stub.handler = (_request, response) => refuse(response, status, reason);
    const error = await failure(client().get(configMaps, ref));
    expect(error).toMatchObject({ code, status, reason, message: `GET configmaps farm/a: ${reason}` });
    expect(stub.requests).toHaveLength(1);
  });
});

describe('watch', () => {
  const options = (signal = new AbortController().signal) => ({
    namespace: 'farm',
    resourceVersion: '5',
    timeoutSeconds: 60,
    signal,
  });
  const frame = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;
  const read = async (signal?: AbortSignal): Promise<string[]> => {
    const seen: string[] = [];
    try {
      for await (const event of client().watch(configMaps, options(signal))) {
        seen.push(
          event.type === 'BOOKMARK' ? `BOOKMARK ${event.resourceVersion}` : `${event.type} ${event.object.metadata.name}`,
        );
      }
      seen.push('end');
    } catch (error) {
      seen.push(error instanceof KubeError ? error.code : String(error));
    }
    return seen;
  };

  test('asks for bookmarks, a version and an end', async () => {
    let query = '';
    stub.handler = (_request, response, _body, url) => {
      query = url.search;
      response.writeHead(200).end();
    };
    expect(await read()).toEqual(['end']);
    expect(query).toBe('?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=60');
  });

  test('frames come whole, however they are cut on the way', async () => {
    const text =
      frame('ADDED', configMap('ä-1')) +
      frame('MODIFIED', configMap('b')) +
      frame('BOOKMARK', configMap('', '9')) +
      frame('DELETED', configMap('b'));
    stub.handler = async (_request, response) => {
      response.writeHead(200);
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += 17) {
        response.write(bytes.subarray(at, at + 17));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    };
    expect(await read()).toEqual(['ADDED ä-1', 'MODIFIED b', 'BOOKMARK 9', 'DELETED b', 'end']);
  });

  test('410 is Gone as an answer, and as a frame even when the stream stays open', async () => {
    stub.handler = (_request, response) => refuse(response, 410, 'Expired');
    expect(await read()).toEqual(['Gone']);
    stub.handler = (_request, response) => {
      response
        .writeHead(200)
        .write(frame('ADDED', configMap('a')) + frame('ERROR', { kind: 'Status', code: 410, reason: 'Expired' }));
    };
    expect(await read()).toEqual(['ADDED a', 'Gone']);
    // The first one is kept for the next call, the second one is closed though the server would go on.
    await until(() => stub.connections().open === 1);
  });

  test('a connection that breaks is Unavailable, within a frame and between two', async () => {
    stub.handler = (_request, response) => {
      response.writeHead(200).write(frame('ADDED', configMap('a')));
      setTimeout(() => response.destroy(), 20);
    };
    expect(await read()).toEqual(['ADDED a', 'Unavailable']);
    stub.handler = (_request, response) => void response.writeHead(200).end(`${frame('ADDED', configMap('a'))}{"type":"ADD`);
    expect(await read()).toEqual(['ADDED a', 'Unavailable']);
    stub.handler = (_request, response) => void response.writeHead(200).end('oops\n');
    expect(await read()).toEqual(['Unavailable']);
  });

  test('whoever stops listening closes the connection', async () => {
    stub.handler = (_request, response) => void response.writeHead(200).write(frame('ADDED', configMap('a')));
    for await (const _event of client().watch(configMaps, options())) break;
    await until(() => stub.connections().open === 0);
  });
});
