// Bytes in, segments out: cut, encrypted, encoded, hashed and sent to farmers as they come.
import { schemeForAnswering, promiseOf } from '#node/core/schemes.ts';
import type { PublicKey, Scheme, SegmentKey, SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { CallError } from '#node/net/net.ts';
import { confirmHolders } from './confirm-holders.ts';
import { AttemptFailed, overheadBytes, SegmentAttempt } from './segment-attempt.ts';
import { SegmentSource, type SegmentRecords } from './segment-source.ts';

export interface PutOrder {
  owner: PublicKey;
  /** Read once, with backpressure. An error in it ends the put. */
  source: AsyncIterable<Uint8Array>;
  /** Checked where given. */
  sizeBytes?: number;
  signal: AbortSignal;
}
export interface StoredSegment {
  key: SegmentKey;
  placement: SegmentPlacement;
}
export interface PutResult {
  plainBytes: number;
  /** In order; empty for an empty source. */
  segments: StoredSegment[];
}

export type PutErrorCode =
  | 'NotEnoughFarmers' // fewer than f + 1 answer: nothing may be promised now
  | 'WrongLength'; // the source had fewer or more bytes than announced
export class PutError extends Error {
  readonly code: PutErrorCode;
  constructor(code: PutErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PutError';
    this.code = code;
  }
}

/** One is being read while the one before waits for its last receipts. */
const SEGMENTS_AT_ONCE = 2;

/** Resolves when each segment has `optimal` receipts of its scheme. Rejects with PutError, or with the source's error. */
export async function putSegments(client: Client, order: PutOrder): Promise<PutResult> {
  const abort = new AbortController();
  const signal = AbortSignal.any([order.signal, abort.signal]);
  const sizeBytes = order.sizeBytes ?? null;
  const source = new SegmentSource({
    source: order.source,
    sizeBytes,
    budget: client.writeBudget,
    blocks: client.blocks,
    overheadBytes: overheadBytes(client.farm.current().scheme, sizeBytes),
    signal,
  });
  const segments: Promise<StoredSegment>[] = [];
  try {
    for (;;) {
      await oldest(segments, SEGMENTS_AT_ONCE);
      const records = await Promise.race([source.next(), rejection(segments)]);
      if (!records) break;
      const stored = storeSegment(client, order.owner, records, signal).finally(() => records.free());
      stored.catch(() => {});
      segments.push(stored);
      await Promise.race([records.complete, rejection(segments)]);
      if (sizeBytes !== null && source.readBytes > sizeBytes) throw wrongLength(sizeBytes, source.readBytes);
    }
    if (sizeBytes !== null && source.readBytes !== sizeBytes) throw wrongLength(sizeBytes, source.readBytes);
    const stored = await Promise.all(segments);
    return { plainBytes: source.readBytes, segments: await confirmed(client, order.owner, stored, signal) };
  } catch (error) {
    abort.abort(error);
    // Not waited for: a source that hangs may hang in this too.
    source.close().catch(() => {});
    await Promise.allSettled(segments);
    throw error;
  }
}

/** A long upload's first pieces may be old by now, and their farmers leave. */
async function confirmed(
  client: Client,
  owner: PublicKey,
  segments: StoredSegment[],
  signal: AbortSignal,
): Promise<StoredSegment[]> {
  return await Promise.all(
    segments.map(async ({ key, placement }) => {
      const now = await confirmHolders(client, owner, placement, signal);
      if (now) return { key, placement: now };
      throw new PutError('NotEnoughFarmers', 'Too many farmers went away before the upload was at its end. Try again.');
    }),
  );
}

function wrongLength(announced: number, got: number): PutError {
  return new PutError('WrongLength', `Announced were ${announced} bytes, ${got > announced ? 'more' : 'only'} came (${got}).`);
}

/** Waits while `limit` segments are unfinished; finished ones before them are finished in order. */
async function oldest(segments: Promise<StoredSegment>[], limit: number): Promise<void> {
  const waitFor = segments.at(-limit);
  if (waitFor) await waitFor;
}

/** Never resolves; rejects with the first segment that fails. */
function rejection(segments: readonly Promise<StoredSegment>[]): Promise<never> {
  return new Promise((_, reject) => {
    for (const segment of segments.slice(-SEGMENTS_AT_ONCE)) segment.catch(reject);
  });
}

/** Attempt after attempt, each with those who still answer, until one holds or too few are left. */
async function storeSegment(
  client: Client,
  owner: PublicKey,
  records: SegmentRecords,
  signal: AbortSignal,
): Promise<StoredSegment> {
  const failed = new Set<PublicKey>();
  let lastFailure: unknown;
  for (;;) {
    const { scheme, farmers } = whoTakes(client, failed, lastFailure);
    try {
      return await new SegmentAttempt({ client, owner, records, scheme, farmers, failed, signal }).run();
    } catch (error) {
      if (!(error instanceof AttemptFailed) || signal.aborted) throw error;
      lastFailure = error;
    }
  }
}

/** Farmers for a segment and the scheme that fits them. Throws PutError below f + 1. */
function whoTakes(
  client: Client,
  failed: ReadonlySet<PublicKey>,
  cause: unknown,
): { scheme: Scheme; farmers: { farmer: PublicKey; domain: string }[] } {
  const farm = client.farm.current();
  const active = farm.members.filter(({ farmer, state }) => state === 'Active' && !failed.has(farmer));
  const willing = active.filter(({ farmer }) => client.health.takes(farmer));
  // Slow ones only where they are needed for all pieces or all domains: speed makes no promise smaller.
  const brisk = willing.filter(({ farmer }) => !client.health.isSlow(farmer));
  const domains = (of: typeof active) => new Set(of.map(({ domain }) => domain)).size;
  const isEnough = brisk.length >= farm.scheme.total && Math.min(domains(willing), farm.scheme.total) <= domains(brisk);
  if (isEnough) return { scheme: farm.scheme, farmers: brisk };
  // Where those that seem to take pieces are too few, the others get their chance: silence may be over.
  for (const farmers of [willing, active]) {
    const scheme = schemeForAnswering(farm.scheme, farmers.length);
    if (scheme) return { scheme, farmers };
  }
  const needed = promiseOf(farm.scheme) + 1;
  throw new PutError(
    'NotEnoughFarmers',
    `Only ${active.length} of the farm's farmers take pieces now; a write needs ${needed} to keep its promise. ${isFull(cause) ? 'Others have no space left: delete something or grow their volumes.' : 'Try again.'}`,
    { cause },
  );
}

/** Did an attempt fail because a farmer has no space? */
function isFull(cause: unknown): boolean {
  return cause instanceof AttemptFailed && cause.cause instanceof CallError && cause.cause.code === 'Full';
}
