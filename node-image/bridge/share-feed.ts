// Keeps one share up to date with its bucket: what the catalog has of the bucket below the prefix, the share's
// log has too. Driven by what differs, not by what happened: a feed that starts anew compares everything once,
// and then only the keys of batches that come.
import type { Catalog, CatalogNews, VersionRow } from '#node/catalog/catalog.ts';
import type { OpenShare } from '#node/client/shares.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import type { OwnerEntry, PublicKey, PutEntry, SegmentPlacement } from '#node/wire/types.ts';
import type { BucketWriter, Decision } from './bucket-writer.ts';
import type { HolderMoves } from './holder-moves.ts';
import { ObjectsError } from './objects.ts';

/** Keys that one batch brings up to date. */
const CHUNK = 200;
/** More that wait: compare everything instead of remembering each. */
const MAX_WAITING = 10_000;
const PAGE = 1000;
/** While nothing changes below the prefix the app still learns that it is up to date, this often. */
const HEADS_EVERY_MS = 60_000;
/** What is fed is looked at again where something changed under it. */
const MAX_TRIES = 8;
const LOCK = 'feed';

export interface ShareFeed {
  readonly share: OpenShare;
  /** The catalog has taken something of the bucket. */
  take(news: CatalogNews): void;
  /** Resolves when the share has what the bucket had when this was called. One at a time. */
  feed(): Promise<void>;
  /** Heads of the bucket's logs up to which the share's log is fed; they go into each of its batches. */
  heads(): KnownHead[];
}

export interface ShareFeedOptions {
  share: OpenShare;
  owner: PublicKey;
  /** Of the share. */
  to: BucketWriter;
  catalog: Catalog;
  moves: Pick<HolderMoves, 'refreshed'>;
  /** A small object's bytes. */
  read(version: VersionRow): Promise<Uint8Array>;
  /** False while the catalog is still reading the bucket or the share: what isn't there yet isn't gone. */
  isWhole(): boolean;
  /** Whether somebody has fed the share from more of the bucket than the catalog has read: `catchUp` reads it. */
  isBehind(): boolean;
  catchUp(): Promise<void>;
  runtime: Runtime;
}

export function shareFeed(options: ShareFeedOptions): ShareFeed {
  const { share, owner, to, catalog, moves, read, isWhole, isBehind, runtime } = options;
  const { shareId, bucketId, prefix } = share;
  let waiting = new Set<string>();
  let mustCompare = true;
  let fed: KnownHead[] = [];
  let fedMs = -Infinity;
  let tail: Promise<void> = Promise.resolve();
  let queued: Promise<void> | null = null;
  /** Heads of the bucket's logs of which every key is fed or waits. */
  const reached = new Map<PublicKey, KnownHead>();
  let said = '';

  /** The version as the share's log is to carry it; null where it is gone, or its bytes have to be fetched first. */
  const contentOf = (row: VersionRow, fetched: ReadonlyMap<string, Uint8Array>) => {
    const { logId: _, partSizes, ...version } = row;
    const content = catalog.content(bucketId, row.key, row.versionId);
    if (content === null) return null;
    const bytes = content.packed ? fetched.get(row.versionId) : content.inline;
    if (bytes === undefined) return null;
    const carried = bytes === null ? { segments: content.segments } : { inline: bytes };
    return { version: { ...version, ...(partSizes === null ? {} : { partSizes }), ...carried }, segments: content.segments };
  };
  /** What a checkpoint has packed together with others is carried by the share itself, once its bytes are fetched. */
  const toFetch = (keys: readonly string[], fetched: ReadonlyMap<string, Uint8Array>): VersionRow[] =>
    keys
      .filter((key) => key.startsWith(prefix))
      .flatMap((key) => catalog.current(bucketId, key) ?? [])
      .filter(({ key, versionId }) => !fetched.has(versionId) && !catalog.liveVersions(shareId, key).includes(versionId))
      .filter(({ key, versionId }) => catalog.content(bucketId, key, versionId)?.packed !== undefined);
  const segmentIds = (key: string, versionId: string) =>
    catalog.content(shareId, key, versionId)?.segments.map(({ segmentId }) => segmentId) ?? [];

  interface Change {
    entry: OwnerEntry;
    added: SegmentPlacement[];
    released: string[];
  }
  /** What brings one key up to date; null where it is. Versions that live in the bucket are left alive in the share. */
  const change = (key: string, fetched: ReadonlyMap<string, Uint8Array> = new Map()): Change | null => {
    const shown = catalog.liveVersions(shareId, key);
    const live = key.startsWith(prefix) ? catalog.liveVersions(bucketId, key) : [];
    const gone = shown.filter((versionId) => !live.includes(versionId));
    const current = live.length === 0 ? null : catalog.current(bucketId, key);
    const source = current && contentOf(current, fetched);
    const released = gone.flatMap((versionId) => segmentIds(key, versionId));
    if (source && !shown.includes(source.version.versionId)) {
      const entry: PutEntry = { kind: 'put', ...source.version, replaces: gone };
      return { entry, added: placed(source.segments), released };
    }
    if (gone.length > 0) return { entry: { kind: 'delete', key, clock: to.clock(), names: gone }, added: [], released };
    if (!source || isSame(segmentIds(key, source.version.versionId), source.segments)) return null;
    // The same bytes in other segments: the bucket was rewritten under another scheme.
    const entry: PutEntry = { kind: 'put', ...source.version, replaces: [], rewritten: to.clock() };
    return { entry, added: placed(source.segments), released: segmentIds(key, source.version.versionId) };
  };
  const placed = (segments: readonly { segmentId: string }[]) =>
    segments.map(({ segmentId }) => moves.refreshed({ owner, bucketId, name: '', createdMs: 0 }, segmentId));

  const decide = (keys: readonly string[], fetched: ReadonlyMap<string, Uint8Array>): Decision<null> | null => {
    if (!isWhole()) throw new ObjectsError('SlowDown', 'The bucket is still being read');
    const changes = keys.flatMap((key) => change(key, fetched) ?? []);
    if (changes.length === 0) return null;
    return {
      entries: changes.map(({ entry }) => entry),
      repair: { added: changes.flatMap(({ added }) => added), released: changes.flatMap(({ released }) => released) },
      growth: { objects: 0, bytes: 0 },
      result: null,
      isDone: () => keys.every((key) => change(key, fetched) === null),
    };
  };

  const feedKeys = async (keys: readonly string[]): Promise<void> => {
    const fetched = new Map<string, Uint8Array>();
    // While bytes are fetched, or the share's log opens, a checkpoint may pack what was inline: those are fetched then.
    // And what others have fed meanwhile comes in.
    const isUnready = () => isBehind() || toFetch(keys, fetched).length > 0;
    for (let tries = 0; tries === 0 || isUnready(); tries++) {
      if (tries === MAX_TRIES) throw new ObjectsError('SlowDown', 'The share goes on changing');
      if (isBehind()) await options.catchUp();
      for (const key of keys) for (const row of toFetch([key], fetched)) fetched.set(row.versionId, await read(row));
      if (keys.some((key) => change(key, fetched) !== null))
        await to.commit([LOCK], () => (isUnready() ? null : decide(keys, fetched)));
    }
  };

  const compare = async (id: string, below: string): Promise<void> => {
    for (let after: string | null = ''; after !== null;) {
      const page: ReturnType<Catalog['list']> = catalog.list(id, { prefix: below, delimiter: '', after, limit: PAGE });
      const keys = page.items.flatMap((item) => (item.kind === 'object' ? [item.object.key] : []));
      for (let at = 0; at < keys.length; at += CHUNK) await feedKeys(keys.slice(at, at + CHUNK));
      after = page.next;
    }
  };

  const feedNow = async (): Promise<void> => {
    // Its turn comes again, and everything is compared then.
    if (!isWhole()) mustCompare = true;
    if (!isWhole()) return;
    if (mustCompare)
      for (const { logId, seq, hash } of catalog.positions(owner, bucketId)) reached.set(logId, { logId, seq, hash });
    const heads = [...reached.values()];
    const keys = [...waiting];
    waiting = new Set();
    const whole = mustCompare;
    mustCompare = false;
    const before = fed;
    try {
      if (whole) {
        await compare(bucketId, prefix);
        await compare(shareId, '');
      }
      for (let at = 0; at < keys.length; at += CHUNK) {
        // The last batch of these says so itself.
        if (at + CHUNK >= keys.length) fed = heads;
        await feedKeys(keys.slice(at, at + CHUNK));
      }
      fed = heads;
      await sayHeads(heads);
    } catch (error) {
      mustCompare = true;
      fed = before;
      throw error;
    }
  };

  const sayHeads = async (heads: readonly KnownHead[]): Promise<void> => {
    if (runtime.elapsedMs() - fedMs < HEADS_EVERY_MS || headsName(heads) === said) return;
    const log = await to.open();
    await log.append([], { added: [], released: [] });
    said = headsName(heads);
    fedMs = runtime.elapsedMs();
  };
  return {
    share,
    heads: () => fed,
    take(news) {
      if ('step' in news) {
        mustCompare = true;
        return;
      }
      const { logId, seq, hash, entries } = news;
      reached.set(logId, { logId, seq, hash });
      for (const entry of entries) if ('key' in entry && entry.key.startsWith(prefix)) waiting.add(entry.key);
      if (waiting.size <= MAX_WAITING) return;
      waiting = new Set();
      mustCompare = true;
    },
    feed() {
      // One that hasn't begun yet does for everybody.
      queued ??= tail = tail
        .catch(() => {})
        .then(() => {
          queued = null;
          return feedNow();
        });
      return queued;
    },
  };
}

function isSame(ids: readonly string[], segments: readonly { segmentId: string }[]): boolean {
  return ids.length === segments.length && segments.every(({ segmentId }, i) => ids[i] === segmentId);
}

const headsName = (heads: readonly KnownHead[]): string =>
  heads
    .map(({ logId, seq }) => `${logId} ${seq}`)
    .sort()
    .join();
