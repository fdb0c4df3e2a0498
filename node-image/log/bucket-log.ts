// One open log of one writer: what is asked for while a batch is on its way shares the next (group commit).
import { ownerPartKey, repairPartKey, type KeyPair } from '#node/core/keys.ts';
import {
  decodeBatchHeader,
  batchHash,
  encodeBatch,
  encodePlacementsBatch,
  openOwnerPart,
  openRepairPart,
  readPlacements,
  type EncodedBatch,
  type KnownHead,
} from '#node/wire/batch.ts';
import { frameAll } from '#node/wire/framing.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';
import {
  MAX_BATCH_BYTES,
  type BucketId,
  type OwnerEntry,
  type PublicKey,
  type RepairPart,
  type SealedPlacement,
} from '#node/wire/types.ts';
import { LogError } from './log-link.ts';
import type { AcknowledgedBatch, BucketLog, LogPosition, SavedLog, WriterState } from './log-writer.ts';
import type { ReplicaGroup } from './replica-group.ts';
import { pause, type Runtime } from './runtime.ts';

/** Appends share a batch up to so many bytes, by a cautious estimate. */
const BATCH_BYTES = MAX_BATCH_BYTES / 2;
/** One alone may be larger: the keys of some terabytes. */
const MAX_APPEND_BYTES = MAX_BATCH_BYTES - 64 * 1024;
/** More that are waiting are told to come again. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

export interface BucketLogInput {
  runtime: Runtime;
  owner: PublicKey;
  bucketId: BucketId;
  logKey: KeyPair;
  keys: { bucketSecret: Uint8Array; repairKey: Uint8Array } | null;
  state: WriterState;
  saved: SavedLog;
  group: ReplicaGroup;
  knownHeads: () => KnownHead[];
  onAcknowledged: (batch: AcknowledgedBatch) => void | Promise<void>;
  /** Settles when the log is over: called by whoever notices. */
  ended: { promise: Promise<Error>; resolve: (error: Error) => void };
  /** An append that isn't acknowledged within this is told so, and may still come true. */
  patienceMs: number;
}

interface Content {
  entries: readonly OwnerEntry[];
  repair: RepairPart;
  placements: readonly SealedPlacement[];
}
interface Waiting extends Content {
  estimatedBytes: number;
  deadlineMs: number;
  resolve: (position: LogPosition) => void;
  reject: (error: Error) => void;
}

export class OpenBucketLog implements BucketLog {
  readonly #input: BucketLogInput;
  readonly #queue: Waiting[] = [];
  readonly #patience: Patience;
  #queuedBytes = 0;
  #saved: SavedLog;
  #timeMs = 0;
  #running = false;
  #held = false;
  #stopped: Error | null = null;
  readonly #stop = new AbortController();
  #turn: Promise<void> = Promise.resolve();
  readonly #resumed = Promise.withResolvers<void>();

  constructor(input: BucketLogInput) {
    this.#input = input;
    this.#saved = input.saved;
    this.#patience = new Patience(input.runtime, (waiting) => this.#giveUp(waiting));
    void input.ended.promise.then((error) => this.#fail(error));
    input.group.start();
    if (this.#saved.pending) this.#run();
    else this.#resumed.resolve();
  }

  /** Resolves when the batch that was pending at the opening is acknowledged and visible, or the log has ended. */
  async resumed(signal: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<never>();
    const stop = () => over.reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    await Promise.race([this.#resumed.promise, this.ended, over.promise]).finally(() =>
      signal.removeEventListener('abort', stop),
    );
  }

  get logId(): PublicKey {
    return this.#input.logKey.publicKey;
  }
  get owner(): PublicKey {
    return this.#input.owner;
  }
  get bucketId(): BucketId {
    return this.#input.bucketId;
  }
  get ended(): Promise<Error> {
    return this.#input.ended.promise;
  }
  head(): LogPosition {
    return { logId: this.logId, seq: this.#saved.seq, hash: this.#saved.hash, timeMs: this.#timeMs };
  }
  set(): ReplicaSet {
    return this.#input.group.set;
  }
  upToDate(): PublicKey[] {
    return this.#input.group.upToDate(this.#saved.seq);
  }

  append(entries: readonly OwnerEntry[], repair: RepairPart, signal?: AbortSignal): Promise<LogPosition> {
    return this.#add({ entries, repair, placements: [] }, signal);
  }
  appendPlacements(placements: readonly SealedPlacement[], signal?: AbortSignal): Promise<LogPosition> {
    return this.#add({ entries: [], repair: { added: [], released: [] }, placements }, signal);
  }

  async hold(work: () => Promise<ReplicaSet>): Promise<ReplicaSet> {
    const before = this.#turn;
    let free: () => void = () => {};
    this.#turn = new Promise((resolve) => (free = resolve));
    await before;
    this.#held = true;
    await this.#input.group.pause();
    let set = this.set();
    try {
      set = await work();
      return set;
    } finally {
      this.#held = false;
      this.#input.group.resume(set);
      free();
      this.#run();
    }
  }

  async close(): Promise<void> {
    this.#fail(new LogError('LogEnded', 'The log was closed here; its state is kept.'));
    await this.#input.group.pause();
  }

  #fail(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = error;
    this.#stop.abort(error);
    for (const { reject } of this.#queue.splice(0)) reject(error);
    this.#queuedBytes = 0;
  }

  #add(content: Content, signal?: AbortSignal): Promise<LogPosition> {
    const estimatedBytes = estimate(content);
    return new Promise<LogPosition>((resolve, reject) => {
      if (this.#stopped) return reject(this.#stopped);
      if (signal?.aborted) return reject(signal.reason as Error);
      if (estimatedBytes > MAX_APPEND_BYTES) {
        return reject(
          new LogError('TooLarge', `Entries of ${estimatedBytes} bytes don't fit into one batch; write them in several.`),
        );
      }
      if (this.#queuedBytes + estimatedBytes > MAX_WAITING_BYTES) {
        return reject(new LogError('NotSent', 'Too much waits for the replicas of this bucket already. Try again.'));
      }
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          this.#patience.settled(waiting);
          signal?.removeEventListener('abort', abort);
          then(value);
        };
      const deadlineMs = this.#input.runtime.elapsedMs() + this.#input.patienceMs;
      const waiting: Waiting = { ...content, estimatedBytes, deadlineMs, resolve: settle(resolve), reject: settle(reject) };
      const abort = () => this.#giveUp(waiting, signal!.reason as Error);
      this.#patience.add(waiting);
      signal?.addEventListener('abort', abort, { once: true });
      this.#queue.push(waiting);
      this.#queuedBytes += estimatedBytes;
      this.#run();
    });
  }

  /** What isn't sent yet will never be. Without a reason it was late. */
  #giveUp(waiting: Waiting, reason?: Error): void {
    const at = this.#queue.indexOf(waiting);
    if (at >= 0) {
      this.#queue.splice(at, 1);
      this.#queuedBytes -= waiting.estimatedBytes;
    }
    waiting.reject(reason ?? late(at >= 0 ? 'NotSent' : 'NotEnoughReplicas'));
  }

  /** One batch after the other, as long as there is something to send. */
  #run(): void {
    if (this.#running || this.#held || this.#stopped) return;
    if (!this.#saved.pending && this.#queue.length === 0) return;
    this.#running = true;
    void this.#commit()
      .catch((error: unknown) => this.#input.ended.resolve(error instanceof Error ? error : new Error(String(error))))
      .finally(() => {
        this.#running = false;
        this.#run();
      });
  }

  async #commit(): Promise<void> {
    let waiting: Waiting[] = [];
    try {
      const { pending } = this.#saved;
      if (!pending) waiting = this.#take();
      const { batch, framed } = pending
        ? { batch: this.#opened(pending), framed: frameAll([pending]) }
        : await this.#written(waiting);
      await this.#input.group.replicate({ seq: batch.seq, hash: batch.hash, framed }, this.#stop.signal);
      // Durable with the next batch at the latest: until then this one would be sent again, which changes nothing.
      this.#saved = { ...this.#saved, seq: batch.seq, hash: batch.hash, pending: null };
      this.#timeMs = batch.timeMs;
      await this.#input.onAcknowledged(batch);
      this.#resumed.resolve();
      const { logId, seq, hash, timeMs } = batch;
      for (const { resolve } of waiting) resolve({ logId, seq, hash, timeMs });
    } catch (error) {
      for (const { reject } of waiting) reject(error as Error);
      throw error;
    }
  }

  /** The next batch, durable before anybody sees it: after a crash exactly these bytes are sent again. */
  async #written(waiting: readonly Waiting[]): Promise<{ batch: AcknowledgedBatch; framed: Uint8Array }> {
    const content = joined(waiting);
    const { header, hash, bytes, framed } = this.#encode(content);
    await this.#save({ ...this.#saved, pending: bytes });
    const { entries, repair, placements } = content;
    const position = { logId: this.logId, seq: header.seq, hash, timeMs: header.timeMs };
    return { batch: { ...position, entries, repair: this.#input.keys ? repair : null, placements }, framed };
  }

  async #save(saved: SavedLog): Promise<void> {
    await this.#input.state.save(saved);
    this.#saved = saved;
  }

  #take(): Waiting[] {
    const taken: Waiting[] = [];
    let bytes = 0;
    const fits = (next: Waiting | undefined) => next && (bytes === 0 || bytes + next.estimatedBytes <= BATCH_BYTES);
    for (let next = this.#queue[0]; next && fits(next); next = this.#queue[0]) {
      bytes += next.estimatedBytes;
      taken.push(this.#queue.shift()!);
    }
    this.#queuedBytes -= bytes;
    return taken;
  }

  #encode({ entries, repair, placements }: Content): EncodedBatch {
    const { runtime, logKey, keys, knownHeads } = this.#input;
    // Times in a log never go back, whatever the clock does.
    const timeMs = Math.max(runtime.nowMs(), this.#timeMs);
    const position = { seq: this.#saved.seq + 1, prevHash: this.#saved.hash, timeMs, salt: runtime.random(32) };
    if (!keys) return encodePlacementsBatch({ logKey, position, placements });
    return encodeBatch({
      logKey,
      position,
      entries,
      heads: knownHeads().filter((head) => head.logId !== logKey.publicKey),
      repair,
      ownerPartKey: ownerPartKey(keys.bucketSecret, logKey.publicKey),
      repairPartKey: repairPartKey(keys.repairKey, logKey.publicKey),
    });
  }

  #opened(bytes: Uint8Array): AcknowledgedBatch {
    const { keys } = this.#input;
    const { seq, timeMs } = decodeBatchHeader(bytes);
    const position = { logId: this.logId, seq, hash: batchHash(bytes), timeMs };
    if (!keys) return { ...position, entries: [], repair: null, placements: readPlacements(bytes) };
    const { entries } = openOwnerPart(bytes, ownerPartKey(keys.bucketSecret, this.logId));
    return { ...position, entries, repair: this.#repairPart(bytes, keys.repairKey), placements: [] };
  }

  /** Null for a pending batch from before the warrant changed: it is sealed under the key of that epoch. */
  #repairPart(bytes: Uint8Array, repairKey: Uint8Array): RepairPart | null {
    try {
      return openRepairPart(bytes, repairPartKey(repairKey, this.logId));
    } catch {
      return null;
    }
  }
}

function cutsOf(waiting: readonly Content[]): Pick<RepairPart, 'cuts'> {
  const cuts = waiting.flatMap((one) => one.repair.cuts ?? []);
  return cuts.length > 0 ? { cuts } : {};
}

/** Tells those that wait for too long. All have the same patience, so the first to come is the first to go. */
class Patience {
  readonly #runtime: Runtime;
  readonly #onOver: (waiting: Waiting) => void;
  readonly #waiting = new Set<Waiting>();
  #sleeping: AbortController | null = null;

  constructor(runtime: Runtime, onOver: (waiting: Waiting) => void) {
    this.#runtime = runtime;
    this.#onOver = onOver;
  }

  add(waiting: Waiting): void {
    this.#waiting.add(waiting);
    if (!this.#sleeping) void this.#watch();
  }
  settled(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    if (this.#waiting.size === 0) this.#sleeping?.abort();
  }

  /** One timer for all, as long as there is anybody. */
  async #watch(): Promise<void> {
    const over = new AbortController();
    this.#sleeping = over;
    for (;;) {
      const [first] = this.#waiting;
      if (!first) break;
      const delayMs = first.deadlineMs - this.#runtime.elapsedMs();
      if (delayMs <= 0) this.#onOver(first);
      else await pause(this.#runtime, delayMs, over.signal);
      if (over.signal.aborted) break;
    }
    this.#sleeping = null;
    if (this.#waiting.size > 0) void this.#watch();
  }
}

/** What one batch carries. */
function joined(waiting: readonly Content[]) {
  return {
    entries: waiting.flatMap(({ entries }) => entries),
    repair: {
      added: waiting.flatMap(({ repair }) => repair.added),
      released: waiting.flatMap(({ repair }) => repair.released),
      ...cutsOf(waiting),
    },
    placements: waiting.flatMap(({ placements }) => placements),
  };
}

function late(code: 'NotSent' | 'NotEnoughReplicas'): LogError {
  const why = code === 'NotSent' ? 'the batch before it, so it was not sent' : 'the batch in time. It may still be written';
  return new LogError(code, `Too few replicas acknowledged ${why}.`);
}

/** Cautious: CBOR of these is smaller. */
function estimate({ entries, repair, placements }: Content): number {
  let bytes = 256;
  for (const entry of entries) {
    bytes += 512;
    if ('key' in entry) bytes += 3 * entry.key.length;
    if ('inline' in entry) bytes += entry.inline?.length ?? 0;
    if ('segments' in entry) bytes += 128 * (entry.segments?.length ?? 0);
    if ('partSizes' in entry) bytes += 9 * (entry.partSizes?.length ?? 0);
    if ('replaces' in entry) bytes += 20 * entry.replaces.length;
    if ('names' in entry) bytes += 20 * entry.names.length;
    if ('headers' in entry)
      for (const [name, value] of Object.entries(entry.headers)) bytes += 3 * (name.length + value.length) + 8;
    if ('checksums' in entry) bytes += 160 * entry.checksums.length;
  }
  for (const { farmers } of repair.added) bytes += 160 + 35 * farmers.length;
  bytes += 35 * repair.released.length;
  for (const { heads, dropped } of repair.cuts ?? []) bytes += 512 + 100 * heads.length + 35 * dropped.length;
  for (const { sealed } of placements) bytes += sealed.length + 32;
  return bytes;
}
