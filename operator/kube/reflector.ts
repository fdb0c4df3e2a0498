// Keeps a store equal to what the API server has: list, then watch; list again only after a gap. It never gives
// up, trusts no connection that is silent for too long, and tells its subscribers what changed.
import type { Backoff } from '../runtime/backoff.ts';
import type { Clock, Random } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient, Selection } from './client.ts';
import type { KubeMetrics } from './kube-metrics.ts';
import type { KubeObject, Live, ResourceType } from './resources.ts';
import type { Change, Indexes, Store, WritableStore } from './store.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { keyOf, pageSize, refOf } from './client.ts';
import { isGone } from './errors.ts';
import { createStore } from './store.ts';

export interface ReflectorOptions<T extends KubeObject> {
  client: KubeClient;
  type: ResourceType<T>;
  /** One watch in each; absent: one watch for the whole cluster. */
  namespaces?: readonly string[];
  labelSelector?: string;
  fieldSelector?: string;
  indexes?: Indexes<T>;
  /** Drops what nobody needs, to save memory. */
  trim?: (object: Live<T>) => Live<T>;
  clock: Clock;
  random: Random;
  metrics?: KubeMetrics;
  log?: Log;
  /** How long the server keeps a watch; default about 290 s, drawn anew for each. */
  watchSeconds?: number;
  /** A watch that is silent for so long is taken for dead; default 150 s. The server sends bookmarks every minute. */
  silenceMs?: number;
  backoff?: Backoff;
  pageSize?: number;
}

export interface Reflector<T extends KubeObject> {
  readonly type: ResourceType<T>;
  readonly store: Store<T>;
  /** Everything was listed at least once. */
  synced(): boolean;
  /** Rejects with the signal's reason. */
  whenSynced(signal: AbortSignal): Promise<void>;
  /** Told after each change of the store; an error of the handler is logged and goes no further. Returns what ends it. */
  subscribe(handler: (change: Change<T>) => void): () => void;
  /** Until the signal; resolves then, never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

const watchSeconds = 290;
/** Share of the watch's time that is left to chance, so that watches don't end together. */
const watchJitter = 0.2;
const silenceMs = 150_000;
const backoff: Backoff = { baseMs: 500, maxMs: 30_000 };
/** A watch that ends sooner without a word is a failure. */
const shortWatchMs = 1000;

class SilentWatchError extends Error {
  readonly code = 'SilentWatch';
}

export function createReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector<T> {
  const { type, log = silentLog } = options;
  const store = createStore(options.indexes);
  const handlers = new Set<(change: Change<T>) => void>();
  const tell = (changes: Change<T>[]): void => {
    for (const change of changes) {
      for (const handler of handlers) {
        try {
          handler(change);
        } catch (error) {
          log.error({ kind: type.kind, err: error }, 'A handler of changes failed.');
        }
      }
    }
  };
  const sources = (options.namespaces ?? [undefined]).map((namespace) => createSource(options, namespace, store, tell));
  const listed = Promise.all(sources.map((source) => source.listed));
  let isSynced = false;
  void listed.then(() => (isSynced = true));

  return {
    type,
    store,
    synced: () => isSynced,
    whenSynced: (signal) =>
      new Promise((resolve, reject) => {
        const onAbort = (): void => reject(signal.reason as Error);
        if (signal.aborted) onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
        void listed.then(() => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        });
      }),
    subscribe(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    async run(signal) {
      await Promise.all(sources.map((source) => source.run(signal)));
    },
  };
}

/** One namespace, or the whole cluster. */
function createSource<T extends KubeObject>(
  options: ReflectorOptions<T>,
  namespace: string | undefined,
  store: WritableStore<T>,
  tell: (changes: Change<T>[]) => void,
): { listed: Promise<void>; run(signal: AbortSignal): Promise<void> } {
  const { client, type, clock, random, log = silentLog } = options;
  const metrics = options.metrics?.watch;
  const trim = options.trim ?? ((object) => object);
  const { labelSelector, fieldSelector } = options;
  const selection: Selection = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
  const first = Promise.withResolvers<void>();
  /** Where the next watch goes on; undefined: list first. */
  let version: string | undefined;
  let failures = 0;

  const list = async (signal: AbortSignal): Promise<void> => {
    const missing = new Set(store.list(namespace).map((object) => keyOf(refOf(object))));
    let continueToken: string | undefined;
    let listedVersion: string;
    do {
      const limit = options.pageSize ?? pageSize;
      const page = await client.list(type, { ...selection, limit, signal, ...(continueToken ? { continueToken } : {}) });
      for (const object of page.items) {
        missing.delete(keyOf(refOf(object)));
        tell(store.put(trim(object)));
      }
      ({ continueToken, resourceVersion: listedVersion } = page);
    } while (continueToken !== undefined);
    for (const object of store.list(namespace)) if (missing.has(keyOf(refOf(object)))) tell(store.remove(refOf(object)));
    version = listedVersion;
    metrics?.listed(type.kind);
    first.resolve();
  };

  const watch = async (from: string, signal: AbortSignal): Promise<void> => {
    const silent = new AbortController();
    const both = AbortSignal.any([signal, silent.signal]);
    const limitMs = options.silenceMs ?? silenceMs;
    const arm = (): (() => void) => clock.schedule(limitMs, () => silent.abort(new SilentWatchError(`silent for ${limitMs} ms`)));
    const seconds = options.watchSeconds ?? Math.round(watchSeconds * (1 - watchJitter / 2 + watchJitter * random()));
    const startMs = clock.monotonicMs();
    let heard = false;
    let disarm = arm();
    metrics?.started(type.kind);
    try {
      for await (const event of client.watch(type, {
        ...selection,
        resourceVersion: from,
        timeoutSeconds: seconds,
        signal: both,
      })) {
        disarm();
        disarm = arm();
        heard = true;
        failures = 0;
        metrics?.heard(type.kind);
        if (event.type === 'BOOKMARK') version = event.resourceVersion;
        else {
          tell(event.type === 'DELETED' ? store.remove(refOf(event.object)) : store.put(trim(event.object)));
          version = event.object.metadata.resourceVersion;
        }
      }
    } finally {
      disarm();
      if (clock.monotonicMs() - startMs >= shortWatchMs) failures = 0;
    }
    if (!heard && clock.monotonicMs() - startMs < shortWatchMs) throw new Error('the watch ended at once');
  };

  return {
    listed: first.promise,
    async run(signal) {
      while (!signal.aborted) {
        try {
          if (version === undefined) await list(signal);
          else await watch(version, signal);
        } catch (error) {
          if (signal.aborted) return;
          if (isGone(error)) version = undefined;
          failures += 1;
          metrics?.failed(type.kind);
          const pauseMs = backoffMs(options.backoff ?? backoff, failures, random);
          log.warn({ kind: type.kind, namespace, failures, pauseMs }, `List or watch failed: ${(error as Error).message}`);
          await sleep(clock, pauseMs, signal).catch(() => {});
        }
      }
    },
  };
}
