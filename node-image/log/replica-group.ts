// Sending one log's batches to all members of its replica set. Each member has its own pace: it gets what it
// lacks, is asked again after failures, and the whole log is over when one says that it has been overtaken.
import { CallError, GrantRefusedError } from '#node/net/net.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';
import type { Hash, PublicKey } from '#node/wire/types.ts';
import { copyLog } from './copy-log.ts';
import { appendBatches, headOf, type LogName } from './log-calls.ts';
import { LogError, notAllowed, type LogLink } from './log-link.ts';
import { backoffMs } from './runtime.ts';

export interface SentBatch {
  seq: number;
  hash: Hash;
  /** Behind their length, as they are sent. */
  framed: Uint8Array;
}

/** Newest batches kept for members that lag; those further behind copy from other members. */
const MAX_RECENT_BYTES = 16 * 1024 * 1024;
/** In one call; a farmer takes 16 MiB. */
const MAX_CALL_BYTES = 8 * 1024 * 1024;
/** In a row, of one member: after the first the grants are shown to it once more. */
const MAX_REFUSALS = 2;
/** A member that has failed so often in a row may have been replaced. */
const FAILURES_TO_LOOK = 4;

export interface ReplicaGroupInput {
  link: LogLink;
  name: LogName;
  set: ReplicaSet;
  /** The log's newest batch, known to be on f + 1. */
  head: { seq: number; hash: Hash };
  /** A member doesn't know the log or the set: gives it the statements. Rejects where that doesn't help. */
  teach: (farmer: PublicKey, signal: AbortSignal) => Promise<void>;
  /** The set that the statements name now. */
  newestSet: (signal: AbortSignal) => Promise<ReplicaSet>;
  /** The log is over. */
  onEnd: (error: LogError) => void;
}

export class ReplicaGroup {
  readonly #input: ReplicaGroupInput;
  #set: ReplicaSet;
  /** Consecutive, the newest last. */
  readonly #recent: SentBatch[] = [];
  /** By member: up to where it has the log, as far as known. */
  readonly #has = new Map<PublicKey, number>();
  /** By member: what it refused with, time after time. */
  readonly #refused = new Map<PublicKey, GrantRefusedError[]>();
  #newest: { seq: number; hash: Hash };
  #loops = new Map<PublicKey, { abort: AbortController; done: Promise<void>; wake: () => void }>();
  #onProgress: () => void = () => {};
  #ended: LogError | null = null;
  #adopting = false;
  #paused = false;

  constructor(input: ReplicaGroupInput) {
    this.#input = input;
    this.#set = input.set;
    this.#newest = input.head;
  }

  get set(): ReplicaSet {
    return this.#set;
  }
  upToDate(seq: number): PublicKey[] {
    return this.#set.members.filter((member) => (this.#has.get(member) ?? -1) >= seq);
  }

  /** Resolves when the batch is on f + 1 members. Rejects with LogEnded or the signal's reason; the batch is sent on all the same. */
  async replicate(batch: SentBatch, signal: AbortSignal): Promise<void> {
    if (this.#ended) throw this.#ended;
    if (batch.seq > this.#newest.seq) {
      this.#newest = batch;
      this.#recent.push(batch);
      this.#trim();
    }
    this.start();
    for (const { wake } of this.#loops.values()) wake();
    while (!this.#isAcknowledged(batch.seq)) {
      if (this.#ended) throw this.#ended;
      await this.#progress(signal);
    }
  }

  /** Loops for all members; also for a log without new batches, so that its members catch up. */
  start(): void {
    if (this.#ended || this.#paused) return;
    for (const member of this.#set.members) {
      if (!this.#loops.has(member)) this.#loops.set(member, this.#loop(member));
    }
  }

  /** Nothing is sent any more when this resolves. */
  async pause(): Promise<void> {
    this.#paused = true;
    const loops = [...this.#loops.values()];
    this.#loops.clear();
    for (const { abort } of loops) abort.abort(new CallError('Aborted', 'The log is held.'));
    await Promise.all(loops.map(({ done }) => done));
  }
  resume(set: ReplicaSet): void {
    this.#paused = false;
    this.#adopt(set);
  }

  #adopt(set: ReplicaSet): void {
    if (set.epoch < this.#set.epoch) throw new RangeError(`Epoch ${set.epoch} is older than ${this.#set.epoch}.`);
    this.#set = set;
    this.start();
    this.#onProgress();
  }

  #isAcknowledged(seq: number): boolean {
    return this.upToDate(seq).length > this.#set.f;
  }

  /** Batches that every member has are of no use any more. */
  #trim(): void {
    const everybodyHas = Math.min(...this.#set.members.map((member) => this.#has.get(member) ?? 0));
    while (this.#recent.length > 1 && this.#recent[0]!.seq <= everybodyHas) this.#recent.shift();
    let bytes = this.#recent.reduce((sum, one) => sum + one.framed.length, 0);
    while (this.#recent.length > 1 && bytes > MAX_RECENT_BYTES) bytes -= this.#recent.shift()!.framed.length;
  }

  #progress(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const stop = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
      this.#onProgress = () => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
    });
  }

  #loop(member: PublicKey): { abort: AbortController; done: Promise<void>; wake: () => void } {
    const abort = new AbortController();
    const loop = { abort, wake: () => {}, done: Promise.resolve() };
    const idle = () => new Promise<void>((resolve) => (loop.wake = resolve));
    abort.signal.addEventListener('abort', () => loop.wake(), { once: true });
    loop.done = this.#serve(member, idle, abort.signal);
    return loop;
  }

  async #serve(member: PublicKey, idle: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      if ((this.#has.get(member) ?? -1) >= this.#newest.seq) {
        await idle();
        continue;
      }
      try {
        // Those that have the batch aren't asked again, so nobody else would tell of a newer set.
        const looks = failures > 0 && failures % FAILURES_TO_LOOK === 0 && !this.#isAcknowledged(this.#newest.seq);
        if (looks && (await this.#adoptNewer(signal)) && !this.#set.members.includes(member)) return;
        await this.#send(member, signal);
        failures = 0;
        this.#refused.delete(member);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof LogError && error.code === 'LogEnded') return this.#end(error);
        this.#noteRefusal(member, error);
        failures += 1;
        await this.#input.link.runtime.sleep(backoffMs(this.#input.link.runtime, failures - 1), signal).catch(() => {});
      }
    }
  }

  /** One call to one member, with what it lacks as far as that is known. */
  async #send(member: PublicKey, signal: AbortSignal): Promise<void> {
    const { link, name } = this.#input;
    const has = this.#has.get(member);
    const first = this.#recent[0]?.seq ?? this.#newest.seq + 1;
    if (has !== undefined && has + 1 < first) return await this.#copy(member, first - 1, signal);
    const to = link.addressOf(member);
    if (!to) throw new CallError('Unreachable', 'The farm does not know this replica (any more).');
    const limit = link.runtime.deadline(link.answerTimeoutMs, signal);
    try {
      const head = await appendBatches(link, to, { ...name, epoch: this.#set.epoch, firstSeq: 0 }, this.#lacking(has), limit);
      this.#note(member, head.seq, head.hash);
    } catch (error) {
      await this.#understand(member, error, signal);
    }
  }

  /** A new member's first call carries nothing (it just answers its head), else all that it lacks, up to a call's size. */
  #lacking(has: number | undefined): Uint8Array[] {
    // Most members are up to date but for the newest: guess so, and be told where it isn't true.
    const from = has ?? this.#newest.seq - 1;
    const batches: Uint8Array[] = [];
    let bytes = 0;
    for (const batch of this.#recent) {
      if (batch.seq <= from) continue;
      bytes += batch.framed.length;
      if (batches.length > 0 && bytes > MAX_CALL_BYTES) break;
      batches.push(batch.framed);
    }
    return batches;
  }

  /** Where N − f refuse, nothing is acknowledged any more, and nobody has to wait for it. */
  #noteRefusal(member: PublicKey, error: unknown): void {
    if (!(error instanceof GrantRefusedError)) return void this.#refused.delete(member);
    this.#refused.set(member, [...(this.#refused.get(member) ?? []), error].slice(-MAX_REFUSALS));
    const { members, f } = this.#set;
    const refused = members.flatMap((one) => this.#refused.get(one)?.[MAX_REFUSALS - 1] ?? []);
    if (refused.length >= members.length - f) this.#end(notAllowed(refused));
  }

  #note(member: PublicKey, seq: number, hash: Hash): void {
    const ours = seq === this.#newest.seq ? this.#newest.hash : this.#recent.find((one) => one.seq === seq)?.hash;
    if (seq > this.#newest.seq || (ours !== undefined && ours !== hash)) {
      throw new LogError(
        'LogEnded',
        `Replica ${member.slice(0, 8)} has batch ${seq} of log ${this.#input.name.logId}, which isn't ours.`,
      );
    }
    this.#has.set(member, seq);
    this.#onProgress();
  }

  async #understand(member: PublicKey, error: unknown, signal: AbortSignal): Promise<void> {
    if (!(error instanceof CallError)) throw error;
    const head = headOf(error);
    if (error.code === 'Sealed') throw new LogError('LogEnded', `Log ${this.#input.name.logId} was sealed.`, { cause: error });
    if (error.code === 'Conflict' && head) {
      const known = this.#has.get(member);
      this.#note(member, head.seq, head.hash);
      // Told the same twice: it holds another batch of a number that we can't compare.
      if (known === head.seq)
        throw new LogError('LogEnded', `Replica ${member.slice(0, 8)} doesn't take batch ${head.seq + 1}.`, { cause: error });
      return;
    }
    if (error.code === 'NotFound' || error.code === 'WrongEpoch') return await this.#agree(member, error, signal);
    throw error;
  }

  /** The member and we know different statements: exchange them. */
  async #agree(member: PublicKey, error: CallError, signal: AbortSignal): Promise<void> {
    await this.#input.teach(member, signal);
    if (error.code === 'WrongEpoch' && !(await this.#adoptNewer(signal))) throw error;
  }

  /** Goes on under the set that the statements name now. False = it is the one we have. */
  async #adoptNewer(signal: AbortSignal): Promise<boolean> {
    if (this.#adopting) return true;
    this.#adopting = true;
    try {
      const set = await this.#input.newestSet(signal);
      if (set.epoch <= this.#set.epoch) return false;
      if (set.members.length === 0) throw new LogError('LogEnded', 'The bucket was deleted.');
      const former = [...this.#loops].filter(([name]) => !set.members.includes(name));
      for (const [name, { abort }] of former) {
        this.#loops.delete(name);
        abort.abort(new CallError('Aborted', 'No replica any more.'));
      }
      this.#adopt(set);
      return true;
    } finally {
      this.#adopting = false;
    }
  }

  async #copy(member: PublicKey, toSeq: number, signal: AbortSignal): Promise<void> {
    const { link, name } = this.#input;
    const sources = this.#set.members.filter((one) => (this.#has.get(one) ?? -1) >= toSeq);
    await copyLog(link, { name, epoch: this.#set.epoch, sources, to: member, toSeq, signal });
    this.#has.set(member, toSeq);
  }

  #end(error: LogError): void {
    if (this.#ended) return;
    this.#ended = error;
    for (const { abort } of this.#loops.values()) abort.abort(error);
    this.#onProgress();
    this.#input.onEnd(error);
  }
}
