// Time that only moves when nothing else can: all timers of a simulated world in one queue, and one stream of
// dice. Between two timers the event loop turns once, which runs every promise to its end, so the order of
// everything follows from the seed alone.
import type { Runtime } from '#node/log/runtime.ts';

/** 2026-01-01. */
const START_MS = 1_767_225_600_000;

interface Timer {
  atMs: number;
  order: number;
  run: (() => void) | null;
}

export class VirtualTime {
  #nowMs = START_MS;
  #order = 0;
  readonly #heap: Timer[] = [];
  /** Timers that have fired: the length of the run. */
  fired = 0;

  get nowMs(): number {
    return this.#nowMs;
  }
  get sinceStartMs(): number {
    return this.#nowMs - START_MS;
  }
  get waiting(): number {
    return this.#heap.length;
  }

  /** Returns how to cancel it. */
  after(delayMs: number, run: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, Math.ceil(delayMs)), order: this.#order++, run };
    this.#push(timer);
    return () => (timer.run = null);
  }

  /** Turns until `work` has settled. Throws where nothing is left to wait for, or after too many timers. */
  async drive<T>(work: Promise<T>, maxTimers: number): Promise<T> {
    let settled = false;
    const mark = () => (settled = true);
    work.then(mark, mark);
    for (;;) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (settled) return await work;
      const next = this.#pop();
      if (!next) throw new Error('The run hangs: nobody waits for anything that could come.');
      if (++this.fired > maxTimers) throw new Error(`The run doesn't end: ${maxTimers} timers have fired.`);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run?.();
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): Timer | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (!first) return undefined;
      const last = this.#heap.pop()!;
      if (this.#heap.length > 0) this.#sink(last);
      if (first.run) return first;
    }
  }

  #sink(timer: Timer): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (isBefore(timer, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = timer;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** The same seed gives the same throws. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ 0xc2b2ae35) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.word();
  }
  /** 32 bits. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.imul(this.#state, 0x9e3779b1) >>> 0;
  }
  /** From 0 to below 1. */
  share(): number {
    return this.word() / 4_294_967_296;
  }
  chance(probability: number): boolean {
    return this.share() < probability;
  }
  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.share() * (high - low + 1));
  }
  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.share() * items.length)]!;
  }
  bytes(sizeBytes: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(sizeBytes / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.word();
    return new Uint8Array(words.buffer, 0, sizeBytes);
  }
}

/** One process of the simulated world. Killed, nothing that it waits for ever comes: its code stops where it is. */
export class Process {
  readonly name: string;
  readonly runtime: Runtime;
  /** Its clock is ahead by so much. */
  skewMs = 0;
  #isAlive = true;
  #onKill: (() => void)[] = [];

  constructor(name: string, time: VirtualTime, dice: Dice) {
    this.name = name;
    const sleep = (delayMs: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const stop = () => {
          cancel();
          reject(signal?.reason as Error);
        };
        const cancel = time.after(delayMs, () => {
          signal?.removeEventListener('abort', stop);
          if (this.#isAlive) resolve();
        });
        signal?.addEventListener('abort', stop, { once: true });
      });
    this.runtime = {
      nowMs: () => time.nowMs + this.skewMs,
      elapsedMs: () => time.nowMs,
      random: (sizeBytes) => dice.bytes(sizeBytes),
      sleep,
      turn: () => sleep(0),
      deadline: (delayMs, ...others) => {
        const over = new AbortController();
        time.after(delayMs, () => {
          if (this.#isAlive) over.abort(new DOMException('The time is over.', 'TimeoutError'));
        });
        return AbortSignal.any([over.signal, ...others]);
      },
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }
  kill(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    for (const run of this.#onKill.splice(0)) run();
  }
  onKill(run: () => void): void {
    this.#onKill.push(run);
  }
  /** What comes from outside reaches only the living. */
  async guard<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      return this.#isAlive ? value : await never<T>();
    } catch (error) {
      if (!this.#isAlive) return await never<T>();
      throw error;
    }
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
