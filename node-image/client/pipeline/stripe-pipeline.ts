// Encrypt → encode → hash, and back, one stripe at a time: on threads, or on the calling one.
import { Worker } from 'node:worker_threads';
import type { SegmentCipher } from '#node/core/encryption.ts';
import { stripeMath } from './stripe-math.ts';
import type { StripeRequest, StripeResult } from './stripe-worker.ts';

export interface EncodeJob {
  cipher: SegmentCipher;
  required: number;
  total: number;
  /** Number of the first record. */
  firstRecord: number;
  /** Plaintext of up to `required` records, each RECORD_PLAIN_BYTES but the segment's last. Shared memory isn't copied. */
  records: Uint8Array[];
  /** The last of these is the segment's last. */
  last: boolean;
  /** Bytes of each shard. */
  shardBytes: number;
  /** Piece numbers whose shards are wanted; hashes come for all. */
  want: number[];
}
export interface EncodedStripe {
  /** In the order of `want`, memory of their own. */
  shards: Uint8Array[];
  /** Leaf hashes of all pieces, 32 bytes each. */
  hashes: Uint8Array[];
}

export interface DecodeJob {
  cipher: SegmentCipher;
  required: number;
  total: number;
  /** Checked leaves of this stripe, all of one length; `required` of them, or just those that the records lie on. */
  shards: { index: number; shard: Uint8Array }[];
  /** Records of this stripe: number of its first, and which are wanted. */
  stripeFirstRecord: number;
  firstRecord: number;
  endRecord: number;
  /** Of the whole segment: says how long a record is and which is the last. */
  cipherBytes: number;
}

/** Both reject with OpenError where key and bytes don't belong together. */
export interface StripePipeline {
  encode(job: EncodeJob): Promise<EncodedStripe>;
  /** Plaintext of the wanted records, memory of its own. */
  decode(job: DecodeJob): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** With 0 threads on the calling thread: for tests and small tools. */
export function stripePipeline(threads: number): StripePipeline {
  return threads === 0 ? inline() : new ThreadPool(threads);
}

function inline(): StripePipeline {
  const math = stripeMath();
  return {
    encode: async (job) => math.encode(job),
    decode: async (job) => math.decode(job),
    close: async () => {},
  };
}

/** One running, one in the worker's mailbox: enough to keep it busy. */
const JOBS_FOR_EACH_THREAD = 2;

interface Waiting {
  request: StripeRequest;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

class ThreadPool implements StripePipeline {
  readonly #threads: Thread[];
  readonly #queue: Waiting[] = [];
  #nextId = 1;
  #closed = false;

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Thread(() => this.#feed()));
  }
  encode(job: EncodeJob): Promise<EncodedStripe> {
    return this.#run({ id: this.#nextId++, kind: 'encode', job }) as Promise<EncodedStripe>;
  }
  decode(job: DecodeJob): Promise<Uint8Array> {
    return this.#run({ id: this.#nextId++, kind: 'decode', job }) as Promise<Uint8Array>;
  }
  async close(): Promise<void> {
    this.#closed = true;
    const error = new Error('The pipeline is closed.');
    for (const { reject } of this.#queue.splice(0)) reject(error);
    await Promise.all(this.#threads.map((thread) => thread.close(error)));
  }

  #run(request: StripeRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('The pipeline is closed.'));
      this.#queue.push({ request, resolve, reject });
      this.#feed();
    });
  }

  #feed(): void {
    while (this.#queue.length > 0) {
      const idlest = this.#threads.reduce((best, one) => (one.running < best.running ? one : best));
      if (idlest.running >= JOBS_FOR_EACH_THREAD) return;
      idlest.start(this.#queue.shift()!);
    }
  }
}

/** A worker that starts with its first job and is started anew should it ever break. */
class Thread {
  readonly #onFree: () => void;
  readonly #jobs = new Map<number, Waiting>();
  #worker: Worker | null = null;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }
  get running(): number {
    return this.#jobs.size;
  }
  start(job: Waiting): void {
    const worker = (this.#worker ??= this.#open());
    this.#jobs.set(job.request.id, job);
    // The process stays for a job, not for an idle thread.
    worker.ref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(job.request);
  }
  async close(error: Error): Promise<void> {
    this.#fail(error);
    await this.#worker?.terminate();
  }

  #open(): Worker {
    const worker = new Worker(new URL('./stripe-worker.ts', import.meta.url), { name: 'stripes' });
    worker.on('message', ({ id, value, error }: StripeResult) => {
      const job = this.#jobs.get(id);
      this.#jobs.delete(id);
      if (this.#jobs.size === 0) worker.unref();
      if (error) job?.reject(error);
      else job?.resolve(value);
      this.#onFree();
    });
    worker.on('error', (error: Error) => {
      this.#worker = null;
      this.#fail(error);
      this.#onFree();
    });
    return worker;
  }

  #fail(error: Error): void {
    for (const job of this.#jobs.values()) job.reject(error);
    this.#jobs.clear();
  }
}
