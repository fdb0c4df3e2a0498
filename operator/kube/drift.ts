// Pure: where an object is not what it should be. Fields and list items that others added don't count.
import { itemsByKey } from './list-keys.ts';

export interface Difference {
  path: string;
  want: unknown;
  have: unknown;
}

/** Fields whose values are quantities: the server writes `0.5` as `500m` and `1024Mi` as `1Gi`. */
const quantityParents = new Set(['limits', 'requests', 'capacity', 'hard', 'allocatedResources']);
const quantityFields = new Set(['sizeLimit', 'maxBytes', 'size', 'bandwidthBytesPerSecond']);

/** What is wanted and isn't there. Nothing, {} and [] are the same: the server drops empty fields as it likes. */
export function drift(want: unknown, have: unknown): Difference[] {
  const found: Difference[] = [];
  compare(want, have, [], found);
  return found;
}

/** The same in both directions, so that nothing extra is there either. */
export function sameContent(a: unknown, b: unknown): boolean {
  return drift(a, b).length === 0 && drift(b, a).length === 0;
}

function compare(want: unknown, have: unknown, path: string[], found: Difference[]): void {
  if (want === undefined || want === null) return;
  if (isEmpty(want) && (isEmpty(have) || typeof have === 'object')) {
    // A list that must be empty has no items of others in it either.
    if (!Array.isArray(want) || isEmpty(have)) return;
  } else if (Array.isArray(want) && Array.isArray(have)) {
    compareLists(want, have, path, found);
    return;
  } else if (isObject(want) && isObject(have)) {
    for (const [field, value] of Object.entries(want)) compare(value, ownField(have, field), [...path, field], found);
    return;
  } else if (sameScalar(want, have, path)) return;
  found.push({ path: path.join('.'), want, have });
}

function compareLists(want: unknown[], have: unknown[], path: string[], found: Difference[]): void {
  const field = path.at(-1) ?? '';
  const above = path.slice(0, -1);
  const wanted = itemsByKey(above, field, want);
  const there = wanted && itemsByKey(above, field, have);
  if (wanted !== undefined && there !== undefined) {
    for (const [key, item] of wanted) compare(item, there.get(key), [...path, key], found);
    return;
  }
  if (want.length !== have.length) found.push({ path: path.join('.'), want, have });
  else for (const [index, item] of want.entries()) compare(item, have[index], [...path, String(index)], found);
}

/** What every object inherits is no field of it. */
function ownField(object: Record<string, unknown>, field: string): unknown {
  return Object.hasOwn(object, field) ? object[field] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every((field) => field === undefined || field === null);
}

function sameScalar(want: unknown, have: unknown, path: string[]): boolean {
  if (want === have) return true;
  if (!quantityParents.has(path.at(-2) ?? '') && !quantityFields.has(path.at(-1) ?? '')) return false;
  const [a, b] = [quantity(want), quantity(have)];
  return a !== undefined && b !== undefined && a === b;
}

const factors: Record<string, [bigint, bigint]> = {
  n: [1n, 10n ** 9n],
  u: [1n, 10n ** 6n],
  m: [1n, 1000n],
  '': [1n, 1n],
  k: [1000n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [2n ** 10n, 1n],
  Mi: [2n ** 20n, 1n],
  Gi: [2n ** 30n, 1n],
  Ti: [2n ** 40n, 1n],
  Pi: [2n ** 50n, 1n],
  Ei: [2n ** 60n, 1n],
};

/** A quantity in units of 10^-9, e.g. of `100Gi`, `250m`, `1e3`; undefined for anything else. */
export function quantity(value: unknown): bigint | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE])([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(String(value));
  const [, sign, whole = '', fraction = '', exponential, exponent, suffix = ''] = match ?? [];
  if (match === null || whole + fraction === '') return undefined;
  const [times, over] = exponential ? tenTo(Number(exponent)) : (factors[suffix] ?? [1n, 1n]);
  const nanos = (BigInt(whole + fraction) * times * 10n ** 9n) / (over * 10n ** BigInt(fraction.length));
  return sign === '-' ? -nanos : nanos;
}

function tenTo(exponent: number): [bigint, bigint] {
  return exponent >= 0 ? [10n ** BigInt(exponent), 1n] : [1n, 10n ** BigInt(-exponent)];
}
