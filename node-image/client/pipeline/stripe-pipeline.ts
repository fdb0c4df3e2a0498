// Encrypt → encode → hash, and back, one stripe at a time: on threads, or on the calling one.
import { Worker } from 'node:worker_threads';
import type { SegmentCipher } from '#node/core/encryption.ts';
import type { WasmMemory } from '#node/core/wasm.ts';
import { newStripeMemory, slotCount, slotShards } from './stripe-memory.ts';
import { decodeStripe, encodeStripe, newWorkplace, type Workplace } from './stripe-math.ts';
import type { StripeJob, StripeRequest, StripeResult } from './stripe-worker.ts';

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
}
export interface EncodedStripe {
  /** Of all pieces. They hold until `release`. */
  shards: Uint8Array[];
  /** Leaf hashes of all pieces, 32 bytes each. */
  hashes: Uint8Array[];
  /** Nobody reads the shards any more: their memory takes another stripe. Whoever forgets it stops the pipeline. */
  release(): void;
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
  /** Plaintext of the wanted records, each in memory of its own. */
  decode(job: DecodeJob): Promise<Uint8Array[]>;
  close(): Promise<void>;
}

/** A farm has one or two schemes, old segments a few more; memory is kept for those in use. */
const MAX_CODES = 8;

/** With 0 threads on the calling thread: for tests and small tools. */
export function stripePipeline(threads: number): StripePipeline {
  return threads === 0 ? inline() : new ThreadPool(threads);
}

function inline(): StripePipeline {
  const codes = new Map<string, Workplace>();
  const workplace = ({ required, total }: EncodeJob | DecodeJob): Workplace =>
    newestOf(codes, codeOf({ required, total }), () => newWorkplace(required, total, newStripeMemory(total)));
  return {
    async encode(job) {
      const place = workplace(job);
      const hashes = encodeStripe(place, 0, job);
      const shards = slotShards(place.memory, 0, job.total, job.shardBytes).map((shard) => new Uint8Array(shard));
      return { shards, hashes: split(hashes), release() {} };
    },
    decode: async (job) => decodeStripe(workplace(job), job),
    close: async () => {},
  };
}

/** The value of that name, now the newest. Beyond MAX_CODES the oldest go, where `go` agrees. */
function newestOf<Value>(
  values: Map<string, Value>,
  name: string,
  make: () => Value,
  go: (name: string, value: Value) => boolean = () => true,
): Value {
  const value = values.get(name) ?? make();
  values.delete(name);
  for (const [old, its] of values) if (values.size >= MAX_CODES && go(old, its)) values.delete(old);
  values.set(name, value);
  return value;
}

function split(hashes: Uint8Array): Uint8Array[] {
  return Array.from({ length: hashes.length / 32 }, (_, i) => hashes.subarray(32 * i, 32 * (i + 1)));
}

/** One message running, one in the worker's mailbox: enough to keep it busy. */
const MESSAGES_FOR_EACH_THREAD = 2;
/** What waits is handed over together: waking a thread costs as much as hashing a leaf. */
const MAX_JOBS_IN_MESSAGE = 4;

interface Waiting {
  order: { kind: 'encode'; job: EncodeJob } | { kind: 'decode'; job: DecodeJob };
  resolve(value: unknown): void;
  reject(error: Error): void;
}

class ThreadPool implements StripePipeline {
  readonly #threads: Thread[];
  readonly #queue: Waiting[] = [];
  #closed = false;
  #feedsSoon = false;

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Thread(() => this.#feed()));
  }
  encode(job: EncodeJob): Promise<EncodedStripe> {
    return this.#run({ kind: 'encode', job }) as Promise<EncodedStripe>;
  }
  decode(job: DecodeJob): Promise<Uint8Array[]> {
    return this.#run({ kind: 'decode', job }) as Promise<Uint8Array[]>;
  }
  async close(): Promise<void> {
    this.#closed = true;
    const error = new Error('The pipeline is closed.');
    for (const { reject } of this.#queue.splice(0)) reject(error);
    await Promise.all(this.#threads.map((thread) => thread.close(error)));
  }

  #run(order: Waiting['order']): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('The pipeline is closed.'));
      this.#queue.push({ order, resolve, reject });
      this.#feedSoon();
    });
  }

  /** What is asked for in one go is handed over together. */
  #feedSoon(): void {
    if (this.#feedsSoon) return;
    this.#feedsSoon = true;
    void Promise.resolve().then(() => {
      this.#feedsSoon = false;
      this.#feed();
    });
  }

  /** What waits to the idlest threads; those behind one that lacks room for its result may overtake it. */
  #feed(): void {
    while (this.#queue.length > 0) {
      const thread = this.#threads.reduce((best, one) => (one.running < best.running ? one : best));
      if (thread.running >= MESSAGES_FOR_EACH_THREAD) return;
      const share = Math.min(MAX_JOBS_IN_MESSAGE, Math.ceil(this.#queue.length / this.#threads.length));
      if (!thread.start(this.#queue, share) && !this.#threads.some((one) => one !== thread && one.start(this.#queue, share)))
        return;
    }
  }
}

interface Code {
  memory: WasmMemory;
  slots: number;
  /** The one used last is taken first: it is in the cache. */
  freeSlots: number[];
}

/** A worker that starts with its first job and is started anew should it ever break. */
class Thread {
  readonly #onFree: () => void;
  readonly #jobs = new Map<number, Pick<Waiting, 'resolve' | 'reject'>>();
  readonly #codes = new Map<string, Code>();
  #worker: Worker | null = null;
  #nextId = 1;
  /** Messages under way. */
  running = 0;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }

  /** Takes up to `limit` jobs for which it has room out of the queue; false where there is none, or no time. */
  start(queue: Waiting[], limit: number): boolean {
    if (this.running >= MESSAGES_FOR_EACH_THREAD) return false;
    const worker = (this.#worker ??= this.#open());
    const jobs: StripeJob[] = [];
    for (let i = 0; i < queue.length && jobs.length < limit;) {
      const job = this.#prepare(worker, queue[i]!);
      if (job) {
        jobs.push(job);
        queue.splice(i, 1);
      } else i += 1;
    }
    if (jobs.length === 0) return false;
    // The process stays for a job, not for an idle thread.
    worker.ref();
    this.running += 1;
    post(worker, { kind: 'work', jobs });
    return true;
  }

  /** Null where there is no slot for what it would encode. */
  #prepare(worker: Worker, { order, resolve, reject }: Waiting): StripeJob | null {
    const place = this.#code(worker, order.job);
    const slot = order.kind === 'encode' ? place.freeSlots.pop() : 0;
    if (slot === undefined) return null;
    const id = this.#nextId++;
    const code = codeOf(order.job);
    if (order.kind === 'decode') {
      this.#jobs.set(id, { resolve, reject });
      return { ...order, id, code };
    }
    const give = () => void place.freeSlots.push(slot);
    this.#jobs.set(id, {
      resolve: (hashes) => resolve(this.#encoded(place, slot, order.job, hashes as Uint8Array)),
      reject: (error) => (give(), reject(error)),
    });
    return { ...order, id, code, slot };
  }

  async close(error: Error): Promise<void> {
    this.#fail(error);
    await this.#worker?.terminate();
  }

  #code(worker: Worker, { required, total }: EncodeJob | DecodeJob): Code {
    const code = codeOf({ required, total });
    const open = (): Code => {
      const memory = newStripeMemory(total);
      post(worker, { kind: 'open', code, required, total, memory });
      const slots = slotCount(total);
      return { memory, slots, freeSlots: Array.from({ length: slots }, (_, i) => slots - 1 - i) };
    };
    const closeIdle = (name: string, { slots, freeSlots }: Code) => {
      const isIdle = freeSlots.length === slots;
      if (isIdle) post(worker, { kind: 'close', code: name });
      return isIdle;
    };
    return newestOf(this.#codes, code, open, closeIdle);
  }

  #encoded({ memory, freeSlots }: Code, slot: number, { total, shardBytes }: EncodeJob, hashes: Uint8Array): EncodedStripe {
    let isHeld = true;
    return {
      shards: slotShards(memory, slot, total, shardBytes),
      hashes: split(hashes),
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        freeSlots.push(slot);
        this.#onFree();
      },
    };
  }

  #open(): Worker {
    const worker = new Worker(new URL('./stripe-worker.ts', import.meta.url), { name: 'stripes' });
    worker.on('message', (results: StripeResult[]) => {
      this.running -= 1;
      for (const { id, value, error } of results) {
        const job = this.#jobs.get(id);
        this.#jobs.delete(id);
        if (error) job?.reject(error);
        else job?.resolve(value);
      }
      if (this.running === 0) worker.unref();
      this.#onFree();
    });
    worker.on('error', (error: Error) => {
      this.#worker = null;
      this.#codes.clear();
      this.running = 0;
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

function codeOf({ required, total }: { required: number; total: number }): string {
  return `${required}/${total}`;
}
function post(worker: Worker, request: StripeRequest): void {
  worker.postMessage(request, []);
}
