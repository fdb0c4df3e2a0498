// Segments in, a range of bytes out: from the fastest farmers, around slow, dead and lying ones. A window of
// stripes is read whole before any of it is handed out, so a reader that takes its time holds no connection.
import { segmentCipher, type SegmentCipher } from '#node/core/encryption.ts';
import {
  dataShardsFor,
  neededFor,
  recordsOf,
  segmentGeometry,
  segmentId,
  type NeededRange,
  type SegmentGeometry,
} from '#node/core/segments.ts';
import { backoffMs } from '#node/log/runtime.ts';
import { LEAF_BYTES, type PublicKey, type SegmentKey, type SegmentPlacement } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { fetchWindow, TooFewHolders, type FetchedWindow, type Holder } from './window-fetch.ts';

export interface ReadableSegment {
  key: SegmentKey;
  placement: SegmentPlacement;
  /** Further holders by piece number, from placement entries. */
  moved?: ReadonlyMap<number, readonly PublicKey[]>;
}
export interface GetOrder {
  owner: PublicKey;
  /** All of the object, in order. */
  segments: readonly ReadableSegment[];
  offset: number;
  length: number;
  signal: AbortSignal;
  /** Asked for a segment of which too few holders answer: holders named by placement entries. */
  findMoves?: (placement: SegmentPlacement, signal: AbortSignal) => Promise<ReadonlyMap<number, readonly PublicKey[]>>;
}

export type GetErrorCode =
  | 'TooFewPieces' // too few holders of a segment answer; try again
  | 'OutOfRange' // the object is shorter
  | 'Damaged'; // key and segment don't belong together
export class GetError extends Error {
  readonly code: GetErrorCode;
  constructor(code: GetErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'GetError';
    this.code = code;
  }
}

/** The first window is small, so that the first byte comes soon; each further one is four times as large. */
const FIRST_WINDOW_STRIPES = 1;
const WINDOW_GROWTH = 4;
/** Asking costs as much as a few hundred KiB: large windows ask seldom. Two of them are held for each read. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** Keeps the threads busy while a consumer takes its time; small beside the window. Ordered by half of them at once. */
const DECODES_AHEAD = 8;
/** Rounds over all holders before a segment counts as unreadable for now. */
const ROUNDS = 3;
const FIRST_RETRY_MS = 250;

/** Chunks in order, each in memory of its own. Throws GetError. Ending it early frees everything. */
export async function* getRange(client: Client, order: GetOrder): AsyncGenerator<Uint8Array, void, undefined> {
  const parts = partsOf(order);
  // Whoever stops reading stops what is being read ahead.
  const abort = new AbortController();
  const signal = AbortSignal.any([order.signal, abort.signal]);
  try {
    for (const { segment, offset, length } of parts) {
      yield* new SegmentRead(client, { ...order, signal }, segment).range(offset, length);
    }
  } finally {
    abort.abort(new Error('The reader has ended.'));
  }
}

function partsOf({ segments, offset, length }: GetOrder): { segment: ReadableSegment; offset: number; length: number }[] {
  const totalBytes = segments.reduce((sum, { key }) => sum + key.plainBytes, 0);
  if (offset < 0 || length < 0 || offset + length > totalBytes) {
    throw new GetError('OutOfRange', `Bytes ${offset}+${length} are not inside ${totalBytes}.`);
  }
  const parts: { segment: ReadableSegment; offset: number; length: number }[] = [];
  let startBytes = 0;
  for (const segment of segments) {
    const from = Math.max(offset, startBytes);
    const to = Math.min(offset + length, startBytes + segment.key.plainBytes);
    if (from < to) parts.push({ segment, offset: from - startBytes, length: to - from });
    startBytes += segment.key.plainBytes;
  }
  return parts;
}

interface Window {
  firstStripe: number;
  endStripe: number;
  /** Taken from the budget; the first window of a read is free, so that reading never waits for memory. */
  paidBytes: number;
}

class SegmentRead {
  readonly #client: Client;
  readonly #order: GetOrder;
  readonly #segment: ReadableSegment;
  readonly #geometry: SegmentGeometry;
  readonly #cipher: SegmentCipher;
  readonly #holders: Set<Holder>;
  #askedForMoves = false;

  constructor(client: Client, order: GetOrder, segment: ReadableSegment) {
    const { key, placement } = segment;
    this.#client = client;
    this.#order = order;
    this.#segment = segment;
    try {
      this.#geometry = segmentGeometry(placement.sizeBytes, placement.scheme.required);
      this.#cipher = segmentCipher(key);
    } catch (cause) {
      throw new GetError('Damaged', `Segment ${placement.segmentId} can't be opened: ${String(cause)}`, { cause });
    }
    const isMeant =
      segmentId(placement.root, placement.scheme, placement.sizeBytes) === key.segmentId &&
      placement.segmentId === key.segmentId &&
      Buffer.compare(this.#cipher.secret, placement.secret) === 0 &&
      this.#geometry.plainBytes === key.plainBytes;
    if (!isMeant) throw new GetError('Damaged', `Key and placement are not of one segment (${key.segmentId}).`);
    this.#holders = new Set(
      placement.farmers.flatMap((farmer, pieceNumber) => (farmer === null ? [] : [{ pieceNumber, farmer }])),
    );
    this.#addMoves(segment.moved);
  }

  async *range(offset: number, length: number): AsyncGenerator<Uint8Array, void, undefined> {
    const needed = neededFor(this.#geometry, offset, length);
    let window: Window | null = this.#nextWindow(null, needed);
    let reading: Promise<FetchedWindow> | null = window && this.#fetch(window, needed);
    let skipBytes = needed.skipBytes;
    let restBytes = length;
    try {
      while (window && reading) {
        const pieces = await reading;
        const current: Window = window;
        reading = null;
        window = null;
        let isAhead = false;
        // Not before somebody wants more than the first bytes: those come sooner, and who needs no more reads no more.
        const readAhead = () => {
          if (isAhead) return;
          isAhead = true;
          window = this.#nextWindow(current, needed);
          reading = window && this.#fetch(window, needed);
          reading?.catch(() => {});
        };
        try {
          for await (const plain of this.#records(pieces, current, needed)) {
            const chunk: Uint8Array = plain.subarray(skipBytes, skipBytes + restBytes);
            skipBytes = 0;
            restBytes -= chunk.length;
            yield chunk;
            readAhead();
          }
          readAhead();
          for (const { memory } of pieces.values()) memory.release();
        } finally {
          this.#client.readBudget.give(current.paidBytes);
        }
      }
    } finally {
      this.#client.readBudget.give(window?.paidBytes ?? 0);
    }
  }

  #nextWindow(before: Window | null, needed: NeededRange): Window | null {
    const firstStripe = before?.endStripe ?? needed.firstStripe;
    const restStripes = needed.endStripe - firstStripe;
    if (restStripes <= 0) return null;
    const stripeBytes = this.#geometry.required * LEAF_BYTES;
    const wishStripes = before ? WINDOW_GROWTH * (before.endStripe - before.firstStripe) : FIRST_WINDOW_STRIPES;
    const mostStripes = Math.max(1, Math.floor(MAX_WINDOW_BYTES / stripeBytes));
    let stripes = Math.min(restStripes, wishStripes, mostStripes);
    // Under pressure windows get smaller; one stripe is always allowed, so that nobody starves.
    while (stripes > 1 && !this.#client.readBudget.tryTake(stripes * stripeBytes)) stripes = Math.ceil(stripes / 2);
    return { firstStripe, endStripe: firstStripe + stripes, paidBytes: stripes > 1 ? stripes * stripeBytes : 0 };
  }

  /** Round after round over all holders, with the moves that repairers wrote down after the first. */
  async #fetch({ firstStripe, endStripe }: Window, needed: NeededRange): Promise<FetchedWindow> {
    const { owner, signal } = this.#order;
    const { placement } = this.#segment;
    for (let round = 0; ; round++) {
      try {
        return await fetchWindow({
          client: this.#client,
          owner,
          placement,
          geometry: this.#geometry,
          firstStripe,
          endStripe,
          wanted: this.#wantedShards(firstStripe, endStripe, needed),
          holders: this.#holders,
          signal,
        });
      } catch (error) {
        if (!(error instanceof TooFewHolders)) throw error;
        if (await this.#findMoves()) continue;
        if (round >= ROUNDS - 1) {
          throw new GetError(
            'TooFewPieces',
            `Fewer than ${placement.scheme.required} pieces of segment ${placement.segmentId} can be read now. Try again.`,
            { cause: error },
          );
        }
        await this.#client.runtime.sleep(backoffMs(this.#client.runtime, round, FIRST_RETRY_MS), signal);
      }
    }
  }

  /** Whether that brought new holders. */
  async #findMoves(): Promise<boolean> {
    const { findMoves, signal } = this.#order;
    if (!findMoves || this.#askedForMoves) return false;
    this.#askedForMoves = true;
    return this.#addMoves(await findMoves(this.#segment.placement, signal));
  }

  #addMoves(moves: ReadonlyMap<number, readonly PublicKey[]> | undefined): boolean {
    const before = this.#holders.size;
    const known = new Set([...this.#holders].map(({ pieceNumber, farmer }) => `${pieceNumber} ${farmer}`));
    for (const [pieceNumber, farmers] of moves ?? []) {
      for (const farmer of farmers) if (!known.has(`${pieceNumber} ${farmer}`)) this.#holders.add({ pieceNumber, farmer });
    }
    return this.#holders.size > before;
  }

  /** Of a single stripe just the shards under the range: a small range asks one farmer, not `required`. */
  #wantedShards(firstStripe: number, endStripe: number, { firstRecord, endRecord }: NeededRange): number[] {
    if (endStripe - firstStripe > 1) return Array.from({ length: this.#geometry.required }, (_, i) => i);
    return dataShardsFor(this.#geometry, firstStripe, firstRecord, endRecord);
  }

  /** The window's records, some stripes being decoded while those before are handed out. */
  async *#records(pieces: FetchedWindow, window: Window, needed: NeededRange): AsyncGenerator<Uint8Array> {
    const { firstStripe, endStripe } = window;
    const ahead: Promise<Uint8Array[]>[] = [];
    for (let stripe = firstStripe; stripe < endStripe || ahead.length > 0;) {
      const wanted = ahead.length > DECODES_AHEAD / 2 ? 0 : DECODES_AHEAD - ahead.length;
      for (const end = Math.min(endStripe, stripe + wanted); stripe < end;) {
        const decoding = this.#decode(pieces, stripe++, firstStripe, needed);
        decoding.catch(() => {});
        ahead.push(decoding);
      }
      yield* await ahead.shift()!;
    }
  }

  async #decode(pieces: FetchedWindow, stripe: number, firstStripe: number, needed: NeededRange): Promise<Uint8Array[]> {
    const { scheme, sizeBytes } = this.#segment.placement;
    const { first, end } = recordsOf(this.#geometry, stripe);
    try {
      return await this.#client.stripes.decode({
        cipher: this.#cipher,
        required: scheme.required,
        total: scheme.total,
        shards: [...pieces].map(([index, { leaves }]) => ({ index, shard: leaves[stripe - firstStripe]! })),
        stripeFirstRecord: first,
        firstRecord: Math.max(first, needed.firstRecord),
        endRecord: Math.min(end, needed.endRecord),
        cipherBytes: sizeBytes,
      });
    } catch (cause) {
      throw new GetError('Damaged', `Segment ${this.#segment.placement.segmentId} doesn't open: ${String(cause)}`, { cause });
    }
  }
}
