// One HTTP request as one call of a service, and its answer as the response.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MAX_HEAD_BYTES, type PublicKey } from '#node/wire/types.ts';
import { fromBase64Url, toBase64Url } from './base64-url.ts';
import { asCallError, HEAD_HEADER, MAX_MESSAGE_BYTES, refusalHeaders, statusOf } from './http-errors.ts';
import { CallError, type Call, type Operation, type Service } from './net.ts';
import { ownChunk } from './own-chunk.ts';

const OPERATIONS: Record<Operation, true> = {
  'piece.put': true,
  'piece.get': true,
  'piece.stat': true,
  'piece.audit': true,
  'piece.ranges': true,
  'piece.list': true,
  'piece.trash': true,
  'piece.restore': true,
  'log.append': true,
  'log.heads': true,
  'log.read': true,
  'log.seal': true,
  'roots.put': true,
  'roots.get': true,
  'roots.owners': true,
  'grant.present': true,
  'farm.members': true,
  'farmer.holdings': true,
};

export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The other end's proven identity. */
  peer: Promise<PublicKey>;
  service: Service;
  onError: (error: unknown) => void;
}

export async function answerCall({ request, response, peer, service, onError }: Exchange): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new CallError('Aborted', 'The caller has gone.'));
  });
  request.on('error', () => {});
  let body: AsyncIterable<Uint8Array> | undefined;
  try {
    const from = await peer;
    const answer = await service.handle(from, callOf(request), gone.signal);
    body = answer.body;
    response.setHeader(HEAD_HEADER, toBase64Url(answer.head));
    if (!body) response.setHeader('content-length', '0');
    if (body) await writeBody(response, body, gone.signal);
    response.end();
  } catch (error) {
    await freeBody(body);
    if (gone.signal.aborted) return;
    const refusal = asCallError(error);
    if (refusal !== error) onError(error);
    // Once bytes have gone, only a torn connection tells the reader that they aren't all.
    if (response.headersSent) response.destroy();
    else refuse(response, refusal);
  }
}

function callOf(request: IncomingMessage): Call {
  const operation = request.url?.startsWith('/v1/') ? request.url.slice('/v1/'.length) : '';
  if (request.method !== 'POST' || !Object.hasOwn(OPERATIONS, operation)) {
    throw new CallError('BadRequest', 'Unknown operation. Calls are POST /v1/<operation>.');
  }
  const text = request.headers[HEAD_HEADER];
  const head = typeof text === 'string' ? fromBase64Url(text) : new Uint8Array(0);
  if (head.length > MAX_HEAD_BYTES) throw new CallError('BadRequest', `The head has more than ${MAX_HEAD_BYTES} bytes.`);
  return { operation: operation as Operation, head, body: request };
}

async function writeBody(response: ServerResponse, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  for await (const chunk of body) {
    signal.throwIfAborted();
    if (!response.write(ownChunk(chunk))) await drained(response, signal);
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      signal.removeEventListener('abort', onGone);
      resolve();
    };
    const onGone = () => {
      response.off('drain', onDrain);
      reject(signal.reason as Error);
    };
    response.once('drain', onDrain);
    signal.addEventListener('abort', onGone, { once: true });
  });
}

async function freeBody(body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  const iterator = body?.[Symbol.asyncIterator]();
  await iterator?.return?.();
}

/** The answer goes out at once; what the caller still sends is thrown away until it notices. */
function refuse(response: ServerResponse, error: CallError): void {
  const text = error.message.slice(0, MAX_MESSAGE_BYTES);
  response.writeHead(statusOf(error.code), { ...refusalHeaders(error), 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}
