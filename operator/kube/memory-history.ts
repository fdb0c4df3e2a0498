// The past of the memory adapter: versions, what happened at each, pages of lists, watches.
import type { Page, WatchEvent, WatchOptions } from './client.ts';
import type { KubeObject, Live } from './resources.ts';
import { errorOf, KubeError } from './errors.ts';
import { selects } from './selectors.ts';

interface Happening {
  version: number;
  kind: string;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: Live;
  previous: Live | undefined;
}

interface Watcher {
  kind: string;
  options: WatchOptions;
  events: WatchEvent<KubeObject>[];
  /** Set once nothing more comes: how it ended. */
  ended?: 'end' | 'reset' | 'gone';
  wake(): void;
}

/** What the watch of a selection sees of it; undefined: nothing. */
function seen({ type, object, previous }: Happening, options: WatchOptions): WatchEvent<KubeObject> | undefined {
  const was = previous !== undefined && selects(options, previous);
  const is = type !== 'DELETED' && selects(options, object);
  if (!was && !is) return undefined;
  return { type: is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED', object: structuredClone(object) };
}

export function createMemoryHistory() {
  let version = 1;
  let oldest = 0;
  let past: Happening[] = [];
  let tokens = 0;
  const pages = new Map<string, { items: Live[]; resourceVersion: string }>();
  const watchers = new Set<Watcher>();
  const tooOld = (what: string): KubeError => errorOf(what, 410, { reason: 'Expired', message: 'too old resource version' });

  return {
    version: () => version,
    nextVersion: () => String((version += 1)),
    record(kind: string, type: Happening['type'], object: Live, previous: Live | undefined): void {
      const happening = { version, kind, type, object, previous };
      past.push(happening);
      for (const watcher of watchers) {
        const event = watcher.kind === kind ? seen(happening, watcher.options) : undefined;
        if (event === undefined) continue;
        watcher.events.push(event);
        watcher.wake();
      }
    },
    /** A page of a list as it was when the first page was asked for. */
    page(what: string, itemsNow: () => Live[], limit: number | undefined, token: string | undefined): Page<KubeObject> {
      const source = token === undefined ? { items: itemsNow(), resourceVersion: String(version) } : pages.get(token);
      if (source === undefined) throw tooOld(what);
      const { items, resourceVersion } = source;
      if (limit === undefined || items.length <= limit) return { items, resourceVersion };
      tokens += 1;
      const continueToken = `page-${tokens}`;
      pages.set(continueToken, { items: items.slice(limit), resourceVersion });
      return { items: items.slice(0, limit), resourceVersion, continueToken };
    },
    async *watch(what: string, kind: string, options: WatchOptions): AsyncGenerator<WatchEvent<KubeObject>> {
      const from = Number(options.resourceVersion);
      options.signal.throwIfAborted();
      if (from < oldest) throw tooOld(what);
      let wake = (): void => {};
      const events = past
        .filter((happening) => happening.kind === kind && happening.version > from)
        .flatMap((happening) => seen(happening, options) ?? []);
      const watcher: Watcher = { kind, options, events, wake: () => wake() };
      const onAbort = (): void => wake();
      options.signal.addEventListener('abort', onAbort);
      watchers.add(watcher);
      try {
        for (;;) {
          options.signal.throwIfAborted();
          const event = watcher.events.shift();
          if (event !== undefined) yield event;
          else if (watcher.ended === 'end') return;
          else if (watcher.ended === 'gone') throw tooOld(what);
          else if (watcher.ended === 'reset') throw new KubeError('Unavailable', `${what}: connection reset`);
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        options.signal.removeEventListener('abort', onAbort);
        watchers.delete(watcher);
      }
    },
    compact(): void {
      oldest = version;
      past = [];
      pages.clear();
    },
    endWatches(how: 'end' | 'reset' | 'gone'): void {
      for (const watcher of watchers) {
        watcher.ended = how;
        watcher.wake();
      }
    },
    bookmark(): void {
      for (const watcher of watchers) {
        watcher.events.push({ type: 'BOOKMARK', resourceVersion: String(version) });
        watcher.wake();
      }
    },
  };
}
