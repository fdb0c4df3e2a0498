// Replicas of logs: batches are verified and taken in sequence, heads never go back, a seal is for ever.
import { CallError } from '#node/net/net.ts';
import { follows, NO_HASH, verifyBatch } from '#node/wire/batch.ts';
import { encodeLogHead, type LogHead } from '#node/wire/calls.ts';
import { frame } from '#node/wire/framing.ts';
import { MAX_CLOCK_SKEW_MS, type BatchHeader, type BucketId, type Hash, type PublicKey } from '#node/wire/types.ts';
import type { HeldLog } from './index-logs.ts';
import { keyedQueue } from './limits.ts';
import { encodeMeta } from './record-meta.ts';
import type { RecordReader } from './segment-log.ts';
import { nullIfMoved } from './store-error.ts';
import type { Store } from './store.ts';

export interface LogName {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
}
export interface Appending extends LogName {
  epoch: number;
  /** Where batches may begin that don't follow on the head: the others have dropped what lies between. 0 = nowhere. */
  firstSeq: number;
  /** What the log holds, by its opening. */
  kind: BatchHeader['kind'];
  /** What the root statements say of the log's end. */
  closing: Closing | undefined;
  /** Another member has sealed it. */
  isSealed?: boolean;
}
/** What the root statements say of a log's end. */
interface Closing {
  lastSeq: number;
  lastHash: Hash;
}
interface Verified {
  bytes: Uint8Array;
  header: BatchHeader;
  hash: Hash;
}
/** Rows of the index that are read at once. */
const PAGE = 64;
/** Batches that one record drops: the index forgets them in one step. */
const DROPPED_AT_ONCE = 1000;

export class LogStore {
  readonly #store: Store;
  readonly #oneByOne = keyedQueue();

  constructor(store: Store) {
    this.#store = store;
  }

  head({ owner, logId }: LogName): { seq: number; hash: Hash; sealed: boolean } {
    return this.#store.index.logs.get(owner, logId) ?? { seq: 0, hash: NO_HASH, sealed: false };
  }
  held(owner: PublicKey, logId: PublicKey): HeldLog | null {
    return this.#store.index.logs.get(owner, logId);
  }
  logs(owner: PublicKey, bucketId: BucketId): HeldLog[] {
    return this.#store.index.logs.ofBucket(owner, bucketId);
  }

  /**
   * Takes consecutive batches; those that are here already are fine. Durable when this resolves. Rejects with
   * CallError: 'Conflict' or 'Sealed' carry the head, 'BadRequest' for anything that isn't a batch of this log.
   */
  append(appending: Appending, batches: readonly Uint8Array[]): Promise<LogHead> {
    const { owner, bucketId, logId, epoch, firstSeq } = appending;
    const name = { owner, bucketId, logId };
    const verified = batches.map((bytes) => this.#verified(appending, bytes));
    return this.#oneByOne(`${name.owner}/${name.logId}`, async () => {
      const first = verified[0]?.header;
      if (first && first.seq === firstSeq && first.seq > this.head(name).seq + 1) await this.#beginAt(name, first);
      const fresh = this.#fresh(appending, verified);
      const written = fresh.map(({ bytes, header: { seq, prevHash }, hash }) => {
        const about = { ...name, seq, hash, prevHash };
        return this.#store.log.append('batch', [bytes], encodeMeta('batch', about), about);
      });
      await Promise.all(written);
      const { seq, hash } = this.head(name);
      return { seq, hash, epoch };
    });
  }

  /**
   * Batches before `belowSeq` are not needed any more: their space is free to be used again. The head stays,
   * also where nothing is left behind it. Durable when this resolves, with the first batch that is kept.
   */
  dropBatches({ owner, logId, belowSeq }: { owner: PublicKey; logId: PublicKey; belowSeq: number }): Promise<number> {
    return this.#oneByOne(`${owner}/${logId}`, async () => {
      for (;;) {
        const log = this.#store.index.logs.get(owner, logId);
        if (!log) return 1;
        const firstSeq = Math.min(belowSeq, log.seq + 1, log.firstSeq + DROPPED_AT_ONCE);
        if (firstSeq <= log.firstSeq) return log.firstSeq;
        const prevHash = this.#store.index.logs.batch(log, firstSeq - 1)!.hash;
        await this.#drop({ owner, logId, bucketId: log.bucketId }, { firstSeq, prevHash });
      }
    });
  }

  /** What this replica lacks before a batch is gone everywhere: the log goes on with that one. */
  async #beginAt(name: LogName, { seq, prevHash }: BatchHeader): Promise<void> {
    await this.#drop(name, { firstSeq: seq, prevHash });
  }

  async #drop(name: LogName, { firstSeq, prevHash }: { firstSeq: number; prevHash: Hash }): Promise<void> {
    const { owner, bucketId, logId } = name;
    await this.#store.log.append('drop', [], encodeMeta('drop', { owner, bucketId, logId, firstSeq, prevHash }));
  }

  /** Accepts nothing more from now on, but what a closing statement covers. */
  seal(name: LogName, order: Uint8Array, epoch: number): Promise<LogHead> {
    return this.#oneByOne(`${name.owner}/${name.logId}`, async () => {
      if (!this.head(name).sealed) await this.#store.log.append('seal', [order], encodeMeta('seal', name));
      const { seq, hash } = this.head(name);
      return { seq, hash, epoch };
    });
  }

  /** Framed batches from `fromSeq` on: as many whole ones as fit into `maxBytes`, at least one where there is any. */
  async *read(log: HeldLog, fromSeq: number, maxBytes: number): AsyncGenerator<Uint8Array> {
    let sentBytes = 0;
    for (let from = fromSeq; ;) {
      const page = this.#page(log, from);
      // Dropped while they were being read: what follows would leave a gap.
      if (from > fromSeq && page[0]?.seq !== from) return;
      for (const { seq, sizeBytes, reader } of page) {
        sentBytes += 4 + sizeBytes;
        if (sentBytes > maxBytes && sentBytes > 4 + sizeBytes) return;
        const bytes = await reader.body(0, new Uint8Array(sizeBytes)).catch(nullIfMoved);
        if (!bytes) {
          sentBytes -= 4 + sizeBytes;
          break;
        }
        yield* frame(bytes);
        from = seq + 1;
      }
      if (page.length < PAGE && from === (page.at(-1)?.seq ?? from - 1) + 1) return;
    }
  }

  #page(log: HeldLog, fromSeq: number): { seq: number; sizeBytes: number; reader: RecordReader }[] {
    const batches = this.#store.index.logs.batches(log, fromSeq, PAGE);
    return batches.map(({ seq, ref }) => ({ seq, sizeBytes: ref.bodyBytes, reader: this.#store.log.reader(ref) }));
  }

  #verified({ logId, kind }: Appending, bytes: Uint8Array): Verified {
    const { header, hash } = verifyBatch(bytes);
    if (header.logId !== logId) throw new CallError('BadRequest', 'A batch of another log.');
    if (header.kind !== kind) throw new CallError('BadRequest', `The log holds ${kind} only.`);
    if (header.timeMs > this.#store.nowMs() + MAX_CLOCK_SKEW_MS) {
      throw new CallError('BadRequest', "A batch's time lies too far ahead of this farmer's clock. Check both clocks.");
    }
    return { bytes, header, hash };
  }

  /** Of consecutive batches those that aren't here yet. Throws CallError where they don't fit. */
  #fresh({ closing, isSealed = false, epoch, ...name }: Appending, batches: readonly Verified[]): Verified[] {
    const held = this.#store.index.logs.get(name.owner, name.logId);
    const { seq, hash, sealed } = held ?? { seq: 0, hash: NO_HASH, sealed: false };
    const detail = { detail: encodeLogHead({ seq, hash, epoch }) };
    if (held && held.bucketId !== name.bucketId) throw new CallError('BadRequest', 'The log belongs to another bucket.');
    let head = { logId: name.logId, seq, hash };
    const fresh: Verified[] = [];
    for (const batch of batches) {
      const number = batch.header.seq;
      if (number <= seq) {
        if (held && number < held.firstSeq) continue;
        const same = held && this.#store.index.logs.batch(held, number)?.hash === batch.hash;
        if (!same) throw new CallError('Conflict', `Another batch has number ${number} here.`, detail);
        continue;
      }
      if (!follows(batch, head)) throw new CallError('Conflict', `The log ends at ${head.seq} here.`, detail);
      if (closing && (number > closing.lastSeq || (number === closing.lastSeq && batch.hash !== closing.lastHash))) {
        throw new CallError('Sealed', `The log was closed at ${closing.lastSeq}.`, detail);
      }
      if ((sealed || isSealed) && !closing) throw new CallError('Sealed', 'The log is sealed and takes nothing more.', detail);
      fresh.push(batch);
      head = { logId: name.logId, seq: number, hash: batch.hash };
    }
    return fresh;
  }
}
