// Grants that peers have shown here: checked once against the key of their connection, remembered until they
// end, and looked at again with each call, because they may be taken back. What an owner has taken back is
// asked of his farmers every few minutes; who can't learn it takes no more writes by grants.
import { GrantError, isLive, revocationsOf, type GrantRights } from '#node/core/grants.ts';
import { CallError } from '#node/net/net.ts';
import { pause, type Runtime } from '#node/log/runtime.ts';
import { decodeGrantChain, verifyGrant } from '#node/wire/grants.ts';
import { mayKeep, type RootView } from '#node/wire/root-view.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { isIntroduced } from './admission.ts';
import type { OwnerLookup } from './owner-lookup.ts';

/** A peer with more of one owner's grants shows those that it uses again. */
const MAX_OF_PEER = 8;
/** Peers and owners; some 2 KiB each with long prefixes. */
const MAX_REMEMBERED = 4096;
const REFRESH_EVERY_MS = 5 * 60_000;
/** Without news of an owner for so long his grants write nothing. */
const STALE_AFTER_MS = 60 * 60_000;

interface PresentedGrant {
  rights: GrantRights;
  /** Taken under it by this farmer since it runs. */
  storedBytes: number;
}
/** What a peer's grants let it do now. */
export interface GrantsNow {
  rights: readonly GrantRights[];
  /** Those of them that may still write: budget left, and what was taken back is known. */
  writing: readonly GrantRights[];
}

export interface PresentedGrants {
  /** Rejects with CallError Forbidden, which says why, or WireError. */
  present(input: { from: PublicKey; owner: PublicKey; chain: Uint8Array; signal: AbortSignal }): Promise<GrantRights>;
  of(from: PublicKey, view: RootView): GrantsNow;
  /** Bytes were taken from this peer: they go off the budget of the first grant that lets it write. */
  charge(from: PublicKey, owner: PublicKey, bytes: number): void;
  /** Asks for what owners took back, until the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}

const NOTHING: GrantsNow = { rights: [], writing: [] };

export function presentedGrants({ owners, runtime }: { owners: OwnerLookup; runtime: Runtime }): PresentedGrants {
  /** By peer and owner, used longest ago first. */
  const known = new Map<string, PresentedGrant[]>();
  const nameOf = (from: PublicKey, owner: PublicKey) => `${from} ${owner}`;
  const isWithin = (owner: PublicKey, ageMs: number) => (owners.refreshedMs(owner) ?? -Infinity) > runtime.elapsedMs() - ageMs;
  const use = (name: string, grants: PresentedGrant[]) => {
    known.delete(name);
    if (grants.length > 0) known.set(name, grants);
    if (known.size > MAX_REMEMBERED) known.delete(known.keys().next().value ?? '');
  };
  const live = (from: PublicKey, owner: PublicKey): PresentedGrant[] => {
    const name = nameOf(from, owner);
    const grants = known.get(name);
    if (!grants) return [];
    const rest = grants.filter(({ rights }) => isLive(rights, runtime.nowMs()));
    use(name, rest);
    return rest;
  };
  const hasBudget = ({ rights, storedBytes }: PresentedGrant) => storedBytes < (rights.budgetBytes ?? Infinity);

  return {
    async present({ from, owner, chain, signal }) {
      if (!isWithin(owner, REFRESH_EVERY_MS)) await owners.refresh(owner, signal);
      const view = await owners.view(owner, signal);
      if (!isIntroduced(view)) throw new CallError('Forbidden', 'This owner is unknown here.');
      const rights = checked(() =>
        verifyGrant(decodeGrantChain(chain), {
          owner,
          holder: from,
          nowMs: runtime.nowMs(),
          revocations: view.revocations,
          isIssuer: (issuer, bucketId) => mayKeep(view, issuer, bucketId),
        }),
      );
      const id = rights.links.at(-1)!.id;
      const before = live(from, owner);
      const same = before.find((one) => one.rights.links.at(-1)!.id === id);
      const others = before.filter((one) => one !== same);
      use(nameOf(from, owner), [...others, same ?? { rights, storedBytes: 0 }].slice(-MAX_OF_PEER));
      return rights;
    },
    of(from, view) {
      const grants = live(from, view.owner).filter(({ rights }) => revocationsOf(rights, view.revocations).length === 0);
      if (grants.length === 0) return NOTHING;
      const writing = isWithin(view.owner, STALE_AFTER_MS) ? grants.filter(hasBudget) : [];
      return { rights: grants.map(({ rights }) => rights), writing: writing.map(({ rights }) => rights) };
    },
    charge(from, owner, bytes) {
      const grant = live(from, owner).find((one) => hasBudget(one) && one.rights.verbs.includes('write'));
      if (grant) grant.storedBytes += bytes;
    },
    async run(signal) {
      while (!signal.aborted) {
        await pause(runtime, REFRESH_EVERY_MS, signal);
        const named = new Set([...known.keys()].map((name) => name.split(' ')[1]!));
        for (const owner of named) {
          if (!signal.aborted) await owners.refresh(owner, signal).catch(() => {});
        }
      }
    },
  };
}

function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (cause instanceof GrantError) throw new CallError('Forbidden', `${cause.code}: ${cause.message}`, { cause });
    throw cause;
  }
}
