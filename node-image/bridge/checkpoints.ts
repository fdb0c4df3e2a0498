// The bridge makes the checkpoints of the buckets that it serves, one at a time, beside everything else: when
// enough has been written since the last. What goes for good it decides from its catalog, which it brings up
// to the heads first.
import { bucketKeys, writerKeys } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { newestCheckpoint } from '#node/log/checkpoint-reader.ts';
import { CHECKPOINT_LIMITS, makeCheckpoint, type CheckpointLimits, type CheckpointOrder } from '#node/log/checkpoint-maker.ts';
import { spreadLog } from '#node/log/copy-log.ts';
import { LogError } from '#node/log/log-link.ts';
import type { BucketState } from '#node/log/log-reader.ts';
import type { Roots } from '#node/log/roots.ts';
import { pause } from '#node/log/runtime.ts';
import { isUnder } from '#node/core/schemes.ts';
import { TAG_BYTES } from '#node/core/sealing.ts';
import { openPacked } from '#node/wire/checkpoints.ts';
import type { RootView } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PackedBytes, type PublicKey, type SegmentId } from '#node/wire/types.ts';
import type { Accounts } from './accounts.ts';
import type { BucketWriter } from './bucket-writer.ts';
import type { FarmPort } from './farm-port.ts';
import type { HolderMoves } from './holder-moves.ts';
import type { OpenWriters } from './open-writers.ts';

const EVERY_MS = 10_000;
/** After a failure: the bucket's turn comes again. */
const RETRY_MS = 60_000;
/** Batches go on arriving while the catalog catches up with heads: so often it tries. */
const MAX_READINGS = 3;

export interface Checkpoints {
  /** What the bucket's checkpoints hold is under another scheme than the farm wants: make one that is under it. */
  renew(owner: PublicKey, bucketId: BucketId): void;
  /** Makes those that are due. Answers how many. */
  makeDue(): Promise<number>;
  /** Runs until the signal aborts. */
  run(): Promise<void>;
}

export interface CheckpointsOptions {
  client: Client;
  bridge: KeyPair;
  accounts: Accounts;
  catalog: Catalog;
  writers: OpenWriters;
  moves: HolderMoves;
  farm: Pick<FarmPort, 'rewriteTo'>;
  limits?: CheckpointLimits;
  signal: AbortSignal;
  onMade(bucketId: BucketId, facts: { number: number; tookMs: number }): void;
  onTrouble(what: string, error: unknown): void;
}

export function createCheckpoints(options: CheckpointsOptions): Checkpoints {
  const { client, bridge, accounts, catalog, writers, moves, signal, limits = CHECKPOINT_LIMITS } = options;
  const { runtime } = client;
  const failedMs = new Map<string, number>();

  /** Names of buckets. */
  const renewals = new Set<string>();

  const isDue = ({ access: { owner }, bucketId }: BucketWriter): boolean => {
    const isWanted = renewals.has(`${owner}/${bucketId}`) && options.farm.rewriteTo() !== null;
    const { headBytes, inlineBytes } = catalog.uncovered(owner, bucketId);
    if (!isWanted && headBytes < limits.headBytes && inlineBytes < limits.inlineBytes) return false;
    return runtime.elapsedMs() - (failedMs.get(`${owner}/${bucketId}`) ?? -Infinity) > RETRY_MS;
  };

  const positionsOf = (owner: PublicKey, bucketId: BucketId) =>
    new Map(catalog.positions(owner, bucketId).map(({ logId, seq }) => [logId, seq]));

  /** The catalog has everything that these heads name. */
  const follow = async (writer: BucketWriter, { owner, bucketId, logs }: BucketState): Promise<void> => {
    for (let reading = 0; ; reading++) {
      const positions = positionsOf(owner, bucketId);
      if (logs.every(({ log, seq }) => (positions.get(log.logId) ?? 0) >= seq)) return;
      if (reading === MAX_READINGS)
        throw new LogError('Damaged', `The catalog doesn't come up to the logs of bucket ${bucketId}.`);
      await writer.catchUp(signal);
    }
  };

  /**
   * A cut may know a batch that is on too few replicas to be in a checkpoint. Its writer may be gone for good: the batch
   * is brought to the others, for the next time.
   */
  const mustHaveAll = async ({ owner, bucketId, set, logs, answers }: BucketState): Promise<void> => {
    const positions = positionsOf(owner, bucketId);
    const left = logs.filter(({ log, seq }) => (positions.get(log.logId) ?? 0) > seq);
    for (const { log } of left) {
      const name = { owner, bucketId, logId: log.logId };
      const toSeq = positions.get(log.logId)!;
      const hasIt = ({ logId, seq }: { logId: PublicKey; seq: number }) => logId === log.logId && seq >= toSeq;
      const sources = [...answers].flatMap(([farmer, heads]) => (heads.logs.some(hasIt) ? [farmer] : []));
      await spreadLog(client.link, { name, set, sources, toSeq, signal });
    }
    if (left.length === 0) return;
    const logIds = left.map(({ log }) => log.logId).join(', ');
    throw new LogError(
      'NotEnoughReplicas',
      `Of bucket ${bucketId} these logs had batches on too few replicas to be in a checkpoint, and have them on enough now: ${logIds}. The account's is made next time.`,
    );
  };

  const record = async (writer: BucketWriter, ...[entry, repair]: Parameters<CheckpointOrder['record']>): Promise<void> => {
    await writer.commit(['checkpoint'], () => ({
      entries: [{ ...entry, clock: writer.clock() }],
      repair,
      growth: { objects: 0, bytes: 0 },
      result: null,
      isDone: () => catalog.references(writer.bucketId, entry.segments[0] ?? '') > 0,
    }));
  };

  /**
   * Whether the newest checkpoint has all that was written, by the number of batches behind what it covers: one of them
   * brought in the checkpoint itself, more were written while it was made. A batch may say that there is a checkpoint of
   * which no statement came about: what is in the logs then has none.
   */
  const isCovered = (owner: PublicKey, bucketId: BucketId, view: RootView): boolean => {
    if (catalog.uncovered(owner, bucketId).headBytes > 0) return false;
    const newest = newestCheckpoint({ view, bucketId });
    const covers = new Map(newest?.covers.map(({ logId, seq }) => [logId, seq]));
    const positions = positionsOf(owner, bucketId);
    const behind = view.logs
      .filter((log) => log.bucketId === bucketId && log.kind === 'entries')
      .map(({ logId, closed }) => {
        // One that was closed long ago is named no more.
        const isOld = newest !== null && closed !== undefined && closed.closedMs < newest.issuedMs;
        const covered = covers.get(logId) ?? (isOld ? Infinity : 0);
        return Math.max(0, (positions.get(logId) ?? 0) - covered);
      });
    return behind.reduce((sum, batches) => sum + batches, 0) <= (newest === null ? 0 : 1);
  };

  /**
   * Whoever starts from a checkpoint of the account doesn't read the cuts that it covers. No batch that such a reader
   * still takes from the other logs may bring in what they dropped: checkpoints of these buckets come first, of all
   * that the cuts knew.
   */
  const makeOthers = async (owner: PublicKey): Promise<void> => {
    const roots = await accounts.roots(owner, signal);
    for (const other of writers.all()) {
      if (other.access.owner !== owner || other.bucketId === ACCOUNT_BUCKET_ID) continue;
      if (!isCovered(owner, other.bucketId, roots.view)) await make(other, { always: true, roots });
    }
  };

  const make = async (
    writer: BucketWriter,
    { always = false, roots: read }: { always?: boolean; roots?: Roots } = {},
  ): Promise<void> => {
    const { access, bucketId } = writer;
    const { owner } = access;
    const beganMs = runtime.elapsedMs();
    const wanted = renewals.delete(`${owner}/${bucketId}`) ? options.farm.rewriteTo() : null;
    const mayStay = (segmentId: SegmentId): boolean => {
      const placement = catalog.placement(bucketId, segmentId);
      return wanted === null || placement === null || isUnder(placement.scheme, wanted.scheme);
    };
    const store = segmentStore(client, owner, async (placement) => moves.known(owner, placement));
    const roots = read ?? (await accounts.roots(owner, signal));
    const { view } = roots;
    const made = await makeCheckpoint({
      link: client.link,
      store,
      owner,
      bucketId,
      keeper: bridge,
      roots,
      readKeys: bucketKeys(access, view, bucketId),
      sealKeys: writerKeys(access, view, bucketId),
      record: (entry, repair) => record(writer, entry, repair),
      always,
      follow: async (state) => {
        await follow(writer, state);
        if (always) await mustHaveAll(state);
        if (bucketId === ACCOUNT_BUCKET_ID) await makeOthers(owner);
      },
      isLive: (segmentId) => catalog.references(bucketId, segmentId) > 0,
      keepsMoves: (tag) => catalog.moves(tag).length > 0,
      onPacked: (versions) => catalog.restore({ owner, bucketId, step: { kind: 'packed', versions } }),
      limits,
      readPacked: async ({ segment, offset, key }: PackedBytes, sizeBytes: number, ends: AbortSignal) => {
        const placement = catalog.placement(bucketId, segment.segmentId);
        if (placement === null) throw new LogError('Damaged', `The catalog lacks the places of pack ${segment.segmentId}.`);
        const held = { key: segment, placement, moved: moves.known(owner, placement) };
        return openPacked(key, await store.read([held], offset, sizeBytes + TAG_BYTES, ends));
      },
      packBytes: (segmentId) => catalog.placement(bucketId, segmentId)?.sizeBytes ?? null,
      ...(wanted === null ? {} : { mayStay }),
      signal,
    });
    if (made) options.onMade(bucketId, { number: made.number, tookMs: runtime.elapsedMs() - beganMs });
  };

  const makeDue = async (): Promise<number> => {
    let count = 0;
    for (const writer of writers.all()) {
      if (signal.aborted || !writer.isReady() || !isDue(writer)) continue;
      try {
        await make(writer);
        count++;
      } catch (error) {
        failedMs.set(`${writer.access.owner}/${writer.bucketId}`, runtime.elapsedMs());
        if (!signal.aborted) options.onTrouble('checkpoint', error);
      }
    }
    return count;
  };

  return {
    renew: (owner, bucketId) => void renewals.add(`${owner}/${bucketId}`),
    makeDue,
    async run() {
      while (!signal.aborted) {
        await makeDue();
        await pause(runtime, EVERY_MS, signal);
      }
    },
  };
}
