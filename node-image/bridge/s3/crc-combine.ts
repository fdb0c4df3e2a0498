// The CRC of two byte strings in a row from the CRCs of each and the second's length: how the checksum of a
// whole multipart object comes from those of its parts. Reflected CRCs, as all of S3's are; the trick is
// zlib's crc32_combine: appending n zero bytes multiplies by x^(8n) modulo the polynomial.

export interface CrcKind {
  bits: 32 | 64;
  /** Reflected. */
  polynomial: bigint;
}
export const CRC32: CrcKind = { bits: 32, polynomial: 0xedb88320n };
export const CRC32C: CrcKind = { bits: 32, polynomial: 0x82f63b78n };
export const CRC64NVME: CrcKind = { bits: 64, polynomial: 0x9a6c9329ac4bc9b5n };

function multiply({ bits, polynomial }: CrcKind, left: bigint, right: bigint): bigint {
  let product = 0n;
  let factor = right;
  for (let at = BigInt(bits - 1); at >= 0n; at--) {
    if ((left >> at) & 1n) product ^= factor;
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
  }
  return product;
}

/** x^(8 · lengthBytes) modulo the polynomial. */
function shiftBy(kind: CrcKind, lengthBytes: number): bigint {
  let power = 1n << BigInt(kind.bits - 9); // x^8, reflected
  let result = 1n << BigInt(kind.bits - 1); // 1
  for (let left = BigInt(lengthBytes); left > 0n; left >>= 1n) {
    if (left & 1n) result = multiply(kind, power, result);
    power = multiply(kind, power, power);
  }
  return result;
}

/** CRC of all parts in a row. Parts mostly have one length, so the shift for it is computed once. */
export function combineCrcs(kind: CrcKind, parts: readonly { crc: bigint; lengthBytes: number }[]): bigint {
  const shifts = new Map<number, bigint>();
  let total = 0n;
  for (const { crc, lengthBytes } of parts) {
    const shift = shifts.get(lengthBytes) ?? shiftBy(kind, lengthBytes);
    shifts.set(lengthBytes, shift);
    total = multiply(kind, shift, total) ^ crc;
  }
  return total;
}
