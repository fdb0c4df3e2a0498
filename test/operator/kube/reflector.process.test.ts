// Reflector and HTTP adapter together, against a server that misbehaves on purpose.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HttpKube } from '#operator/kube/http-kube.ts';
import { createReflector } from '#operator/kube/reflector.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { systemClock } from '#operator/runtime/clock.ts';
import { answer, clientOf, configMap, refuse, startStub, until, type Handler, type StubServer } from './stub-server.ts';

let stub: StubServer;
let client: HttpKube;
const stop = { now: new AbortController() };

beforeEach(async () => {
  stub = await startStub(() => {});
  client = clientOf(stub);
  stop.now = new AbortController();
});
afterEach(async () => {
  stop.now.abort();
  await client.close();
  await stub.close();
});

const list = (names: string[], resourceVersion: string) => ({
  metadata: { resourceVersion },
  items: names.map((name) => configMap(name, resourceVersion)),
});

/** Lists and watches are answered one after the other as said; then they hang. */
function script(lists: Handler[], watches: Handler[]): { asked: string[] } {
  const asked: string[] = [];
  stub.handler = (request, response, body, url) => {
    const watch = url.searchParams.has('watch');
    asked.push(watch ? `watch ${url.searchParams.get('resourceVersion')}` : 'list');
    const next = (watch ? watches : lists).shift();
    if (next !== undefined) return next(request, response, body, url);
    if (watch) response.writeHead(200).write('\n');
  };
  return { asked };
}

function start(silenceMs = 60_000) {
  const random = (): number => 0.5;
  const reflector = createReflector({
    client,
    type: configMaps,
    clock: systemClock,
    random,
    silenceMs,
    backoff: { baseMs: 10, maxMs: 100 },
  });
  void reflector.run(stop.now.signal);
  const known = (): string[] =>
    reflector.store
      .list()
      .map(({ metadata }) => metadata.name)
      .sort();
  return { reflector, known };
}

test('a watch that falls silent is replaced, and goes on where it was', async () => {
  const { asked } = script(
    [(_request, response) => answer(response, 200, list(['a'], '5'))],
    [
      (_request, response) =>
        void response.writeHead(200).write(`${JSON.stringify({ type: 'ADDED', object: configMap('b', '6') })}\n`),
      (_request, response) =>
        void response.writeHead(200).write(`${JSON.stringify({ type: 'ADDED', object: configMap('c', '7') })}\n`),
    ],
  );
  const { known } = start(300);
  await until(() => known().includes('c'));
  expect(known()).toEqual(['a', 'b', 'c']);
  expect(asked.slice(0, 3)).toEqual(['list', 'watch 5', 'watch 6']);
});

test('a server that accepts and never answers is left too', async () => {
  const { asked } = script([(_request, response) => answer(response, 200, list(['a'], '5'))], [() => {}]);
  start(300);
  await until(() => asked.length >= 3);
  expect(asked).toEqual(['list', 'watch 5', 'watch 5']);
});

test('a 410 frame on a stream that stays open is a fresh list', async () => {
  const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } };
  const { asked } = script(
    [
      (_request, response) => answer(response, 200, list(['a', 'b'], '5')),
      (_request, response) => answer(response, 200, list(['b', 'c'], '9')),
    ],
    [(_request, response) => void response.writeHead(200).write(`${JSON.stringify(gone)}\n`)],
  );
  const { known } = start();
  await until(() => asked.length === 4);
  expect(asked).toEqual(['list', 'watch 5', 'list', 'watch 9']);
  expect(known()).toEqual(['b', 'c']);
});

test('through resets, 500s, 429s and rubbish it arrives in the end', async () => {
  const faults: Handler[] = [
    (_request, response) => void response.destroy(),
    (_request, response) => void response.writeHead(200).end('rubbish'),
    (_request, response) => refuse(response, 403, 'Forbidden'),
    (_request, response) => refuse(response, 404, 'NotFound'),
    (_request, response) => refuse(response, 429, 'TooManyRequests', { 'retry-after': '0' }),
  ];
  script(
    [...faults, (_request, response) => answer(response, 200, list(['a'], '5'))],
    [
      ...faults,
      (_request, response) =>
        void response.writeHead(200).write(`${JSON.stringify({ type: 'ADDED', object: configMap('b', '6') })}\n`),
    ],
  );
  const { reflector, known } = start();
  await reflector.whenSynced(AbortSignal.timeout(15_000));
  await until(() => known().includes('b'));
  expect(known()).toEqual(['a', 'b']);
});
