// A bucket read straight from the farmers: the newest checkpoint and what has been written since. One object
// is found with a handful of reads however many there are; a listing runs through them in order. Held in
// memory are the entries since the checkpoint and a few blocks of it.
import { mergeRuns } from '#node/core/merge-runs.ts';
import { resolve, type Logged } from '#node/core/log-merge.ts';
import {
  keyPosition,
  movesPosition,
  objectsFrom,
  ownerFamily,
  repairFamily,
  segmentPosition,
  type RecordFamily,
} from '#node/core/run-records.ts';
import { TAG_BYTES } from '#node/core/sealing.ts';
import { ownerRecordsOf, readSince, repairRecordsOf, type Checkpoint, type ReadKeys } from '#node/log/checkpoint-reader.ts';
import { Delta } from '#node/log/delta.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { readBatches, readHeads, type BucketState } from '#node/log/log-reader.ts';
import { BlockCache } from '#node/log/run-reader.ts';
import type { SegmentStore } from '#node/log/segment-store.ts';
import { openPacked, type OwnerRecord, type RepairRecord } from '#node/wire/checkpoints.ts';
import { openPlacement, placementProblem, placementTag } from '#node/wire/placements.ts';
import { WireError } from '#node/wire/codec.ts';
import type { RootView } from '#node/wire/root-view.ts';
import type {
  BucketEntry,
  BucketId,
  PublicKey,
  PutEntry,
  SealedPlacement,
  SegmentKey,
  SegmentPlacement,
  WarrantStatement,
} from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { getRange, GetError, type ReadableSegment } from './segment-reader.ts';
import { segmentStore } from './segment-store.ts';

export interface BucketReader {
  readonly owner: PublicKey;
  readonly bucketId: BucketId;
  /** Heads, replicas and statements as they were when it was opened. */
  readonly state: BucketState;
  /** What the key is now; null = nothing. */
  find(key: string): Promise<PutEntry | null>;
  /** Current versions in byte order of their keys, those that begin with `prefix`, behind `after`. */
  list(query?: { prefix?: string; after?: string }): AsyncGenerator<PutEntry, void, undefined>;
  /** In the account's own log: buckets, without the deleted ones. */
  buckets(): Promise<BucketEntry[]>;
  /** Throws GetError. */
  read(entry: PutEntry, range?: { offset?: number; length?: number }): AsyncGenerator<Uint8Array, void, undefined>;
  /** What the entry's segments need to be read. Rejects with GetError Damaged. */
  locate(segments: readonly SegmentKey[]): Promise<ReadableSegment[]>;
}

export interface BucketReaderInput {
  owner: PublicKey;
  bucketId: BucketId;
  /** Of this view of the root statements: each epoch has its own. */
  keysOf: (view: RootView) => ReadKeys;
  /** Saves reading the statements, where it is fresh. */
  view?: RootView;
  signal: AbortSignal;
}

/** Rejects with LogError. */
export async function openBucketReader(client: Client, input: BucketReaderInput): Promise<BucketReader> {
  const { owner, bucketId, signal, view } = input;
  const state = await readHeads(client.link, { owner, bucketId, signal, ...(view ? { view } : {}) });
  const keys = input.keysOf(state.view);
  // Before the checkpoint can be opened its own segments may have moved: only the logs say where to.
  const store = segmentStore(client, owner, (placement, wait) => movesInLogs(client.link, state, keys, placement, wait));
  const { checkpoint, batches } = await readSince(client.link, { state, since: new Map(), keys, store, signal });
  const tail = new Delta();
  for await (const batch of batches) tail.add(batch);
  return new CheckpointedBucket(client, { ...input, state, store, checkpoint, tail });
}

class CheckpointedBucket implements BucketReader {
  readonly #client: Client;
  readonly #input: BucketReaderInput & { state: BucketState; store: SegmentStore; checkpoint: Checkpoint | null; tail: Delta };
  readonly #cache = new BlockCache();

  constructor(
    client: Client,
    input: BucketReaderInput & { state: BucketState; store: SegmentStore; checkpoint: Checkpoint | null; tail: Delta },
  ) {
    this.#client = client;
    this.#input = input;
  }
  get owner(): PublicKey {
    return this.#input.owner;
  }
  get bucketId(): BucketId {
    return this.#input.bucketId;
  }
  get state(): BucketState {
    return this.#input.state;
  }

  async find(key: string): Promise<PutEntry | null> {
    for await (const entry of this.#current(keyPosition(key), this.#cache)) return entry.key === key ? entry : null;
    return null;
  }

  async *list({ prefix = '', after = '' }: { prefix?: string; after?: string } = {}): AsyncGenerator<PutEntry, void, undefined> {
    const start = Buffer.compare(objectsFrom(prefix), keyPosition(after)) > 0 ? objectsFrom(prefix) : keyPosition(after);
    for await (const entry of this.#current(start)) {
      if (!entry.key.startsWith(prefix)) return;
      if (entry.key !== after) yield entry;
    }
  }

  async buckets(): Promise<BucketEntry[]> {
    const found: BucketEntry[] = [];
    for await (const record of this.#ownerRecords(Buffer.of(0))) {
      if (record.kind !== 'entry') break;
      if (record.entry.kind === 'bucket' && !record.entry.deleted) found.push(record.entry);
      if (record.entry.kind === 'put') break;
    }
    return found;
  }

  async *read(entry: PutEntry, range: { offset?: number; length?: number } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const offset = range.offset ?? 0;
    const length = range.length ?? entry.sizeBytes - offset;
    const { signal } = this.#input;
    if (entry.segments) {
      yield* getRange(this.#client, { owner: this.owner, segments: await this.locate(entry.segments), offset, length, signal });
      return;
    }
    const bytes = entry.inline ?? (await this.#unpack(entry));
    if (offset + length > bytes.length)
      throw new GetError('OutOfRange', `Bytes ${offset}+${length} are not inside ${bytes.length}.`);
    if (length > 0) yield bytes.subarray(offset, offset + length);
  }

  async #unpack({ packed, sizeBytes }: PutEntry): Promise<Uint8Array> {
    if (!packed) throw new GetError('Damaged', 'An entry without bytes.');
    const segments = await this.locate([packed.segment]);
    const sealedBytes = sizeBytes + TAG_BYTES;
    return openPacked(packed.key, await this.#input.store.read(segments, packed.offset, sealedBytes, this.#input.signal));
  }

  async locate(segments: readonly SegmentKey[]): Promise<ReadableSegment[]> {
    return await Promise.all(segments.map((key) => this.#locate(key)));
  }

  async #locate(key: SegmentKey): Promise<ReadableSegment> {
    const found = await this.#repairRecord(segmentPosition(key.segmentId));
    if (found?.kind !== 'segment' || !found.placement) {
      throw new GetError('Damaged', `Neither logs nor checkpoint say where segment ${key.segmentId} lies.`);
    }
    return { key, ...(await this.#placed(found.placement)) };
  }

  async #placed(placement: SegmentPlacement): Promise<Omit<ReadableSegment, 'key'>> {
    const tag = placementTag(placement.secret);
    const moves = await this.#repairRecord(movesPosition(tag));
    const sealed = moves?.kind === 'moves' ? moves.sealed.map((one) => ({ tag, sealed: one })) : [];
    return { placement, moved: holdersOf(this.owner, placement, sealed, this.state.view.warrants) };
  }

  /** The newest version of each key that has any, in order. */
  async *#current(from: Uint8Array, cache?: BlockCache): AsyncGenerator<PutEntry, void, undefined> {
    let versions: Logged<PutEntry>[] = [];
    const winner = () => resolve({ versions: new Map(versions.map((one) => [one.entry.versionId, one])), named: new Set() });
    for await (const record of this.#ownerRecords(from, cache)) {
      if (record.kind === 'gone') continue;
      const { entry, logId } = record;
      if (entry.kind !== 'put') break;
      if (versions.length > 0 && versions[0]!.entry.key !== entry.key) {
        yield winner()!.entry;
        versions = [];
      }
      versions.push({ entry, logId });
    }
    if (versions.length > 0) yield winner()!.entry;
  }

  #ownerRecords(from: Uint8Array, cache?: BlockCache): AsyncGenerator<OwnerRecord, void, undefined> {
    const { checkpoint, tail, store, signal } = this.#input;
    const runs = checkpoint ? [ownerRecordsOf(checkpoint, { store, from, signal, ...(cache ? { cache } : {}) })] : [];
    return mergeRuns(ownerFamily, [later(tail.ownerRecords(from)), ...runs]);
  }

  async #repairRecord(at: Uint8Array): Promise<RepairRecord | null> {
    const { checkpoint, tail, store, signal } = this.#input;
    const runs = checkpoint ? [repairRecordsOf(checkpoint, { store, from: at, signal, cache: this.#cache })] : [];
    return await firstAt(repairFamily, mergeRuns(repairFamily, [later(tail.repairRecords(at)), ...runs]), at);
  }
}

async function firstAt<Rec>(family: RecordFamily<Rec>, records: AsyncIterable<Rec>, at: Uint8Array): Promise<Rec | null> {
  for await (const record of records) return Buffer.compare(family.positionOf(record), at) === 0 ? record : null;
  return null;
}

async function* later<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** A segment's holders as repairers' logs tell them, read from the start: for the segments of a checkpoint itself. */
export async function movesInLogs(
  link: LogLink,
  state: BucketState,
  keys: ReadKeys,
  placement: SegmentPlacement,
  signal: AbortSignal,
): Promise<Map<number, PublicKey[]>> {
  const tag = placementTag(placement.secret);
  const found: SealedPlacement[] = [];
  const logs = state.logs.filter(({ log }) => log.kind === 'placements');
  // From the first that is kept: what was dropped, the checkpoint has.
  const since = new Map(logs.map(({ log, firstSeq }) => [log.logId, firstSeq - 1]));
  for await (const { placements } of readBatches(link, { state: { ...state, logs }, since, keys, signal })) {
    found.push(...placements.filter((one) => one.tag === tag));
  }
  return holdersOf(state.owner, placement, found, state.view.warrants);
}

/** Holders by piece number that placement entries name, of those that count. */
export function holdersOf(
  owner: PublicKey,
  placement: SegmentPlacement,
  moves: readonly SealedPlacement[],
  warrants: readonly WarrantStatement[],
): Map<number, PublicKey[]> {
  const found = new Map<number, PublicKey[]>();
  for (const sealed of moves) {
    try {
      const entry = openPlacement(placement.secret, sealed);
      if (placementProblem(entry, { owner, placement }, warrants) !== null) continue;
      found.set(entry.pieceNumber, [...(found.get(entry.pieceNumber) ?? []), entry.farmer]);
    } catch (error) {
      // Whoever forges entries gets nothing but a line that doesn't count.
      if (!(error instanceof WireError)) throw error;
    }
  }
  return found;
}
