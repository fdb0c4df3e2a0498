// A thread that does stripe-math.ts for the pool.
import { parentPort } from 'node:worker_threads';
import type { WasmMemory } from '#node/core/wasm.ts';
import { decodeStripe, encodeStripe, newWorkplace, type Workplace } from './stripe-math.ts';
import type { DecodeJob, EncodeJob } from './stripe-pipeline.ts';

export type StripeRequest =
  | { kind: 'open'; code: string; required: number; total: number; memory: WasmMemory }
  | { kind: 'close'; code: string }
  | { kind: 'work'; jobs: StripeJob[] };
export type StripeJob =
  | { kind: 'encode'; id: number; code: string; slot: number; job: EncodeJob }
  | { kind: 'decode'; id: number; code: string; job: DecodeJob };
export interface StripeResult {
  id: number;
  /** Hashes, or records. */
  value: Uint8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>[] | null;
  error: Error | null;
}

const port = parentPort;
if (port === null) throw new Error('stripe-worker.ts runs as a worker thread');
const workplaces = new Map<string, Workplace>();

port.on('message', (request: StripeRequest) => {
  switch (request.kind) {
    case 'open':
      workplaces.set(request.code, newWorkplace(request.required, request.total, request.memory));
      return;
    case 'close':
      workplaces.delete(request.code);
      return;
    case 'work': {
      const results = request.jobs.map(resultOf);
      const moved = results.flatMap(({ value }) => (Array.isArray(value) ? value.map(({ buffer }) => buffer) : []));
      port.postMessage(results, moved);
    }
  }
});

function resultOf(order: StripeJob): StripeResult {
  const { id } = order;
  try {
    const workplace = workplaces.get(order.code)!;
    const value = order.kind === 'encode' ? encodeStripe(workplace, order.slot, order.job) : decodeStripe(workplace, order.job);
    return { id, value, error: null };
  } catch (error) {
    return { id, value: null, error: error instanceof Error ? error : new Error(String(error)) };
  }
}
