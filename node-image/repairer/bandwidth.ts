// Bytes a second that repair may use on the network. The clock is handed in.
import type { Runtime } from '#node/log/runtime.ts';

/** How much may be saved up while nothing is sent. */
const BURST_MS = 1000;

/** Bytes a second over all repairs together; 0 = no limit. Changes hold at once. */
export class Bandwidth {
  readonly #runtime: Runtime;
  #bytesPerSecond = 0;
  /** When everything granted so far is paid for. */
  #paidMs = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** `repairers`: how many share the farm's limit. */
  setLimit(farmBytesPerSecond: number, repairers: number): void {
    const bytesPerSecond = Math.ceil(farmBytesPerSecond / Math.max(1, repairers));
    this.#bytesPerSecond = bytesPerSecond;
    if (bytesPerSecond === 0) this.#paidMs = 0;
  }

  /** Waits until these bytes fit. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === 0) return;
    const nowMs = this.#runtime.elapsedMs();
    const waitMs = this.#paidMs - nowMs;
    this.#paidMs = Math.max(this.#paidMs, nowMs - BURST_MS) + (bytes * 1000) / this.#bytesPerSecond;
    if (waitMs > 0) await this.#runtime.sleep(waitMs, signal);
  }
}
