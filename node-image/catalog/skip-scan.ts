// Listing with a delimiter without reading what lies under a common prefix: on meeting one, seek behind it.
import { commonPrefix, justAfter, keyBytes, prefixEnd } from './key-order.ts';

/**
 * Rows from `from` (inclusive) up to `end` (exclusive; null = no end), in byte order of their keys. About
 * `expected` of them will be taken.
 */
export type Seek<Row> = (from: Buffer, end: Buffer | null, expected: number) => Iterable<Row>;

/** With a delimiter the next row may begin a common prefix, behind which the scan seeks anew. */
const EXPECTED_WITH_DELIMITER = 8;

export type Item<Row> = { kind: 'row'; row: Row } | { kind: 'prefix'; prefix: string };

export interface Scan {
  prefix: string;
  delimiter: string;
  after: string;
  limit: number;
  /** First byte string to look at, where it isn't just behind `after`. */
  from?: Buffer;
}

/** Up to `limit` items; `more` tells whether another one follows. */
export function skipScan<Row extends { key: string }>(scan: Scan, seek: Seek<Row>): { items: Item<Row>[]; more: boolean } {
  const prefix = keyBytes(scan.prefix);
  const end = prefixEnd(prefix);
  const items: Item<Row>[] = [];
  if (scan.limit <= 0) return { items, more: false };
  let from: Buffer | null = firstPosition(scan, prefix);
  while (from !== null) {
    const start: Buffer = from;
    from = null;
    if (end !== null && Buffer.compare(start, end) >= 0) break;
    const left = scan.limit - items.length + 1;
    for (const row of seek(start, end, scan.delimiter === '' ? left : Math.min(left, EXPECTED_WITH_DELIMITER))) {
      if (items.length === scan.limit) return { items, more: true };
      const folded = commonPrefix(row.key, scan.prefix, scan.delimiter);
      if (folded === null) {
        items.push({ kind: 'row', row });
        continue;
      }
      items.push({ kind: 'prefix', prefix: folded });
      from = prefixEnd(keyBytes(folded));
      break;
    }
  }
  return { items, more: false };
}

function firstPosition(scan: Scan, prefix: Buffer): Buffer | null {
  const folded = scan.after.startsWith(scan.prefix) ? commonPrefix(scan.after, scan.prefix, scan.delimiter) : null;
  const start =
    folded === null ? (scan.from ?? (scan.after === '' ? prefix : justAfter(keyBytes(scan.after)))) : prefixEnd(keyBytes(folded));
  if (start === null) return null;
  return Buffer.compare(start, prefix) < 0 ? prefix : start;
}
