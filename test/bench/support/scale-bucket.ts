// A bucket of so many objects as a checkpoint's runs have it, made up as it streams by: half of the objects small ones
// in packs, half with a segment of their own, each known again by its number alone. Runs lie in levels as makers leave them.
import { plainToCipherBytes, segmentId } from '#node/core/segments.ts';
import { OWNER_RUNS, REPAIR_RUNS } from '#node/log/run-families.ts';
import { writeRun } from '#node/log/run-writer.ts';
import type { SegmentStore } from '#node/log/segment-store.ts';
import type { OwnerRecord, RepairRecord, Run } from '#node/wire/checkpoints.ts';
import type { PutEntry, SegmentKey, SegmentPlacement } from '#node/wire/types.ts';

export const LOG = 'c1'.repeat(32);
export const SCHEME = { required: 4, repair: 5, optimal: 6, total: 6 };
export const FARMERS = Array.from({ length: 6 }, (_, i) => String(i).padStart(64, '0'));
const SIZE_BYTES = plainToCipherBytes(8_000_000);
/** Objects between two packs; every second one is in them. */
const PER_PACK = 32_000;
/** About what one making adds: the newest run. */
const NEWEST_RUN = 25_000;
/** An older run has so many times the records of all newer ones together. */
const RATIO = 4;
const FOLDERS = 365;
const never = new AbortController().signal;

/** Numbers from `first` on, up to `end`. */
interface Range {
  first: number;
  end: number;
}

/** Newest run first. */
function levels(objects: number): Range[] {
  const ranges: Range[] = [];
  for (let first = 0; first < objects;) {
    const left = objects - first;
    const count = left <= NEWEST_RUN ? left : Math.ceil((left * RATIO) / (RATIO + 1));
    ranges.unshift({ first, end: first + count });
    first += count;
  }
  return ranges;
}

export async function writeOwnerRuns(store: SegmentStore, objects: number): Promise<Run[]> {
  const runs: Run[] = [];
  for (const range of levels(objects)) runs.push((await writeRun(store, OWNER_RUNS, ownerRecords(range), never))!);
  return runs;
}

export async function writeRepairRuns(store: SegmentStore, objects: number): Promise<Run[]> {
  const runs: Run[] = [];
  for (const range of levels(objects)) runs.push((await writeRun(store, REPAIR_RUNS, repairRecords(range), never))!);
  return runs;
}

export function packs(objects: number): string[] {
  return Array.from({ length: Math.ceil(objects / PER_PACK) }, (_, i) => placementOf(packNumber(i * PER_PACK)).segmentId);
}

/** One that a writer puts behind all others: small ones aren't packed yet. */
export function newObject(number: number): { entry: PutEntry; placement: SegmentPlacement | null } {
  const { packed, ...entry } = putEntry(number);
  if (!packed) return { entry, placement: placementOf(number) };
  return { entry: { ...entry, inline: new Uint8Array(entry.sizeBytes).fill(number) }, placement: null };
}

async function* ownerRecords({ first, end }: Range): AsyncGenerator<OwnerRecord> {
  for (let folder = 0; folder < FOLDERS; folder++) {
    const from = first + ((folder - (first % FOLDERS) + FOLDERS) % FOLDERS);
    for (let i = from; i < end; i += FOLDERS) yield { kind: 'entry', logId: LOG, entry: putEntry(i) };
  }
}

/** In the order of segments' ids, which follow no order of the objects: eight bytes are held for each to sort them. */
async function* repairRecords({ first, end }: Range): AsyncGenerator<RepairRecord> {
  const numbers: number[] = [];
  for (let i = PER_PACK * Math.ceil(first / PER_PACK); i < end; i += PER_PACK) numbers.push(packNumber(i));
  const places = new BigUint64Array(numbers.length + Math.floor(end / 2) - Math.floor(first / 2));
  const words = new Uint32Array(places.buffer);
  for (let at = 0, i = first; at < places.length; at++) {
    while (isSmall(i)) i++;
    const number = numbers[at] ?? i++;
    words[2 * at] = number;
    words[2 * at + 1] = Number.parseInt(placementOf(number).segmentId.slice(0, 8), 16);
  }
  places.sort();
  // Ids that begin with the same eight digits are few and lie side by side.
  let same: SegmentPlacement[] = [];
  const inOrder = () => same.sort((a, b) => (a.segmentId < b.segmentId ? -1 : 1)).map(recordOf);
  for (let at = 0; at < places.length; at++) {
    if (at > 0 && words[2 * at + 1] !== words[2 * at - 1]) {
      yield* inOrder();
      same = [];
    }
    same.push(placementOf(words[2 * at]!));
  }
  yield* inOrder();
}
const recordOf = (placement: SegmentPlacement): RepairRecord => ({
  kind: 'segment',
  segmentId: placement.segmentId,
  live: true,
  placement,
});

function putEntry(i: number): PutEntry {
  return {
    kind: 'put',
    key: `photos/2026/${String(i % FOLDERS).padStart(3, '0')}/IMG_${String(i).padStart(9, '0')}.jpg`,
    versionId: noise('version', i).toString('hex', 0, 16),
    clock: { wallMs: 1_790_000_000_000 + i, counter: 0 },
    replaces: [],
    sizeBytes: isSmall(i) ? 4096 : 8_000_000,
    etag: noise('etag', i).toString('hex', 0, 16),
    modifiedMs: 1_790_000_000_000 + i,
    headers: { 'content-type': 'image/jpeg', 'x-amz-meta-device': 'phone' },
    checksums: [],
    ...(isSmall(i)
      ? { packed: { segment: packKey(i), offset: ((i % PER_PACK) / 2) * 4112, key: noise('own key', i) } }
      : { segments: [keyFor(i)] }),
  };
}

const isSmall = (i: number) => i % 2 === 0;
const packNumber = (i: number) => 2 ** 31 + Math.floor(i / PER_PACK);

/** Objects come folder by folder: one pack after the other would be asked for with each. */
const knownPacks = new Map<number, SegmentKey>();
function packKey(i: number): SegmentKey {
  const number = packNumber(i);
  const key = knownPacks.get(number) ?? keyFor(number);
  knownPacks.set(number, key);
  return key;
}

function placementOf(segment: number): SegmentPlacement {
  const root = noise('root', segment).toString('hex');
  const id = segmentId(root, SCHEME, SIZE_BYTES);
  return {
    segmentId: id,
    secret: noise('secret', segment),
    scheme: SCHEME,
    sizeBytes: SIZE_BYTES,
    root,
    farmers: FARMERS,
    createdMs: 1,
  };
}
function keyFor(segment: number): SegmentKey {
  return {
    segmentId: placementOf(segment).segmentId,
    key: noise('key', segment),
    commitment: noise('commitment', segment).subarray(0, 16),
    plainBytes: 8_000_000,
  };
}

const KINDS = ['version', 'etag', 'own key', 'root', 'secret', 'key', 'commitment'] as const;
/** 32 bytes that nothing compresses, always the same for the same number: a mixing of the number (murmur3), as hashes would take most of the time. */
function noise(kind: (typeof KINDS)[number], number: number): Buffer {
  const bytes = Buffer.allocUnsafe(32);
  let state = (Math.imul(number, 0x9e37_79b1) ^ Math.imul(KINDS.indexOf(kind) + 1, 0x85eb_ca77)) | 0;
  for (let at = 0; at < 32; at += 4) {
    state = (state + 0x6d2b_79f5) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2_ae35);
    bytes.writeInt32LE(word ^ (word >>> 16) ^ (at === 28 ? number : 0), at);
  }
  return bytes;
}
