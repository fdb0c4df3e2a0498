// Copies one piece from a holder to its new one, leaf by leaf, each checked on the way.
import type { CopyTask } from '#node/core/repair-plan.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { copiedFooter } from './piece-math.ts';
import type { SegmentLink } from './piece-link.ts';
import type { Stored } from './rebuild-pieces.ts';

export interface CopyInput {
  task: CopyTask;
  /** Pieces of the segment. */
  total: number;
  link: SegmentLink;
  spend(bytes: number, signal: AbortSignal): Promise<void>;
  runtime: Runtime;
  /** Longest wait without a leaf read or taken. */
  stallMs: number;
  signal: AbortSignal;
  onSourceFailed(farmer: PublicKey, error: unknown): void;
  onTargetFailed(error: unknown): void;
}

/** Null when no holder could hand it over, or the new one didn't keep it: then plan again. */
export async function copyPiece(input: CopyInput): Promise<Stored | null> {
  for (const farmer of input.task.from) {
    const attempt = new CopyAttempt(input, farmer);
    const stored = await attempt.run();
    input.signal.throwIfAborted();
    if (stored || attempt.blamed === 'target') return stored;
  }
  return null;
}

class CopyAttempt {
  /** Who is to blame when it fails. */
  blamed: 'source' | 'target' = 'target';
  readonly #input: CopyInput;
  readonly #farmer: PublicKey;
  readonly #abort = new AbortController();
  #watchdog = new AbortController();

  constructor(input: CopyInput, farmer: PublicKey) {
    this.#input = input;
    this.#farmer = farmer;
  }

  async run(): Promise<Stored | null> {
    const { task, link, signal, onSourceFailed, onTargetFailed } = this.#input;
    const ends = AbortSignal.any([signal, this.#abort.signal]);
    try {
      this.#watch('source');
      const { range, leaves } = await link
        .open({ pieceNumber: task.pieceNumber, farmer: this.#farmer }, ends)
        .catch((error: unknown) => this.#blameSource(error));
      this.#watch('target');
      const footer = copiedFooter(range, this.#input.total);
      const receipt = await link.put(task, () => range.pieceRoot, this.#body(leaves, footer, ends), ends);
      return { pieceNumber: task.pieceNumber, to: task.to, receipt, path: range.path };
    } catch (error) {
      if (signal.aborted) throw error;
      if (this.blamed === 'source') onSourceFailed(this.#farmer, error);
      else onTargetFailed(error);
      return null;
    } finally {
      this.#watchdog.abort();
      this.#abort.abort();
    }
  }

  async *#body(leaves: AsyncGenerator<Uint8Array, void, undefined>, footer: Uint8Array, signal: AbortSignal) {
    try {
      for (;;) {
        this.#watch('source');
        const next = await leaves.next().catch((error: unknown) => this.#blameSource(error));
        if (next.done) break;
        this.#watchdog.abort();
        await this.#input.spend(2 * next.value.length, signal);
        this.#watch('target');
        yield next.value;
      }
      this.#watch('target');
      yield footer;
    } finally {
      void leaves.return().catch(() => {});
    }
  }

  #blameSource(error: unknown): never {
    if (!this.#abort.signal.aborted) this.blamed = 'source';
    throw error;
  }

  /** Ends the attempt when the one it waits for doesn't move. */
  #watch(whom: 'source' | 'target'): void {
    this.#watchdog.abort();
    this.#watchdog = new AbortController();
    const { runtime, stallMs } = this.#input;
    const bite = () => {
      this.blamed = whom;
      this.#abort.abort(new Error(`Nothing moved for ${stallMs} ms.`));
    };
    runtime.sleep(stallMs, this.#watchdog.signal).then(bite, () => {});
  }
}
