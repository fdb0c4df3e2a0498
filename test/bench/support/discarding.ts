import { leafHash, pieceRoot } from '#node/core/merkle.ts';
import { toHex } from '#node/core/ids.ts';
import type { Answer, Call, Network } from '#node/net/net.ts';
import { decodeCallHead, encodeAnswerHead, pieceFooter } from '#node/wire/calls.ts';
import { FooterReader } from '#node/wire/framing.ts';
import { signStatement } from '#node/wire/statements.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import type { MemoryFarm } from '#test/support/memory-farmer.ts';

/** Farmers that hash and sign as real ones do, and forget. */
export function discarding(farm: MemoryFarm, behind: Network): Network {
  return {
    ...behind,
    call: (to, call, ends) => (call.operation === 'piece.put' ? take(farm, to.farmer, call) : behind.call(to, call, ends)),
  };
}

async function take({ farmers }: MemoryFarm, farmer: string, { head, body }: Call): Promise<Answer> {
  const { owner, pieceId } = decodeCallHead('piece.put', head);
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
  const receipt = signStatement(farmers.find(({ keyPair }) => keyPair.publicKey === farmer)!.keyPair, {
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
