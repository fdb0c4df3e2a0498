// Root statements: kept on the farmers nearest to the owner's key, read and written by quorum, merged by union.
import type { RootView } from '#node/wire/root-view.ts';
import type { PublicKey, RootStatement, Signed } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';

export interface Roots {
  view: RootView;
  /** All that count and all that don't, each once. */
  statements: Signed<RootStatement>[];
}

/** Union of what a read quorum of the nearest farmers has. No statements at all = unknown owner, not an error. Rejects with LogError NotEnoughRoots. */
export declare function fetchRoots(link: LogLink, owner: PublicKey, signal: AbortSignal): Promise<Roots>;

/** Puts statements on a write quorum of the nearest farmers and on each of `also` that answers. Rejects with LogError NotEnoughRoots. */
export declare function publishRoots(
  link: LogLink,
  input: { owner: PublicKey; statements: readonly Signed<RootStatement>[]; also?: readonly PublicKey[]; signal: AbortSignal },
): Promise<void>;
