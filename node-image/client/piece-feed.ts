// The leaves of one piece on their way to one farmer: a short queue between the encoder and the connection.

/** The body of piece.put: leaves as they are pushed, then the footer. */
export class PieceFeed implements AsyncIterable<Uint8Array> {
  readonly #waiting: { leaf: Uint8Array; sent: () => void }[] = [];
  #ended = false;
  #error: Error | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeWriters: (() => void)[] = [];
  #taken = 0;
  #busyMs = 0;
  readonly #nowMs: () => number;

  /** Without a clock `busyMs` stays 0. */
  constructor(nowMs: () => number = () => 0) {
    this.#nowMs = nowMs;
  }

  /** Time that the connection took for them, without what it waited for the next. */
  get busyMs(): number {
    return this.#busyMs;
  }
  /** Leaves handed to the connection so far: the sign of progress. */
  get taken(): number {
    return this.#taken;
  }
  get isEnded(): boolean {
    return this.#ended;
  }
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Ignored once ended or failed. `sent` is called when nobody reads the leaf any more, sent or not. */
  push(leaf: Uint8Array, sent: () => void = () => {}): void {
    if (this.#ended || this.#error) return sent();
    this.#waiting.push({ leaf, sent });
    this.#wakeReader?.();
  }
  end(): void {
    this.#ended = true;
    this.#wake();
  }
  /** The connection gets this error instead of more leaves; writers wait no longer. */
  fail(error: Error): void {
    this.#error ??= error;
    for (const { sent } of this.#waiting.splice(0)) sent();
    this.#wake();
  }
  /** Resolves when fewer than `limit` leaves wait, or nobody takes them any more. */
  async room(limit: number): Promise<void> {
    while (!this.#error && !this.#ended && this.#waiting.length >= limit) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
  }

  #wake(): void {
    this.#wakeReader?.();
    for (const wake of this.#wakeWriters.splice(0)) wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        if (this.#error) throw this.#error;
        const next = this.#waiting.shift();
        if (next) {
          this.#taken += 1;
          for (const wake of this.#wakeWriters.splice(0)) wake();
          const startMs = this.#nowMs();
          try {
            yield next.leaf;
          } finally {
            this.#busyMs += this.#nowMs() - startMs;
            next.sent();
          }
        } else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
    } finally {
      this.fail(new Error('The connection takes nothing more.'));
    }
  }
}
