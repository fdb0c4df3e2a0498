// Objects on the farm: bytes to segments or into the entry itself, then the decision in the bucket's writer.
import { GetError } from '#node/client/segment-reader.ts';
import { PutError, type StoredSegment } from '#node/client/segment-writer.ts';
import type { Catalog, BucketRow, Content, VersionRow } from '#node/catalog/catalog.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { toHex } from '#node/core/ids.ts';
import { TAG_BYTES } from '#node/core/sealing.ts';
import { openPacked } from '#node/wire/checkpoints.ts';
import {
  MAX_INLINE_BYTES,
  type BucketId,
  type PublicKey,
  type PutEntry,
  type SegmentKey,
  type SegmentPlacement,
} from '#node/wire/types.ts';
import type { BucketWriter, Decision, Growth } from './bucket-writer.ts';
import type { FarmPort } from './farm-port.ts';
import type { HolderMoves } from './holder-moves.ts';
import { ObjectsError, type Objects, type PutOrder, type Range, type WriteConditions } from './objects.ts';
import type { OpenWriters } from './open-writers.ts';
import { checkQuota, type Quota } from './quotas.ts';
import { bucketCalls } from './buckets.ts';
import { uploadCalls } from './uploads.ts';

export interface ObjectStoreOptions {
  catalog: Catalog;
  writers: OpenWriters;
  farm: FarmPort;
  moves: HolderMoves;
  runtime: Runtime;
  quotaOf(owner: PublicKey, bucketName: string): Quota | null;
}

/** The bytes of something stored, as entries carry them. */
export interface StoredBytes {
  inline: Uint8Array | null;
  segments: StoredSegment[];
}

/** What uploads.ts shares with this file. */
export interface StoreTools extends ObjectStoreOptions {
  writer(bucket: BucketRow): BucketWriter;
  store(
    bucket: BucketRow,
    source: AsyncIterable<Uint8Array>,
    sizeBytes: number,
    canInline: boolean,
    signal: AbortSignal,
  ): Promise<StoredBytes>;
  /** Against usage alone where no writer is given: what is refused then is refused for certain. */
  admit(bucket: BucketRow, writer: BucketWriter | null, growth: Growth): void;
  putDecision(bucket: BucketRow, writer: BucketWriter, put: NewVersion): Decision<VersionRow>;
  checkConditions(current: VersionRow | null, conditions: WriteConditions): void;
}

type NewVersion = Pick<PutEntry, 'key' | 'headers' | 'sizeBytes' | 'etag' | 'checksums'> & {
  partSizes?: number[];
  content: Content;
  /** Placements that this entry brings in; one for each segment that it names and that no part brought in before. */
  added: SegmentPlacement[];
  /** Further segments that the same decision lets go. */
  released?: string[];
  conditions: WriteConditions;
  /** Bytes that the same decision takes off the usage. */
  freedBytes?: number;
  more?: Decision<unknown>['entries'];
};

export function createObjectStore(options: ObjectStoreOptions): Objects {
  const { catalog, writers, runtime, farm, moves } = options;
  const nowMs = () => runtime.nowMs();
  const newId = () => toHex(runtime.random(16));

  const writer = (bucket: BucketRow) => writers.ready(bucket.owner, bucket.bucketId);
  const admit: StoreTools['admit'] = (bucket, to, growth) =>
    checkQuota(
      options.quotaOf(bucket.owner, bucket.name),
      catalog.usage(bucket.bucketId),
      to?.reserved() ?? { objects: 0, bytes: 0 },
      growth,
    );

  const store: StoreTools['store'] = async (bucket, source, sizeBytes, canInline, signal) => {
    if (sizeBytes === 0 || (canInline && sizeBytes <= MAX_INLINE_BYTES))
      return { inline: await collect(source, sizeBytes), segments: [] };
    const { segments } = await farm.putSegments({ owner: bucket.owner, source, sizeBytes, signal }).catch(asPutError);
    return { inline: null, segments };
  };

  const putDecision: StoreTools['putDecision'] = (bucket, to, put) => {
    const { bucketId } = bucket;
    const current = catalog.current(bucketId, put.key);
    checkConditions(current, put.conditions);
    const growth = {
      objects: current === null ? 1 : 0,
      bytes: put.sizeBytes - (current?.sizeBytes ?? 0) - (put.freedBytes ?? 0),
    };
    admit(bucket, to, growth);
    const replaces = catalog.liveVersions(bucketId, put.key);
    const released = [...replaces.flatMap((versionId) => segmentIds(bucketId, put.key, versionId)), ...(put.released ?? [])];
    const { inline, segments } = put.content;
    const clock = to.clock();
    const entry: PutEntry = {
      kind: 'put',
      key: put.key,
      versionId: newId(),
      clock,
      replaces,
      sizeBytes: put.sizeBytes,
      etag: put.etag,
      modifiedMs: nowMs(),
      headers: put.headers,
      checksums: put.checksums,
      ...(inline === null ? { segments } : { inline }),
      ...(put.partSizes === undefined ? {} : { partSizes: put.partSizes }),
    };
    const { kind: _, replaces: __, inline: ___, segments: ____, ...row } = entry;
    return {
      entries: [entry, ...(put.more ?? [])],
      repair: { added: put.added, released },
      growth,
      result: { ...row, partSizes: put.partSizes ?? null, logId: to.current()?.logId ?? '' },
      isDone: () => catalog.liveVersions(bucketId, put.key).includes(entry.versionId),
    };
  };

  const segmentIds = (bucketId: BucketId, key: string, versionId: string): string[] =>
    catalog.content(bucketId, key, versionId)?.segments.map((segment) => segment.segmentId) ?? [];

  const tools: StoreTools = { ...options, writer, store, admit, putDecision, checkConditions };

  const uploads = uploadCalls(tools);
  return {
    ...bucketCalls(options, uploads.closeUploads),
    ...uploads,

    find(bucket, key) {
      writer(bucket);
      return catalog.current(bucket.bucketId, key);
    },

    head(bucket, key) {
      writer(bucket);
      const version = catalog.current(bucket.bucketId, key);
      if (version === null) throw new ObjectsError('NoSuchKey', 'The specified key does not exist.');
      return version;
    },

    read(bucket, version, range, signal) {
      const content = catalog.content(bucket.bucketId, version.key, version.versionId);
      if (content === null) throw new ObjectsError('NoSuchKey', 'The object was deleted a moment ago');
      return readContent(tools, bucket, { ...content, sizeBytes: version.sizeBytes }, range, signal);
    },

    async put(bucket, order, signal) {
      const to = writer(bucket);
      // Said before the body is sent where it is clear already; decided again when it has come.
      const current = catalog.current(bucket.bucketId, order.key);
      checkConditions(current, order.conditions);
      admit(bucket, null, { objects: current === null ? 1 : 0, bytes: order.body.sizeBytes - (current?.sizeBytes ?? 0) });
      return farm.duringTransfer(async () => {
        const stored = await store(bucket, order.body.source, order.body.sizeBytes, true, signal);
        return commitPut(tools, bucket, to, order, stored);
      });
    },

    async copy(bucket, { from, source, key, headers, conditions }, signal) {
      const to = writer(bucket);
      writer(from);
      const { sizeBytes, etag, checksums, partSizes } = source;
      const found = catalog.content(from.bucketId, source.key, source.versionId);
      if (found === null) throw new ObjectsError('NoSuchKey', 'The source was deleted a moment ago');
      const all = () => readContent(tools, from, { ...found, sizeBytes }, { offset: 0, length: sizeBytes }, signal);
      // A pack lives as long as its bucket's checkpoint names it: a copy has its own bytes.
      const content = found.packed ? { inline: await collect(all(), sizeBytes), segments: [] } : found;
      const common = { key, headers, conditions, sizeBytes, etag, checksums, ...(partSizes === null ? {} : { partSizes }) };
      if (from.owner === bucket.owner) {
        // The same account: the copy names the same segments, no byte moves. The repair part brings each in
        // once more, so that it stays alive when the source goes.
        const added = content.segments.map((segment) => moves.refreshed(from, segment.segmentId));
        const version = await to.commit([keyLock(key)], () => {
          // With the source its pieces may be on their way out.
          if (content.segments.some(({ segmentId }) => catalog.references(from.bucketId, segmentId) === 0))
            throw new ObjectsError('NoSuchKey', 'The source was deleted a moment ago');
          return putDecision(bucket, to, { ...common, content, added });
        });
        return required(version);
      }
      const bytes = all();
      return farm.duringTransfer(async () => {
        const stored = await store(bucket, bytes, sizeBytes, true, signal);
        const version = await to.commit([keyLock(key)], () => putDecision(bucket, to, { ...common, ...asVersion(stored) }));
        return required(version);
      });
    },

    async delete(bucket, key, conditions) {
      const { bucketId } = bucket;
      const to = writer(bucket);
      await to.commit([keyLock(key)], () => {
        const current = catalog.current(bucketId, key);
        checkConditions(current, conditions);
        const names = catalog.liveVersions(bucketId, key);
        if (names.length === 0) return null;
        return {
          entries: [{ kind: 'delete', key, clock: to.clock(), names }],
          repair: { added: [], released: names.flatMap((versionId) => segmentIds(bucketId, key, versionId)) },
          growth: { objects: 0, bytes: 0 },
          result: null,
          // Another bridge may have replaced what we meant to delete: then that has to go.
          isDone: () => catalog.liveVersions(bucketId, key).length === 0,
        };
      });
    },

    list(bucket, query) {
      writer(bucket);
      return catalog.list(bucket.bucketId, query);
    },
  };
}

async function commitPut(
  tools: StoreTools,
  bucket: BucketRow,
  to: BucketWriter,
  order: PutOrder,
  stored: StoredBytes,
): Promise<VersionRow> {
  const { key, headers, conditions, body } = order;
  const put = { key, headers, conditions, sizeBytes: body.sizeBytes, ...body.facts(), ...asVersion(stored) };
  return required(await to.commit([keyLock(key)], () => tools.putDecision(bucket, to, put)));
}

/** Names that a bucket's writer locks. */
export const keyLock = (key: string): string => `key ${key}`;
export const uploadLock = (uploadId: string): string => `upload ${uploadId}`;

export function asVersion({ inline, segments }: StoredBytes): { content: Content; added: SegmentPlacement[] } {
  return { content: { inline, segments: segments.map(({ key }) => key) }, added: segments.map(({ placement }) => placement) };
}

export function required<T>(result: T | null): T {
  if (result === null) throw new Error('a put decides on something');
  return result;
}

function checkConditions(current: VersionRow | null, { onlyIfAbsent, onlyIfEtag }: WriteConditions): void {
  if (onlyIfAbsent === true && current !== null)
    throw new ObjectsError('PreconditionFailed', 'The object exists already (If-None-Match)');
  if (onlyIfEtag === undefined) return;
  if (current === null) throw new ObjectsError('NoSuchKey', 'If-Match asks for an object that does not exist');
  if (onlyIfEtag !== '*' && onlyIfEtag !== current.etag)
    throw new ObjectsError('PreconditionFailed', 'The object has another ETag (If-Match)');
}

async function collect(source: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for await (const chunk of source) {
    if (at + chunk.length > sizeBytes) throw new RangeError('the source has more bytes than announced');
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

async function* readContent(
  tools: StoreTools,
  bucket: BucketRow,
  content: Content & { sizeBytes: number },
  range: Range,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { offset, length } = range;
  if (content.inline !== null) yield content.inline.subarray(offset, offset + length);
  else if (content.packed) {
    const { segment, offset: at, key } = content.packed;
    const sealedBytes = content.sizeBytes + TAG_BYTES;
    const sealed = readSegments(tools, bucket, [segment], { offset: at, length: sealedBytes }, signal);
    yield openPacked(key, await collect(sealed, sealedBytes)).subarray(offset, offset + length);
  } else yield* readSegments(tools, bucket, content.segments, range, signal);
}

async function* readSegments(
  { catalog, farm, moves }: StoreTools,
  bucket: BucketRow,
  keys: readonly SegmentKey[],
  { offset, length }: Range,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const segments = keys.map((key) => {
    const placement = catalog.placement(bucket.bucketId, key.segmentId);
    if (placement === null) throw new ObjectsError('Unreadable', `The catalog lacks the places of segment ${key.segmentId}`);
    return { key, placement, moved: moves.known(bucket.owner, placement) };
  });
  const findMoves = (placement: SegmentPlacement, wait: AbortSignal) => moves.find(bucket, placement, wait);
  try {
    yield* farm.getRange({ owner: bucket.owner, segments, offset, length, signal, findMoves });
  } catch (error) {
    if (error instanceof GetError)
      throw new ObjectsError('Unreadable', `Too few pieces answer: ${error.message}; try again`, error);
    throw error;
  }
}

function asPutError(error: unknown): never {
  if (error instanceof PutError && error.code === 'NotEnoughFarmers') throw new ObjectsError('SlowDown', error.message, error);
  throw error;
}
