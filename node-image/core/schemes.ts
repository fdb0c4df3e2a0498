// Storj's four numbers and the promise f. DESIGN.md section 4.
import type { Scheme } from '#node/wire/types.ts';

/** More than this is spare, not promised. */
const MAX_PROMISE = 4;

/** Scheme by number of farmers, where nobody asked for another. */
export function defaultScheme(farmers: number): Scheme {
  const numbers = DEFAULTS.find(([upTo]) => farmers <= upTo)?.[1] ?? [8, 11, 12, 14];
  const [required, repair, optimal, total] = numbers;
  return { required, repair, optimal, total };
}

const DEFAULTS: readonly [upTo: number, scheme: readonly [number, number, number, number]][] = [
  [1, [1, 1, 1, 1]],
  [2, [1, 1, 2, 2]],
  [3, [2, 2, 3, 3]],
  [4, [2, 3, 4, 4]],
  [5, [3, 4, 5, 5]],
  [30, [4, 5, 6, 6]],
  [250, [6, 8, 9, 10]],
];

/** f: how many farmers may vanish right after an acknowledgement. */
export function promiseOf(scheme: Scheme): number {
  return Math.min(MAX_PROMISE, scheme.optimal - scheme.required);
}

/** The scheme that keeps the promise with the r farmers that answer; null below f + 1 (the caller answers 503). */
export function schemeForAnswering(scheme: Scheme, r: number): Scheme | null {
  const f = promiseOf(scheme);
  if (r < f + 1) return null;
  const optimal = Math.min(scheme.optimal, r);
  const required = Math.min(scheme.required, optimal - f);
  const repair = Math.max(required, Math.min(scheme.repair, optimal - 1));
  return { required, repair, optimal, total: Math.min(scheme.total, r) };
}

/** What is wrong with a scheme on a farm of that many farmers; null where it is fine. */
export function schemeProblem(scheme: Scheme, farmers: number): string | null {
  const { required, repair, optimal, total } = scheme;
  const numbers = [required, repair, optimal, total];
  if (!numbers.every((n) => Number.isInteger(n) && n >= 1 && n <= 255)) return 'Each of the four numbers is from 1 to 255.';
  if (!(required <= repair && repair <= optimal && optimal <= total)) {
    return `Redundancy must satisfy required ≤ repair ≤ optimal ≤ total; ${numbers.join('/')} doesn't.`;
  }
  const f = promiseOf(scheme);
  if (repair < required + f - 1) {
    return `repair must be at least ${required + f - 1} (required + ${f} − 1), so that a segment that isn't queued has ${f} to spare.`;
  }
  if (total > farmers) return `Redundancy ${numbers.join('/')} needs ${total} farmers; there are ${farmers}.`;
  return null;
}

type Numbers = Pick<Scheme, 'required' | 'optimal'>;

/**
 * Is a segment of that scheme as good as under the wanted one? It has the scheme that it was written with: a lesser one
 * where farmers were away, another one where the farm has grown or is about to shrink. `repair` and a spare piece more
 * or less aren't worth moving all pieces.
 */
export function isUnder(scheme: Numbers, wanted: Numbers): boolean {
  return scheme.required === wanted.required && scheme.optimal === wanted.optimal;
}

/** `4/5/6/6`: required, repair, optimal, total. */
export function schemeText({ required, repair, optimal, total }: Scheme): string {
  return `${required}/${repair}/${optimal}/${total}`;
}
/** Null where it is none. */
export function schemeOfText(text: string): Scheme | null {
  const [required = 0, repair = 0, optimal = 0, total = 0, ...more] = text.split('/').map(Number);
  const scheme = { required, repair, optimal, total };
  return more.length === 0 && schemeProblem(scheme, 255) === null ? scheme : null;
}

/** Members of a log's replica set. */
export function replicaCount(f: number, farmers: number): number {
  return Math.min(2 * f + 1, farmers);
}
