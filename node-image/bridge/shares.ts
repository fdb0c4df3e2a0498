// The shares of the accounts that this bridge keeps: each is served like a bucket, fed from its own, and ended
// when it was taken back. Which there are is said by the root statements, so an empty bridge finds them again.
import { openShares, type OpenShare } from '#node/client/shares.ts';
import type { Catalog, CatalogNews, VersionRow } from '#node/catalog/catalog.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { sealAndClose } from '#node/log/seal-log.ts';
import type { KnownHead } from '#node/wire/batch.ts';
import type { LogView } from '#node/wire/root-view.ts';
import { collect } from '#node/wire/framing.ts';
import { MAX_INLINE_BYTES, type BucketId, type PublicKey } from '#node/wire/types.ts';
import type { Accounts } from './accounts.ts';
import type { BucketWriter } from './bucket-writer.ts';
import type { FarmPort } from './farm-port.ts';
import type { HolderMoves } from './holder-moves.ts';
import type { Objects } from './objects.ts';
import type { OpenWriters } from './open-writers.ts';
import { shareFeed, type ShareFeed } from './share-feed.ts';

const NO_REPAIR = { added: [], released: [] };
const PAGE = 200;

export interface Shares {
  /** Those that are open, with the heads of the bucket's logs up to which they are fed. */
  list(owner: PublicKey): (OpenShare & { fedTo: KnownHead[] })[];
  /** Serves and feeds every open share of the owner, and ends those that were taken back. */
  keep(owner: PublicKey, signal: AbortSignal): Promise<void>;
  /** The catalog has taken something of a bucket. */
  onNews(news: CatalogNews): void;
  /** Null where the id is no share's: its batches name other heads then. */
  headsIn(shareId: BucketId): KnownHead[] | null;
}

export interface SharesOptions {
  link: LogLink;
  /** The bridge, or the owner where there is none. */
  keeper: KeyPair;
  accounts: Pick<Accounts, 'access' | 'view' | 'refresh'>;
  catalog: Catalog;
  writers: OpenWriters;
  moves: HolderMoves;
  farm: Pick<FarmPort, 'named'>;
  read: Objects['read'];
  signal: AbortSignal;
  onTrouble: (what: string, error: unknown) => void;
}

export function createShares(options: SharesOptions): Shares {
  const { link, keeper, accounts, catalog, writers, moves, farm } = options;
  const { runtime } = link;
  const feeds = new Map<BucketId, ShareFeed>();
  /** Those too that were ended. */
  const shareIds = new Set<BucketId>();

  const accountOf = (owner: PublicKey) => {
    const [access, view] = [accounts.access(owner), accounts.view(owner)];
    return access && view ? { access, view } : null;
  };
  const begin = (owner: PublicKey, share: OpenShare, to: BucketWriter): ShareFeed => {
    const known = feeds.get(share.shareId);
    if (known) return known;
    const { bucketId } = share;
    const read = async (version: VersionRow) => {
      const range = { offset: 0, length: version.sizeBytes };
      const bytes = options.read({ owner, bucketId, name: '', createdMs: 0 }, version, range, options.signal);
      return await collect(bytes, MAX_INLINE_BYTES);
    };
    const isWhole = () => writers.isReady(owner, bucketId) && to.isReady();
    const isBehind = () => {
      const positions = new Map(catalog.positions(owner, bucketId).map(({ logId, seq }) => [logId, seq]));
      const isMissed = ({ logId, closed }: LogView) =>
        Math.min(farm.named(logId), closed?.lastSeq ?? Infinity) > (positions.get(logId) ?? 0);
      const logs = accounts.view(owner)?.logs ?? [];
      return logs.some((log) => log.bucketId === bucketId && log.kind === 'entries' && isMissed(log));
    };
    const catchUp = () => writers.ready(owner, bucketId).catchUp(options.signal);
    const feed = shareFeed({ share, owner, to, catalog, moves, read, isWhole, isBehind, catchUp, runtime });
    feeds.set(share.shareId, feed);
    shareIds.add(share.shareId);
    return feed;
  };

  /** So that nothing names its segments any more. */
  const empty = async (to: BucketWriter, shareId: BucketId): Promise<void> => {
    for (;;) {
      const { items } = catalog.list(shareId, { prefix: '', delimiter: '', after: '', limit: PAGE });
      const keys = items.flatMap((item) => (item.kind === 'object' ? [item.object.key] : []));
      if (keys.length === 0) return;
      await to.commit(['feed'], () => {
        const named = keys.map((key) => ({ key, names: catalog.liveVersions(shareId, key) }));
        const content = named.flatMap(({ key, names }) => names.map((name) => catalog.content(shareId, key, name)));
        return {
          entries: named.map(({ key, names }) => ({ kind: 'delete', key, clock: to.clock(), names })),
          repair: { ...NO_REPAIR, released: content.flatMap((one) => one?.segments.map(({ segmentId }) => segmentId) ?? []) },
          growth: { objects: 0, bytes: 0 },
          result: null,
          isDone: () => keys.every((key) => catalog.liveVersions(shareId, key).length === 0),
        };
      });
    }
  };

  /** Empties and closes what was taken back and isn't closed yet. */
  const finish = async (owner: PublicKey, shareId: BucketId, signal: AbortSignal): Promise<void> => {
    const access = accounts.access(owner)!;
    feeds.delete(shareId);
    shareIds.add(shareId);
    const to = await writers.serve(access, shareId, signal);
    await empty(to, shareId);
    const { logId } = (await to.open()).head();
    await to.closeLog();
    const roots = await fetchRoots(link, owner, signal);
    const set = roots.view.sets.get(shareId);
    if (set) await sealAndClose(link, { owner, bucketId: shareId, logId, roots, set, signer: keeper, signal });
    await writers.forget(owner, shareId);
    await accounts.refresh(owner, signal);
  };

  return {
    list(owner) {
      const account = accountOf(owner);
      const open = account ? openShares(account.access, account.view) : [];
      return open.map((share) => ({ ...share, fedTo: feeds.get(share.shareId)?.heads() ?? [] }));
    },
    async keep(owner, signal) {
      const account = accountOf(owner);
      if (!account || account.view.shares.length === 0) return;
      const open = openShares(account.access, account.view);
      for (const share of open) {
        if (!writers.isReady(owner, share.bucketId)) continue;
        const to = await writers.serve(account.access, share.shareId, signal);
        await begin(owner, share, to).feed();
      }
      for (const { shareId } of account.view.shares) {
        const isOpen = open.some((share) => share.shareId === shareId);
        const hasLog = account.view.logs.some(
          (log) => log.bucketId === shareId && log.writer === keeper.publicKey && !log.closed,
        );
        if (!isOpen && hasLog) await finish(owner, shareId, signal);
      }
    },
    onNews(news) {
      for (const feed of feeds.values()) {
        if (feed.share.bucketId !== news.bucketId) continue;
        feed.take(news);
        feed.feed().catch((error: unknown) => {
          if (!options.signal.aborted) options.onTrouble(`share ${feed.share.shareId}`, error);
        });
      }
    },
    headsIn: (shareId) => feeds.get(shareId)?.heads() ?? (shareIds.has(shareId) ? [] : null),
  };
}
