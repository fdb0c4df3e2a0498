// The code and the trees of one segment, stripe by stripe.
import { copyInto } from '#node/core/bytes.ts';
import { createCodec, createErasureMemory, type Codec, type ErasureMemory } from '#node/core/erasure.ts';
import { toHex } from '#node/core/ids.ts';
import { leafHashInPlace, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { segmentGeometry, shardBytes } from '#node/core/segments.ts';
import { pieceFooter } from '#node/wire/calls.ts';
import { footerBytes } from '#node/wire/framing.ts';
import { LEAF_BYTES, type Hash, type Scheme } from '#node/wire/types.ts';
import type { PieceMath } from './rebuild-pieces.ts';

/** A codec with room for one stripe. It is used by one segment at a time, within one turn of the event loop. */
interface Bench {
  codec: Codec;
  places: Uint8Array[];
}

/** Benches by scheme, the last few kept: a farm has few schemes, foreign segments may have any. */
export class Benches {
  readonly #kept = new Map<string, Bench>();
  readonly #limit: number;

  constructor(limit = 4) {
    this.#limit = limit;
  }

  for(required: number, total: number): Bench {
    const name = `${required}/${total}`;
    const bench = this.#kept.get(name) ?? newBench(required, total);
    this.#kept.delete(name);
    this.#kept.set(name, bench);
    for (const oldest of this.#kept.keys()) if (this.#kept.size > this.#limit) this.#kept.delete(oldest);
    return bench;
  }
}

/** Tables of cached matrices, some for each lost combination, beside the stripe itself. */
const TABLE_BYTES = 32 * 64;

function newBench(required: number, total: number): Bench {
  const sizeBytes = total * LEAF_BYTES + TABLE_BYTES * required * total + 64 * 1024;
  const memory: ErasureMemory = createErasureMemory({ sizeBytes });
  const places = Array.from({ length: total }, () => memory.take(LEAF_BYTES));
  return { codec: createCodec(required, total, memory), places };
}

/** What rebuilding computes for a segment of this scheme and size under this root. */
export function pieceMath(benches: Benches, segment: { scheme: Scheme; sizeBytes: number; root: Hash }): PieceMath {
  const { required, total } = segment.scheme;
  const geometry = segmentGeometry(segment.sizeBytes, required);
  const hashes: Uint8Array[][] = Array.from({ length: total }, () => []);
  return {
    stripes: geometry.stripes,
    leafBytes: (stripe) => shardBytes(geometry, stripe),
    complete(have, leafBytes) {
      const { codec, places } = benches.for(required, total);
      const leaves = places.map((place) => place.subarray(0, leafBytes));
      for (const { pieceNumber, leaf } of have) copyInto(leaves[pieceNumber]!, leaf);
      const known = new Set(have.map(({ pieceNumber }) => pieceNumber));
      const want = leaves.flatMap((_, number) => (known.has(number) ? [] : [number]));
      codec.reconstruct(
        [...known].map((index) => ({ index, shard: leaves[index]! })),
        want,
        want.map((number) => leaves[number]!),
      );
      for (const [number, leaf] of leaves.entries()) hashes[number]!.push(leafHashInPlace(leaf));
      return leaves;
    },
    finish() {
      const roots = hashes.map((ofPiece) => pieceRoot(ofPiece));
      if (toHex(segmentRoot(roots)) !== segment.root) return null;
      return roots.map((root, index) => {
        const path = rootPath(roots, index);
        return {
          pieceRoot: toHex(root),
          path,
          footer: footerBytes(pieceFooter.encode({ segmentRoot: segment.root, index, total, path })),
        };
      });
    },
  };
}

/** The footer of a piece that is copied as it is. */
export function copiedFooter(range: { segmentRoot: Hash; index: number; path: Uint8Array[] }, total: number): Uint8Array {
  const { segmentRoot: root, index, path } = range;
  return footerBytes(pieceFooter.encode({ segmentRoot: root, index, total, path }));
}
