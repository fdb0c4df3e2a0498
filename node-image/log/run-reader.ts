// Reading a run: from a position on, block by block, never more than a block and one index node for each
// level at once. What is looked up again and again (the upper nodes) stays in a small cache.
import { lowerBound } from '#node/core/lower-bound.ts';
import { decodeIndexBlock, decodeRecordBlock, type BlockPlace, type IndexEntry, type Run } from '#node/wire/checkpoints.ts';
import type { RunFamily } from './run-families.ts';
import type { SegmentStore } from './segment-store.ts';

/** Decompressed blocks that are kept, over all runs that share the cache. */
const MAX_CACHED_BLOCKS = 64;
/** Whoever runs through a whole run fetches so much at once. */
const AHEAD_BYTES = 1024 * 1024;

/** Blocks used lately. */
export class BlockCache {
  readonly #max: number;
  readonly #blocks = new Map<string, unknown>();
  constructor(max = MAX_CACHED_BLOCKS) {
    this.#max = max;
  }
  get size(): number {
    return this.#blocks.size;
  }
  async get<Block>(name: string, load: () => Promise<Block>): Promise<Block> {
    const known = this.#blocks.get(name) as Block | undefined;
    this.#blocks.delete(name);
    const block = known ?? (await load());
    this.#blocks.set(name, block);
    if (this.#blocks.size > this.#max) this.#blocks.delete(this.#blocks.keys().next().value ?? '');
    return block;
  }
}

export interface ReadRunInput<Rec> {
  store: SegmentStore;
  family: RunFamily<Rec>;
  run: Run;
  /** The first record that is given is the first at or behind it; null = from the start. */
  from: Uint8Array | null;
  /** For look-ups; without one the run is read through with few, large reads. */
  cache?: BlockCache;
  signal: AbortSignal;
}

export async function* readRun<Rec>(input: ReadRunInput<Rec>): AsyncGenerator<Rec, void, undefined> {
  const { family, run, from } = input;
  for await (const frames of recordBlocks(new BlockSource(input), run.root, run.depth, from)) {
    const start = from === null ? 0 : firstAt(family, frames, from);
    for (let i = start; i < frames.length; i++) yield family.decode(frames[i]!);
  }
}

async function* recordBlocks(
  source: BlockSource,
  place: BlockPlace,
  depth: number,
  from: Uint8Array | null,
): AsyncGenerator<Uint8Array[], void, undefined> {
  if (depth === 0) {
    yield await source.records(place);
    return;
  }
  const entries = await source.node(place);
  for (let i = from === null ? 0 : childFor(entries, from); i < entries.length; i++) {
    yield* recordBlocks(source, entries[i]!, depth - 1, from);
  }
}

/** The last child that begins at or before the position. */
function childFor(entries: readonly IndexEntry[], from: Uint8Array): number {
  const after = lowerBound(entries.length, (i) => Buffer.compare(entries[i]!.first, from) > 0);
  return Math.max(0, after - 1);
}

function firstAt<Rec>(family: RunFamily<Rec>, frames: readonly Uint8Array[], from: Uint8Array): number {
  return lowerBound(frames.length, (i) => Buffer.compare(family.positionOf(family.decode(frames[i]!)), from) >= 0);
}

/** Bytes of blocks, from the cache, from what was read ahead, or from the farmers. */
class BlockSource {
  readonly #input: Pick<ReadRunInput<unknown>, 'store' | 'run' | 'cache' | 'signal'>;
  readonly #sizeBytes: number;
  readonly #name: string;
  #ahead: { offset: number; bytes: Uint8Array } = { offset: 0, bytes: new Uint8Array(0) };

  constructor(input: Pick<ReadRunInput<unknown>, 'store' | 'run' | 'cache' | 'signal'>) {
    this.#input = input;
    this.#sizeBytes = input.run.segments.reduce((sum, { key }) => sum + key.plainBytes, 0);
    this.#name = input.run.segments[0]?.key.segmentId ?? '';
  }

  async records(place: BlockPlace): Promise<Uint8Array[]> {
    return await this.#block(place, decodeRecordBlock, (one) => this.#readAhead(one));
  }
  async node(place: BlockPlace): Promise<IndexEntry[]> {
    return await this.#block(place, decodeIndexBlock, ({ offset, sizeBytes }) => this.#read(offset, sizeBytes));
  }

  async #block<Block>(
    place: BlockPlace,
    decode: (bytes: Uint8Array) => Block,
    read: (place: BlockPlace) => Promise<Uint8Array>,
  ): Promise<Block> {
    const { cache } = this.#input;
    if (!cache) return decode(await read(place));
    const load = async () => decode(await this.#read(place.offset, place.sizeBytes));
    return await cache.get(`${this.#name} ${place.offset}`, load);
  }

  /** Blocks of records lie in order, with index nodes in between. */
  async #readAhead({ offset, sizeBytes }: BlockPlace): Promise<Uint8Array> {
    const from = offset - this.#ahead.offset;
    if (from < 0 || from + sizeBytes > this.#ahead.bytes.length) {
      const length = Math.min(Math.max(sizeBytes, AHEAD_BYTES), this.#sizeBytes - offset);
      this.#ahead = { offset, bytes: await this.#read(offset, length) };
    }
    return this.#ahead.bytes.subarray(offset - this.#ahead.offset).subarray(0, sizeBytes);
  }

  async #read(offset: number, sizeBytes: number): Promise<Uint8Array> {
    const { store, run, signal } = this.#input;
    return await store.read(run.segments, offset, sizeBytes, signal);
  }
}
