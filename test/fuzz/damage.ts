// What becomes of good bytes in bad hands: flipped, cut, stretched, mixed with others, and changed where it hurts
// most: lengths, types and sizes inside CBOR and frames.
import { decode, encode } from 'cborg';
import type { Dice } from '#test/simulation/virtual-time.ts';

type Node = unknown;

/** One or several steps of damage to a copy. */
export function damaged(dice: Dice, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let steps = dice.chance(0.6) ? 1 : dice.between(2, 5); steps > 0; steps--) out = step(dice, out, others);
  return out;
}

function step(dice: Dice, bytes: Uint8Array<ArrayBuffer>, others: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  switch (dice.between(0, 8)) {
    case 0:
      return flip(dice, bytes);
    case 1:
      return bytes.slice(0, dice.between(0, bytes.length));
    case 2:
      return spliced(bytes, dice.between(0, bytes.length), 0, dice.bytes(dice.between(1, 12)));
    case 3:
      return spliced(bytes, dice.between(0, bytes.length), dice.between(1, 20), new Uint8Array(0));
    case 4:
      return mixed(dice, bytes, dice.pick(others));
    case 5:
      return length32(dice, bytes);
    case 6:
      return bomb(dice, bytes);
    case 7:
      return dice.chance(0.1) ? Uint8Array.from(dice.bytes(dice.between(0, 200))) : flip(dice, bytes);
    default:
      return inCbor(dice, bytes);
  }
}

function flip(dice: Dice, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length > 0) bytes[dice.between(0, bytes.length - 1)]! ^= dice.between(1, 255);
  return bytes;
}

function spliced(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]));
}

/** The beginning of one and the end of another. */
function mixed(dice: Dice, bytes: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const tail = other.subarray(dice.between(0, other.length));
  return Uint8Array.from(Buffer.concat([bytes.subarray(0, dice.between(0, bytes.length)), tail]));
}

/** A length, or what is taken for one. */
function length32(dice: Dice, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length < 4) return bytes;
  const at = dice.chance(0.5) ? dice.pick([0, 1, bytes.length - 4]) : dice.between(0, bytes.length - 4);
  const value = dice.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, bytes.length, bytes.length - 4, dice.word()]);
  Buffer.from(bytes.buffer).writeUInt32BE(value >>> 0, Math.min(at, bytes.length - 4));
  return bytes;
}

/** CBOR heads that promise more than there is. */
function bomb(dice: Dice, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const major = dice.pick([0x40, 0x60, 0x80, 0xa0]);
  const head = dice.pick([
    [major | 27, 0, 0, 0, 1, 0, 0, 0, 0],
    [major | 27, 255, 255, 255, 255, 255, 255, 255, 255],
    [major | 26, 255, 255, 255, 255],
    [major | 31],
    Array.from({ length: 60 }, () => 0x81),
  ]);
  return spliced(bytes, dice.between(0, bytes.length), head.length, Uint8Array.from(head));
}

/** A value of the message becomes another, whatever lies around it stays whole. */
function inCbor(dice: Dice, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  for (const from of [0, 1]) {
    try {
      const tree: Node = decode(bytes.subarray(from), { useMaps: true });
      return Uint8Array.from(Buffer.concat([bytes.subarray(0, from), encode(changed(dice, tree, 0))]));
    } catch {
      // No CBOR there.
    }
  }
  return flip(dice, bytes);
}

function changed(dice: Dice, node: Node, depth: number): Node {
  if (Array.isArray(node) && node.length > 0 && dice.chance(0.85)) {
    const at = dice.between(0, node.length - 1);
    const what = dice.share();
    if (what < 0.8) return node.map((one: Node, i) => (i === at ? changed(dice, one, depth + 1) : one));
    if (what < 0.9) return [...(node as Node[]), node[at]];
    return node.filter((_, i) => i !== at);
  }
  if (node instanceof Uint8Array && dice.chance(0.6)) {
    return dice.chance(0.5) ? inCbor(dice, Uint8Array.from(node)) : flip(dice, Uint8Array.from(node));
  }
  return dice.pick<Node>([
    0,
    1,
    -1,
    2 ** 32,
    2 ** 53,
    2n ** 64n - 1n,
    1.5,
    Number.NaN,
    true,
    null,
    '',
    'x'.repeat(5000),
    '\u{10ffff}',
    new Uint8Array(0),
    new Uint8Array(32),
    new Uint8Array(100_000),
    [],
    [[[[[[[[[[[[[[[]]]]]]]]]]]]]]],
    new Map([['a', 'b']]),
    Array.from({ length: 3000 }, () => 0),
  ]);
}
