// Which queued segments are repaired now, most endangered first and as many at once as there are slots, and what comes of
// each: tried again later, or done.
import { backoffMs, type Runtime } from '#node/log/runtime.ts';
import type { RepairLimits } from './farm-repair.ts';
import { repairSegment, type RepairDeps, type RepairOutcome } from './repair-segment.ts';
import type { IndexedSegment, SegmentIndex } from './segment-index.ts';

/** Queued segments looked at in one turn of the event loop, those that are others' among them. */
const MAX_LOOKS = 500;
const LONGEST_WAIT_MS = 1000;

interface RepairWorkInput {
  index: SegmentIndex;
  deps: RepairDeps;
  runtime: Runtime;
  limits: Pick<RepairLimits, 'retryMs' | 'takeOverMs' | 'segmentsAtOnce'>;
  /** Farmers were asked: before that nothing is known of them. */
  isReady: () => boolean;
  /** Null: its owner's logs weren't read through yet, so it may have moves that we don't know of. */
  isOurs: (segment: IndexedSegment, nowMs: number) => boolean | null;
  onRepaired: (segmentId: string, outcome: RepairOutcome, tookMs: number) => void;
  onFailed: (segmentId: string, error: unknown) => void;
  signal: AbortSignal;
}

export class RepairWork {
  readonly #input: RepairWorkInput;
  readonly #running = new Map<number, Promise<void>>();
  #wake: () => void = () => {};

  constructor(input: RepairWorkInput) {
    this.#input = input;
  }

  /** Something may be due that wasn't. */
  wake(): void {
    this.#wake();
  }

  /** Starts what is due as far as there are slots. Answers how many repairs run. */
  start(): number {
    const { index, limits, isReady, isOurs, runtime } = this.#input;
    if (!isReady()) return 0;
    const nowMs = runtime.nowMs();
    const due = index.queue.due(nowMs, MAX_LOOKS).filter((id) => !this.#running.has(id));
    for (const id of due) {
      if (this.#running.size >= limits.segmentsAtOnce) break;
      const segment = index.segment(id);
      const ours = segment && isOurs(segment, nowMs);
      if (!ours) {
        index.queue.postpone(id, nowMs + (ours === false ? limits.takeOverMs : limits.retryMs));
        continue;
      }
      const work = this.#repair(id).finally(() => {
        this.#running.delete(id);
        this.#wake();
      });
      this.#running.set(id, work);
    }
    return this.#running.size;
  }

  /** Until nothing is due now. */
  async all(): Promise<void> {
    while (this.start() > 0) await Promise.race(this.#running.values());
  }

  async startOrWait(): Promise<void> {
    const { index, limits, runtime, signal } = this.#input;
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    this.start();
    // Those beyond the first looks, if all of these were others'.
    if (this.#running.size < limits.segmentsAtOnce && index.queue.due(runtime.nowMs(), MAX_LOOKS).length === MAX_LOOKS) {
      return await runtime.turn();
    }
    await Promise.race([woken, runtime.sleep(LONGEST_WAIT_MS, signal).catch(() => {})]);
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  async #repair(id: number): Promise<void> {
    const { index, deps, limits, onRepaired, onFailed, signal, runtime } = this.#input;
    const segmentId = index.segment(id)?.segmentId ?? '';
    const attempts = index.segment(id)?.attempts ?? 0;
    const beganMs = runtime.nowMs();
    const later = () => runtime.nowMs() + Math.ceil(backoffMs(runtime, attempts, limits.retryMs, 100 * limits.retryMs));
    try {
      const outcome = await repairSegment(deps, id, signal);
      if (!outcome) {
        // Nothing to do after all; should the index still queue it, then not at once.
        index.queue.postpone(id, runtime.nowMs() + limits.retryMs);
        return;
      }
      if (outcome.pieces > 0) index.queue.retryFresh(id);
      else index.queue.retryLater(id, later());
      onRepaired(segmentId, outcome, runtime.nowMs() - beganMs);
    } catch (error) {
      if (signal.aborted) return;
      index.queue.retryLater(id, later());
      onFailed(segmentId, error);
    }
  }
}
