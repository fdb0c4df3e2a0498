// A sorted run on its way into segments: records are cut into blocks, index nodes grow beside them and are
// written as they fill, so that whatever the run's length one block and one node for each level are held.
import { encodeIndexBlock, encodeRecordBlock, type IndexEntry, type Run } from '#node/wire/checkpoints.ts';
import type { RunFamily } from './run-families.ts';
import type { SegmentStore } from './segment-store.ts';

/** Before compression: one block is then read with one or two leaves. */
const RECORDS_BYTES = 64 * 1024;
const NODE_BYTES = 32 * 1024;
const NODE_ENTRY_BYTES = 24;

/** Stores the records; null where there are none. */
export async function writeRun<Rec>(
  store: SegmentStore,
  family: RunFamily<Rec>,
  records: AsyncIterable<Rec>,
  signal: AbortSignal,
): Promise<Run | null> {
  const builder = new RunBuilder(family);
  const first = builder.blocks(records);
  const start = await first.next();
  if (start.done) return null;
  const segments = await store.put(continued(start.value, first), signal);
  return { segments, ...builder.result() };
}

async function* continued(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}

interface Level {
  entries: IndexEntry[];
  bytes: number;
}

class RunBuilder<Rec> {
  readonly #family: RunFamily<Rec>;
  readonly #levels: Level[] = [];
  #block: Uint8Array[] = [];
  #blockBytes = 0;
  #first: Uint8Array | null = null;
  #offset = 0;
  #records = 0;
  #recordBytes = 0;
  #root: IndexEntry | null = null;
  #depth = 0;

  constructor(family: RunFamily<Rec>) {
    this.#family = family;
  }

  async *blocks(records: AsyncIterable<Rec>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const record of records) {
      const bytes = this.#family.encode(record);
      if (this.#blockBytes > 0 && this.#blockBytes + bytes.length > RECORDS_BYTES) yield* this.#endBlock();
      this.#first ??= this.#family.positionOf(record);
      this.#block.push(bytes);
      this.#blockBytes += bytes.length;
      this.#records += 1;
      this.#recordBytes += bytes.length;
    }
    if (this.#blockBytes > 0) yield* this.#endBlock();
    yield* this.#endLevels();
  }

  result(): Omit<Run, 'segments'> {
    const { offset, sizeBytes } = this.#root!;
    return { root: { offset, sizeBytes }, depth: this.#depth, records: this.#records, recordBytes: this.#recordBytes };
  }

  *#endBlock(): Generator<Uint8Array> {
    const block = encodeRecordBlock(this.#block);
    const entry = { first: this.#first!, offset: this.#offset, sizeBytes: block.length };
    this.#block = [];
    this.#blockBytes = 0;
    this.#first = null;
    this.#offset += block.length;
    yield block;
    yield* this.#index(0, entry);
  }

  *#index(height: number, entry: IndexEntry): Generator<Uint8Array> {
    const full = this.#levels[height];
    const bytes = NODE_ENTRY_BYTES + entry.first.length;
    if (full && full.entries.length > 1 && full.bytes + bytes > NODE_BYTES) yield* this.#endNode(height);
    const level = (this.#levels[height] ??= { entries: [], bytes: 0 });
    level.entries.push(entry);
    level.bytes += bytes;
  }

  *#endNode(height: number): Generator<Uint8Array> {
    const level = this.#levels[height]!;
    const block = encodeIndexBlock(level.entries);
    const entry = { first: level.entries[0]!.first, offset: this.#offset, sizeBytes: block.length };
    this.#levels[height] = { entries: [], bytes: 0 };
    this.#offset += block.length;
    yield block;
    yield* this.#index(height + 1, entry);
  }

  /** What is open, from the lowest level up, until one entry is left: the root. */
  *#endLevels(): Generator<Uint8Array> {
    for (let height = 0; height < this.#levels.length; height++) {
      const { entries } = this.#levels[height]!;
      const isTop = height === this.#levels.length - 1;
      if (isTop && entries.length === 1) {
        this.#root = entries[0]!;
        this.#depth = height;
        return;
      }
      if (entries.length > 0) yield* this.#endNode(height);
    }
  }
}
