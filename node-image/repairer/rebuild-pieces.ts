// Rebuilds pieces of one segment: reads `required` pieces stripe by stripe, computes all n, sends the
// wanted ones on as they come, and only at the end, when the roots of all n pieces hash to the root that
// the writer signed, sends the footers that make farmers keep them. Memory: a few leaves for each piece.
import { PieceFeed } from '#node/client/piece-feed.ts';
import type { PieceSource, PieceTask } from '#node/core/repair-plan.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { Hash, Scheme } from '#node/wire/types.ts';

export interface Stored extends PieceTask {
  /** Signed receipt, checked. */
  receipt: Uint8Array;
  /** From the receipt's piece root to the segment's. */
  path: Uint8Array[];
}

/** What rebuilding needs of the network. */
export interface PieceLink {
  /** Leaves from `firstLeaf` on, each checked against the segment's root; it holds until the next is asked for. */
  read(source: PieceSource, firstLeaf: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined>;
  /** Sends a piece with its footer; answers the receipt, checked, also against the root (known when the body has been read). */
  put(task: PieceTask, pieceRoot: () => Hash, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array>;
}

/** What rebuilding computes: the code and the trees, one object for one segment. */
export interface PieceMath {
  stripes: number;
  /** Bytes of each piece's leaf in that stripe. */
  leafBytes(stripe: number): number;
  /** All n leaves of the next stripe from `required` of them. They hold until the event loop turns. */
  complete(have: { pieceNumber: number; leaf: Uint8Array }[], leafBytes: number): Uint8Array[];
  /** Roots, paths to the signed root and footers of all n pieces; null when they don't hash to it. */
  finish(): { pieceRoot: Hash; path: Uint8Array[]; footer: Uint8Array }[] | null;
}

export interface RebuildInput {
  scheme: Scheme;
  tasks: readonly PieceTask[];
  /** Best first; several for one piece number are tried in turn. */
  sources: readonly PieceSource[];
  link: PieceLink;
  math: PieceMath;
  /** Waits for its share of bandwidth. */
  spend(bytes: number, signal: AbortSignal): Promise<void>;
  runtime: Runtime;
  /** Longest wait for one leaf, from a source or to a new holder. */
  stallMs: number;
  /** Beside a source that takes longer for a leaf another is asked. */
  lateMs: number;
  signal: AbortSignal;
  onSourceFailed(source: PieceSource, error: unknown): void;
  onTargetFailed(task: PieceTask, error: unknown): void;
}

export class RebuildError extends Error {
  /** TooFewSources: fewer than `required` pieces could be read. NotACodeword: the pieces don't belong together. */
  readonly code: 'TooFewSources' | 'NotACodeword' | 'NoTargets';
  constructor(code: RebuildError['code'], message: string) {
    super(message);
    this.name = 'RebuildError';
    this.code = code;
  }
}

/** Leaves that may wait for one new holder: one is sent while the next is computed. */
const MAX_WAITING = 2;

/** Answers those that were stored, maybe fewer than asked for. Rejects with RebuildError when none can be. */
export async function rebuildPieces(input: RebuildInput): Promise<Stored[]> {
  const abort = new AbortController();
  const signal = AbortSignal.any([input.signal, abort.signal]);
  const readers = new SourceReaders(input, signal);
  let pieces: ReturnType<PieceMath['finish']> = null;
  const rootOf = (pieceNumber: number): Hash => pieces?.[pieceNumber]?.pieceRoot ?? '';
  const targets = input.tasks.map((task) => startTarget(task, () => rootOf(task.pieceNumber), input, signal));
  try {
    for (let stripe = 0; stripe < input.math.stripes; stripe++) {
      const leafBytes = input.math.leafBytes(stripe);
      await input.spend(leafBytes * (input.scheme.required + targets.length), signal);
      signal.throwIfAborted();
      const leaves = input.math.complete(await readers.stripe(stripe), leafBytes);
      // The computed leaves live in the codec's memory: what waits to be sent is a copy.
      await Promise.all(
        targets
          .filter((target) => !target.failed)
          .map((target) => pushTo(target, leaves[target.task.pieceNumber]!.slice(), input)),
      );
      if (targets.every((target) => target.failed)) throw new RebuildError('NoTargets', 'Every new holder failed: try others.');
    }
    pieces = input.math.finish();
    if (!pieces) {
      throw new RebuildError(
        'NotACodeword',
        'The pieces were each what the writer signed, but not of one segment: it can’t be rebuilt, only its pieces be kept.',
      );
    }
    for (const { feed, task } of targets) {
      feed.push(pieces[task.pieceNumber]!.footer);
      feed.end();
    }
    const receipts = await Promise.all(targets.map((target) => lastWord(target, input)));
    return targets.flatMap(({ task }, index) => {
      const receipt = receipts[index];
      return receipt ? [{ ...task, receipt, path: pieces![task.pieceNumber]!.path }] : [];
    });
  } catch (error) {
    for (const { feed } of targets) feed.fail(asError(error));
    abort.abort(error);
    await Promise.all(targets.map((target) => target.done));
    throw error;
  } finally {
    await readers.close();
  }
}

interface Target {
  task: PieceTask;
  feed: PieceFeed;
  abort: AbortController;
  failed: boolean;
  /** The receipt; null when it failed. */
  done: Promise<Uint8Array | null>;
}

function startTarget(task: PieceTask, pieceRoot: () => Hash, input: RebuildInput, signal: AbortSignal): Target {
  const feed = new PieceFeed();
  const abort = new AbortController();
  const ends = AbortSignal.any([signal, abort.signal]);
  const target: Target = {
    task,
    feed,
    abort,
    failed: false,
    done: input.link.put(task, pieceRoot, feed, ends).catch((error: unknown) => {
      target.failed = true;
      feed.fail(asError(error));
      if (!signal.aborted) input.onTargetFailed(task, error);
      return null;
    }),
  };
  return target;
}

/** A new holder that doesn't take its leaf in time is given up; the others go on. */
async function pushTo(target: Target, leaf: Uint8Array, { runtime, stallMs }: RebuildInput): Promise<void> {
  try {
    target.feed.push(leaf);
    await withinTime(runtime, target.feed.room(MAX_WAITING), stallMs);
  } catch (error) {
    giveUp(target, error);
  }
}

/** After the footer, the holder has to write it all down and sign. */
async function lastWord(target: Target, { runtime, stallMs }: RebuildInput): Promise<Uint8Array | null> {
  try {
    return await withinTime(runtime, target.done, stallMs);
  } catch (error) {
    giveUp(target, error);
    return null;
  }
}

function giveUp(target: Target, error: unknown): void {
  target.failed = true;
  target.feed.fail(asError(error));
  target.abort.abort(error);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

interface OpenSource {
  source: PieceSource;
  leaves: AsyncGenerator<Uint8Array, void, undefined>;
  abort: AbortController;
  /** Others were faster: its end is nobody's fault. */
  isDropped: boolean;
}
interface Leaf {
  pieceNumber: number;
  leaf: Uint8Array;
}

/** Late is also who takes so many times what is usual here. */
const LATE_FACTOR = 8;
const MAX_TIMES = 64;

/**
 * `required` open sources; one that fails is replaced by the next, from the same stripe on. Beside one that is late the
 * next is asked as well, and who comes last is let go.
 */
class SourceReaders {
  readonly #input: RebuildInput;
  readonly #signal: AbortSignal;
  readonly #spare: PieceSource[];
  readonly #open = new Map<number, OpenSource>();
  /** Of the newest leaves. */
  readonly #timesMs: number[] = [];

  constructor(input: RebuildInput, signal: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
    this.#spare = [...input.sources];
  }

  /** The leaves of one stripe, of `required` different pieces. */
  async stripe(stripe: number): Promise<Leaf[]> {
    const { scheme, runtime } = this.#input;
    const got: Leaf[] = [];
    const asked = new Map<number, Promise<Leaf | number>>();
    const over = new AbortController();
    const lateness = () => runtime.sleep(this.#lateMs(), over.signal).then(() => 'late' as const);
    let late: Promise<'late'> | null = null;
    try {
      while (got.length < scheme.required) {
        while (asked.size + got.length < scheme.required) {
          if (!this.#ask(stripe, got, asked)) throw tooFew(asked.size + got.length, scheme);
        }
        if (late === null) {
          late = lateness();
          late.catch(() => {});
        }
        const first = await Promise.race([...asked.values(), late]);
        if (first === 'late') {
          late = null;
          const bytes = this.#input.math.leafBytes(stripe);
          // It is on the bill, and nobody waits for that here.
          if (this.#ask(stripe, got, asked)) this.#input.spend(bytes, this.#signal).catch(() => {});
          continue;
        }
        asked.delete(typeof first === 'number' ? first : first.pieceNumber);
        if (typeof first !== 'number') got.push(first);
      }
    } finally {
      over.abort();
    }
    for (const pieceNumber of asked.keys()) this.#drop(pieceNumber);
    return got;
  }

  /** One more source for this stripe: one that is open already, else the next. False where there is none. */
  #ask(stripe: number, got: readonly Leaf[], asked: Map<number, Promise<Leaf | number>>): boolean {
    const isTaken = (number: number) => asked.has(number) || got.some(({ pieceNumber }) => pieceNumber === number);
    const pieceNumber = [...this.#open.keys()].find((number) => !isTaken(number)) ?? this.#openNext(stripe, isTaken);
    if (pieceNumber === undefined) return false;
    asked.set(pieceNumber, this.#leaf(pieceNumber, stripe));
    return true;
  }

  #openNext(stripe: number, isTaken: (pieceNumber: number) => boolean): number | undefined {
    const at = this.#spare.findIndex(({ pieceNumber }) => !isTaken(pieceNumber));
    if (at < 0) return undefined;
    const source = this.#spare.splice(at, 1)[0]!;
    const abort = new AbortController();
    const leaves = this.#input.link.read(source, stripe, AbortSignal.any([this.#signal, abort.signal]));
    this.#open.set(source.pieceNumber, { source, leaves, abort, isDropped: false });
    return source.pieceNumber;
  }

  /** Its number where it failed. */
  async #leaf(pieceNumber: number, stripe: number): Promise<Leaf | number> {
    const open = this.#open.get(pieceNumber)!;
    const { runtime, math, stallMs, onSourceFailed } = this.#input;
    const startedMs = runtime.elapsedMs();
    try {
      const next = await withinTime(runtime, open.leaves.next(), stallMs);
      if (next.done) throw new Error('The piece ended early.');
      if (next.value.length !== math.leafBytes(stripe)) throw new Error('A leaf has the wrong length.');
      this.#timesMs.push(runtime.elapsedMs() - startedMs);
      if (this.#timesMs.length > MAX_TIMES) this.#timesMs.shift();
      return { pieceNumber, leaf: next.value };
    } catch (error) {
      if (open.isDropped) return pieceNumber;
      this.#signal.throwIfAborted();
      this.#open.delete(pieceNumber);
      open.abort.abort(error);
      onSourceFailed(open.source, error);
      void open.leaves.return().catch(() => {});
      return pieceNumber;
    }
  }

  /** A last try, from now on. */
  #drop(pieceNumber: number): void {
    const open = this.#open.get(pieceNumber);
    if (!open) return;
    open.isDropped = true;
    this.#open.delete(pieceNumber);
    open.abort.abort(new Error('Others were faster.'));
    void open.leaves.return().catch(() => {});
    this.#spare.push(open.source);
  }

  #lateMs(): number {
    const usualMs = this.#timesMs.toSorted((a, b) => a - b)[this.#timesMs.length >> 1] ?? 0;
    return Math.max(this.#input.lateMs, LATE_FACTOR * usualMs);
  }

  /** Frees the connections: what was read to its end closes by itself, the rest is cut. */
  async close(): Promise<void> {
    const open = [...this.#open.values()];
    await Promise.all(open.map(({ leaves }) => withinTime(this.#input.runtime, leaves.return(), 1000).catch(() => {})));
    for (const { abort } of open) abort.abort();
  }
}

function tooFew(count: number, { required }: Scheme): RebuildError {
  return new RebuildError('TooFewSources', `Only ${count} of ${required} needed pieces can be read now.`);
}

async function withinTime<T>(runtime: Runtime, work: Promise<T>, limitMs: number): Promise<T> {
  const over = new AbortController();
  const late = runtime.sleep(limitMs, over.signal).then(() => {
    throw new Error(`No answer within ${limitMs} ms.`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}
