// A piece on its way to its new holder, leaf by leaf: who computes waits for who sends.

/** How many leaves may wait: one is sent while the next is computed. */
const MAX_WAITING = 2;

export class LeafFeed implements AsyncIterable<Uint8Array> {
  readonly #waiting: Uint8Array[] = [];
  #ended = false;
  #failure: Error | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  /** Resolves when there is room for the next one; at once where nobody reads any more. */
  async push(leaf: Uint8Array): Promise<void> {
    if (this.#ended) return;
    this.#waiting.push(leaf);
    this.#wakeReader?.();
    while (this.#waiting.length >= MAX_WAITING && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    }
  }

  /** Nothing more comes. */
  end(): void {
    this.#ended = true;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** The reader gets this error: what it has read isn't a whole piece. */
  fail(error: Error): void {
    this.#failure = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        if (this.#failure) throw this.#failure;
        const leaf = this.#waiting.shift();
        if (leaf) {
          this.#wakeWriter?.();
          yield leaf;
        } else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
    } finally {
      this.#waiting.length = 0;
      this.end();
    }
  }
}
