// Root statements of owners for whom this farmer keeps pieces but no statements: asked of the nearest ones
// when a peer comes that the farm's configuration doesn't admit, and remembered for a while.
import { nearest, rootQuorums } from '#node/core/rendezvous.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { decodeAnswerHead, encodeCallHead } from '#node/wire/calls.ts';
import { collect, unframeAll } from '#node/wire/framing.ts';
import { rootView, type RootView } from '#node/wire/root-view.ts';
import { decodeRootStatement, MAX_STATEMENT_BYTES } from '#node/wire/statements.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { RootsStore } from './roots-store.ts';

/** Statements of one owner. */
export const MAX_STATEMENTS_BYTES = 16 * 1024 * 1024;
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 1000;
const ASK_MS = 3000;
/** The dead among the others are waited for so long, once. */
const COMPLETE_MS = 1000;
/** After a change of the roster: by then holders have passed on what those need who became the nearest. */
const SETTLED_MS = 60_000;

export interface OwnerLookup {
  /** What is known of the owner here, else at the nearest farmers; an empty view where nobody knows it. */
  view(owner: PublicKey, signal: AbortSignal): Promise<RootView>;
  /** Only what is here. */
  localView(owner: PublicKey): RootView;
  /** Asks the others now, and takes over what is new. A malformed answer or a full store rejects. */
  refresh(owner: PublicKey, signal: AbortSignal): Promise<void>;
  /** When so many answered that nothing published before was missed; null = not since the start. */
  refreshedMs(owner: PublicKey): number | null;
  /**
   * A farmer that became one of the nearest a moment ago, or was away, may lack what readers rely on: before it
   * answers for an owner it asks the others, once after each start and each change of the roster. Rejects with
   * CallError 'Unavailable' while too few of them answer.
   */
  complete(owner: PublicKey, signal: AbortSignal): Promise<void>;
  /** Those who should have an owner's statements, nearest first. */
  nearest(owner: PublicKey): FarmerAddress[];
}

export interface OwnerLookupOptions {
  roots: RootsStore;
  /** Farmers that may be asked, this one included. */
  farmers: () => FarmerAddress[];
  /** Of the roster. */
  generation: () => number;
  /** When this farmer learned who is in the roster now; at the earliest its own start. */
  rosterSinceMs: () => number;
  /** f of the farm's scheme. */
  promise: () => number;
  network: Network;
  runtime: Runtime;
}

export function ownerLookup(options: OwnerLookupOptions): OwnerLookup {
  const { roots, farmers, generation, rosterSinceMs, promise, network, runtime } = options;
  const remembered = new Map<PublicKey, { view: RootView; untilMs: number }>();
  const refreshed = new Map<PublicKey, number>();
  /** Owner → roster generation under which the others were asked. */
  const completed = new Map<PublicKey, number>();
  const addresses = (owner: PublicKey) => {
    const known = new Map(farmers().map((address) => [address.farmer, address]));
    return nearest(owner, [...known.keys()]).map((farmer) => known.get(farmer)!);
  };
  const ask = async (owner: PublicKey, signal: AbortSignal) => {
    const near = addresses(owner);
    const others = near.filter(({ farmer }) => farmer !== network.self);
    const bounded = runtime.deadline(ASK_MS, signal);
    const answers = await Promise.allSettled(others.map((to) => fetchStatements(network, to, owner, bounded)));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const own = near.length - others.length;
    if (given.length + own >= rootQuorums(near.length, promise()).read) keep(refreshed, owner, runtime.elapsedMs());
    return given.flat();
  };
  const learn = async (owner: PublicKey, signal: AbortSignal): Promise<RootView> => {
    const statements = await ask(owner, signal);
    const view = rootView(owner, statements.map(decodeRootStatement));
    // A replica that has none of them was set back, or hasn't been told yet: it has to judge by its own.
    if ([...view.sets.values()].some(({ members }) => members.includes(network.self))) {
      await roots.put(owner, statements);
      return roots.view(owner);
    }
    keep(remembered, owner, { view, untilMs: runtime.elapsedMs() + REMEMBER_MS });
    return view;
  };
  return {
    nearest: addresses,
    localView: (owner) => roots.view(owner),
    async view(owner, signal) {
      if (roots.knows(owner)) return roots.view(owner);
      const known = remembered.get(owner);
      if (known && known.untilMs > runtime.elapsedMs()) return known.view;
      return await learn(owner, signal);
    },
    async refresh(owner, signal) {
      if (roots.knows(owner)) await roots.put(owner, await ask(owner, signal));
      else await learn(owner, signal);
    },
    async complete(owner, signal) {
      const asOf = generation();
      const near = addresses(owner);
      if (completed.get(owner) === asOf || !near.some(({ farmer }) => farmer === network.self)) return;
      const others = near.filter(({ farmer }) => farmer !== network.self);
      const bounded = runtime.deadline(COMPLETE_MS, signal);
      const answers = await Promise.allSettled(others.map((to) => fetchStatements(network, to, owner, bounded)));
      const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      if (given.some((statements) => statements.length > 0)) await roots.put(owner, given.flat());
      // Whoever has nothing may be as new as we are, and counts only where everybody was heard, or nobody is that new.
      const isSettled = runtime.elapsedMs() - rosterSinceMs() > SETTLED_MS;
      const counted = isSettled ? given : given.filter((statements) => statements.length > 0);
      const own = isSettled || roots.knows(owner) ? 1 : 0;
      if (given.length < others.length && counted.length + own < near.length - promise())
        throw new CallError('Unavailable', "The farmer still takes the owner's statements from the others. Try again.");
      keep(completed, owner, asOf);
    },
    refreshedMs: (owner) => refreshed.get(owner) ?? null,
  };
}

function keep<T>(map: Map<PublicKey, T>, owner: PublicKey, value: T): void {
  map.delete(owner);
  map.set(owner, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value ?? '');
}

/** All statements that a farmer has of an owner. Rejects with CallError. */
export async function fetchStatements(
  network: Network,
  to: FarmerAddress,
  owner: PublicKey,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const call = { operation: 'roots.get', head: encodeCallHead('roots.get', { owner }) } as const;
  const answer = await network.call(to, call, signal);
  try {
    decodeAnswerHead('roots.get', answer.head);
    return unframeAll(await collect(answer.body, MAX_STATEMENTS_BYTES), MAX_STATEMENT_BYTES);
  } catch (cause) {
    if (cause instanceof CallError) throw cause;
    throw new CallError('BadRequest', 'A farmer sent statements that are none.', { cause });
  }
}
