// Root statements lie on the farmers nearest to the owner's key. When the farm changes, holders pass them on
// to those who have become nearest; when statements are added here, they go to the others at once.
import { pause, type Runtime } from '#node/log/runtime.ts';
import type { FarmerAddress, Network } from '#node/net/net.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import { frameAll } from '#node/wire/framing.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { OwnerLookup } from './owner-lookup.ts';
import type { RootsStore } from './roots-store.ts';
import type { Store } from './store.ts';

const PUT_MS = 15_000;
const PAGE = 500;
const RETRY_MS = 5000;
/** Whoever brings statements here mostly brings them to the others too: a moment later there is less to pass on. */
const GATHER_MS = 500;

export interface RootsHandover {
  /** Soon, in the background: this owner, or all (null). Many requests make one round. */
  request(owner: PublicKey | null): void;
  /** Serves requests until the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}

export interface RootsHandoverOptions {
  store: Store;
  roots: RootsStore;
  owners: OwnerLookup;
  network: Network;
  runtime: Runtime;
}

export function rootsHandover({ store, roots, owners, network, runtime }: RootsHandoverOptions): RootsHandover {
  /** Owner and farmer → how many statements that farmer has from us: what is there needn't go again. */
  const passed = new Map<string, number>();
  const wanted = new Set<PublicKey>();
  let all = false;
  let wake = new AbortController();

  const passOwner = async (owner: PublicKey, signal: AbortSignal): Promise<boolean> => {
    const statements = roots.statements(owner);
    const others = owners.nearest(owner).filter(({ farmer }) => farmer !== network.self);
    const results = await Promise.all(
      others.map(async (to) => {
        const mark = `${owner} ${to.farmer}`;
        if ((passed.get(mark) ?? 0) >= statements.length) return true;
        const isDone = await putStatements(network, to, owner, statements, runtime.deadline(PUT_MS, signal)).then(
          () => true,
          () => false,
        );
        if (isDone) passed.set(mark, statements.length);
        return isDone;
      }),
    );
    return results.every(Boolean);
  };
  const everyOwner = async (work: (owner: PublicKey) => Promise<unknown>, signal: AbortSignal) => {
    for (let after: PublicKey | '' = ''; !signal.aborted;) {
      const page = store.index.statements.owners(after, PAGE);
      for (const owner of page) await work(owner);
      if (page.length < PAGE) return;
      after = page.at(-1)!;
    }
  };
  return {
    request(owner) {
      if (owner === null) all = true;
      else wanted.add(owner);
      wake.abort();
    },
    async run(signal) {
      while (!signal.aborted) {
        wake = new AbortController();
        if (all || wanted.size > 0) await pause(runtime, GATHER_MS, signal);
        if (all) await everyOwner(async (owner) => wanted.add(owner), signal);
        all = false;
        const round = [...wanted];
        wanted.clear();
        const failed: PublicKey[] = [];
        for (const owner of round) {
          if (signal.aborted) return;
          if (!(await passOwner(owner, signal).catch(() => false))) failed.push(owner);
        }
        for (const owner of failed) wanted.add(owner);
        if (wanted.size > 0) await pause(runtime, RETRY_MS, AbortSignal.any([signal, wake.signal]));
        else await untilAborted(AbortSignal.any([signal, wake.signal]));
      }
    },
  };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

export async function putStatements(
  network: Network,
  to: FarmerAddress,
  owner: PublicKey,
  statements: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  async function* body() {
    yield frameAll(statements);
  }
  const call = { operation: 'roots.put', head: encodeCallHead('roots.put', { owner }), body: body() } as const;
  await network.call(to, call, signal);
}
