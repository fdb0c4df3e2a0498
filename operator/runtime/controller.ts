// Workers that bring one key after the other to where it should be. What they know is the key alone: each
// reconcile reads the world anew, so it doesn't matter which event, or how many, put the key here.
import type { Backoff } from './backoff.ts';
import type { Clock, Random } from './clock.ts';
import type { Log } from './log.ts';
import type { Outcome, Verdict } from './outcome.ts';
import type { QueueMetrics, WorkQueue } from './queue.ts';
import type { Rate } from './rate-bucket.ts';
import { silentLog } from './log.ts';
import { DeadlineError, judgeError, judgeOutcome } from './outcome.ts';
import { createWorkQueue } from './queue.ts';

/** Brings one key to where it should be. Ends soon after its signal; what it did until then must stand. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Outcome>;

/** Measurements of one controller; each call is one event. */
interface ControllerMetrics {
  queue: QueueMetrics;
  started(): void;
  finished(verdict: Verdict, tookMs: number): void;
}

export interface RuntimeMetrics {
  /** `workingSinceMs` is asked at each scrape: start of each reconcile in hand, by the monotonic clock. */
  controller(name: string, workers: number, workingSinceMs: () => number[]): ControllerMetrics;
}

export interface ControllerOptions {
  /** Label of metrics and logs. */
  name: string;
  reconcile: Reconcile;
  clock: Clock;
  random: Random;
  /** Keys at the same time; default 4. */
  workers?: number;
  /** For one reconcile; default 2 minutes. */
  deadlineMs?: number;
  /** How long a stopped reconcile may take to notice; default 10 s. */
  graceMs?: number;
  backoff?: Backoff;
  retryRate?: Rate;
  metrics?: RuntimeMetrics;
  log?: Log;
}

export interface Controller {
  readonly name: string;
  enqueue(key: string): void;
  enqueueAfter(key: string, afterMs: number): void;
  /** Works until the signal; resolves when all workers have stopped, or were given up on. Once only. */
  run(signal: AbortSignal): Promise<void>;
  /** Nothing waits and nobody works (keys for later don't count). */
  idle(): boolean;
}

const defaultWorkers = 4;
const defaultDeadlineMs = 120_000;
const defaultGraceMs = 10_000;

export function createController(options: ControllerOptions): Controller {
  const { name, clock, random, backoff, retryRate, log = silentLog } = options;
  const workers = options.workers ?? defaultWorkers;
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const graceMs = options.graceMs ?? defaultGraceMs;
  const metrics = options.metrics?.controller(name, workers, () => queue.workingSinceMs());
  const queue: WorkQueue = createWorkQueue({
    clock,
    random,
    ...(backoff ? { backoff } : {}),
    ...(retryRate ? { retryRate } : {}),
    ...(metrics ? { metrics: metrics.queue } : {}),
  });

  /** One reconcile from start to end, however it ends; never rejects. */
  const attempt = async (key: string, stop: AbortSignal): Promise<void> => {
    const deadline = new AbortController();
    const cancel = clock.schedule(deadlineMs, () => deadline.abort(new DeadlineError(deadlineMs)));
    const startMs = clock.monotonicMs();
    metrics?.started();
    let verdict: Verdict;
    try {
      // The extra `async` makes a rejection of what a reconcile throws before its first await.
      const outcome = await (async () => options.reconcile(key, AbortSignal.any([stop, deadline.signal])))();
      verdict = judgeOutcome(outcome);
    } catch (error) {
      if (stop.aborted) verdict = { result: 'success', kind: 'done', next: { type: 'forget' } };
      else {
        const real: unknown = deadline.signal.aborted ? deadline.signal.reason : error;
        verdict = judgeError(real);
        tell(log, { controller: name, key }, verdict, real, queue.failures(key));
      }
    }
    cancel();
    metrics?.finished(verdict, clock.monotonicMs() - startMs);
    follow(queue, key, verdict);
    queue.done(key);
  };

  /** Ends with the reconcile, or when it ignored its signal for too long: then the worker goes on without it. */
  const attemptBounded = (key: string, stop: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      let cancel = (): void => {};
      const giveUp = (): void => {
        cancel();
        cancel = clock.schedule(graceMs, () => {
          log.error(
            { controller: name, key },
            'A reconcile ignores its signal. Its worker goes on; the key waits until it ends.',
          );
          resolve();
        });
      };
      const cancelDeadline = clock.schedule(deadlineMs, giveUp);
      if (stop.aborted) giveUp();
      else stop.addEventListener('abort', giveUp, { once: true });
      void attempt(key, stop).then(() => {
        cancelDeadline();
        cancel();
        stop.removeEventListener('abort', giveUp);
        resolve();
      });
    });

  const work = async (stop: AbortSignal): Promise<void> => {
    for (;;) {
      const key = await queue.next();
      if (key === undefined) return;
      await attemptBounded(key, stop);
    }
  };

  return {
    name,
    enqueue: (key) => queue.add(key),
    enqueueAfter: (key, afterMs) => queue.addAfter(key, afterMs),
    async run(signal) {
      const shutDown = (): void => queue.shutDown();
      if (signal.aborted) shutDown();
      signal.addEventListener('abort', shutDown, { once: true });
      await Promise.all(Array.from({ length: workers }, () => work(signal)));
    },
    idle: () => queue.depth === 0 && queue.workingSinceMs().length === 0,
  };
}

function follow(queue: WorkQueue, key: string, { next }: Verdict): void {
  if (next.type === 'backoff') {
    queue.addRateLimited(key);
    return;
  }
  queue.forget(key);
  if (next.type === 'after') queue.addAfter(key, next.afterMs);
}

function tell(log: Log, fields: object, verdict: Verdict, error: unknown, failures: number): void {
  const message = error instanceof Error ? error.message : String(error);
  const all = { ...fields, kind: verdict.kind, failures };
  if (verdict.kind === 'waiting') log.debug(all, message);
  else if (verdict.kind === 'stalled') log.info(all, message);
  else if (verdict.kind === 'panic') log.error({ ...all, err: error }, message);
  else log.warn(all, message);
}
