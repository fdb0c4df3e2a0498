// Brings segments to the farm's scheme in the background: those that were written while farmers were away, and those
// that a farm which shrinks or has grown has under another scheme. One segment after the other, half of the time at
// rest. Nothing but the segments changes: it is the same version with its bytes elsewhere. What is done is done for
// good, so being stopped at any moment loses nothing but the portion at hand.
import { GetError } from '#node/client/segment-reader.ts';
import type { StoredSegment } from '#node/client/segment-writer.ts';
import type { BucketRow, Catalog, UploadRow, VersionName } from '#node/catalog/catalog.ts';
import { portionSize, restMs } from '#node/core/rewriting.ts';
import { isUnder } from '#node/core/schemes.ts';
import { pause, type Runtime } from '#node/log/runtime.ts';
import {
  ACCOUNT_BUCKET_ID,
  type BucketId,
  type PublicKey,
  type Clock,
  type OwnerEntry,
  type Scheme,
  type SegmentKey,
  type SegmentPlacement,
} from '#node/wire/types.ts';
import type { BucketWriter } from './bucket-writer.ts';
import type { FarmPort, RewriteTarget } from './farm-port.ts';
import type { HolderMoves } from './holder-moves.ts';
import { keyLock, uploadLock } from './object-store.ts';
import type { OpenWriters } from './open-writers.ts';

/** Pause between two looks; after one that failed it doubles, so that a full farm isn't written to in vain. */
const EVERY_MS = 10_000;
const MAX_PAUSE_MS = 10 * 60_000;
const PAGE = 100;
const MAX_PARTS = 10_000;
/** Segments whose new place is remembered, for copies that share them. */
const MAX_RECENT = 1000;

export interface Rewriter {
  /** Something changed: look at once. */
  nudge(): void;
  /** Runs until the signal aborts. */
  run(): Promise<void>;
}

export interface RewriterOptions {
  catalog: Catalog;
  writers: OpenWriters;
  farm: FarmPort;
  moves: HolderMoves;
  runtime: Runtime;
  /** 0 = no limit. */
  bytesPerSecond: () => number;
  signal: AbortSignal;
  renewCheckpoint: (owner: PublicKey, bucketId: BucketId) => void;
  onRewritten: (bytes: number) => void;
  onTrouble: (what: string, error: unknown) => void;
}

/** A version or a part of an open upload: something that names segments. */
interface Holder {
  lock: string;
  /** Null when it is gone. */
  segments(): SegmentKey[] | null;
  /** The same with these segments. */
  entry(segments: SegmentKey[], clock: Clock): OwnerEntry | null;
}

/** The farm can't take segments under this scheme now, or no longer wants to. */
class NotNow extends Error {}

export function createRewriter(options: RewriterOptions): Rewriter {
  const { catalog, writers, farm, moves, runtime, signal } = options;
  let wake: (() => void) | null = null;
  let isNudged = false;
  /** By bucket and old segment. */
  const recent = new Map<string, StoredSegment>();

  const isLacking = (bucketId: string, wanted: Scheme) => (key: SegmentKey) => {
    const placement = catalog.placement(bucketId, key.segmentId);
    return placement !== null && !isUnder(placement.scheme, wanted);
  };

  const remember = (name: string, stored: StoredSegment): void => {
    recent.set(name, stored);
    for (const oldest of recent.keys()) {
      if (recent.size <= MAX_RECENT) break;
      recent.delete(oldest);
    }
  };

  /** The segment's bytes in a new one. */
  const rewritten = async (bucket: BucketRow, key: SegmentKey, wanted: Scheme): Promise<StoredSegment> => {
    const name = `${bucket.bucketId}/${key.segmentId}`;
    const known = recent.get(name);
    if (known !== undefined && catalog.references(bucket.bucketId, known.key.segmentId) > 0) return known;
    const startedMs = runtime.elapsedMs();
    const { owner } = bucket;
    const placement = catalog.placement(bucket.bucketId, key.segmentId);
    if (placement === null) throw new NotNow('the segment is gone');
    const source = farm.getRange({
      owner,
      segments: [{ key, placement, moved: moves.known(owner, placement) }],
      offset: 0,
      length: key.plainBytes,
      signal,
      findMoves: (of: SegmentPlacement, wait: AbortSignal) => moves.find(bucket, of, wait),
    });
    const { segments } = await farm.putSegments({ owner, source, sizeBytes: key.plainBytes, signal });
    const [stored] = segments;
    // A farmer failed on the way: what was stored then is no better.
    if (segments.length !== 1 || stored === undefined || !isUnder(stored.placement.scheme, wanted))
      throw new NotNow('a farmer failed on the way');
    remember(name, stored);
    options.onRewritten(key.plainBytes);
    const tookMs = runtime.elapsedMs() - startedMs;
    await runtime.sleep(restMs({ tookMs, bytes: key.plainBytes, bytesPerSecond: options.bytesPerSecond() }), signal);
    return stored;
  };

  const record = (bucket: BucketRow, to: BucketWriter, holder: Holder, made: ReadonlyMap<string, StoredSegment>) =>
    to.commit([holder.lock], () => {
      const now = holder.segments();
      const replaced = (now ?? []).filter(({ segmentId }) => made.has(segmentId));
      if (now === null || replaced.length === 0) return null;
      const segments = now.map((key) => made.get(key.segmentId)?.key ?? key);
      const entry = holder.entry(segments, to.clock());
      if (entry === null) return null;
      const added = replaced.map(({ segmentId }) => {
        const { placement } = made.get(segmentId)!;
        const isKnown = catalog.placement(bucket.bucketId, placement.segmentId) !== null;
        return isKnown ? moves.refreshed(bucket, placement.segmentId) : placement;
      });
      return {
        entries: [entry],
        repair: { added, released: replaced.map(({ segmentId }) => segmentId) },
        growth: { objects: 0, bytes: 0 },
        result: null,
        isDone: () => holder.segments()?.some(({ segmentId }) => made.has(segmentId)) !== true,
      };
    });

  const rewrite = async (bucket: BucketRow, to: BucketWriter, holder: Holder): Promise<void> => {
    const all = holder.segments() ?? [];
    const done = new Set<string>();
    /** Answers whether all is done. */
    const portion = (): Promise<boolean> =>
      farm.duringTransfer(async () => {
        const { scheme, generation } = mustBeWanted();
        const lacking = all.filter(isLacking(bucket.bucketId, scheme)).filter(({ segmentId }) => !done.has(segmentId));
        const made = new Map<string, StoredSegment>();
        for (const key of lacking) {
          // A farmer that leaves waits for what was planned before it did: so this portion ends here.
          if (made.size >= portionSize(all.length) || mustBeWanted().generation !== generation) break;
          if (!made.has(key.segmentId)) made.set(key.segmentId, await rewritten(bucket, key, scheme));
        }
        if (made.size > 0) await record(bucket, to, holder, made);
        for (const segmentId of made.keys()) done.add(segmentId);
        return lacking.every(({ segmentId }) => done.has(segmentId));
      });
    while (!(await portion()));
  };

  const mustBeWanted = (): RewriteTarget => {
    const wanted = farm.rewriteTo();
    if (wanted === null) throw new NotNow('the farm can take none now');
    return wanted;
  };

  const bucketRound = async (bucket: BucketRow): Promise<void> => {
    const { owner, bucketId } = bucket;
    const wanted = farm.rewriteTo();
    if (wanted === null || !writers.isReady(owner, bucketId)) return;
    if (catalog.schemes(bucketId).every((scheme) => isUnder(scheme, wanted.scheme))) return;
    const to = writers.ready(owner, bucketId);
    let trouble: unknown;
    for (const holder of holders(catalog, bucketId)) {
      signal.throwIfAborted();
      // One that can't be read now doesn't hold up the others.
      await rewrite(bucket, to, holder).catch((error: unknown) => {
        if (!(error instanceof GetError) || signal.aborted) throw error;
        trouble = error;
      });
    }
    if (trouble !== undefined) throw trouble;
    // What is left is held by checkpoints: by the last one, and by the one before it.
    if (!catalog.schemes(bucketId).every((scheme) => isUnder(scheme, wanted.scheme))) options.renewCheckpoint(owner, bucketId);
  };

  /** The account's own log names no objects; only its checkpoints have segments. */
  const accountRound = (owner: PublicKey): void => {
    const wanted = farm.rewriteTo();
    if (wanted === null || catalog.schemes(ACCOUNT_BUCKET_ID).every((scheme) => isUnder(scheme, wanted.scheme))) return;
    options.renewCheckpoint(owner, ACCOUNT_BUCKET_ID);
  };

  /** Answers whether all went well. */
  const round = async (): Promise<boolean> => {
    let isWell = true;
    for (const { access, bucketId } of writers.all()) {
      if (bucketId === ACCOUNT_BUCKET_ID) {
        accountRound(access.owner);
        continue;
      }
      const bucket = catalog.buckets(access.owner).find((row) => row.bucketId === bucketId);
      if (bucket === undefined) continue;
      await bucketRound(bucket).catch((error: unknown) => {
        isWell = false;
        if (!(error instanceof NotNow) && !signal.aborted) options.onTrouble('rewriting', error);
      });
    }
    return isWell;
  };

  return {
    nudge() {
      isNudged = true;
      wake?.();
    },
    async run() {
      let pauseMs = EVERY_MS;
      while (!signal.aborted) {
        isNudged = false;
        pauseMs = (await round()) ? EVERY_MS : Math.min(2 * pauseMs, MAX_PAUSE_MS);
        if (isNudged || signal.aborted) continue;
        const over = new AbortController();
        wake = () => over.abort();
        await pause(runtime, pauseMs, AbortSignal.any([signal, over.signal]));
        wake = null;
      }
    },
  };
}

/** Everything of a bucket that may name segments, a page at a time. */
function* holders(catalog: Catalog, bucketId: string): Generator<Holder> {
  for (let after: VersionName | null = null; ;) {
    const page = catalog.segmented(bucketId, after, PAGE);
    for (const { key, versionId } of page) yield versionHolder(catalog, bucketId, key, versionId);
    after = page.at(-1) ?? null;
    if (after === null) break;
  }
  const query = { prefix: '', delimiter: '', limit: PAGE };
  for (let next: { key: string; uploadId: string } | null = { key: '', uploadId: '' }; next !== null;) {
    const page = catalog.uploads(bucketId, { ...query, after: next.key, afterUploadId: next.uploadId });
    for (const item of page.items) if (item.kind === 'upload') yield* partHolders(catalog, bucketId, item.upload);
    next = page.next;
  }
}

function versionHolder(catalog: Catalog, bucketId: string, key: string, versionId: string): Holder {
  return {
    lock: keyLock(key),
    segments: () => catalog.content(bucketId, key, versionId)?.segments ?? null,
    entry(segments, rewritten) {
      const row = catalog.version(bucketId, key, versionId);
      if (row === null) return null;
      const { logId: _, partSizes, ...same } = row;
      return { kind: 'put', ...same, replaces: [], segments, ...(partSizes === null ? {} : { partSizes }), rewritten };
    },
  };
}

function* partHolders(catalog: Catalog, bucketId: string, { uploadId }: UploadRow): Generator<Holder> {
  for (const { partNumber } of catalog.parts(bucketId, uploadId, 0, MAX_PARTS)) {
    const stored = () => catalog.part(bucketId, uploadId, partNumber);
    yield {
      lock: uploadLock(uploadId),
      segments: () => stored()?.segments ?? null,
      entry(segments, clock) {
        const part = stored();
        if (part === null) return null;
        const { inline: _, segments: __, ...same } = part;
        return { kind: 'part', uploadId, ...same, clock, segments };
      },
    };
  }
}
