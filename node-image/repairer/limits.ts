// What repair may use: bytes in memory, and bytes a second on the network. Clock and sleep are handed in.

export interface Pace {
  nowMs(): number;
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Grants in the order of asking. A share above the whole budget is granted alone. */
export class ByteBudget {
  readonly #totalBytes: number;
  #usedBytes = 0;
  readonly #waiting: { bytes: number; grant: () => void }[] = [];

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Resolves with the function that gives the share back (once). Rejects when the signal aborts. */
  async take(wantedBytes: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const bytes = Math.min(wantedBytes, this.#totalBytes);
    if (this.#waiting.length > 0 || this.#usedBytes + bytes > this.#totalBytes) await this.#wait(bytes, signal);
    else this.#usedBytes += bytes;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#usedBytes -= bytes;
      this.#grantNext();
    };
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry = { bytes, grant: resolve };
    this.#waiting.push(entry);
    const leave = () => {
      const index = this.#waiting.indexOf(entry);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      reject(signal.reason as Error);
      this.#grantNext();
    };
    signal.addEventListener('abort', leave, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', leave));
  }

  #grantNext(): void {
    for (let next = this.#waiting[0]; next && this.#usedBytes + next.bytes <= this.#totalBytes; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#usedBytes += next.bytes;
      next.grant();
    }
  }
}

/** How much may be saved up while nothing is sent. */
const BURST_MS = 1000;

/** Bytes a second over all repairs together; 0 = no limit. Changes hold at once. */
export class Bandwidth {
  readonly #pace: Pace;
  #bytesPerSecond = 0;
  /** When everything granted so far is paid for. */
  #paidMs = 0;

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  setLimit(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    if (bytesPerSecond === 0) this.#paidMs = 0;
  }

  /** Waits until these bytes fit. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === 0) return;
    const nowMs = this.#pace.nowMs();
    const waitMs = this.#paidMs - nowMs;
    this.#paidMs = Math.max(this.#paidMs, nowMs - BURST_MS) + (bytes * 1000) / this.#bytesPerSecond;
    if (waitMs > 0) await this.#pace.sleep(waitMs, signal);
  }
}
