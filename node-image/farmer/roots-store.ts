// Root statements: the union of all that count, and what they mean, kept for the owners that are in use.
import { blake3 } from '#node/core/hash.ts';
import { CallError } from '#node/net/net.ts';
import { rootView, withoutOvertaken, type RootView } from '#node/wire/root-view.ts';
import { decodeRootStatement, MAX_STATEMENTS } from '#node/wire/statements.ts';
import type { PublicKey, RootStatement, Signed } from '#node/wire/types.ts';
import { keyedQueue } from './limits.ts';
import { encodeMeta } from './record-meta.ts';
import type { Store } from './store.ts';

/** Views kept in memory; one of a busy bridge's owner is some 100 KiB. */
const MAX_VIEWS = 256;

interface Known {
  statements: readonly Signed<RootStatement>[];
  view: RootView;
}

export class RootsStore {
  readonly #store: Store;
  readonly #oneByOne = keyedQueue();
  readonly #known = new Map<PublicKey, Known>();
  readonly #listeners = new Set<(owner: PublicKey) => void>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Whether any statement of this owner is here. */
  knows(owner: PublicKey): boolean {
    return this.#load(owner).statements.length > 0;
  }
  view(owner: PublicKey): RootView {
    return this.#load(owner).view;
  }
  statements(owner: PublicKey): Uint8Array[] {
    return this.#load(owner).statements.map(({ bytes }) => bytes);
  }
  /** Called with an owner whose statements have become more. */
  onChange(listener: (owner: PublicKey) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Adds those that count, seen together with what is here: properly signed, of this owner, by somebody who
   * may say it. Durable when this resolves, with how many of the given ones are here now. Throws WireError.
   */
  put(owner: PublicKey, bytes: readonly Uint8Array[]): Promise<number> {
    const given = bytes.map(decodeRootStatement);
    return this.#oneByOne(owner, async () => {
      const before = this.#load(owner).statements;
      const fresh = given.filter((one) => !this.#store.index.statements.has(owner, blake3(one.bytes)));
      if (fresh.length === 0) return given.length;
      const view = rootView(owner, [...before, ...fresh]);
      const refused = new Set(view.rejected.map(({ statement }) => keyOf(statement)));
      const kept = withoutOvertaken(view, unique(fresh)).filter((one) => !refused.has(keyOf(one)));
      if (before.length + kept.length > MAX_STATEMENTS) {
        throw new CallError('Full', `An owner has at most ${MAX_STATEMENTS} root statements.`);
      }
      await Promise.all(kept.map((one) => this.#store.log.append('statement', [one.bytes], metaOf(owner, one))));
      const left = new Set(withoutOvertaken(view, before));
      const { index } = this.#store;
      for (const one of before) {
        if (!left.has(one)) index.transaction(() => index.statements.remove(owner, blake3(one.bytes)));
      }
      // Not read anew: what was verified stays so, and an owner of many buckets puts many statements.
      const statements = [...left, ...kept];
      this.#known.set(owner, { statements, view: rootView(owner, statements) });
      if (kept.length > 0) for (const listener of this.#listeners) listener(owner);
      return given.filter((one) => !refused.has(keyOf(one))).length;
    });
  }

  #load(owner: PublicKey): Known {
    const known = this.#known.get(owner) ?? this.#read(owner);
    this.#known.delete(owner);
    this.#known.set(owner, known);
    if (this.#known.size > MAX_VIEWS) this.#known.delete(this.#known.keys().next().value ?? '');
    return known;
  }

  #read(owner: PublicKey): Known {
    const statements = this.#store.index.statements.of(owner).map(decodeRootStatement);
    return { statements, view: rootView(owner, statements) };
  }
}

function keyOf({ bytes }: Signed<RootStatement>): string {
  return Buffer.from(bytes).toString('latin1');
}

function unique(statements: readonly Signed<RootStatement>[]): Signed<RootStatement>[] {
  return [...new Map(statements.map((one) => [keyOf(one), one])).values()];
}

/** Whoever is named may ask "whose am I?" and finds this owner. */
function metaOf(owner: PublicKey, { body }: Signed<RootStatement>): Uint8Array {
  const names = {
    role: () => (body.kind === 'role' ? [body.subject] : []),
    warrant: () => (body.kind === 'warrant' ? [body.repairer] : []),
    'replica-set': () => (body.kind === 'replica-set' ? body.members : []),
    'log-opened': () => [],
    'log-closed': () => [],
    revocation: () => [],
    share: () => [],
    checkpoint: () => [],
    reset: () => [],
  }[body.kind]();
  return encodeMeta('statement', { owner, names });
}
