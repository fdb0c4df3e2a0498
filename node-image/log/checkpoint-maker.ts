// Making a checkpoint: the runs of the one before, and what the logs say since then, merged as they stream
// by. Whatever is stored before the statement is published is an orphan if the maker dies; doing it again
// starts from the checkpoint before.
import { bothCheckpoints } from '#node/core/log-merge.ts';
import { mergeRuns, runsToMerge } from '#node/core/merge-runs.ts';
import { sparsePacks } from '#node/core/rewriting.ts';
import { ownerSieve, repairSieve } from '#node/core/run-records.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { NONCE_BYTES, TAG_BYTES } from '#node/core/sealing.ts';
import {
  encodeOwnerManifest,
  encodeRepairManifest,
  ownerManifestKey,
  repairManifestKey,
  sealReference,
  type KeptSegment,
  type Manifest,
  type OwnerManifest,
  type OwnerRecord,
  type RepairRecord,
  type Run,
} from '#node/wire/checkpoints.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import { MAX_COVERED_LOGS } from '#node/wire/statements.ts';
import type {
  BucketId,
  CheckpointEntry,
  CheckpointStatement,
  PackedBytes,
  PublicKey,
  PutEntry,
  RepairPart,
  SegmentId,
  SegmentPlacement,
} from '#node/wire/types.ts';
import {
  openCheckpoint,
  newestCheckpoint,
  ownerRecordsOf,
  readSince,
  type Checkpoint,
  type ReadKeys,
} from './checkpoint-reader.ts';
import { Delta, packInline } from './delta.ts';
import { LogError, type LogLink } from './log-link.ts';
import { readHeads, type BucketState, type LogState, type SeenHead } from './log-reader.ts';
import { publishRoots, type Roots } from './roots.ts';
import { OWNER_RUNS, REPAIR_RUNS, type RunFamily } from './run-families.ts';
import { readRun } from './run-reader.ts';
import { writeRun } from './run-writer.ts';
import type { SegmentStore } from './segment-store.ts';

/** Entries that a checkpoint doesn't cover and that are older than this don't count. */
const HORIZON_MS = 7 * 24 * 3_600_000;
/** Replicas have dropped what a log closed so long ago held; readers find it in the manifest. */
const FORGET_CLOSED_MS = 2 * HORIZON_MS;

/** Records that are held in memory while some of them are packed anew. */
const MAX_HELD_RECORDS = 20_000;
/** Versions that are held in memory until the statement is out: a making has about a third of that. */
const MAX_TOLD_PACKED = 100_000;

export interface CheckpointLimits {
  /** So many bytes of batches without inline bytes, or of these, make a run. They are held in memory. */
  headBytes: number;
  inlineBytes: number;
}
export const CHECKPOINT_LIMITS: CheckpointLimits = { headBytes: 8 * 1024 * 1024, inlineBytes: 48 * 1024 * 1024 };

export interface CheckpointOrder {
  link: LogLink;
  store: SegmentStore;
  owner: PublicKey;
  bucketId: BucketId;
  /** Signs the statement: a keeper of the bucket. */
  keeper: KeyPair;
  /** Root statements of a moment ago: whoever makes checkpoints of many buckets reads them once. */
  roots: Roots;
  /** For reading what there is. */
  readKeys: ReadKeys;
  /** Of the newest epoch, as a writer has them: what is made is sealed under these. */
  sealKeys: { bucketSecret: Uint8Array; repairKey: Uint8Array };
  /** Appends the entry, with a clock, to the maker's own log; resolves when it is acknowledged. */
  record(entry: Omit<CheckpointEntry, 'clock'>, repair: RepairPart): Promise<void>;
  /** Resolves when the owner's side knows everything that these heads say: what it answers below goes for good. */
  follow(state: BucketState): Promise<void>;
  /** Whether anything names the segment. */
  isLive(segmentId: SegmentId): boolean;
  /** Whether moves of this tag are about a segment that something still names. */
  keepsMoves(tag: string): boolean;
  /** Bytes of a small object that lie in a pack. Without it packs are never taken apart. */
  readPacked?(packed: PackedBytes, sizeBytes: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Of a pack that an earlier checkpoint made; null = not known. */
  packBytes?(segmentId: SegmentId): number | null;
  /** The statement is out: these, of the newest entries, lie in packs now. */
  onPacked?(versions: readonly PackedVersion[]): Promise<void>;
  limits?: CheckpointLimits;
  /** Made although nothing was written since the last one but what that one let go. */
  always?: boolean;
  /**
   * Where given, no segment that this says `false` of is in the checkpoint: the farm wants another scheme. It is made
   * although nothing was written where the last one, or the one before it, holds such. What lies in packs comes back by `onPacked`.
   */
  mayStay?(segmentId: SegmentId): boolean;
  signal: AbortSignal;
}
interface PackedVersion {
  key: string;
  versionId: string;
  packed: PackedBytes;
}

/** Null where nothing was written since the last one. Rejects with LogError or what the store rejects with. */
export async function makeCheckpoint(order: CheckpointOrder): Promise<CheckpointStatement | null> {
  const { link, store, owner, bucketId, readKeys, signal } = order;
  const state = acknowledgedOnly(await readHeads(link, { owner, bucketId, signal, view: order.roots.view, all: true }));
  await order.follow(state);
  const newest = newestCheckpoint(state);
  const before = newest ? await openCheckpoint(store, newest, readKeys, signal) : null;
  const making = new Making(order, before);
  const since = before?.vector ?? new Map<PublicKey, SeenHead>();
  const { batches } = await readSince(link, { state, since, keys: readKeys, store, signal });
  for await (const batch of batches) await making.take(batch);
  return await making.finish(state);
}

/**
 * Of each log what f + 1 members say that they have: what fewer have may yet turn out not to count. Who has another
 * batch of that number (two copies of a writer's state were in use) has what lies before it.
 */
function acknowledgedOnly(state: BucketState): BucketState {
  const logs = state.logs.map((one): LogState => {
    const heads = [...state.answers].flatMap(([farmer, { logs: told }]) =>
      told
        .filter(({ logId }) => logId === one.log.logId)
        .map(({ seq, hash }) => ({ farmer, seq: seq === one.seq && hash !== one.hash ? seq - 1 : seq })),
    );
    const enough = heads.map(({ seq }) => seq).sort((a, b) => b - a)[state.set.f] ?? 0;
    const seq = Math.min(one.seq, enough);
    return { ...one, seq, holders: heads.filter((head) => head.seq >= seq).map(({ farmer }) => farmer) };
  });
  return { ...state, logs };
}

class Making {
  readonly #order: CheckpointOrder;
  readonly #limits: CheckpointLimits;
  readonly #before: Checkpoint | null;
  readonly #horizonMs: number;
  readonly #vector: Map<PublicKey, SeenHead>;
  /** What this making stored. */
  readonly #stored = new Map<SegmentId, SegmentPlacement>();
  /** Checkpoint entries by number. */
  readonly #entries = new Map<number, CheckpointEntry>();
  #owner: Run[];
  #repair: Run[];
  #packs: Set<SegmentId>;
  /** Packs that hold little that is alive: what it is goes into new ones. */
  #sparse = new Set<SegmentId>();
  /** The first so many; the others stay inline at the owner's side until it starts anew. */
  #packed: PackedVersion[] = [];
  #delta = new Delta();
  #knowsEntries = false;
  #isWorthIt = false;
  /** Everything of the checkpoint before is to be written anew. */
  #isWhole = false;

  constructor(order: CheckpointOrder, before: Checkpoint | null) {
    this.#order = order;
    this.#limits = order.limits ?? CHECKPOINT_LIMITS;
    this.#before = before;
    this.#horizonMs = Math.max(before?.horizonMs ?? 0, order.link.runtime.nowMs() - HORIZON_MS);
    this.#vector = new Map(before?.vector);
    if (before && (!before.owner || !before.repair)) {
      throw new LogError('Damaged', `Checkpoint ${before.number} does not open with the keys of its keeper.`);
    }
    this.#owner = before?.owner?.runs ?? [];
    this.#repair = before?.repair?.runs ?? [];
    this.#packs = new Set(before?.owner?.packs);
    const { mayStay } = order;
    if (!mayStay) return;
    const runs = [...this.#owner, ...this.#repair].flatMap(({ segments }) => segments.map(({ key }) => key.segmentId));
    this.#isWhole = [...runs, ...this.#packs].some((id) => !mayStay(id));
  }

  async take(batch: Parameters<Delta['add']>[0]): Promise<void> {
    if (!batch.entries && batch.log.kind === 'entries' && batch.header.kind === 'entries') {
      throw new LogError('Damaged', `No key opens batch ${batch.header.seq} of log ${batch.log.logId}.`);
    }
    for (const entry of batch.entries ?? []) if (entry.kind === 'checkpoint') this.#know(entry);
    this.#isWorthIt ||=
      this.#order.always || batch.placements.length > 0 || !!batch.entries?.some(({ kind }) => kind !== 'checkpoint');
    this.#vector.set(batch.log.logId, { seq: batch.header.seq, hash: batch.hash });
    this.#delta.add(batch);
    const { headBytes, inlineBytes } = this.#delta;
    if (headBytes >= this.#limits.headBytes || inlineBytes >= this.#limits.inlineBytes) await this.#flush();
  }

  async finish(state: BucketState): Promise<CheckpointStatement | null> {
    if (!this.#isWorthIt && !this.#isWhole && !(await this.#holdsOthers())) return null;
    await this.#flush();
    await this.#loadEntries();
    if (this.#sparse.size > 0) await this.#mergeOwner([], 0, true);
    const newest = newestCheckpoint(state);
    const number = Math.max(newest?.number ?? 0, ...this.#entries.keys()) + 1;
    const { owner, repair } = this.#manifests(number);
    const ownerSegments = await this.#keep(encodeOwnerManifest(owner));
    const repairSegments = await this.#keep(encodeRepairManifest(repair));
    await this.#record(number, newest?.number ?? 0, [...ownerSegments, ...repairSegments]);
    const statement = await this.#publish(state, number, ownerSegments, repairSegments);
    await this.#order.onPacked?.(this.#packed);
    return statement;
  }

  /** The last checkpoint, or the one before it, still holds something that may not stay. */
  async #holdsOthers(): Promise<boolean> {
    const { mayStay } = this.#order;
    if (!mayStay) return false;
    await this.#loadEntries();
    return this.#alive(Infinity, 0).some(({ segments }) => segments.some((id) => !mayStay(id)));
  }

  #manifests(number: number): { owner: OwnerManifest; repair: Manifest } {
    const vector = [...this.#vector].map(([logId, { seq, hash }]) => ({ logId, seq, hash }));
    const common = { number, horizonMs: this.#horizonMs, vector };
    return { owner: { ...common, runs: this.#owner, packs: [...this.#packs] }, repair: { ...common, runs: this.#repair } };
  }

  /** What was collected becomes the newest run of each family, merged with those that it has outgrown. */
  async #flush(): Promise<void> {
    const delta = this.#delta;
    this.#delta = new Delta();
    if (delta.isEmpty && !this.#isWhole) return;
    await this.#loadEntries();
    const { link, store, signal } = this.#order;
    const ownerRecords = [...delta.ownerRecords()];
    for (const pack of await packInline(store, link.runtime, ownerRecords, signal)) {
      this.#stored.set(pack.key.segmentId, pack.placement);
      this.#packs.add(pack.key.segmentId);
    }
    const packed = ownerRecords.flatMap((record) => packedVersion(record) ?? []);
    this.#packed.push(...packed.slice(0, MAX_TOLD_PACKED - this.#packed.length));
    await this.#mergeOwner(ownerRecords, delta.headBytes);
    const judged = (record: RepairRecord): RepairRecord =>
      record.kind === 'segment' ? { ...record, live: this.#order.isLive(record.segmentId) } : record;
    await this.#mergeRepair([...delta.repairRecords()].map(judged), delta.headBytes);
    this.#isWhole = false;
  }

  async #mergeOwner(fresh: readonly OwnerRecord[], freshBytes: number, isWhole = this.#isWhole): Promise<void> {
    const count = isWhole ? this.#owner.length : mergeCount(this.#owner, freshBytes);
    const isBottom = count === this.#owner.length;
    const previous = this.#before?.number ?? 0;
    // What a delete of these logs hides may come only later in them: below the horizon before nothing comes any more.
    const horizonMs = this.#before?.horizonMs ?? 0;
    const keeps = ownerSieve({ horizonMs, isBottom, keepsCheckpoint: (number) => number >= previous });
    // Once everything passes by, packs that no version names any more are let go, and those are told that few name.
    const alive = new Map<SegmentId, number>();
    const noting = (record: OwnerRecord): boolean => {
      if (record.kind !== 'entry' || record.entry.kind !== 'put' || !record.entry.packed) return true;
      const { packed, sizeBytes } = record.entry;
      const { segmentId } = packed.segment;
      alive.set(segmentId, (alive.get(segmentId) ?? 0) + sizeBytes + TAG_BYTES);
      return true;
    };
    const repack = (records: AsyncIterable<OwnerRecord>) => kept(this.#repacked(records), noting);
    this.#owner = await this.#merge(OWNER_RUNS, this.#owner, count, fresh, { keeps, through: repack });
    if (!isBottom) return;
    this.#packs = new Set(alive.keys());
    this.#sparse = new Set(this.#order.readPacked ? this.#sparsePacks(alive) : []);
  }

  #sparsePacks(alive: ReadonlyMap<SegmentId, number>): SegmentId[] {
    const packs = [...alive].map(([segmentId, aliveBytes]) => {
      const sizeBytes = this.#stored.get(segmentId)?.sizeBytes ?? this.#order.packBytes?.(segmentId) ?? 0;
      return { segmentId, sizeBytes, aliveBytes };
    });
    return sparsePacks(
      packs,
      this.#owner.reduce((sum, { recordBytes }) => sum + recordBytes, 0),
    );
  }

  #maySegmentStay(segmentId: SegmentId): boolean {
    return !this.#sparse.has(segmentId) && this.#order.mayStay?.(segmentId) !== false;
  }

  async #mergeRepair(fresh: readonly RepairRecord[], freshBytes: number): Promise<void> {
    const count = this.#isWhole ? this.#repair.length : mergeCount(this.#repair, freshBytes);
    const keeps = repairSieve({ isBottom: count === this.#repair.length, keepsMoves: this.#order.keepsMoves });
    this.#repair = await this.#merge(REPAIR_RUNS, this.#repair, count, fresh, { keeps });
  }

  async #merge<Rec>(
    family: RunFamily<Rec>,
    runs: readonly Run[],
    count: number,
    fresh: readonly Rec[],
    { keeps, through }: { keeps(record: Rec): boolean; through?(records: AsyncIterable<Rec>): AsyncIterable<Rec> },
  ): Promise<Run[]> {
    const { store, signal } = this.#order;
    const older = runs.slice(0, count).map((run) => readRun({ store, family, run, from: null, signal }));
    const merged = kept(mergeRuns(family, [listed(fresh), ...older]), keeps);
    const run = await writeRun(store, family, through ? through(merged) : merged, signal);
    for (const { key, placement } of run?.segments ?? []) this.#stored.set(key.segmentId, placement);
    return [...(run ? [run] : []), ...runs.slice(count)];
  }

  /** The same, with what lay in packs that may not stay in new ones; as much as can be told of. */
  async *#repacked(records: AsyncIterable<OwnerRecord>): AsyncGenerator<OwnerRecord> {
    const { link, store, readPacked, signal } = this.#order;
    let held: OwnerRecord[] = [];
    let moved: PutEntry[] = [];
    let inlineBytes = 0;
    const packed = async (): Promise<OwnerRecord[]> => {
      for (const pack of await packInline(store, link.runtime, held, signal)) {
        this.#stored.set(pack.key.segmentId, pack.placement);
        this.#packs.add(pack.key.segmentId);
      }
      for (const { key, versionId, packed: place } of moved) if (place) this.#packed.push({ key, versionId, packed: place });
      const done = held;
      [held, moved, inlineBytes] = [[], [], 0];
      return done;
    };
    for await (const record of records) {
      const version = packedVersion(record);
      const isMoved = version && readPacked && !this.#maySegmentStay(version.packed.segment.segmentId);
      if (isMoved && record.kind === 'entry' && record.entry.kind === 'put' && this.#hasRoom(moved.length)) {
        const { packed: place, ...entry } = record.entry;
        const inline = await readPacked(place!, entry.sizeBytes, signal);
        const unpacked: PutEntry = { ...entry, inline };
        inlineBytes += inline.length;
        moved.push(unpacked);
        held.push({ ...record, entry: unpacked });
      } else if (moved.length === 0) yield record;
      else held.push(record);
      if (inlineBytes >= this.#limits.inlineBytes || held.length >= MAX_HELD_RECORDS) yield* await packed();
    }
    yield* await packed();
  }

  #hasRoom(more: number): boolean {
    return this.#packed.length + more < MAX_TOLD_PACKED;
  }

  /** Those that the runs of the checkpoint before hold; they come first in the order. */
  async #loadEntries(): Promise<void> {
    if (this.#knowsEntries || !this.#before) return;
    this.#knowsEntries = true;
    const { store, signal } = this.#order;
    for await (const record of ownerRecordsOf(this.#before, { store, from: null, signal })) {
      if (record.kind !== 'entry' || record.entry.kind !== 'checkpoint') break;
      this.#know(record.entry);
    }
  }

  #know(entry: CheckpointEntry): void {
    const twin = this.#entries.get(entry.number);
    this.#entries.set(entry.number, twin ? bothCheckpoints(twin, entry) : entry);
  }

  async #keep(manifest: Uint8Array): Promise<KeptSegment[]> {
    const segments = await this.#order.store.put(listed([manifest]), this.#order.signal);
    for (const { key, placement } of segments) this.#stored.set(key.segmentId, placement);
    return segments;
  }

  /** The entry that names everything, with the places of what is new; it lets go what only older ones named. */
  async #record(number: number, previous: number, manifests: readonly KeptSegment[]): Promise<void> {
    const runs = [...this.#owner, ...this.#repair].flatMap(({ segments }) => segments);
    const names = [...runs, ...manifests].map(({ key }) => key.segmentId);
    const segments = [...new Set([...names, ...this.#packs])];
    const used = new Set([...segments, ...(this.#entries.get(previous)?.segments ?? [])]);
    const released = new Set(this.#alive(number, previous).flatMap((entry) => entry.segments.filter((id) => !used.has(id))));
    const added = segments.flatMap((id) => this.#stored.get(id) ?? []);
    await this.#order.record({ kind: 'checkpoint', number, previous, segments }, { added, released: [...released] });
  }

  /** Entries that held segments up to now: the last one, and the one that it named as the one before. */
  #alive(number: number, previous: number): CheckpointEntry[] {
    const last = Math.max(0, ...[...this.#entries.keys()].filter((one) => one < number));
    const numbers = [last, this.#entries.get(last)?.previous ?? 0].filter((one) => one !== previous);
    return [...new Set(numbers)].flatMap((one) => this.#entries.get(one) ?? []);
  }

  async #publish(
    state: BucketState,
    number: number,
    ownerSegments: readonly KeptSegment[],
    repairSegments: readonly KeptSegment[],
  ): Promise<CheckpointStatement> {
    const { link, owner, bucketId, keeper, roots, sealKeys, signal } = this.#order;
    const name = { owner, bucketId, number };
    const seal = (key: Uint8Array, segments: readonly KeptSegment[]) =>
      sealReference(key, name, segments, link.runtime.random(NONCE_BYTES));
    const body: CheckpointStatement = {
      kind: 'checkpoint',
      ...name,
      horizonMs: this.#horizonMs,
      covers: this.#covers(state),
      ownerManifest: seal(ownerManifestKey(sealKeys.bucketSecret), ownerSegments),
      repairManifest: seal(repairManifestKey(sealKeys.repairKey), repairSegments),
      issuedMs: link.runtime.nowMs(),
    };
    const statement = signRootStatement(keeper, body);
    await publishRoots(link, { owner, statements: [statement], known: roots.statements, also: state.set.members, signal });
    return body;
  }

  #covers(state: BucketState): CheckpointStatement['covers'] {
    const sinceMs = this.#order.link.runtime.nowMs() - FORGET_CLOSED_MS;
    const covers = state.logs
      .filter(({ log }) => (log.closed?.closedMs ?? Infinity) > sinceMs)
      .flatMap(({ log: { logId } }) => {
        const head = this.#vector.get(logId);
        return head ? [{ logId, seq: head.seq }] : [];
      });
    if (covers.length > MAX_COVERED_LOGS) {
      throw new LogError(
        'TooLarge',
        `Bucket ${state.bucketId} has ${covers.length} logs at once: no statement can name them all.`,
      );
    }
    return covers;
  }
}

function packedVersion(record: OwnerRecord): PackedVersion | null {
  if (record.kind !== 'entry' || record.entry.kind !== 'put' || !record.entry.packed) return null;
  const { key, versionId, packed } = record.entry;
  return { key, versionId, packed };
}

function mergeCount(runs: readonly Run[], freshBytes: number): number {
  return runsToMerge(
    freshBytes,
    runs.map(({ recordBytes }) => recordBytes),
  );
}

async function* listed<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
async function* kept<T>(items: AsyncIterable<T>, keeps: (item: T) => boolean): AsyncGenerator<T> {
  for await (const item of items) if (keeps(item)) yield item;
}
