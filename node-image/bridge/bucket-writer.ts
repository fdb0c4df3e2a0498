// Everything that changes one bucket goes through here: decide under a lock (conditions, quota, the versions
// that go) → log acknowledged on f + 1 farmers → visible in the catalog → answer. The log is opened when it
// is first needed and again after it ended; before each opening the catalog reads what it doesn't know yet.
import { compareClocks, nextClock, writtenAt } from '#node/core/log-merge.ts';
import { raceAbort } from '#node/core/race-abort.ts';
import type { Access } from '#node/client/account.ts';
import { CatalogError, takeNews, type Catalog, type CatalogNews } from '#node/catalog/catalog.ts';
import { LogError, type LogErrorCode } from '#node/log/log-link.ts';
import type { AcknowledgedBatch, BucketLog } from '#node/log/log-writer.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { MAX_CLOCK_SKEW_MS, type BucketId, type Clock, type OwnerEntry, type RepairPart } from '#node/wire/types.ts';
import type { FarmPort } from './farm-port.ts';
import { createKeyLocks, LockError } from './key-locks.ts';
import { ObjectsError } from './objects.ts';

/** Longest wait for a lock, and for the log to open. For the acknowledgement of a batch the log has its own. */
const DECISION_TIMEOUT_MS = 30_000;
const OPENING_TIMEOUT_MS = 60_000;
/** Errors of an append that leave nothing open: it isn't in the log, or the logs will say. */
const KNOWN_ENDS: ReadonlySet<LogErrorCode> = new Set(['TooLarge', 'NotSent', 'LogEnded']);
/** A log that ended under a request: so often it is opened again for it. */
const MAX_ATTEMPTS = 3;

export interface Growth {
  objects: number;
  bytes: number;
}
/** What is to be written. `growth` counts against the quota until it is visible. */
export interface Decision<Result> {
  entries: OwnerEntry[];
  repair: RepairPart;
  growth: Growth;
  result: Result;
  /** After the log ended: did this come true all the same? */
  isDone(): boolean;
}

export interface BucketWriter {
  readonly access: Access;
  readonly bucketId: BucketId;
  /**
   * Locks the names, decides, writes, and resolves when everybody sees it. `decide` runs with nothing in
   * between it and the log; it throws ObjectsError, or returns null where there is nothing to write.
   */
  commit<Result>(names: readonly string[], decide: () => Decision<Result> | null): Promise<Result | null>;
  /** A clock above all before it, and above those of the entries that were read (unless they are far ahead of ours). */
  clock(): Clock;
  /** Growth that is decided and not yet visible. */
  reserved(): Growth;
  /** Reads from the farmers what the catalog lacks. Concurrent calls share one reading. */
  catchUp(signal?: AbortSignal): Promise<void>;
  /** True once the catalog has caught up with the bucket in this process's life. */
  isReady(): boolean;
  /** Opens the log, if it isn't open. */
  open(): Promise<BucketLog>;
  /** The log, if it is open now. */
  current(): BucketLog | null;
  /** No commit begins any more, and those under way have ended. `reopen` takes it back. */
  freeze(): Promise<void>;
  reopen(): void;
  /** Ends the log without forgetting anything; the next commit opens it again. */
  closeLog(): Promise<void>;
  close(): Promise<void>;
}

export interface BucketWriterOptions {
  access: Access;
  bucketId: BucketId;
  catalog: Catalog;
  farm: FarmPort;
  /** Nobody can have written it yet. */
  isNew?: boolean;
  runtime: Runtime;
  onBatch?(batch: AcknowledgedBatch, tookMs: number): void;
  /** The catalog has it, whoever wrote it. */
  onNews?(news: CatalogNews): void;
  onTrouble?(error: unknown): void;
}

interface Expected {
  resolve(): void;
  reject(error: Error): void;
}

export function createBucketWriter(options: BucketWriterOptions): BucketWriter {
  const { access, bucketId, catalog, farm, runtime } = options;
  const { owner } = access;
  const locks = createKeyLocks();
  /** Commits in the log that aren't visible yet, by the clock of their first entry. */
  const expected = new Map<string, Expected>();
  let lastClock: Clock = { wallMs: 0, counter: 0 };
  let reserved: Growth = { objects: 0, bytes: 0 };
  let log: BucketLog | null = null;
  let opening: Promise<BucketLog> | null = null;
  let reading: Promise<void> | null = null;
  let isReady = options.isNew ?? false;
  let isFrozen = false;
  const closing = new AbortController();

  const reserve = (growth: Growth, sign: 1 | -1): void => {
    reserved = { objects: reserved.objects + sign * growth.objects, bytes: reserved.bytes + sign * growth.bytes };
  };

  /** Hybrid: what is written upon an entry comes after it, however late our own clock is. */
  const follow = (entries: readonly OwnerEntry[]): void => {
    for (const entry of entries) {
      const at = writtenAt(entry);
      if (at.wallMs <= runtime.nowMs() + MAX_CLOCK_SKEW_MS && compareClocks(at, lastClock) > 0) lastClock = at;
    }
  };

  const readNew = async (signal: AbortSignal, onProgress: () => void): Promise<void> => {
    const since = new Map(catalog.positions(owner, bucketId).map((position) => [position.logId, position]));
    for await (const news of farm.readNew(access, bucketId, since, signal)) {
      // Taken over from a checkpoint, the bucket isn't whole before its end.
      if ('step' in news) isReady = false;
      await takeNews(catalog, news);
      follow(entriesOf(news));
      options.onNews?.(news);
      onProgress();
    }
    isReady = true;
  };

  /** As long as it takes, but never so long without anything coming. */
  const readWithProgress = async (): Promise<void> => {
    const stalled = new AbortController();
    const over = new AbortController();
    let movedMs = runtime.elapsedMs();
    const signal = AbortSignal.any([closing.signal, stalled.signal]);
    const watch = async () => {
      while (!over.signal.aborted) {
        await runtime.sleep(OPENING_TIMEOUT_MS / 4, AbortSignal.any([signal, over.signal]));
        if (runtime.elapsedMs() - movedMs < OPENING_TIMEOUT_MS) continue;
        return stalled.abort(new ObjectsError('SlowDown', `Nothing came from the farmers for ${OPENING_TIMEOUT_MS} ms`));
      }
    };
    watch().catch(() => undefined);
    await readNew(signal, () => (movedMs = runtime.elapsedMs())).finally(() => over.abort());
  };

  const catchUp = (signal?: AbortSignal): Promise<void> => {
    reading ??= readWithProgress().finally(() => {
      reading = null;
    });
    return signal === undefined ? reading : raceAbort(reading, signal);
  };

  const onAcknowledged = async (batch: AcknowledgedBatch): Promise<void> => {
    const startedMs = runtime.elapsedMs();
    const { logId, seq, hash, entries, repair, placements } = batch;
    const applied = { owner, bucketId, logId, seq, hash, entries, repair, placements };
    try {
      await catalog.apply(applied).catch(async (error: unknown) => {
        if (!(error instanceof CatalogError && error.code === 'Gap')) throw error;
        await catchUp();
        await catalog.apply(applied);
      });
    } catch (error) {
      // Acknowledged but not visible here: nothing more is decided until the catalog has read it. Thrown, it
      // ends the log.
      isReady = false;
      throw error;
    }
    options.onNews?.(applied);
    options.onBatch?.(batch, runtime.elapsedMs() - startedMs);
    for (const entry of entries) settle(writtenAt(entry));
  };

  const settle = (clock: Clock, error?: Error): void => {
    const name = clockName(clock);
    const waiting = expected.get(name);
    expected.delete(name);
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
  };

  const rejectExpected = (): void => {
    const ended = new LogError('LogEnded', 'the log ended');
    for (const [name, waiting] of expected) {
      expected.delete(name);
      waiting.reject(ended);
    }
  };

  const openNow = async (): Promise<BucketLog> => {
    const signal = runtime.deadline(OPENING_TIMEOUT_MS, closing.signal);
    await catchUp();
    const opened = await farm.openLog(access, bucketId, onAcknowledged, signal);
    // Opening has brought batches of older logs to their end; whatever was uncertain is known now.
    await catchUp();
    rejectExpected();
    log = opened;
    void opened.ended.then((reason) => {
      if (log !== opened) return;
      log = null;
      options.onTrouble?.(reason);
      rejectExpected();
    });
    return opened;
  };

  const open = (): Promise<BucketLog> => {
    if (log !== null) return Promise.resolve(log);
    opening ??= openNow().finally(() => {
      opening = null;
    });
    return opening;
  };

  async function closeLog(): Promise<void> {
    const old = log;
    log = null;
    await old?.close();
  }

  /** Resolves when the entries are visible; a LogError tells what is known otherwise. */
  const write = async (decision: Decision<unknown>): Promise<void> => {
    const to = await open();
    const [first] = decision.entries;
    if (first === undefined) return;
    const visible = Promise.withResolvers<void>();
    visible.promise.catch(() => undefined);
    expected.set(clockName(writtenAt(first)), visible);
    try {
      await to.append(decision.entries, decision.repair);
      await visible.promise;
    } catch (error) {
      if (error instanceof LogError && KNOWN_ENDS.has(error.code)) settle(writtenAt(first), error);
      throw error;
    }
  };

  /** After a write whose end isn't known: resolves when it is. */
  const whenSettled = (decision: Decision<unknown>): Promise<void> => {
    const [first] = decision.entries;
    const name = first === undefined ? '' : clockName(writtenAt(first));
    const waiting = expected.get(name);
    if (waiting === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        waiting.resolve();
        resolve();
      };
      expected.set(name, { resolve: end, reject: end });
    });
  };

  const openForCommit = async (): Promise<void> => {
    if (isFrozen) throw new ObjectsError('NoSuchBucket', 'The bucket is being deleted');
    await open().catch(unavailable);
  };

  return {
    access,
    bucketId,
    async commit(names, decide) {
      // Before the names are asked for: a write whose end isn't known keeps them until a log is open and says it.
      await openForCommit();
      const release = await locks.take(names, () => runtime.deadline(DECISION_TIMEOUT_MS, closing.signal)).catch(busy);
      let uncertain: Promise<void> = Promise.resolve();
      try {
        for (let attempt = 1; ; attempt++) {
          // Conditions are decided on what everybody else would see.
          await openForCommit();
          const decision = decide();
          if (decision === null) return null;
          reserve(decision.growth, 1);
          try {
            await write(decision);
            return decision.result;
          } catch (error) {
            if (error instanceof LogError && error.code === 'LogEnded' && attempt < MAX_ATTEMPTS) {
              await open().catch(unavailable);
              if (decision.isDone()) return decision.result;
              continue;
            }
            uncertain = whenSettled(decision);
            farm.keepRunning(uncertain);
            return unavailable(error);
          } finally {
            const { growth } = decision;
            void uncertain.then(() => reserve(growth, -1));
          }
        }
      } finally {
        // A write that may still come true keeps its names: nobody decides on a state that may change behind him.
        void uncertain.then(release);
      }
    },
    clock() {
      lastClock = nextClock(lastClock, runtime.nowMs());
      return lastClock;
    },
    reserved: () => reserved,
    catchUp,
    isReady: () => isReady,
    open,
    current: () => log,
    async freeze() {
      isFrozen = true;
      await locks.idle();
    },
    reopen() {
      isFrozen = false;
    },
    closeLog,
    async close() {
      closing.abort(new ObjectsError('SlowDown', 'The bridge is stopping'));
      await opening?.catch(() => undefined);
      await closeLog();
    },
  };
}

/** Those of a batch, or of one step of a checkpoint. */
function entriesOf(news: CatalogNews): readonly OwnerEntry[] {
  if (!('step' in news)) return news.entries;
  if (news.step.kind !== 'records') return [];
  return news.step.ownerRecords.flatMap((record) => (record.kind === 'entry' ? [record.entry] : []));
}

const clockName = ({ wallMs, counter }: Clock): string => `${wallMs}.${counter}`;

function busy(error: unknown): never {
  if (error instanceof LockError) throw new ObjectsError('SlowDown', 'Too many requests for one key at once; try again', error);
  throw new ObjectsError('SlowDown', 'Another write of this key is still under way; try again', error);
}

/** What a log's trouble means to a client. */
function unavailable(error: unknown): never {
  if (error instanceof ObjectsError) throw error;
  if (error instanceof LogError && error.code === 'TooLarge') {
    throw new ObjectsError('TooLarge', 'The object has too many parts or segments to be recorded at once', error);
  }
  const why = error instanceof Error ? error.message : String(error);
  throw new ObjectsError('SlowDown', `Too few farmers answer to keep the promise for this write: ${why}; try again`, error);
}
