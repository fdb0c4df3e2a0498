// Bounds on what happens at once.

/** So many hold it at once, so many wait; whoever comes then is refused by `onFull`. First come, first served. */
export interface Slots {
  /** Resolves with the function that gives the slot back. */
  take(signal?: AbortSignal): Promise<() => void>;
  readonly inUse: number;
}

export function slots(count: number, maxWaiting: number, onFull: () => Error): Slots {
  let inUse = 0;
  const waiting = new Set<() => void>();
  const give = () => {
    const [next] = waiting;
    if (!next) {
      inUse -= 1;
      return;
    }
    waiting.delete(next);
    next();
  };
  const once = () => {
    let isGiven = false;
    return () => {
      if (isGiven) return;
      isGiven = true;
      give();
    };
  };
  return {
    get inUse() {
      return inUse;
    },
    async take(signal) {
      signal?.throwIfAborted();
      if (inUse < count) {
        inUse += 1;
        return once();
      }
      if (waiting.size >= maxWaiting) throw onFull();
      await new Promise<void>((resolve, reject) => {
        const stop = () => {
          waiting.delete(go);
          reject(signal?.reason as Error);
        };
        const go = () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        waiting.add(go);
        signal?.addEventListener('abort', stop, { once: true });
      });
      return once();
    },
  };
}

/** One at a time for each key. */
export function keyedQueue(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>();
  return (key, work) => {
    const before = tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.catch(() => {});
    tails.set(key, settled);
    void settled.then(() => {
      if (tails.get(key) === settled) tails.delete(key);
    });
    return mine;
  };
}
