// Keeps the index's judgement up to date: after a log is read, after a piece has moved, and whenever a
// farmer's state changes, for just the segments that this concerns.
import {
  movesUpTo,
  segmentHealth,
  type FarmerState,
  type FarmSize,
  type SegmentHealth,
  type SegmentHolders,
} from '#node/core/segment-health.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { FarmerWatch } from './farmer-watch.ts';
import type { IndexedSegment, SegmentIndex } from './segment-index.ts';

/** Segments judged in one turn of the event loop. */
const PAGE = 200;

/** Pure: holders that leave or are lost while their piece still needs another holder. */
export function piecesToMove(
  segment: SegmentHolders,
  health: SegmentHealth,
  stateOf: (farmer: PublicKey) => FarmerState,
  farm: FarmSize,
): { pieceNumber: number; farmer: PublicKey }[] {
  if (!health.queued) return [];
  const moving = health.staying < movesUpTo(segment.scheme, farm) ? health.leaving : [];
  return [...health.missing, ...moving].flatMap((pieceNumber) =>
    (segment.holders[pieceNumber] ?? [])
      .filter((farmer) => ['Leaving', 'Lost'].includes(stateOf(farmer)))
      .map((farmer) => ({ pieceNumber, farmer })),
  );
}

export class Judge {
  readonly #index: SegmentIndex;
  readonly #watch: FarmerWatch;
  readonly #runtime: Runtime;
  /** As the index was last judged by. */
  readonly #known = new Map<PublicKey, FarmerState>();
  /** The same, once all of a farmer's segments are judged by it. */
  readonly #followed = new Map<PublicKey, FarmerState>();
  #activeFarmers = -1;
  #domains: string | null = null;

  constructor(index: SegmentIndex, watch: FarmerWatch, runtime: Runtime) {
    this.#index = index;
    this.#watch = watch;
    this.#runtime = runtime;
  }

  /** Health of one segment as of now, noted in the index. */
  judge(segment: IndexedSegment): SegmentHealth {
    const stateOf = (farmer: PublicKey) => this.#watch.state(farmer);
    const farm = this.#watch.size();
    const found = this.#asReadersFindIt(segment);
    const health = segmentHealth(found, stateOf, farm);
    this.#index.setHealth(segment.id, health, piecesToMove(found, health, stateOf, farm), this.#runtime.nowMs());
    return health;
  }

  /** A new holder counts when the readers of every bucket that names the segment have heard of it. */
  #asReadersFindIt(segment: IndexedSegment): IndexedSegment {
    const untold = segment.isInSeveralBuckets ? this.#index.untoldMovesOf(segment) : [];
    if (untold.length === 0) return segment;
    const isUntold = new Set(untold.map(({ move }) => `${move.pieceNumber} ${move.farmer}`));
    const holders = segment.holders.map((farmers, piece) => farmers.filter((farmer) => !isUntold.has(`${piece} ${farmer}`)));
    return { ...segment, holders };
  }

  judgeAll(ids: Iterable<number>): void {
    for (const id of ids) {
      const segment = this.#index.segment(id);
      if (segment) this.judge(segment);
    }
  }

  /** Looks whose state has changed and judges their segments again. True when anything had. */
  async followStates(signal: AbortSignal): Promise<boolean> {
    const changed = this.#index.farmers().filter((farmer) => this.#known.get(farmer) !== this.#watch.state(farmer));
    const { activeFarmers } = this.#watch.size();
    const resized = activeFarmers !== this.#activeFarmers;
    // Where the farmers are decides what is crowded, and may do so for any segment.
    if (this.#movedDomains()) await this.#pages((after) => this.#index.allSegments(after, PAGE), signal);
    // The number of farmers decides which spare pieces of leaving ones must move.
    const concerned = resized
      ? new Set([...changed, ...this.#index.farmers().filter((farmer) => this.#watch.state(farmer) === 'Leaving')])
      : new Set(changed);
    this.#activeFarmers = activeFarmers;
    for (const farmer of concerned) {
      this.#known.set(farmer, this.#watch.state(farmer));
      await this.#pages((after) => this.#index.segmentsOn(farmer, after, PAGE), signal);
      this.#followed.set(farmer, this.#known.get(farmer)!);
    }
    return resized || changed.length > 0;
  }

  /** Whether the index counts this farmer's pieces by the state that it has now. */
  hasFollowed(farmer: PublicKey): boolean {
    return this.#followed.get(farmer) === this.#watch.state(farmer);
  }

  /** True when domains that several farmers share have changed. */
  #movedDomains(): boolean {
    const sizes = this.#watch.size().domains?.sizes ?? new Map<string, number>();
    const shared = this.#watch.members().filter(({ domain }) => (sizes.get(domain) ?? 0) > 1);
    const now = [
      ...shared.map(({ farmer, domain }) => `${farmer} ${domain}`).sort(),
      ...[...sizes].filter(([, size]) => size > 1).map(([domain, size]) => `${domain} ${size}`),
      `${shared.length > 0 ? sizes.size : 0}`,
    ].join('\n');
    const before = this.#domains;
    this.#domains = now;
    // At first all segments are judged anyway.
    return before !== null && before !== now;
  }

  async #pages(next: (after: number) => number[], signal: AbortSignal): Promise<void> {
    let after = 0;
    for (;;) {
      signal.throwIfAborted();
      const ids = next(after);
      const last = ids.at(-1);
      if (last === undefined) return;
      this.#index.transaction(() => this.judgeAll(ids));
      after = last;
      await this.#runtime.turn();
    }
  }
}
