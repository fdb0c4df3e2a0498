// Pieces through a real farmer on the memory network: put, get, prove, refuse.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { leafHash, leafHashes, pieceRoot, rootPath, segmentRoot, verifyRange, verifyRootPath } from '#node/core/merkle.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead, heldPieces, pieceFooter, pieceIds, pieceRange } from '#node/wire/calls.ts';
import { collect, footerBytes, readFirstPart } from '#node/wire/framing.ts';
import { decodeMembership, decodeReceipt, verifyMembership, verifyReceipt } from '#node/wire/statements.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { spoilReads } from '#test/support/test-store.ts';

const owner = testKey('owner').publicKey;
/** Of the test that runs. */
let signal: AbortSignal;
let farm: MemoryFarm;
let to: FarmerAddress;
let network: Network;

beforeEach(async () => {
  signal = AbortSignal.timeout(60_000);
  farm = await memoryFarm({ farmers: 1 });
  to = farm.farmers[0]!.address;
  network = farm.networkOf(farm.bridge);
});
afterEach(() => farm.stop());

/** A piece as number 1 of three, with its footer. */
function madeUp(piece: Uint8Array) {
  const root = pieceRoot(leafHashes(piece));
  const roots = [new Uint8Array(32).fill(1), root, new Uint8Array(32).fill(2)];
  const footer = { segmentRoot: toHex(segmentRoot(roots)), index: 1, total: 3, path: rootPath(roots, 1) };
  return { piece, root, footer };
}
const newId = () => randomBytes(32).toString('hex');

async function* inChunks(chunkBytes: number, ...parts: Uint8Array[]) {
  const all = Buffer.concat(parts);
  for (let at = 0; at < all.length; at += chunkBytes) yield new Uint8Array(all.subarray(at, at + chunkBytes));
}

async function put(pieceId: string, made: ReturnType<typeof madeUp>, chunkBytes = 50_001, net = network) {
  const body = inChunks(chunkBytes, made.piece, footerBytes(pieceFooter.encode(made.footer)));
  const answer = await net.call(
    to,
    { operation: 'piece.put', head: encodeCallHead('piece.put', { owner, pieceId }), body },
    signal,
  );
  return decodeReceipt(decodeAnswerHead('piece.put', answer.head).receipt);
}

async function get(pieceId: string, firstLeaf = 0, leafCount = 0, net = network) {
  const head = encodeCallHead('piece.get', { owner, pieceId, firstLeaf, leafCount });
  const answer = await net.call(to, { operation: 'piece.get', head }, signal);
  const { part, rest } = await readFirstPart(answer.body!, pieceRange.maxBytes);
  return { range: pieceRange.decode(part), bytes: await collect(rest, 1 << 26) };
}

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: unknown) => (error instanceof CallError ? error.code : `not a CallError: ${String(error)}`),
  );

describe.each([
  1,
  15,
  16,
  LEAF_BYTES - 1,
  LEAF_BYTES,
  LEAF_BYTES + 16,
  16 * LEAF_BYTES,
  17 * LEAF_BYTES + 5,
  40 * LEAF_BYTES + 160,
])('a piece of %i bytes', (sizeBytes) => {
  it('comes back as it went in, with proof and receipt', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(sizeBytes)))];

    const receipt = await put(id, made);

    expect(verifyReceipt(receipt)).toBe(true);
    expect(receipt.body).toMatchObject({ farmer: to.farmer, owner, pieceId: id, pieceRoot: toHex(made.root), sizeBytes });
    expect(verifyMembership(decodeMembership(receipt.body.membership!))).toBe(true);
    const { range, bytes } = await get(id);
    expect(Buffer.compare(bytes, made.piece)).toBe(0);
    expect(range).toMatchObject({ sizeBytes, pieceRoot: toHex(made.root), segmentRoot: made.footer.segmentRoot, index: 1 });
    expect(verifyRootPath(Buffer.from(range.segmentRoot, 'hex'), 3, 1, made.root, range.path)).toBe(true);
  });

  it('proves any range of leaves', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(sizeBytes)))];
    await put(id, made, 1_000_003);
    const leaves = Math.ceil(sizeBytes / LEAF_BYTES);
    const first = Math.floor(leaves / 3);
    const count = Math.max(1, Math.floor(leaves / 2));

    const { range, bytes } = await get(id, first, count);

    const start = first * LEAF_BYTES;
    expect(Buffer.compare(bytes, made.piece.subarray(start, start + count * LEAF_BYTES))).toBe(0);
    const hashes = Array.from({ length: count }, (_, i) => range.leafHashes.subarray(32 * i, 32 * i + 32));
    expect(hashes.map(toHex)).toEqual(
      Array.from({ length: count }, (_, i) => toHex(leafHash(bytes.subarray(i * LEAF_BYTES, (i + 1) * LEAF_BYTES)))),
    );
    expect(verifyRange(made.root, leaves, first, hashes, range.proof)).toBe(true);
  });
});

describe('a farmer', () => {
  it('takes the same piece twice and keeps it once', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(3 * LEAF_BYTES)))];
    const first = await put(id, made);
    const before = await farm.farmers[0]!.farmer.store.numbers();

    const second = await put(id, made);

    expect(second.body.storedMs).toBe(first.body.storedMs);
    expect(await farm.farmers[0]!.farmer.store.numbers()).toMatchObject({ liveBytes: before.liveBytes, pieces: 1 });
  });

  it('keeps one when the same large piece comes from two sides at once', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(40 * LEAF_BYTES)))];

    const receipts = await Promise.all([put(id, made), put(id, made)]);

    expect(new Set(receipts.map(({ body }) => body.pieceRoot)).size).toBe(1);
    const { pieces, liveBytes, trashBytes } = await farm.farmers[0]!.farmer.store.numbers();
    expect(pieces).toBe(1);
    expect(trashBytes).toBeGreaterThan(0);
    expect(liveBytes).toBeLessThan(made.piece.length + 10_000);
  });

  it('refuses another piece under a known id', async () => {
    const id = newId();
    await put(id, madeUp(new Uint8Array(100)));

    expect(await refusal(put(id, madeUp(new Uint8Array(101))))).toBe('Conflict');
    expect((await get(id)).bytes).toHaveLength(100);
  });

  it.each([1000, 30 * LEAF_BYTES])(
    "refuses %i bytes that aren't the piece of the footer, and keeps nothing",
    async (sizeBytes) => {
      const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(sizeBytes)))];
      made.piece[sizeBytes - 1]! ^= 1;

      expect(await refusal(put(id, made))).toBe('WrongRoot');
      expect(await refusal(get(id))).toBe('NotFound');
      expect(await farm.farmers[0]!.farmer.store.numbers()).toMatchObject({ pieces: 0, liveBytes: 0 });
    },
  );

  it('refuses a body that is cut off', async () => {
    const made = madeUp(new Uint8Array(randomBytes(30 * LEAF_BYTES)));
    const head = encodeCallHead('piece.put', { owner, pieceId: newId() });
    const body = inChunks(9999, made.piece);

    expect(await refusal(network.call(to, { operation: 'piece.put', head, body }, signal))).toMatch(/BadRequest|WrongRoot/);
  });

  it('is written anew where the disk has spoiled it, and kept where it has not', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(randomBytes(3 * LEAF_BYTES + 100)))];
    await put(id, made);
    const { store } = farm.farmers[0]!.farmer;
    const first = store.index.pieces.get(owner, id)!.ref;
    await put(id, made);
    expect(store.index.pieces.get(owner, id)!.ref).toEqual(first);
    spoilReads(store, (ref, position, bytes) => {
      if (ref.offset === first.offset && position === 2 * LEAF_BYTES) bytes[7]! ^= 1;
    });
    await put(id, made);
    expect(store.index.pieces.get(owner, id)!.ref).not.toEqual(first);
    expect(Buffer.compare((await get(id)).bytes, made.piece)).toBe(0);
  });

  it('says which of the asked pieces it holds', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(50))];
    await put(id, made);

    const body = inChunks(100, pieceIds.encode({ pieceIds: [newId(), id] }));
    const answer = await network.call(
      to,
      { operation: 'piece.stat', head: encodeCallHead('piece.stat', { owner }), body },
      signal,
    );

    const { held } = heldPieces.decode(await collect(answer.body, heldPieces.maxBytes));
    expect(held).toEqual([{ pieceId: id, pieceRoot: toHex(made.root), sizeBytes: 50 }]);
  });

  it("knows no strangers: neither their pieces nor their wish for others'", async () => {
    const id = newId();
    await put(id, madeUp(new Uint8Array(50)));
    const stranger = farm.networkOf(testKey('stranger'));

    expect(await refusal(put(newId(), madeUp(new Uint8Array(5)), 100, stranger))).toBe('Forbidden');
    expect(await refusal(get(id, 0, 0, stranger))).toBe('Forbidden');
  });

  it('that is leaving takes no new piece, serves those it has, and comes back', async () => {
    const [id, made] = [newId(), madeUp(new Uint8Array(50))];
    await put(id, made);

    farm.setState(to.farmer, 'Leaving');

    expect(await refusal(put(newId(), made))).toBe('Leaving');
    expect((await put(id, made)).body.pieceId).toBe(id);
    expect((await get(id)).bytes).toHaveLength(50);
    expect(farm.farmers[0]!.farmer.duty.cordonedMs).not.toBeNull();
    await farm.restart(0);
    expect(await refusal(put(newId(), made))).toBe('Leaving');
    farm.setState(to.farmer, 'Active');
    expect(await refusal(put(newId(), made))).toBe('accepted');
  });

  it('still has everything after a restart', async () => {
    const pieces = Array.from({ length: 5 }, (_, i) => madeUp(new Uint8Array(randomBytes(1 + i * 7 * LEAF_BYTES))));
    const ids = pieces.map(newId);
    await Promise.all(pieces.map((made, i) => put(ids[i]!, made)));
    const before = await farm.farmers[0]!.farmer.store.numbers();

    await farm.restart(0);

    for (const [i, made] of pieces.entries()) expect(Buffer.compare((await get(ids[i]!)).bytes, made.piece)).toBe(0);
    const { freeBytes: _, ...after } = await farm.farmers[0]!.farmer.store.numbers();
    expect(before).toMatchObject(after);
  });
});
