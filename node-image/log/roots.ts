// Root statements: kept on the farmers nearest to the owner's key, merged by union. A write is on W of them,
// a read asks R with W + R > N, so whatever was published before is seen; and W > f, so f losses lose nothing.
import { toHex } from '#node/core/ids.ts';
import { blake3 } from '#node/core/hash.ts';
import { nearest, rootQuorums } from '#node/core/rendezvous.ts';
import { rootView, withoutOvertaken, type RootView } from '#node/wire/root-view.ts';
import { decodeRootStatement } from '#node/wire/statements.ts';
import type { PublicKey, RootStatement, Signed } from '#node/wire/types.ts';
import { getStatements, putStatements } from './log-calls.ts';
import { LogError, type LogLink } from './log-link.ts';
import { gather, GRACE_MS, reasons } from './quorum.ts';

export interface Roots {
  view: RootView;
  /** All that count and all that don't, each once. */
  statements: Signed<RootStatement>[];
}

/** Who keeps the owner's statements now. */
function rootFarmers(link: LogLink, owner: PublicKey): PublicKey[] {
  const here = link.farmers().filter(({ state }) => state !== 'Lost');
  return nearest(
    owner,
    here.map(({ farmer }) => farmer),
  );
}

/**
 * Union of what a read quorum of the nearest farmers has, and of `known`. No statements at all = unknown
 * owner, which is no error. Rejects with LogError NotEnoughRoots.
 */
export async function fetchRoots(
  link: LogLink,
  owner: PublicKey,
  signal: AbortSignal,
  known: readonly Signed<RootStatement>[] = [],
): Promise<Roots> {
  const farmers = rootFarmers(link, owner);
  const needed = rootQuorums(farmers.length, link.promise()).read;
  // Nearly all of them say nearly the same: each statement is decoded, and verified, once.
  const seen = new Map(known.map((one) => [nameOf(one.bytes), one]));
  const decoded = (bytes: Uint8Array) => {
    const name = nameOf(bytes);
    const one = seen.get(name) ?? decodeRootStatement(bytes);
    seen.set(name, one);
    return one;
  };
  const ask = async (to: Parameters<typeof getStatements>[1], inner: AbortSignal) =>
    (await getStatements(link, to, owner, inner, decoded)).statements;
  const { answers, errors } = await gather(link, { farmers, needed, ask, signal, graceMs: GRACE_MS });
  if (answers.size < needed) {
    throw new LogError(
      'NotEnoughRoots',
      `Only ${answers.size} of ${needed} needed farmers gave the owner's root statements (${reasons(errors)}). Try again.`,
    );
  }
  const all = [...seen.values()];
  const view = rootView(owner, all);
  return { view, statements: withoutOvertaken(view, all) };
}

/** Each once, and of two the first: it may be verified already. */
export function union(statements: readonly Signed<RootStatement>[]): Signed<RootStatement>[] {
  return [...new Map(statements.toReversed().map((one) => [nameOf(one.bytes), one])).values()].toReversed();
}

function nameOf(bytes: Uint8Array): string {
  return toHex(blake3(bytes));
}

/**
 * Puts statements on a write quorum of the nearest farmers (on all that answer in time, but only the quorum
 * is waited for) and on all of `also`, which are waited for but need not answer. Resolves with those that
 * have them for sure. Rejects with LogError NotEnoughRoots.
 */
export async function publishRoots(
  link: LogLink,
  input: {
    owner: PublicKey;
    statements: readonly Signed<RootStatement>[];
    /** What came before: given to farmers that can't judge the new ones alone. */
    known: readonly Signed<RootStatement>[];
    also?: readonly PublicKey[];
    signal: AbortSignal;
  },
): Promise<Set<PublicKey>> {
  const { owner, statements, known, also = [], signal } = input;
  const farmers = rootFarmers(link, owner);
  const needed = rootQuorums(farmers.length, link.promise()).write;
  const ask = async (to: Parameters<typeof putStatements>[1], inner: AbortSignal) => {
    if ((await putStatements(link, to, owner, statements, inner)) >= statements.length) return;
    const all = union([...known, ...statements]);
    const kept = await putStatements(link, to, owner, all, inner);
    const rejected = rootView(owner, all).rejected.length;
    if (kept < all.length - rejected) throw new Error('The farmer does not keep the statements.');
  };
  const [near, others] = await Promise.all([
    gather(link, { farmers, needed, ask, signal, finish: true }),
    gather(link, { farmers: also.filter((farmer) => !farmers.includes(farmer)), needed: Infinity, ask, signal }),
  ]);
  if (near.answers.size < needed) {
    throw new LogError(
      'NotEnoughRoots',
      `Only ${near.answers.size} of ${needed} needed farmers took the root statements (${reasons(near.errors)}). Try again.`,
    );
  }
  return new Set([...near.answers.keys(), ...others.answers.keys()]);
}
