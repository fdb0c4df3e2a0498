// A thread that does stripe-math.ts for the pool.
import { parentPort } from 'node:worker_threads';
import { stripeMath } from './stripe-math.ts';
import type { DecodeJob, EncodeJob } from './stripe-pipeline.ts';

export type StripeRequest = { id: number; kind: 'encode'; job: EncodeJob } | { id: number; kind: 'decode'; job: DecodeJob };
export interface StripeResult {
  id: number;
  value: unknown;
  error: Error | null;
}

const port = parentPort;
if (port === null) throw new Error('stripe-worker.ts runs as a worker thread');
const math = stripeMath();

port.on('message', (request: StripeRequest) => {
  try {
    if (request.kind === 'encode') {
      const value = math.encode(request.job);
      answer({ id: request.id, value, error: null }, value.shards[0]?.buffer);
    } else {
      const value = math.decode(request.job);
      answer({ id: request.id, value, error: null }, value.buffer);
    }
  } catch (error) {
    answer({ id: request.id, value: null, error: error instanceof Error ? error : new Error(String(error)) });
  }
});

function answer(result: StripeResult, moved?: ArrayBufferLike): void {
  port?.postMessage(result, moved instanceof ArrayBuffer ? [moved] : []);
}
