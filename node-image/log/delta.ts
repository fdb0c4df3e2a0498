// What batches say, collected until it is worth a run: records of both families, merged and sorted in memory
// of bounded size, and the bytes of small objects moved into packs.
import { toHex } from '#node/core/ids.ts';
import { ownerRecords, repairRecords, type RecordFamily } from '#node/core/run-records.ts';
import { MAX_SEGMENT_PLAIN_BYTES } from '#node/core/segments.ts';
import { lowerBound } from '#node/core/lower-bound.ts';
import { TAG_BYTES } from '#node/core/sealing.ts';
import { sealPacked, type KeptSegment, type OwnerRecord, type RepairRecord } from '#node/wire/checkpoints.ts';
import type { PutEntry } from '#node/wire/types.ts';
import type { ReadBatch } from './log-reader.ts';
import { OWNER_RUNS, REPAIR_RUNS } from './run-families.ts';
import type { Runtime } from './runtime.ts';
import type { SegmentStore } from './segment-store.ts';

/** Smaller ones stay in their record: naming a pack costs as much. */
const MIN_PACKED_BYTES = 256;

/** Records of one family by place. */
class RecordTable<Rec> {
  readonly #family: RecordFamily<Rec>;
  readonly #records = new Map<string, Rec>();
  #sorted: [at: string, record: Rec][] | null = null;
  constructor(family: RecordFamily<Rec>) {
    this.#family = family;
  }
  add(record: Rec): void {
    const at = toHex(this.#family.positionOf(record));
    const before = this.#records.get(at);
    this.#records.set(at, before === undefined ? record : this.#family.merge(before, record));
    this.#sorted = null;
  }
  get size(): number {
    return this.#records.size;
  }
  /** In order, from a position on. */
  *from(position: Uint8Array): Generator<Rec, void, undefined> {
    this.#sorted ??= [...this.#records].sort(([a], [b]) => (a < b ? -1 : 1));
    const sorted = this.#sorted;
    const from = toHex(position);
    for (let i = lowerBound(sorted.length, (one) => sorted[one]![0] >= from); i < sorted.length; i++) yield sorted[i]![1];
  }
}

const START: Uint8Array = new Uint8Array(0);

export class Delta {
  readonly #owner = new RecordTable(OWNER_RUNS);
  readonly #repair = new RecordTable(REPAIR_RUNS);
  /** Of batches without inline bytes, and of these. */
  headBytes = 0;
  inlineBytes = 0;

  add({ log, entries, repair, placements, bytes }: ReadBatch): void {
    const inlineBytes = (entries ?? []).reduce((sum, entry) => sum + ('inline' in entry ? (entry.inline?.length ?? 0) : 0), 0);
    this.inlineBytes += inlineBytes;
    this.headBytes += bytes.length - inlineBytes;
    for (const entry of entries ?? []) for (const record of ownerRecords(log.logId, entry)) this.#owner.add(record);
    for (const record of repairRecords(repair, placements)) this.#repair.add(record);
  }

  get isEmpty(): boolean {
    return this.#owner.size === 0 && this.#repair.size === 0;
  }
  /** In order, from a position on. */
  ownerRecords(from = START): Generator<OwnerRecord, void, undefined> {
    return this.#owner.from(from);
  }
  repairRecords(from = START): Generator<RepairRecord, void, undefined> {
    return this.#repair.from(from);
  }
}

interface Packable {
  entry: PutEntry;
  inline: Uint8Array;
}

/**
 * Stores the inline bytes of these records in packs, each sealed under a key of its own, and changes the
 * records to name them. Resolves with the packs.
 */
export async function packInline(
  store: SegmentStore,
  runtime: Runtime,
  records: readonly OwnerRecord[],
  signal: AbortSignal,
): Promise<KeptSegment[]> {
  const packs: KeptSegment[] = [];
  for (const group of groups(records)) {
    const places: { entry: PutEntry; key: Uint8Array; offset: number }[] = [];
    const [pack, ...more] = await store.put(sealedBytes(runtime, group, places), signal);
    if (!pack || more.length > 0) throw new RangeError('A pack is exactly one segment.');
    for (const { entry, key, offset } of places) {
      delete entry.inline;
      entry.packed = { segment: pack.key, offset, key };
    }
    packs.push(pack);
  }
  return packs;
}

/** In order, as many as fit into one segment. */
function* groups(records: readonly OwnerRecord[]): Generator<Packable[]> {
  let group: Packable[] = [];
  let bytes = 0;
  for (const record of records) {
    if (record.kind !== 'entry' || record.entry.kind !== 'put') continue;
    const { entry } = record;
    const { inline } = entry;
    if (!inline || inline.length < MIN_PACKED_BYTES) continue;
    if (bytes + inline.length + TAG_BYTES > MAX_SEGMENT_PLAIN_BYTES) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push({ entry, inline });
    bytes += inline.length + TAG_BYTES;
  }
  if (group.length > 0) yield group;
}

async function* sealedBytes(
  runtime: Runtime,
  group: readonly Packable[],
  places: { entry: PutEntry; key: Uint8Array; offset: number }[],
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (const { entry, inline } of group) {
    const key = runtime.random(32);
    places.push({ entry, key, offset });
    const sealed = sealPacked(key, inline);
    offset += sealed.length;
    yield sealed;
  }
}
