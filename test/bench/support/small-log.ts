// A log of small objects: what small-objects, small-growth and cold-find measure.
import { join } from 'node:path';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import { writerKeys } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { openBucketLog, type BucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import type { PutEntry } from '#node/wire/types.ts';
import type { FarmerFleet } from './farmer-fleet.ts';

export const IN_FLIGHT = 64;

/** A new log of the fleet's owner. */
export async function openSmallLog(
  { keeper, access }: FarmerFleet,
  client: Client,
  { folder, bucketId = '1'.repeat(32) }: { folder: string; bucketId?: string },
): Promise<{ log: BucketLog; close: () => Promise<void> }> {
  const signal = AbortSignal.timeout(60_000);
  const { view } = await fetchRoots(client.link, access.owner, signal);
  const saved = createSavedLogs({ folder: join(folder, 'logs'), secret: keeper.seed, random: client.runtime.random });
  const log = await openBucketLog({
    link: client.link,
    owner: access.owner,
    bucketId,
    writer: keeper,
    kind: 'entries',
    keys: writerKeys(access, view, bucketId),
    state: saved.of(access.owner, bucketId),
    signal,
  });
  return { log, close: () => log.close().then(() => saved.close()) };
}

/** `count` objects, 64 in flight; each one's milliseconds go into `latencies`. */
export async function appendAll(input: {
  log: BucketLog;
  client: Client;
  number: () => number;
  count: number;
  objectBytes: number;
  latencies: number[];
}): Promise<void> {
  const { log, client, number, count, objectBytes, latencies } = input;
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const startMs = performance.now();
      await log.append([smallObject(client, number(), objectBytes)], { added: [], released: [] });
      latencies.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
}

export function keyOf(number: number): string {
  return `folder-${number % 100}/object-${String(number).padStart(9, '0')}`;
}

export function smallObject(client: Client, number: number, sizeBytes: number): PutEntry {
  const inline = new Uint8Array(sizeBytes).fill(number);
  return {
    kind: 'put',
    key: keyOf(number),
    versionId: Buffer.from(client.runtime.random(16)).toString('hex'),
    clock: { wallMs: client.runtime.nowMs(), counter: number },
    replaces: [],
    sizeBytes,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    modifiedMs: client.runtime.nowMs(),
    headers: { 'content-type': 'application/octet-stream' },
    checksums: [],
    inline,
  };
}
