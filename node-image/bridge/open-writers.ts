// The writers of all buckets that this bridge serves, each account's own log among them. A bucket is read
// from the farmers once before anything is answered from it; what fails is tried again with growing pauses.
import type { Access } from '#node/client/account.ts';
import { raceAbort } from '#node/core/race-abort.ts';
import { backoffMs, pause, type Runtime } from '#node/log/runtime.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PublicKey } from '#node/wire/types.ts';
import { createBucketWriter, type BucketWriter, type BucketWriterOptions } from './bucket-writer.ts';
import { ObjectsError } from './objects.ts';

/** Buckets read at the same time, at start. */
const MAX_READING = 8;
/** Longest that a request waits for a bucket that is being read. */
const READY_TIMEOUT_MS = 10_000;

export interface OpenWriters {
  /** Begins to serve the bucket. Resolves when the catalog has it; tries until then. */
  serve(access: Access, bucketId: BucketId, signal: AbortSignal): Promise<BucketWriter>;
  /** A bucket that was made a moment ago: there is nothing to read. */
  begin(access: Access, bucketId: BucketId): BucketWriter;
  isReady(owner: PublicKey, bucketId: BucketId): boolean;
  /** Null where the bucket is ready. Else resolves when it is, or when a request has waited long enough. */
  untilReady(owner: PublicKey, bucketId: BucketId, signal: AbortSignal): Promise<void> | null;
  /** Throws SlowDown while the bucket is still being read. */
  ready(owner: PublicKey, bucketId: BucketId): BucketWriter;
  /** The account's own log. */
  account(owner: PublicKey): BucketWriter;
  all(): BucketWriter[];
  forget(owner: PublicKey, bucketId: BucketId): Promise<void>;
  close(): Promise<void>;
}

export function createOpenWriters(
  options: Omit<BucketWriterOptions, 'access' | 'bucketId' | 'isNew'> & {
    runtime: Runtime;
    onRetry?: (bucketId: BucketId, error: unknown) => void;
  },
): OpenWriters {
  const { runtime } = options;
  const writers = new Map<string, BucketWriter>();
  const closing = new AbortController();
  let reading = 0;
  const queue: (() => void)[] = [];
  const nameOf = (owner: PublicKey, bucketId: BucketId) => `${owner}/${bucketId}`;

  const limited = async <T>(work: () => Promise<T>): Promise<T> => {
    if (reading >= MAX_READING) await new Promise<void>((resolve) => queue.push(resolve));
    reading++;
    try {
      return await work();
    } finally {
      reading--;
      queue.shift()?.();
    }
  };

  const readAtLast = async (writer: BucketWriter, signal: AbortSignal): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await limited(() => writer.catchUp(signal));
      } catch (error) {
        signal.throwIfAborted();
        options.onRetry?.(writer.bucketId, error);
        await pause(runtime, backoffMs(runtime, attempt, 200, 15_000), signal);
      }
    }
  };

  /** All requests that wait for a bucket wait in one loop. */
  const awaited = new Map<string, Promise<void>>();
  const waitFor = async (name: string): Promise<void> => {
    const signal = runtime.deadline(READY_TIMEOUT_MS, closing.signal);
    for (let attempt = 0; !signal.aborted; attempt++) {
      const reading = writers.get(name)?.catchUp(signal);
      await reading?.catch(() => undefined);
      if (writers.get(name)?.isReady() === true) return;
      await pause(runtime, backoffMs(runtime, attempt, 100, 1_000), signal);
    }
  };

  const find = (owner: PublicKey, bucketId: BucketId): BucketWriter => {
    const writer = writers.get(nameOf(owner, bucketId));
    if (writer?.isReady() === true) return writer;
    // Asking is also what brings it back after trouble.
    void writer?.catchUp().catch(() => undefined);
    throw new ObjectsError('SlowDown', 'The bridge is still reading this from the farmers; try again in a moment');
  };

  return {
    async serve(access, bucketId, signal) {
      const name = nameOf(access.owner, bucketId);
      const writer = writers.get(name) ?? createBucketWriter({ ...options, access, bucketId });
      writers.set(name, writer);
      if (!writer.isReady()) await readAtLast(writer, AbortSignal.any([signal, closing.signal]));
      return writer;
    },
    begin(access, bucketId) {
      const name = nameOf(access.owner, bucketId);
      // Whoever follows the account may have seen the bucket first.
      const writer = writers.get(name) ?? createBucketWriter({ ...options, access, bucketId, isNew: true });
      writers.set(name, writer);
      return writer;
    },
    isReady: (owner, bucketId) => writers.get(nameOf(owner, bucketId))?.isReady() ?? false,
    untilReady(owner, bucketId, signal) {
      const name = nameOf(owner, bucketId);
      if (writers.get(name)?.isReady() === true) return null;
      const waiting = awaited.get(name) ?? waitFor(name).finally(() => awaited.delete(name));
      awaited.set(name, waiting);
      return raceAbort(waiting, signal);
    },
    ready: find,
    account: (owner) => find(owner, ACCOUNT_BUCKET_ID),
    all: () => [...writers.values()],
    async forget(owner, bucketId) {
      const writer = writers.get(nameOf(owner, bucketId));
      writers.delete(nameOf(owner, bucketId));
      await writer?.close();
    },
    async close() {
      closing.abort(new Error('the bridge is stopping'));
      await Promise.all([...writers.values()].map((writer) => writer.close()));
    },
  };
}
