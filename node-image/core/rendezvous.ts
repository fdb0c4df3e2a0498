// Which farmers keep something that has no list of holders: those nearest to its key, by a hash over both.
import { blake3 } from './hash.ts';
import { fromHex, toHex } from './ids.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** Root statements lie on so many farmers: 2f + 1 with the largest f. */
const NEAREST = 9;

/** The farmers nearest to the key, nearest first; all where there are fewer. */
export function nearest(ownerKey: PublicKey, farmers: readonly PublicKey[], count: number = NEAREST): PublicKey[] {
  const key = fromHex(ownerKey, 32);
  return [...new Set(farmers)]
    .map((farmer) => ({ farmer, distance: toHex(blake3(key, fromHex(farmer, 32))) }))
    .sort((a, b) => (a.distance < b.distance ? -1 : 1))
    .slice(0, count)
    .map(({ farmer }) => farmer);
}

/** How many of n farmers have to take a statement, and how many have to be asked for all. */
export function rootQuorums(farmers: number, f: number): { write: number; read: number } {
  const write = Math.min(farmers, Math.max(f + 1, farmers - f));
  return { write, read: farmers - write + 1 };
}
