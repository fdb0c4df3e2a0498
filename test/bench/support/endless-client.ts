// A client that puts or gets one object of so many GiB; its farmers live in this process too and keep one
// segment at most: `node endless-client.ts put|get GIB`.
import { createClient } from '#node/client/client.ts';
import { farmSnapshot, settableFarmView } from '#node/client/farm-view.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { leafHash, pieceRoot } from '#node/core/merkle.ts';
import { toHex } from '#node/core/ids.ts';
import type { Answer, Call, Network } from '#node/net/net.ts';
import { decodeCallHead, encodeAnswerHead, pieceFooter } from '#node/wire/calls.ts';
import { FooterReader } from '#node/wire/framing.ts';
import { signStatement } from '#node/wire/statements.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';

const GIB = 1024 ** 3;
const SEGMENT_BYTES = 1024 * 65_520;
const [kind, gib] = [process.argv[2], Number(process.argv[3])];
const owner = 'ab'.repeat(32);
const signal = AbortSignal.timeout(3_600_000);
const chunk = new Uint8Array(1024 * 1024).fill(9);

async function* source(bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}

const farm = await memoryFarm({ farmers: 6 });
const network = farm.networkOf(farm.bridge);
const client = createClient({
  network: kind === 'put' ? discarding(network) : network,
  farm: settableFarmView(farmSnapshot(farm.current())),
});
if (kind === 'put') await putSegments(client, { owner, source: source(gib * GIB), signal });
else {
  const { segments } = await putSegments(client, { owner, source: source(SEGMENT_BYTES), signal });
  const all = Array.from({ length: Math.ceil((gib * GIB) / SEGMENT_BYTES) }, () => segments[0]!);
  const length = all.length * SEGMENT_BYTES;
  for await (const _ of getRange(client, { owner, segments: all, offset: 0, length, signal }));
}
await client.close();
await farm.stop();

/** Farmers that hash and sign as real ones do, and forget. */
function discarding(behind: Network): Network {
  return {
    ...behind,
    call: (to, call, ends) => (call.operation === 'piece.put' ? take(to.farmer, call) : behind.call(to, call, ends)),
  };
}

async function take(farmer: string, { head, body }: Call): Promise<Answer> {
  const { pieceId } = decodeCallHead('piece.put', head);
  const reader = new FooterReader(pieceFooter.maxBytes);
  const hashes: Uint8Array[] = [];
  const leaf = new Uint8Array(LEAF_BYTES);
  let filled = 0;
  let sizeBytes = 0;
  const feed = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + LEAF_BYTES - filled);
      leaf.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < LEAF_BYTES) continue;
      hashes.push(leafHash(leaf));
      filled = 0;
    }
    sizeBytes += bytes.length;
  };
  for await (const part of body!) for (const data of reader.push(part)) feed(data);
  feed(reader.end().data);
  if (filled > 0) hashes.push(leafHash(leaf.subarray(0, filled)));
  const receipt = signStatement(farm.farmers.find(({ keyPair }) => keyPair.publicKey === farmer)!.keyPair, {
    kind: 'receipt',
    farmer,
    owner,
    pieceId,
    pieceRoot: toHex(pieceRoot(hashes)),
    sizeBytes,
    durability: 'fsynced',
    storedMs: 1,
    membership: null,
  } as const);
  return { head: encodeAnswerHead('piece.put', { receipt: receipt.bytes }) };
}
