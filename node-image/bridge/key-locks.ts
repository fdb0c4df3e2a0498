// One decision at a time for each name (object key, upload): what makes conditional requests exact. First
// come, first served; several names are taken in one order, so that nobody waits in a circle.

export class LockError extends Error {
  readonly code = 'TooManyWaiting';
}

/** For one name. More than that at once is a client gone wild. */
const MAX_WAITING = 1000;

export interface KeyLocks {
  /** Resolves with the release once all names are ours. Rejects when the signal (made only for who has to wait) aborts, or with LockError. */
  take(names: readonly string[], signal: () => AbortSignal): Promise<() => void>;
  /** Resolves when nobody holds or waits for anything. */
  idle(): Promise<void>;
}

export function createKeyLocks(): KeyLocks {
  // Of each held name: those who wait, in order.
  const held = new Map<string, (() => void)[]>();
  let idleWaiters: (() => void)[] = [];

  const release = (name: string): void => {
    const next = held.get(name)?.shift();
    if (next !== undefined) return next();
    held.delete(name);
    if (held.size > 0) return;
    for (const resolve of idleWaiters) resolve();
    idleWaiters = [];
  };

  const takeOne = (name: string, makeSignal: () => AbortSignal): Promise<void> => {
    const waiting = held.get(name);
    if (waiting === undefined) {
      held.set(name, []);
      return Promise.resolve();
    }
    if (waiting.length >= MAX_WAITING) return Promise.reject(new LockError(`${MAX_WAITING} requests wait for one key already`));
    const signal = makeSignal();
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const leave = () => {
        waiting.splice(waiting.indexOf(grant), 1);
        reject(signal.reason as Error);
      };
      const grant = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      waiting.push(grant);
      signal.addEventListener('abort', leave, { once: true });
    });
  };

  return {
    async take(names, signal) {
      const ordered = [...new Set(names)].sort();
      const taken: string[] = [];
      try {
        for (const name of ordered) {
          await takeOne(name, signal);
          taken.push(name);
        }
      } catch (error) {
        for (const name of taken) release(name);
        throw error;
      }
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        for (const name of taken) release(name);
      };
    },
    idle: () => (held.size === 0 ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve))),
  };
}
