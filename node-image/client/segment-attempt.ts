// One attempt to store one segment: a scheme for those who answer, a key of its own, pieces streamed to all
// holders at once. A farmer that fails is replaced from the records in memory; where nobody is left to take
// its piece the attempt is over, and the next one has a smaller scheme.
import { newSegmentKey, type SegmentCipher } from '#node/core/encryption.ts';
import { toHex } from '#node/core/ids.ts';
import { pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { choosePlaces } from '#node/core/placement.ts';
import { promiseOf } from '#node/core/schemes.ts';
import { pieceId, plainToCipherBytes, segmentGeometry, segmentId, type SegmentGeometry } from '#node/core/segments.ts';
import { pieceFooter } from '#node/wire/calls.ts';
import { footerBytes } from '#node/wire/framing.ts';
import { LEAF_BYTES, RECORD_PLAIN_BYTES, type PublicKey, type Scheme } from '#node/wire/types.ts';
import type { Client } from './client.ts';
import { PieceTransfer } from './piece-transfer.ts';
import type { EncodedStripe } from './pipeline/stripe-pipeline.ts';
import type { SegmentRecords } from './segment-source.ts';
import type { StoredSegment } from './segment-writer.ts';

/** Leaves that may wait for one farmer. The slowest holds up the others behind that. */
const MAX_WAITING_LEAVES = 4;
/** Stripes that are encoded before their turn: enough for the threads to get them together. */
const ENCODES_AHEAD = 4;
/** Pieces beyond `optimal` that are still on their way get so much of the time the others took. */
const TAIL_SHARE = 0.3;
const TAIL_MS = 200;

/** Too many farmers failed for this scheme; those that didn't may carry a smaller one. */
export class AttemptFailed extends Error {
  readonly code = 'AttemptFailed';
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'AttemptFailed';
  }
}

export interface AttemptInput {
  client: Client;
  owner: PublicKey;
  records: SegmentRecords;
  scheme: Scheme;
  /** Farmers that may take pieces, with domains. */
  farmers: readonly { farmer: PublicKey; domain: string }[];
  /** Farmers that failed get in here: the caller chooses the next attempt's without them. */
  failed: Set<PublicKey>;
  signal: AbortSignal;
}

interface Trees {
  geometry: SegmentGeometry;
  pieceRoots: Uint8Array[];
  root: Uint8Array;
}

export class SegmentAttempt {
  readonly #input: AttemptInput;
  readonly #cipher: SegmentCipher;
  readonly #transfers: PieceTransfer[] = [];
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #leafHashes: Uint8Array[][];
  #trees: Trees | null = null;
  #changed: () => void = () => {};

  constructor(input: AttemptInput) {
    this.#input = input;
    this.#cipher = newSegmentKey(input.client.runtime.random(32));
    this.#signal = AbortSignal.any([input.signal, this.#abort.signal]);
    this.#leafHashes = Array.from({ length: input.scheme.total }, () => []);
  }

  /** Rejects with AttemptFailed, with the source's error, or with the signal's reason. */
  async run(): Promise<StoredSegment> {
    const watch = this.#watch();
    const startMs = this.#input.client.runtime.elapsedMs();
    try {
      this.#start();
      await this.#stream();
      await this.#untilOptimal();
      await this.#tail(this.#input.client.runtime.elapsedMs() - startMs);
      return this.#stored();
    } finally {
      this.#abort.abort(new Error('The attempt is over.'));
      for (const { feed } of this.#transfers) feed.fail(new Error('The attempt is over.'));
      await Promise.all([...this.#transfers.map(({ done }) => done), watch]);
    }
  }

  #start(): void {
    const { scheme } = this.#input;
    const places = this.#choose(scheme.total);
    places.forEach((farmer, pieceNumber) => this.#send(pieceNumber, farmer));
    this.#mustBePossible();
  }

  #choose(count: number): PublicKey[] {
    const { farmers, scheme, failed, client } = this.#input;
    const open = this.#transfers.filter(({ state }) => state !== 'failed').map(({ farmer }) => farmer);
    return choosePlaces({
      farmers,
      count,
      f: promiseOf(scheme),
      seed: toHex(client.runtime.random(16)),
      exclude: failed,
      placed: open,
    });
  }

  #send(pieceNumber: number, farmer: PublicKey): PieceTransfer {
    const { client, owner } = this.#input;
    const meant = {
      owner,
      pieceId: pieceId(this.#cipher.secret, pieceNumber),
      pieceRoot: () => (this.#trees ? toHex(this.#trees.pieceRoots[pieceNumber]!) : ''),
      sizeBytes: () => this.#trees?.geometry.pieceBytes ?? 0,
    };
    const transfer = new PieceTransfer({ client, pieceNumber, farmer, meant, signal: this.#signal });
    this.#transfers.push(transfer);
    void transfer.done.then(() => {
      // Those that are cut off because the attempt is over did nothing wrong.
      if (transfer.state === 'failed' && !this.#signal.aborted) this.#input.failed.add(farmer);
      this.#changed();
    });
    return transfer;
  }

  /** All stripes to all holders; the next ones are encoded while this one is being sent. */
  async #stream(): Promise<void> {
    const ahead: Promise<Stripe | null>[] = [];
    let next = 0;
    try {
      for (let isLast = false; !isLast;) {
        while (ahead.length < ENCODES_AHEAD) {
          const encoding = this.#encode(next++);
          // Should one fail, nobody may be left to hear of those behind it.
          encoding.catch(() => {});
          ahead.push(encoding);
        }
        const encoded = await ahead.shift()!;
        if (encoded) await this.#push(encoded);
        isLast = encoded?.last ?? true;
      }
    } finally {
      // What was encoded for nobody.
      for (const encoding of ahead) void encoding.then((unused) => unused?.release()).catch(() => {});
    }
  }

  /** To all holders that take it; resolves when the slowest has room for the next. */
  async #push({ shards, hashes, last, release }: Stripe): Promise<void> {
    hashes.forEach((hash, piece) => this.#leafHashes[piece]!.push(hash));
    const live = this.#transfers.filter(({ state }) => state === 'sending');
    const sent = countdown(live.length, release);
    for (const { feed, pieceNumber } of live) feed.push(shards[pieceNumber]!, sent);
    if (last) this.#finish();
    await Promise.all(live.map(({ feed }) => feed.room(MAX_WAITING_LEAVES)));
    this.#signal.throwIfAborted();
    this.#mustBePossible();
  }

  /** Encodes a stripe. `last` says whether it is the segment's last. */
  async #encode(stripe: number): Promise<Stripe | null> {
    const { client, records, scheme } = this.#input;
    const first = stripe * scheme.required;
    const plain: Uint8Array[] = [];
    let last = false;
    for (let index = first; index < first + scheme.required && !last; index++) {
      const record = await records.record(index);
      if (!record) break;
      plain.push(record);
      last = records.isLast(index);
    }
    if (plain.length === 0) return null;
    const bytes = plain.reduce((sum, record) => sum + record.length, 0);
    // Only the last stripe may have shards shorter than a leaf.
    const geometry = segmentGeometry(plainToCipherBytes(bytes), scheme.required);
    const shardBytes = last ? geometry.lastShardBytes : LEAF_BYTES;
    const encoded = await client.stripes.encode({
      cipher: this.#cipher,
      required: scheme.required,
      total: scheme.total,
      firstRecord: first,
      records: plain,
      last,
      shardBytes,
    });
    return { ...encoded, last };
  }

  /** All leaves are known: the roots follow, and the footers that make farmers keep the pieces. */
  #finish(): void {
    const { scheme, records } = this.#input;
    const pieceRoots = this.#leafHashes.map((hashes) => pieceRoot(hashes));
    const geometry = segmentGeometry(plainToCipherBytes(records.plainBytes), scheme.required);
    this.#trees = { geometry, pieceRoots, root: segmentRoot(pieceRoots) };
    for (const transfer of this.#transfers) this.#end(transfer);
  }
  #end({ feed, pieceNumber }: PieceTransfer): void {
    const { pieceRoots, root } = this.#trees!;
    const footer = {
      segmentRoot: toHex(root),
      index: pieceNumber,
      total: pieceRoots.length,
      path: rootPath(pieceRoots, pieceNumber),
    };
    feed.push(footerBytes(pieceFooter.encode(footer)));
    feed.end();
  }

  async #untilOptimal(): Promise<void> {
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#count('stored') >= this.#input.scheme.optimal) return;
      this.#mustBePossible();
      this.#replaceFailed();
      await this.#change();
    }
  }

  /** Pieces that nobody carries, sent anew to farmers that carry none. */
  #replaceFailed(): void {
    const carried = new Set(this.#transfers.filter(({ state }) => state !== 'failed').map(({ pieceNumber }) => pieceNumber));
    const lacking = Array.from({ length: this.#input.scheme.total }, (_, piece) => piece).filter((piece) => !carried.has(piece));
    this.#choose(lacking.length).forEach((farmer, i) => {
      const transfer = this.#send(lacking[i]!, farmer);
      this.#resend(transfer).catch((error: unknown) =>
        transfer.cancel(error instanceof Error ? error : new Error(String(error))),
      );
    });
  }

  /** One piece from the records in memory, with the same key: byte for byte what the farmer before it got. */
  async #resend(transfer: PieceTransfer): Promise<void> {
    const { stripes } = this.#trees!.geometry;
    for (let stripe = 0; stripe < stripes && transfer.state === 'sending'; stripe++) {
      await transfer.feed.room(MAX_WAITING_LEAVES);
      const encoded = await this.#encode(stripe);
      if (encoded) transfer.feed.push(encoded.shards[transfer.pieceNumber]!, encoded.release);
    }
    this.#end(transfer);
  }

  /** What is on its way beyond `optimal` gets a little time and is cut then: only receipts are recorded. */
  async #tail(tookMs: number): Promise<void> {
    const { client } = this.#input;
    if (this.#count('sending') === 0) return;
    const over = client.runtime.sleep(Math.max(TAIL_MS, tookMs * TAIL_SHARE), this.#signal).catch(() => {});
    const all = Promise.all(this.#transfers.map(({ done }) => done));
    await Promise.race([over, all]);
    this.#signal.throwIfAborted();
  }

  #stored(): StoredSegment {
    const { scheme, client, records } = this.#input;
    const { root, geometry } = this.#trees!;
    const id = segmentId(toHex(root), scheme, geometry.cipherBytes);
    const farmers = Array.from(
      { length: scheme.total },
      (_, piece) => this.#transfers.find(({ pieceNumber, state }) => pieceNumber === piece && state === 'stored')?.farmer ?? null,
    );
    return {
      key: { segmentId: id, key: this.#cipher.key, commitment: this.#cipher.commitment, plainBytes: records.plainBytes },
      placement: {
        segmentId: id,
        secret: this.#cipher.secret,
        scheme,
        sizeBytes: geometry.cipherBytes,
        root: toHex(root),
        farmers,
        createdMs: client.runtime.nowMs(),
      },
    };
  }

  #count(state: PieceTransfer['state']): number {
    return this.#transfers.filter((one) => one.state === state).length;
  }

  /** Throws AttemptFailed where even all that are left can't make it. */
  #mustBePossible(): void {
    const { scheme, farmers, failed } = this.#input;
    const carrying = this.#count('stored') + this.#count('sending');
    const used = new Set(this.#transfers.map(({ farmer }) => farmer));
    const spare = farmers.filter(({ farmer }) => !used.has(farmer) && !failed.has(farmer)).length;
    if (carrying + spare >= scheme.optimal) return;
    const { farmer, error } = this.#transfers.find(({ state }) => state === 'failed') ?? {};
    throw new AttemptFailed(
      `Only ${carrying + spare} of ${scheme.optimal} needed farmers are left; farmer ${farmer?.slice(0, 8)} failed: ${String(error)}`,
      error,
    );
  }

  /** The next time that a transfer ends. */
  #change(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(this.#signal.reason as Error);
      this.#signal.addEventListener('abort', stop, { once: true });
      this.#changed = () => {
        this.#signal.removeEventListener('abort', stop);
        resolve();
      };
    });
  }

  async #watch(): Promise<void> {
    const { client } = this.#input;
    const { stallMs } = client.limits;
    try {
      for (;;) {
        await client.runtime.sleep(Math.max(10, stallMs / 4), this.#signal);
        for (const transfer of this.#transfers) transfer.checkStall(stallMs);
      }
    } catch {
      // Over.
    }
  }
}

type Stripe = EncodedStripe & { last: boolean };

/** Calls back when it was called so often; at once for 0. */
function countdown(count: number, done: () => void): () => void {
  let left = count;
  if (left === 0) done();
  return () => {
    left -= 1;
    if (left === 0) done();
  };
}

/** Bytes that a segment has on its way beside its records. */
export function overheadBytes(scheme: Scheme, sizeBytes: number | null): number {
  const stripes = sizeBytes === null ? Infinity : Math.ceil(sizeBytes / (scheme.required * RECORD_PLAIN_BYTES));
  return Math.min(stripes, MAX_WAITING_LEAVES + 1 + ENCODES_AHEAD) * scheme.total * LEAF_BYTES;
}
