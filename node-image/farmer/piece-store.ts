// Pieces: taken as a stream, hashed leaf by leaf on the way, proven against the segment's root before they
// count, and given back by leaves with what proves them. Memory is bounded by the number of buffers.
import { concat } from '#node/core/bytes.ts';
import { toHex } from '#node/core/ids.ts';
import {
  leafHash,
  leafHashInPlace,
  pieceRoot as rootOfLeaves,
  rangeProof,
  verifyRootPath,
  type KnownNodes,
} from '#node/core/merkle.ts';
import { fromHex } from '#node/core/ids.ts';
import { CallError } from '#node/net/net.ts';
import { pieceFooter, pieceRange, type PieceFooter } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { frame } from '#node/wire/framing.ts';
import { LEAF_BYTES, MAX_SEGMENT_BYTES, type Hash, type PieceId, type PublicKey } from '#node/wire/types.ts';
import { keyedQueue, slots, type Slots } from './limits.ts';
import { decodeMeta, encodeMeta, encodeNamed, MAX_NAMED_PIECES, type NamedPiece, type PieceMeta } from './record-meta.ts';
import type { RecordStream } from './record-stream.ts';
import type { RecordRef } from './record.ts';
import type { RecordReader } from './segment-log.ts';
import type { Store } from './store.ts';
import { nullIfMoved, StoreError } from './store-error.ts';

/** Hashed and written at once. A piece that is smaller shares its write and fdatasync with others. */
const CHUNK_BYTES = 16 * LEAF_BYTES;
const MAX_TAIL_BYTES = pieceFooter.maxBytes + 4;
/** Pieces on their way in at once: so many buffers of a little more than CHUNK_BYTES. */
const MAX_INCOMING = 32;
const MAX_WAITING = 512;
/** Bytes of a piece that are read at once on its way out. */
const READ_BYTES = 4 * LEAF_BYTES;
/** In front of them in a buffer: for what proves them, so that both go out together. */
const HEAD_BYTES = pieceRange.maxBytes + 4;
/** Two for each piece on its way out are used again and again; beyond so many they are left to the collector. */
const MAX_FREE_READ_BUFFERS = 32;
/** Each has at most 1024 leaf hashes and as many nodes above them. */
const MAX_PROOFS = 64;
/** A piece that is sent again so soon keeps its time. */
const FRESH_MS = 60 * 60 * 1000;

export interface StoredPiece {
  pieceRoot: Hash;
  sizeBytes: number;
  storedMs: number;
}
export interface HeldPieceInfo {
  pieceId: PieceId;
  pieceRoot: Hash;
  sizeBytes: number;
}

/** What proves a piece's leaves. */
interface PieceProof {
  meta: PieceMeta;
  leafHashes: Uint8Array[];
  nodes: KnownNodes;
}

export class PieceStore {
  readonly #store: Store;
  readonly #incoming: Slots = slots(
    MAX_INCOMING,
    MAX_WAITING,
    () => new StoreError('Busy', 'Too many pieces are on their way in.'),
  );

  readonly #oneByOne = keyedQueue();
  /** Of the records that were read last, by their names: a piece is mostly read range after range. */
  readonly #proofs = new Map<string, PieceProof>();
  /** Of pieces that have come in, for those to come: at most as many as come in at once. */
  readonly #buffers: Buffer[] = [];

  /** Of pieces that have gone out. */
  readonly #readBuffers: Buffer[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Durable when this resolves. `body` is piece ‖ footer ‖ u32be footer length. The same piece again is fine.
   * Rejects with CallError 'WrongRoot' or 'Conflict', StoreError or WireError; nothing is kept then.
   */
  async put(owner: PublicKey, pieceId: PieceId, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<StoredPiece> {
    const before = this.#store.index.pieces.get(owner, pieceId);
    // What is here already isn't written again, unless the disk has spoiled it.
    const isSpoiledHere = before !== null && !(await this.#isWhole(owner, pieceId));
    const release = await this.#incoming.take(signal);
    const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES + MAX_TAIL_BYTES);
    const reception = new Reception(this.#store, buffer, before === null || isSpoiledHere, signal);
    try {
      await reception.read(body);
      const proven = reception.proven();
      // Two copies that come at once: the second finds the first.
      return await this.#oneByOne(`${owner}/${pieceId}`, async () => {
        const held = await this.#sameOrNone(owner, pieceId, proven.pieceRoot);
        if (held && !isSpoiledHere) return held;
        const storedMs = this.#store.nowMs();
        const { pieceRoot, footer, leafHashes } = proven;
        const meta = { owner, pieceId, pieceRoot, ...footer, leafHashes: Buffer.concat(leafHashes), storedMs };
        const ref = await reception.store(meta);
        return { pieceRoot, sizeBytes: ref.bodyBytes, storedMs };
      });
    } finally {
      await reception.end();
      this.#buffers.push(buffer);
      release();
    }
  }

  /**
   * Those of the given pieces that are here go to the trash: readable for 7 days more, then gone. Durable when
   * this resolves, with those that weren't there before.
   */
  async trash(owner: PublicKey, pieceIds: readonly PieceId[], nowMs: number): Promise<PieceId[]> {
    const named = this.#inTrash(owner, pieceIds, false);
    return await this.#mark('trash', encodeMeta('trash', { owner, trashedMs: nowMs }), named);
  }

  /** Out of the trash again. Durable when this resolves, with those that were in it. */
  async restore(owner: PublicKey, pieceIds: readonly PieceId[]): Promise<PieceId[]> {
    return await this.#mark('restore', encodeMeta('restore', { owner }), this.#inTrash(owner, pieceIds, true));
  }

  #inTrash(owner: PublicKey, pieceIds: readonly PieceId[], isThere: boolean): NamedPiece[] {
    return [...new Set(pieceIds)].flatMap((pieceId) => {
      const held = this.#store.index.pieces.get(owner, pieceId);
      return held && (held.trashedMs !== null) === isThere ? [{ pieceId, storedMs: held.storedMs }] : [];
    });
  }

  async #mark(kind: 'trash' | 'restore', meta: Uint8Array, pieces: readonly NamedPiece[]): Promise<PieceId[]> {
    for (let at = 0; at < pieces.length; at += MAX_NAMED_PIECES) {
      await this.#store.log.append(kind, [encodeNamed(pieces.slice(at, at + MAX_NAMED_PIECES))], meta);
    }
    return pieces.map(({ pieceId }) => pieceId);
  }

  /** Those in the trash aren't held: who wants them sends them again. */
  stat(owner: PublicKey, pieceIds: readonly PieceId[]): HeldPieceInfo[] {
    return pieceIds.flatMap((pieceId) => {
      const held = this.#store.index.pieces.get(owner, pieceId);
      return held?.trashedMs === null ? [{ pieceId, pieceRoot: held.pieceRoot, sizeBytes: held.ref.bodyBytes }] : [];
    });
  }

  /** Frame with PieceRange, then the leaves. `leafCount` 0 = to the end. Rejects with CallError 'NotFound' or 'BadRequest'. */
  async get(
    owner: PublicKey,
    pieceId: PieceId,
    { firstLeaf, leafCount }: { firstLeaf: number; leafCount: number },
  ): Promise<{ body: AsyncIterable<Uint8Array>; bodyBytes: number }> {
    const { proof, sizeBytes, reader } = await this.#open(owner, pieceId);
    const leaves = proof.leafHashes.length;
    const end = leafCount === 0 ? leaves : firstLeaf + leafCount;
    if (firstLeaf >= leaves || end > leaves) throw new CallError('BadRequest', `The piece has ${leaves} leaves.`);
    const head = concat(...frame(rangeHead(proof, sizeBytes, firstLeaf, end)));
    const range = { start: firstLeaf * LEAF_BYTES, end: Math.min(end * LEAF_BYTES, sizeBytes) };
    return {
      body: this.#stream(head, { owner, pieceId, reader }, range),
      bodyBytes: head.length + range.end - range.start,
    };
  }

  async #open(owner: PublicKey, pieceId: PieceId): Promise<{ proof: PieceProof; sizeBytes: number; reader: RecordReader }> {
    for (;;) {
      const found = this.#find(owner, pieceId);
      const proof = await this.#proof(found.reader).catch(nullIfMoved);
      if (proof) return { ...found, proof };
    }
  }

  async #proof(reader: RecordReader): Promise<PieceProof> {
    const proof = this.#proofs.get(reader.name) ?? (await readProof(reader));
    this.#proofs.delete(reader.name);
    this.#proofs.set(reader.name, proof);
    for (const oldest of this.#proofs.keys()) if (this.#proofs.size > MAX_PROOFS) this.#proofs.delete(oldest);
    return proof;
  }

  #find(owner: PublicKey, pieceId: PieceId): { sizeBytes: number; reader: RecordReader } {
    const held = this.#store.index.pieces.get(owner, pieceId);
    if (!held) throw new CallError('NotFound', 'No such piece here.');
    return { sizeBytes: held.ref.bodyBytes, reader: this.#store.log.reader(held.ref) };
  }

  /**
   * One leaf as it is on the disk, unchecked, and the frame that proves what it should be. Null where there is no
   * such piece, or the disk doesn't give it. Rejects with CallError 'BadRequest'.
   */
  async leaf(owner: PublicKey, pieceId: PieceId, number: number): Promise<{ proof: Uint8Array[]; leaf: Uint8Array } | null> {
    return await this.#reading(owner, pieceId, async (reader, ref) => {
      const proof = await this.#proof(reader);
      const leaves = proof.leafHashes.length;
      if (number >= leaves) throw new CallError('BadRequest', `The piece has ${leaves} leaves.`);
      const start = number * LEAF_BYTES;
      const leaf = await reader.body(start, new Uint8Array(Math.min(LEAF_BYTES, ref.bodyBytes - start)));
      return { proof: frame(rangeHead(proof, ref.bodyBytes, number, number + 1)), leaf };
    });
  }

  /** Whether what is on the disk is still what came in. */
  async #isWhole(owner: PublicKey, pieceId: PieceId): Promise<boolean> {
    const isWhole = await this.#reading(owner, pieceId, async (reader, ref) => {
      const { leafHashes } = decodeMeta('piece', await reader.meta());
      const place = new Uint8Array(LEAF_BYTES);
      for (let at = 0; at < ref.bodyBytes; at += LEAF_BYTES) {
        const leaf = await reader.body(at, place.subarray(0, Math.min(LEAF_BYTES, ref.bodyBytes - at)));
        const hash = leafHashes.subarray((32 * at) / LEAF_BYTES, (32 * at) / LEAF_BYTES + 32);
        if (Buffer.compare(leafHash(leaf), hash) !== 0) return false;
      }
      return true;
    });
    return isWhole === true;
  }

  /** Once more where the piece was moved meanwhile; null where it isn't here, or spoiled. */
  async #reading<T>(
    owner: PublicKey,
    pieceId: PieceId,
    work: (reader: RecordReader, ref: RecordRef) => Promise<T>,
  ): Promise<T | null> {
    for (;;) {
      const held = this.#store.index.pieces.get(owner, pieceId);
      if (!held) return null;
      try {
        return await work(this.#store.log.reader(held.ref), held.ref);
      } catch (error) {
        if (isSpoiled(error)) return null;
        nullIfMoved(error);
      }
    }
  }

  /** The head goes with the first bytes; the next ones are read while these are being sent. */
  async *#stream(
    head: Uint8Array,
    { owner, pieceId, reader }: { owner: PublicKey; pieceId: PieceId; reader: RecordReader },
    { start, end }: { start: number; end: number },
  ): AsyncGenerator<Uint8Array> {
    const read = async (at: number, buffer: Buffer): Promise<void> => {
      const into = buffer.subarray(HEAD_BYTES, HEAD_BYTES + Math.min(READ_BYTES, end - at));
      while (!(await reader.body(at, into).catch(nullIfMoved))) reader = this.#find(owner, pieceId).reader;
    };
    let [busy, free] = [this.#readBuffer(), this.#readBuffer()];
    let reading = read(start, busy);
    busy.set(head, HEAD_BYTES - head.length);
    try {
      for (let at = start; at < end; at += READ_BYTES) {
        await reading;
        const next = at + READ_BYTES;
        if (next < end) reading = read(next, free);
        // Whoever stops reading here never hears of it.
        reading.catch(() => {});
        const from = at === start ? HEAD_BYTES - head.length : HEAD_BYTES;
        yield busy.subarray(from, HEAD_BYTES + Math.min(READ_BYTES, end - at));
        [busy, free] = [free, busy];
      }
    } finally {
      // The disk may still be writing into one of them, and hang.
      const give = () => {
        const room = Math.max(0, MAX_FREE_READ_BUFFERS - this.#readBuffers.length);
        this.#readBuffers.push(...[busy, free].slice(0, room));
      };
      reading.then(give, give);
    }
  }

  #readBuffer(): Buffer {
    return this.#readBuffers.pop() ?? Buffer.allocUnsafeSlow(HEAD_BYTES + READ_BYTES);
  }

  async #sameOrNone(owner: PublicKey, pieceId: PieceId, pieceRoot: Hash): Promise<StoredPiece | null> {
    const held = this.#store.index.pieces.get(owner, pieceId);
    if (!held) return null;
    if (held.pieceRoot !== pieceRoot) throw new CallError('Conflict', 'Another piece has this id already.');
    const stored = { pieceRoot, sizeBytes: held.ref.bodyBytes, storedMs: held.storedMs };
    const isFresh = held.trashedMs === null && this.#store.nowMs() - held.storedMs < FRESH_MS;
    return isFresh ? stored : await this.#sentAgain(owner, pieceId, stored);
  }

  /** A piece that comes once more counts as stored now: what garbage is goes by that time. It leaves the trash. */
  async #sentAgain(owner: PublicKey, pieceId: PieceId, stored: StoredPiece): Promise<StoredPiece> {
    const storedMs = this.#store.nowMs();
    await this.#mark('restore', encodeMeta('restore', { owner }), [{ pieceId, storedMs }]);
    if (this.#store.index.pieces.get(owner, pieceId)?.trashedMs === null) return { ...stored, storedMs };
    throw new StoreError('Busy', 'The piece left the trash for good just now. Send it again.');
  }
}

function isSpoiled(error: unknown): boolean {
  return error instanceof WireError || (error instanceof StoreError && error.code === 'Corrupt');
}

async function readProof(reader: RecordReader): Promise<PieceProof> {
  const meta = decodeMeta('piece', await reader.meta());
  const leafHashes: Uint8Array[] = [];
  for (let at = 0; at < meta.leafHashes.length; at += 32) leafHashes.push(meta.leafHashes.subarray(at, at + 32));
  return { meta, leafHashes, nodes: new Map() };
}

function rangeHead({ meta, leafHashes, nodes }: PieceProof, sizeBytes: number, firstLeaf: number, end: number): Uint8Array {
  const { pieceRoot, segmentRoot, index, path } = meta;
  return pieceRange.encode({
    sizeBytes,
    pieceRoot,
    segmentRoot,
    index,
    path,
    firstLeaf,
    leafHashes: meta.leafHashes.subarray(32 * firstLeaf, 32 * end),
    proof: rangeProof(leafHashes, firstLeaf, end - firstLeaf, nodes),
  });
}

/** One piece on its way in: one buffer, which is hashed and written whenever it is full. */
class Reception {
  readonly #store: Store;
  readonly #signal: AbortSignal;
  /** False where the piece is here already: then it is only hashed. */
  readonly #isKept: boolean;
  readonly #buffer: Buffer;
  #filled = 0;
  #sizeBytes = 0;
  readonly #leafHashes: Uint8Array[] = [];
  #stream: RecordStream | null = null;

  constructor(store: Store, buffer: Buffer, isKept: boolean, signal: AbortSignal) {
    this.#store = store;
    this.#buffer = buffer;
    this.#isKept = isKept;
    this.#signal = signal;
  }

  async read(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      for (let done = 0; done < chunk.length;) {
        this.#signal.throwIfAborted();
        const take = Math.min(chunk.length - done, this.#buffer.length - this.#filled);
        this.#buffer.set(chunk.subarray(done, done + take), this.#filled);
        this.#filled += take;
        done += take;
        if (this.#filled === this.#buffer.length) await this.#flush();
      }
    }
    this.#signal.throwIfAborted();
  }

  /** The buffer is full: all but what may be footer is surely piece. */
  async #flush(): Promise<void> {
    const chunk = this.#buffer.subarray(0, CHUNK_BYTES);
    this.#hash(chunk);
    if (this.#sizeBytes > MAX_SEGMENT_BYTES) throw new WireError(`A piece has at most ${MAX_SEGMENT_BYTES} bytes.`);
    if (this.#isKept) {
      await this.#reserve(CHUNK_BYTES);
      this.#stream ??= await this.#store.log.stream(this.#signal);
      await this.#stream.write(chunk);
    }
    this.#buffer.copyWithin(0, CHUNK_BYTES, this.#filled);
    this.#filled -= CHUNK_BYTES;
  }

  #hash(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    for (let at = 0; at < bytes.length; at += LEAF_BYTES) {
      this.#leafHashes.push(leafHashInPlace(bytes.subarray(at, at + LEAF_BYTES)));
    }
  }

  async #reserve(bytes: number): Promise<void> {
    if ((await this.#store.space.freeBytes()) < bytes)
      throw new StoreError('Full', 'The farmer has no space left for this piece.');
    this.#store.space.wrote(bytes);
  }

  /** Everything is here: cuts the footer off and checks it. */
  proven(): { pieceRoot: Hash; footer: PieceFooter; leafHashes: Uint8Array[] } {
    const end = this.#filled - 4;
    const footerBytes = end >= 0 ? this.#buffer.readUInt32BE(end) : Infinity;
    if (footerBytes > end || footerBytes > pieceFooter.maxBytes) throw new WireError('The body has no whole footer.');
    const footer = pieceFooter.decode(new Uint8Array(this.#buffer.subarray(end - footerBytes, end)));
    this.#filled = end - footerBytes;
    this.#hash(this.#buffer.subarray(0, this.#filled));
    if (this.#sizeBytes === 0) throw new WireError('A piece has at least one byte.');
    const root = rootOfLeaves(this.#leafHashes);
    if (!verifyRootPath(fromHex(footer.segmentRoot), footer.total, footer.index, root, footer.path)) {
      throw new CallError('WrongRoot', "The bytes that came in aren't the piece that the footer names.");
    }
    return { pieceRoot: toHex(root), footer, leafHashes: this.#leafHashes };
  }

  async store(about: PieceMeta): Promise<RecordRef> {
    const meta = encodeMeta('piece', about);
    const rest = this.#buffer.subarray(0, this.#filled);
    await this.#reserve(rest.length);
    if (!this.#stream) return await this.#store.log.append('piece', [rest], meta, about);
    if (rest.length > 0) await this.#stream.write(rest);
    return await this.#stream.finish('piece', meta, about);
  }

  /** Whatever happened: nothing stays open. */
  async end(): Promise<void> {
    await this.#stream?.abort();
  }
}
