// Leaves of a few stripes, from enough holders: the data pieces where their farmers are well, any `required`
// pieces where not. Who is late is helped out by another, who fails is replaced, who lies is blamed.
import type { SegmentGeometry } from '#node/core/segments.ts';
import { sortedBy } from '#node/core/sorted-by.ts';
import { CallError } from '#node/net/net.ts';
import { LEAF_BYTES, type PublicKey, type SegmentPlacement } from '#node/wire/types.ts';
import { LeafMemory } from './block-pool.ts';
import type { Client } from './client.ts';
import { addressOf } from './farm-view.ts';
import { getLeaves, PieceError } from './piece-calls.ts';

export interface Holder {
  pieceNumber: number;
  farmer: PublicKey;
}
export interface WindowInput {
  client: Client;
  owner: PublicKey;
  placement: SegmentPlacement;
  geometry: SegmentGeometry;
  firstStripe: number;
  endStripe: number;
  /** Data pieces that alone would do. */
  wanted: readonly number[];
  /** Known holders; those that proved useless for this segment are taken out. */
  holders: Set<Holder>;
  signal: AbortSignal;
}

/** Leaves by piece number: all that are wanted, or `required` of any. */
export type FetchedWindow = ReadonlyMap<number, FetchedPiece>;
interface FetchedPiece {
  leaves: Uint8Array[];
  /** To be released when the leaves have been decoded. */
  memory: LeafMemory;
}

/** The last of a window gets this many times what the others took before it is helped out. */
const HEDGE_FACTOR = 3;
const MIN_HEDGE_MS = 30;

export class TooFewHolders extends Error {
  readonly code = 'TooFewHolders';
}

/** Rejects with TooFewHolders when nobody is left to ask, or with the signal's reason. */
export async function fetchWindow(input: WindowInput): Promise<FetchedWindow> {
  const fetch = new WindowFetch(input);
  try {
    return await fetch.run();
  } finally {
    fetch.stop();
  }
}

class WindowFetch {
  readonly #input: WindowInput;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #got = new Map<number, FetchedPiece>();
  readonly #running = new Map<Holder, { startMs: number }>();
  readonly #tried = new Set<Holder>();
  readonly #ready: Holder[];
  #fastestMs: number | null = null;
  #lastHedgeMs: number;
  #lastError: unknown = null;
  #changed: () => void = () => {};

  constructor(input: WindowInput) {
    this.#input = input;
    this.#signal = AbortSignal.any([input.signal, this.#abort.signal]);
    this.#ready = this.#inOrder();
    this.#lastHedgeMs = input.client.runtime.elapsedMs();
  }

  async run(): Promise<FetchedWindow> {
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#isEnough(new Set(this.#got.keys()))) return this.#got;
      this.#startNeeded();
      if (this.#running.size === 0) {
        throw new TooFewHolders(`No holder is left that answers; the last one said: ${String(this.#lastError)}`, {
          cause: this.#lastError,
        });
      }
      await this.#changeOrHedge();
    }
  }

  stop(): void {
    this.#abort.abort(new CallError('Aborted', 'Enough pieces were read.'));
  }

  #isEnough(pieces: ReadonlySet<number>): boolean {
    const { wanted, placement } = this.#input;
    return pieces.size >= placement.scheme.required || wanted.every((piece) => pieces.has(piece));
  }

  /** Wanted pieces on well farmers, then all others by speed, then whoever was silent lately or counts as lost. */
  #inOrder(): Holder[] {
    const { client, holders, wanted } = this.#input;
    const all = [...holders];
    const isWell = ({ farmer }: Holder) => client.health.answers(farmer) && !client.health.isSlow(farmer);
    const lost = new Set(client.farm.current().members.flatMap(({ farmer, state }) => (state === 'Lost' ? [farmer] : [])));
    const order = client.health.ranked(all.map(({ farmer }) => farmer));
    const rank = (holder: Holder) => {
      if (lost.has(holder.farmer)) return all.length + order.indexOf(holder.farmer);
      return isWell(holder) && wanted.includes(holder.pieceNumber) ? -1 : order.indexOf(holder.farmer);
    };
    return sortedBy(all, rank);
  }

  /** Asks further holders until what is there and what is on its way would be enough. */
  #startNeeded(): void {
    const onTheWay = () => new Set([...this.#got.keys(), ...[...this.#running.keys()].map(({ pieceNumber }) => pieceNumber)]);
    while (!this.#isEnough(onTheWay()) && this.#startNext(onTheWay())) {
      // One more is on its way.
    }
  }

  /** The best holder of a piece that nobody brings yet; false where there is none. */
  #startNext(known: ReadonlySet<number>): boolean {
    const next = this.#ready.find((holder) => !this.#tried.has(holder) && !known.has(holder.pieceNumber));
    if (!next) return false;
    this.#tried.add(next);
    this.#running.set(next, { startMs: this.#input.client.runtime.elapsedMs() });
    void this.#fetch(next).finally(() => {
      this.#running.delete(next);
      this.#changed();
    });
    return true;
  }

  async #fetch(holder: Holder): Promise<void> {
    const { client, owner, placement, geometry, firstStripe, endStripe, signal } = this.#input;
    const abort = new AbortController();
    const progress = stallWatch(client, abort);
    const startMs = client.runtime.elapsedMs();
    try {
      const address = addressOf(client.farm.current(), holder.farmer);
      if (!address) throw new CallError('NotFound', 'The farm does not know this farmer (any more).');
      const leaves: Uint8Array[] = [];
      const wanted = {
        owner,
        placement,
        geometry,
        pieceNumber: holder.pieceNumber,
        firstLeaf: firstStripe,
        leafCount: endStripe - firstStripe,
      };
      const both = AbortSignal.any([this.#signal, abort.signal]);
      const memory = new LeafMemory(client.blocks, wanted.leafCount * LEAF_BYTES);
      for await (const leaf of getLeaves(client.network, address, wanted, memory, both, progress.moved)) leaves.push(leaf);
      const tookMs = client.runtime.elapsedMs() - startMs;
      client.health.good(holder.farmer, 'read', tookMs / leaves.length);
      this.#fastestMs ??= tookMs;
      this.#got.set(holder.pieceNumber, { leaves, memory });
    } catch (error) {
      if (this.#abort.signal.aborted || signal.aborted) {
        // Not needed any more. What it took so far says that it isn't faster.
        client.health.slow(holder.farmer, (client.runtime.elapsedMs() - startMs) / (endStripe - firstStripe));
        return;
      }
      this.#lastError = error;
      this.#blame(holder, error);
    } finally {
      progress.stop();
    }
  }

  #blame(holder: Holder, error: unknown): void {
    const { client, holders } = this.#input;
    const isGone = error instanceof CallError && ['NotFound', 'Corrupt', 'Forbidden'].includes(error.code);
    if (error instanceof PieceError) client.health.lied(holder.farmer);
    else if (!isGone) client.health.bad(holder.farmer);
    if (isGone || error instanceof PieceError) holders.delete(holder);
  }

  /** Until a fetch ends, or the last ones are so late that one more farmer is asked. */
  async #changeOrHedge(): Promise<void> {
    const { client } = this.#input;
    const changed = new Promise<void>((resolve) => (this.#changed = resolve));
    const over = new AbortController();
    const timer = client.runtime.sleep(this.#hedgeInMs(), AbortSignal.any([this.#signal, over.signal])).then(
      () => this.#hedge(),
      () => {},
    );
    const aborted = new Promise<void>((resolve) =>
      this.#signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal }),
    );
    await Promise.race([changed, timer, aborted]);
    over.abort();
  }

  /** By the measured tail; once somebody has delivered, by what that took. */
  #hedgeInMs(): number {
    const { client, firstStripe, endStripe } = this.#input;
    const { hedgeMs, stallMs } = client.limits;
    const tailMs = client.health.tailMs();
    const usualMs = tailMs === null ? hedgeMs : Math.min(stallMs, tailMs * (endStripe - firstStripe));
    const limitMs = Math.max(MIN_HEDGE_MS, Math.min(usualMs, HEDGE_FACTOR * (this.#fastestMs ?? Infinity)));
    return Math.max(1, this.#lastHedgeMs + limitMs - client.runtime.elapsedMs());
  }

  #hedge(): void {
    this.#lastHedgeMs = this.#input.client.runtime.elapsedMs();
    const known = new Set([...this.#got.keys(), ...[...this.#running.keys()].map(({ pieceNumber }) => pieceNumber)]);
    // A piece on its way from a slow holder may also come from another of the same piece: last resort.
    if (!this.#startNext(known)) this.#startNext(new Set(this.#got.keys()));
  }
}

/** Aborts what has brought no byte for the stall limit. */
function stallWatch(client: Client, abort: AbortController): { moved: () => void; stop: () => void } {
  const over = new AbortController();
  let lastMs = client.runtime.elapsedMs();
  const { stallMs } = client.limits;
  void (async () => {
    try {
      for (;;) {
        await client.runtime.sleep(Math.max(10, stallMs / 4), over.signal);
        if (client.runtime.elapsedMs() - lastMs > stallMs)
          abort.abort(new CallError('Unreachable', `No byte came for ${stallMs} ms.`));
      }
    } catch {
      // Stopped.
    }
  })();
  return { moved: () => (lastMs = client.runtime.elapsedMs()), stop: () => over.abort() };
}
