// The accounts that this bridge keeps: what opens them, and what their root statements say. Words come in
// once and are forgotten; after that the bridge's own key opens the account secret that the owner sealed to it.
import { boxPublicKey, entropyFromWords, ownerFromEntropy, type KeyPair } from '#node/core/keys.ts';
import { accessOf, keeperStatement, warrantStatement, type AccountAccess } from '#node/client/account.ts';
import { fetchRoots, publishRoots, union, type Roots } from '#node/log/roots.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { rootView, type RootView } from '#node/wire/root-view.ts';
import type { PublicKey, RootStatement, Signed, WarrantStatement } from '#node/wire/types.ts';

export interface WantedWarrant {
  repairers: readonly { repairer: PublicKey; box: string }[];
  /** The farm whose members may become holders. */
  controlKey: PublicKey;
}

export interface Accounts {
  owners(): PublicKey[];
  access(owner: PublicKey): AccountAccess | null;
  view(owner: PublicKey): RootView | null;
  /** Signs what makes this bridge the account's keeper. Throws WordsError, LogError. */
  introduce(words: string, signal: AbortSignal): Promise<AccountAccess>;
  /** From the farmers; null where nobody knows the owner or nothing is sealed to this bridge. Throws LogError. */
  recover(owner: PublicKey, signal: AbortSignal): Promise<AccountAccess | null>;
  /** Reads the statements anew. */
  roots(owner: PublicKey, signal: AbortSignal): Promise<Roots>;
  refresh(owner: PublicKey, signal: AbortSignal): Promise<RootView>;
  /** Puts all statements where they belong under the present roster. */
  republish(owner: PublicKey, signal: AbortSignal): Promise<void>;
  /** Publishes statements of a keeper, also to farmers that must hear of them at once. Rejects with LogError. */
  say(owner: PublicKey, fresh: Signed<RootStatement>[], signal: AbortSignal, also?: readonly PublicKey[]): Promise<void>;
  /** True if new warrants were signed: logs have to be opened anew, they carry their repair key. */
  ensureWarrant(owner: PublicKey, wanted: WantedWarrant, signal: AbortSignal): Promise<boolean>;
  warrants(owner: PublicKey): readonly WarrantStatement[];
}

interface Account {
  access: AccountAccess;
  statements: Signed<RootStatement>[];
  view: RootView;
}

/** `onNew`: an account is known from now on. */
export function createAccounts({ link, bridge, onNew }: { link: LogLink; bridge: KeyPair; onNew: () => void }): Accounts {
  const accounts = new Map<PublicKey, Account>();
  const { runtime } = link;

  const keep = (
    owner: PublicKey,
    access: AccountAccess,
    statements: Signed<RootStatement>[],
    view = rootView(owner, statements),
  ): Account => {
    const account = { access, statements, view };
    const isNew = !accounts.has(owner);
    accounts.set(owner, account);
    if (isNew) onNew();
    return account;
  };

  const publish = async (
    owner: PublicKey,
    access: AccountAccess,
    known: Signed<RootStatement>[],
    fresh: Signed<RootStatement>[],
    signal: AbortSignal,
    also: readonly PublicKey[] = [],
  ): Promise<void> => {
    await publishRoots(link, { owner, statements: fresh, known, also, signal });
    keep(owner, access, union([...known, ...fresh]));
  };

  const roots = async (owner: PublicKey, signal: AbortSignal): Promise<Roots> => {
    const known = accounts.get(owner);
    const found = await fetchRoots(link, owner, signal, known?.statements);
    return known === undefined ? found : keep(owner, known.access, found.statements, found.view);
  };
  const refresh = async (owner: PublicKey, signal: AbortSignal): Promise<RootView> => (await roots(owner, signal)).view;

  return {
    owners: () => [...accounts.keys()],
    access: (owner) => accounts.get(owner)?.access ?? null,
    view: (owner) => accounts.get(owner)?.view ?? null,
    warrants: (owner) => accounts.get(owner)?.view.warrants ?? [],
    roots,
    refresh,

    async introduce(words, signal) {
      const owner = ownerFromEntropy(entropyFromWords(words));
      const { publicKey } = owner.keyPair;
      const access = { owner: publicKey, accountSecret: owner.accountSecret };
      const { view, statements } = await fetchRoots(link, publicKey, signal);
      if (accessOf(view, bridge) !== null) return keep(publicKey, access, statements).access;
      const role = keeperStatement({
        owner,
        keeper: { publicKey: bridge.publicKey, box: boxPublicKey(bridge.seed) },
        random32: runtime.random(32),
        issuedMs: runtime.nowMs(),
      });
      await publish(publicKey, access, statements, [role], signal);
      return access;
    },

    async recover(owner, signal) {
      const known = accounts.get(owner);
      if (known !== undefined) return known.access;
      const { view, statements } = await fetchRoots(link, owner, signal);
      const access = accessOf(view, bridge);
      return access === null ? null : keep(owner, access, statements).access;
    },

    async say(owner, fresh, signal, also) {
      await refresh(owner, signal);
      const account = accounts.get(owner);
      if (account !== undefined) await publish(owner, account.access, account.statements, fresh, signal, also);
    },

    async republish(owner, signal) {
      const account = accounts.get(owner);
      if (account === undefined) return;
      await refresh(owner, signal);
      const { access, statements } = accounts.get(owner) ?? account;
      if (statements.length > 0) await publish(owner, access, [], statements, signal);
    },

    async ensureWarrant(owner, { repairers, controlKey }, signal) {
      const account = accounts.get(owner);
      if (account === undefined || hasWarrants(account.view, repairers, controlKey)) return false;
      // Somebody else may have signed one since.
      if (hasWarrants(await refresh(owner, signal), repairers, controlKey)) return true;
      const { access, statements, view } = accounts.get(owner) ?? account;
      const repairEpoch = view.warrants.reduce((highest, warrant) => Math.max(highest, warrant.repairEpoch), 0) + 1;
      // One set: all of one epoch, so that they share the work and whoever isn't among them may act no more.
      const warrants = repairers.map((repairer) =>
        warrantStatement({
          signer: bridge,
          access,
          repairer,
          repairEpoch,
          farms: [controlKey],
          random32: runtime.random(32),
          issuedMs: runtime.nowMs(),
        }),
      );
      await publish(owner, access, statements, warrants, signal);
      return true;
    },
  };
}

/** Whether the newest set is for just these repairers and this farm. */
function hasWarrants({ warrantSet }: RootView, repairers: WantedWarrant['repairers'], controlKey: PublicKey): boolean {
  if (repairers.length === 0) return true;
  const wanted = new Set(repairers.map(({ repairer }) => repairer));
  const isWanted = ({ repairer, farms }: WarrantStatement) => wanted.has(repairer) && farms.includes(controlKey);
  return warrantSet.every(isWanted) && new Set(warrantSet.map(({ repairer }) => repairer)).size === wanted.size;
}
