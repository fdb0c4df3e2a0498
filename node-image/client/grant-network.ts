// A network that shows the holder's grants to each farmer before the first call that needs them, and again
// where a farmer has forgotten them (it was started anew) or doesn't take them any more.
import {
  CallError,
  GrantRefusedError,
  type Answer,
  type Call,
  type FarmerAddress,
  type Network,
  type Operation,
} from '#node/net/net.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import { encodeGrantChain, type GrantChain } from '#node/wire/grants.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** Everybody may ask these. */
const OPEN: ReadonlySet<Operation> = new Set<Operation>(['farm.members', 'roots.get', 'roots.put', 'roots.owners']);

export function grantNetwork(network: Network, input: { owner: PublicKey; chains: readonly GrantChain[] }): Network {
  const head = encodeCallHead('grant.present', { owner: input.owner });
  const chains = input.chains.map(encodeGrantChain);
  const shown = new Map<PublicKey, Promise<void>>();

  /** Resolves if the farmer takes one of them at least; rejects with what it says otherwise. */
  const show = async (to: FarmerAddress, signal: AbortSignal): Promise<void> => {
    const results = await Promise.allSettled(
      chains.map((chain) => network.call(to, { operation: 'grant.present', head, body: once(chain) }, signal)),
    );
    const refusals = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (refusals.length === results.length) throw refused(refusals[0]);
  };
  const showOnce = (to: FarmerAddress, signal: AbortSignal): Promise<void> => {
    const known = shown.get(to.farmer);
    if (known) return known;
    const showing = show(to, signal);
    shown.set(to.farmer, showing);
    showing.catch(() => forget(to, showing));
    return showing;
  };
  const forget = ({ farmer }: FarmerAddress, showing: Promise<void>) => {
    if (shown.get(farmer) === showing) shown.delete(farmer);
  };

  return {
    self: network.self,
    async call(to: FarmerAddress, call: Call, signal: AbortSignal): Promise<Answer> {
      if (OPEN.has(call.operation)) return await network.call(to, call, signal);
      // Somebody else's call may have begun to show them, and been aborted.
      await showOnce(to, signal).catch(() => showOnce(to, signal));
      const showing = showOnce(to, signal);
      try {
        return await network.call(to, call, signal);
      } catch (error) {
        if (!(error instanceof CallError) || error.code !== 'Forbidden') throw error;
        forget(to, showing);
        // A body that was begun can't be sent again: that call fails, the next one shows the grants first.
        if (call.body) throw error;
        await showOnce(to, signal);
        return await network.call(to, call, signal).catch((cause: unknown) => Promise.reject(refused(cause)));
      }
    },
    close: () => network.close(),
  };
}

function refused(error: unknown): unknown {
  return error instanceof CallError && error.code === 'Forbidden' ? new GrantRefusedError(error) : error;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
