// A segment in memory: random ciphertext, its pieces, roots and footers, made the plain way.
import { createHash } from 'node:crypto';
import { createCodec } from '#node/core/erasure.ts';
import { toHex } from '#node/core/ids.ts';
import { leafHashes, pieceRoot, segmentRoot } from '#node/core/merkle.ts';
import { segmentGeometry, shardBytes } from '#node/core/segments.ts';
import { LEAF_BYTES, type Scheme } from '#node/wire/types.ts';

export interface TestSegment {
  scheme: Scheme;
  sizeBytes: number;
  root: string;
  pieces: Uint8Array[];
  pieceRoots: string[];
}

export function testSegment(scheme: Scheme, sizeBytes: number, seed = 'seed'): TestSegment {
  const { required, total } = scheme;
  const geometry = segmentGeometry(sizeBytes, required);
  const pieces = Array.from({ length: total }, () => new Uint8Array(geometry.pieceBytes));
  const codec = createCodec(required, total);
  for (let stripe = 0; stripe < geometry.stripes; stripe++) {
    const at = stripe * LEAF_BYTES;
    const leaves = pieces.map((piece) => piece.subarray(at, at + shardBytes(geometry, stripe)));
    for (const [number, leaf] of leaves.slice(0, required).entries()) leaf.set(noise(`${seed}/${stripe}/${number}`, leaf.length));
    codec.encode(leaves.slice(0, required), leaves.slice(required));
  }
  const roots = pieces.map((piece) => pieceRoot(leafHashes(piece)));
  return { scheme, sizeBytes, root: toHex(segmentRoot(roots)), pieces, pieceRoots: roots.map(toHex) };
}

function noise(seed: string, length: number): Uint8Array {
  return createHash('shake256', { outputLength: length }).update(seed).digest();
}
