// One piece on its way to one farmer.
import { LEAF_BYTES, type PublicKey, type Receipt } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { addressOf } from './farm-view.ts';
import { PieceError, putPiece, type PieceMeant } from './piece-calls.ts';
import { PieceFeed } from './piece-feed.ts';
import { CallError, type CallErrorCode } from '#node/net/net.ts';

/** It is there, but takes nothing now. */
const REFUSALS: ReadonlySet<CallErrorCode> = new Set(['Full', 'Leaving', 'Busy', 'Forbidden', 'Unavailable']);

export type TransferState = 'sending' | 'stored' | 'failed';

export class PieceTransfer {
  readonly pieceNumber: number;
  readonly farmer: PublicKey;
  readonly feed: PieceFeed;
  state: TransferState = 'sending';
  error: unknown = null;
  receipt: Receipt | null = null;
  /** Resolves, never rejects, when the state is final. */
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #abort = new AbortController();
  #lastTaken = -1;
  #lastWaiting = -1;
  #progressMs: number;

  constructor(input: { client: Client; pieceNumber: number; farmer: PublicKey; meant: PieceMeant; signal: AbortSignal }) {
    this.#client = input.client;
    this.feed = new PieceFeed(() => input.client.runtime.elapsedMs());
    this.pieceNumber = input.pieceNumber;
    this.farmer = input.farmer;
    this.#progressMs = input.client.runtime.elapsedMs();
    this.done = this.#run(input.meant, input.signal);
  }

  /** Given up: too slow, or not needed any more. */
  cancel(reason: Error): void {
    this.#abort.abort(reason);
    this.feed.fail(reason);
  }

  /** Cancels a farmer that has taken nothing, though there was something to take, for too long. */
  checkStall(limitMs: number): void {
    const nowMs = this.#client.runtime.elapsedMs();
    const isWaitingForUs = this.feed.waiting === 0 && !this.feed.isEnded;
    const moved = this.feed.taken !== this.#lastTaken || (this.#lastWaiting === 0 && this.feed.waiting > 0);
    this.#lastTaken = this.feed.taken;
    this.#lastWaiting = this.feed.waiting;
    if (moved || isWaitingForUs) this.#progressMs = nowMs;
    else if (this.state === 'sending' && nowMs - this.#progressMs > limitMs) {
      this.cancel(new CallError('Unreachable', `The farmer took nothing for ${limitMs} ms.`));
    }
  }

  async #run(meant: PieceMeant, outer: AbortSignal): Promise<void> {
    const { network, farm, health } = this.#client;
    try {
      const address = addressOf(farm.current(), this.farmer);
      if (!address) throw new CallError('Unreachable', 'The farm does not know this farmer any more.');
      this.receipt = await putPiece(network, address, meant, this.feed, AbortSignal.any([outer, this.#abort.signal]));
      this.state = 'stored';
      health.good(this.farmer, 'write', this.feed.busyMs / Math.ceil(meant.sizeBytes() / LEAF_BYTES));
    } catch (error) {
      this.state = 'failed';
      this.error = error;
      this.feed.fail(error instanceof Error ? error : new Error(String(error)));
      if (error instanceof PieceError) health.lied(this.farmer);
      else if (error instanceof CallError && REFUSALS.has(error.code)) health.refused(this.farmer);
      else if (!outer.aborted) health.bad(this.farmer);
    }
  }
}
