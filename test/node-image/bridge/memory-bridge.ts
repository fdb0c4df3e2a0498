// The bridge's object store on a farm in memory, with one account and as many buckets as a test wants.
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import type { Catalog, BucketRow } from '#node/catalog/catalog.ts';
import { createHolderMoves } from '#node/bridge/holder-moves.ts';
import { createObjectStore } from '#node/bridge/object-store.ts';
import type { Account, IncomingBody, Objects } from '#node/bridge/objects.ts';
import { createRewriter } from '#node/bridge/rewriter.ts';
import { isUnder } from '#node/core/schemes.ts';
import { createOpenWriters, type OpenWriters } from '#node/bridge/open-writers.ts';
import type { Quota } from '#node/bridge/quotas.ts';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import { ACCOUNT_BUCKET_ID } from '#node/wire/types.ts';
import { createMemoryFarm, type MemoryFarm } from './memory-farm.ts';

export interface MemoryBridge {
  objects: Objects;
  account: Account;
  catalog: Catalog;
  writers: OpenWriters;
  farm: MemoryFarm;
  runtime: Runtime & { now: number };
  quotas: Map<string, Quota>;
  bucket(name?: string): Promise<BucketRow>;
  /** Runs the rewriter until every segment of the bucket is under the farm's scheme, or until it fails so often. */
  rewrite(bucket: BucketRow, failures?: number): Promise<{ bytes: number; troubles: unknown[]; pausesMs: number[] }>;
  close(): Promise<void>;
}

export const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
export const never = new AbortController().signal;

export async function memoryBridge({
  farm = createMemoryFarm(),
  owner = 'a1'.repeat(32),
  catalog = createMemoryCatalog(),
} = {}): Promise<MemoryBridge> {
  const runtime = {
    ...systemRuntime,
    now: 1_000_000,
    nowMs: () => runtime.now++,
    sleep: () => new Promise<void>((resolve) => setImmediate(resolve)),
  };
  const access = { owner, accountSecret: new Uint8Array(32) };
  const account: Account = { accessKeyId: 'AKIDEXAMPLE', owner, bucketName: null, displayName: 'tester' };
  const quotas = new Map<string, Quota>();
  const writers = createOpenWriters({ catalog, farm, runtime });
  const catchUp = async (who: string, bucketId: string) => writers.ready(who, bucketId).catchUp();
  const moves = createHolderMoves({ catalog, warrantsOf: () => [], members: () => [], catchUp });
  const quotaOf = (_: string, name: string) => quotas.get(name) ?? null;
  const objects = createObjectStore({ catalog, writers, farm, moves, runtime, quotaOf });
  await writers.serve(access, ACCOUNT_BUCKET_ID, never);
  for (const row of catalog.buckets(owner)) await writers.serve(access, row.bucketId, never);
  return {
    objects,
    account,
    catalog,
    writers,
    farm,
    runtime,
    quotas,
    bucket: (name = 'photos') => objects.createBucket(account, name, never),
    async rewrite({ bucketId }, failures = 1) {
      const over = new AbortController();
      const done = { bytes: 0, troubles: [] as unknown[], pausesMs: [] as number[] };
      const isDone = () => catalog.schemes(bucketId).every((one) => isUnder(one, farm.scheme));
      const rewriter = createRewriter({
        catalog,
        writers,
        farm,
        moves,
        runtime: {
          ...runtime,
          async sleep(delayMs: number) {
            if (delayMs >= 10_000) done.pausesMs.push(delayMs);
            if (isDone() || done.troubles.length >= failures) over.abort();
            await runtime.sleep();
          },
        },
        bytesPerSecond: () => 0,
        signal: over.signal,
        renewCheckpoint: () => undefined,
        onRewritten: (bytes) => (done.bytes += bytes),
        onTrouble: (_, error) => void done.troubles.push(error),
      });
      await rewriter.run();
      return done;
    },
    async close() {
      await writers.close();
      await catalog.close();
    },
  };
}

export function bodyOf(text: string | Uint8Array, etag = 'e'): IncomingBody {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  async function* source() {
    yield bytes;
  }
  return { source: source(), sizeBytes: bytes.length, facts: () => ({ etag, checksums: [] }) };
}

export async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}
