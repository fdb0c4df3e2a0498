// Memory that many transfers share. Whoever can't get more must do with what it has: nobody waits while
// holding, so nobody waits for ever.

export interface ByteBudget {
  readonly limitBytes: number;
  readonly usedBytes: number;
  /** Waits in line for the first bytes. Rejects when the signal aborts. */
  take(sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** More, if it is free and nobody waits. */
  tryTake(sizeBytes: number): boolean;
  give(sizeBytes: number): void;
}

export function byteBudget(limitBytes: number): ByteBudget {
  let usedBytes = 0;
  const waiting: { sizeBytes: number; grant: () => void }[] = [];
  // Something larger than the whole budget gets all of it, alone.
  const fits = (sizeBytes: number) => usedBytes === 0 || usedBytes + sizeBytes <= limitBytes;
  const serve = () => {
    for (let next = waiting[0]; next && fits(next.sizeBytes); next = waiting[0]) {
      waiting.shift();
      usedBytes += next.sizeBytes;
      next.grant();
    }
  };
  return {
    limitBytes,
    get usedBytes() {
      return usedBytes;
    },
    async take(sizeBytes, signal) {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const place = { sizeBytes, grant };
        function grant() {
          signal.removeEventListener('abort', leave);
          resolve();
        }
        function leave() {
          waiting.splice(waiting.indexOf(place), 1);
          reject(signal.reason as Error);
          serve();
        }
        signal.addEventListener('abort', leave, { once: true });
        waiting.push(place);
        serve();
      });
    },
    tryTake(sizeBytes) {
      if (waiting.length > 0 || usedBytes + sizeBytes > limitBytes) return false;
      usedBytes += sizeBytes;
      return true;
    },
    give(sizeBytes) {
      usedBytes -= sizeBytes;
      serve();
    },
  };
}
