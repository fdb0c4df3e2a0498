// The work queue of client-go, over plain keys: a key is in it once however often it is added, is never
// worked on by two workers, and comes back if it was added while somebody worked on it.
import type { Backoff } from './backoff.ts';
import type { Clock, Random } from './clock.ts';
import type { Rate } from './rate-bucket.ts';
import { backoffMs } from './backoff.ts';
import { createRateBucket } from './rate-bucket.ts';

export interface WorkQueue {
  /** A key that pauses after a failure comes back within 2 s: what changed may be the remedy, or have nothing to do with it. */
  add(key: string): void;
  /** Added later; the earlier time wins when one is set already. */
  addAfter(key: string, afterMs: number): void;
  /** Added after a pause that grows with each call until `forget`. */
  addRateLimited(key: string): void;
  /** The key went well: its next pause is the shortest again. */
  forget(key: string): void;
  /** How often in a row `addRateLimited` was called. */
  failures(key: string): number;
  /** The next key, which must be given back with `done`; undefined once the queue is shut down. */
  next(): Promise<string | undefined>;
  done(key: string): void;
  /** No more keys go in or out; waiting workers get undefined. */
  shutDown(): void;
  /** Keys that wait for a worker. */
  readonly depth: number;
  /** Start of each piece of work in hand, by the monotonic clock. */
  workingSinceMs(): number[];
}

/** Measurements; each call is one event. */
export interface QueueMetrics {
  added(depth: number): void;
  taken(queuedMs: number, depth: number): void;
  done(workedMs: number): void;
  retried(): void;
}

export interface QueueOptions {
  clock: Clock;
  random: Random;
  /** Pauses of one key; default 5 ms to 5 minutes. */
  backoff?: Backoff;
  /** Retries of all keys together; default 100 at once, then 10 a second. */
  retryRate?: Rate;
  metrics?: QueueMetrics;
}

const defaultBackoff: Backoff = { baseMs: 5, maxMs: 5 * 60_000 };
const defaultRetryRate: Rate = { burst: 100, perSecond: 10 };
/** Between two attempts at a key that fails, however much changes around it (or what its pause still lasts, if less). */
const failingEveryMs = 2000;

export function createWorkQueue(options: QueueOptions): WorkQueue {
  const { clock, random, metrics } = options;
  const backoff = options.backoff ?? defaultBackoff;
  const bucket = createRateBucket(options.retryRate ?? defaultRetryRate, clock);
  /** Keys that wait, in order, with the time when they came. */
  const waiting = new Map<string, number>();
  /** Keys in hand, with the time when they were taken. */
  const working = new Map<string, number>();
  /** Keys that were added while in hand. */
  const again = new Set<string>();
  const later = new Map<string, { atMs: number; cancel: () => void }>();
  const failures = new Map<string, number>();
  const idle: ((key: string | undefined) => void)[] = [];
  let down = false;

  const take = (): string | undefined => {
    const first = waiting.entries().next().value;
    if (first === undefined) return undefined;
    const [key, sinceMs] = first;
    waiting.delete(key);
    const nowMs = clock.monotonicMs();
    working.set(key, nowMs);
    metrics?.taken(nowMs - sinceMs, waiting.size);
    return key;
  };
  const wait = (key: string): void => {
    waiting.set(key, clock.monotonicMs());
    metrics?.added(waiting.size);
    const worker = idle.shift();
    worker?.(take());
  };
  const dropLater = (key: string): void => {
    later.get(key)?.cancel();
    later.delete(key);
  };
  const add = (key: string): void => {
    if (down || waiting.has(key)) return;
    if (working.has(key)) again.add(key);
    else if (failures.has(key) && later.has(key)) addAfter(key, failingEveryMs);
    else wait(key);
  };
  const addAfter = (key: string, afterMs: number): void => {
    if (down) return;
    if (afterMs <= 0) {
      add(key);
      return;
    }
    const atMs = clock.monotonicMs() + afterMs;
    const set = later.get(key);
    if (set !== undefined && set.atMs <= atMs) return;
    dropLater(key);
    const cancel = clock.schedule(afterMs, () => {
      later.delete(key);
      add(key);
    });
    later.set(key, { atMs, cancel });
  };

  return {
    add,
    addAfter,
    addRateLimited(key) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      metrics?.retried();
      addAfter(key, Math.max(backoffMs(backoff, count, random), bucket.reserveMs()));
    },
    forget: (key) => void failures.delete(key),
    failures: (key) => failures.get(key) ?? 0,
    next() {
      if (down) return Promise.resolve(undefined);
      const key = take();
      return key === undefined ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve(key);
    },
    done(key) {
      const sinceMs = working.get(key);
      if (sinceMs === undefined) throw new Error(`The key ${key} isn't in hand, so it can't be given back.`);
      working.delete(key);
      metrics?.done(clock.monotonicMs() - sinceMs);
      if (again.delete(key)) add(key);
    },
    shutDown() {
      down = true;
      waiting.clear();
      again.clear();
      failures.clear();
      for (const { cancel } of later.values()) cancel();
      later.clear();
      for (const worker of idle.splice(0)) worker(undefined);
    },
    get depth() {
      return waiting.size;
    },
    workingSinceMs: () => [...working.values()],
  };
}
