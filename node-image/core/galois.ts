// GF(2^8) with the polynomial 0x11d, and the matrices of a systematic Cauchy code: parity row i, data
// column j is 1 / ((i + k) xor j). Every square part of it can be inverted, so any k of n pieces do.

const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = x;
  EXP[i + 255] = x;
  LOG[x] = i;
  x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!;
}

export function inverse(a: number): number {
  if (a === 0) throw new RangeError('Zero has no inverse.');
  return EXP[255 - LOG[a]!]!;
}

/** Row of the code's matrix that makes piece `index` out of k data pieces. */
export function codeRow(k: number, index: number): Uint8Array {
  const row = new Uint8Array(k);
  if (index < k) row[index] = 1;
  else for (let j = 0; j < k; j++) row[j] = inverse(index ^ j);
  return row;
}

/** Rows that make the wanted pieces out of the k that are there, in the order of `have`. */
export function recoveryRows(k: number, have: readonly number[], want: readonly number[]): Uint8Array[] {
  const inverted = invert(have.map((index) => codeRow(k, index)));
  return want.map((index) => {
    const row = codeRow(k, index);
    const out = new Uint8Array(k);
    for (let j = 0; j < k; j++) {
      const factor = row[j]!;
      if (factor !== 0) for (let x = 0; x < k; x++) out[x]! ^= multiply(factor, inverted[j]![x]!);
    }
    return out;
  });
}

/** Gauss–Jordan. Throws RangeError for a matrix that can't be inverted. */
export function invert(matrix: readonly Uint8Array[]): Uint8Array[] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * n);
    wide.set(row);
    wide[n + i] = 1;
    return wide;
  });
  for (let column = 0; column < n; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0);
    if (pivot < 0) throw new RangeError('The matrix has no inverse.');
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    scale(rows[column]!, inverse(rows[column]![column]!));
    for (const [i, row] of rows.entries()) if (i !== column) addScaled(row, rows[column]!, row[column]!);
  }
  return rows.map((row) => row.slice(n));
}

function scale(row: Uint8Array, factor: number): void {
  for (let j = 0; j < row.length; j++) row[j] = multiply(row[j]!, factor);
}

function addScaled(row: Uint8Array, other: Uint8Array, factor: number): void {
  if (factor !== 0) for (let j = 0; j < row.length; j++) row[j]! ^= multiply(other[j]!, factor);
}
