// Merkle trees over BLAKE3, shaped as in RFC 6962: a tree of n splits at the largest power of two below n.
// One shape for both uses: leaves of 64 KiB under a piece's root, piece roots under a segment's root.
// Leaves and nodes are hashed under different first bytes, so neither can pass for the other.
import { blake3 } from './hash.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';

/** Hash of one leaf's bytes: BLAKE3(00 ‖ leaf). */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return blake3(LEAF_PREFIX, leaf);
}
/**
 * The same without a copy, for a leaf in memory that is the caller's alone meanwhile: the byte before the leaf
 * is borrowed for the prefix.
 */
export function leafHashInPlace(leaf: Uint8Array): Uint8Array {
  if (leaf.byteOffset === 0) return leafHash(leaf);
  const prefixed = new Uint8Array(leaf.buffer, leaf.byteOffset - 1, leaf.length + 1);
  const before = prefixed[0]!;
  prefixed[0] = LEAF_PREFIX[0]!;
  const hash = blake3(prefixed);
  prefixed[0] = before;
  return hash;
}
/** BLAKE3(01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return blake3(NODE_PREFIX, left, right);
}
const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = Uint8Array.of(1);

/** Hashes of all leaves of a piece. */
export function leafHashes(piece: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < piece.length; at += LEAF_BYTES) hashes.push(leafHash(piece.subarray(at, at + LEAF_BYTES)));
  return hashes;
}

/** Root of a piece over the hashes of its leaves (at least one). */
export function pieceRoot(hashes: readonly Uint8Array[]): Uint8Array {
  return rootOf(hashes, 0, checkedTree(hashes.length, 0, hashes.length));
}
/** Root of a segment over the roots of its n pieces. */
export function segmentRoot(pieceRoots: readonly Uint8Array[]): Uint8Array {
  return pieceRoot(pieceRoots);
}

/** Nodes of one tree that were hashed before. */
export type KnownNodes = Map<number, Uint8Array>;

/**
 * What is needed beside `count` hashes from `first` on to come to the root: the subtrees outside, left to right.
 * With `known` each node of the tree is hashed once, however often it is asked.
 */
export function rangeProof(hashes: readonly Uint8Array[], first: number, count: number, known?: KnownNodes): Uint8Array[] {
  const proof: Uint8Array[] = [];
  const end = first + count;
  const visit = (from: number, to: number): void => {
    if (to <= first || from >= end) proof.push(rootOf(hashes, from, to, known));
    else if (from < first || to > end) {
      const middle = split(from, to);
      visit(from, middle);
      visit(middle, to);
    }
  };
  visit(0, checkedTree(hashes.length, first, count));
  return proof;
}

/** Whether these hashes, as leaves `first`, first + 1, … of `leafTotal`, lead to the root. Never throws. */
export function verifyRange(
  root: Uint8Array,
  leafTotal: number,
  first: number,
  hashes: readonly Uint8Array[],
  proof: readonly Uint8Array[],
): boolean {
  const end = first + hashes.length;
  if (!isRange(leafTotal, first, hashes.length)) return false;
  let used = 0;
  const visit = (from: number, to: number): Uint8Array | null => {
    if (to <= first || from >= end) return proof[used++] ?? null;
    if (to - from === 1) return hashes[from - first] ?? null;
    const middle = split(from, to);
    const left = visit(from, middle);
    const right = left && visit(middle, to);
    return left && right ? nodeHash(left, right) : null;
  };
  const got = visit(0, leafTotal);
  return got !== null && used === proof.length && Buffer.compare(got, root) === 0;
}

/** From piece root i of a segment up to the segment's root. */
export function rootPath(roots: readonly Uint8Array[], i: number): Uint8Array[] {
  return rangeProof(roots, i, 1);
}
export function verifyRootPath(
  root: Uint8Array,
  total: number,
  i: number,
  rootOfPiece: Uint8Array,
  path: readonly Uint8Array[],
): boolean {
  return verifyRange(root, total, i, [rootOfPiece], path);
}

function rootOf(hashes: readonly Uint8Array[], from: number, to: number, known?: KnownNodes): Uint8Array {
  if (to - from === 1) return hashes[from]!;
  const name = from * (MAX_LEAVES + 1) + to;
  const before = known?.get(name);
  if (before) return before;
  const middle = split(from, to);
  const node = nodeHash(rootOf(hashes, from, middle, known), rootOf(hashes, middle, to, known));
  known?.set(name, node);
  return node;
}

/** Largest power of two below the width, from the left. */
function split(from: number, to: number): number {
  return from + 2 ** (31 - Math.clz32(to - from - 1));
}

function checkedTree(total: number, first: number, count: number): number {
  if (!isRange(total, first, count)) throw new RangeError(`No tree of ${total} has the leaves ${first}+${count}.`);
  return total;
}

/** Far above what a segment has, so that no peer can make us count for long. */
const MAX_LEAVES = 2 ** 20;

function isRange(total: number, first: number, count: number): boolean {
  const areIntegers = [total, first, count].every(Number.isSafeInteger);
  return areIntegers && first >= 0 && count >= 1 && first + count <= total && total <= MAX_LEAVES;
}
