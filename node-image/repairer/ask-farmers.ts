// The repairer's regular questions to each farmer: is it there, what does it hold, whose statements name us.
import type { LogLink } from '#node/log/log-link.ts';
import type { FarmerAddress } from '#node/net/net.ts';
import { encodeCallHead, holdings, MAX_OWNERS_PAGE, ownerPage, type Holdings } from '#node/wire/calls.ts';
import { collect } from '#node/wire/framing.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** Pages of owners taken from one farmer in one round: a million owners, far more than one repairer serves. */
const MAX_PAGES = 1000;

/** Rejects with CallError where it doesn't answer in time. */
export async function askHoldings(link: LogLink, farmer: FarmerAddress, signal: AbortSignal): Promise<Holdings> {
  const ends = link.runtime.deadline(link.answerTimeoutMs, signal);
  const call = { operation: 'farmer.holdings', head: encodeCallHead('farmer.holdings', {}) } as const;
  const answer = await link.network.call(farmer, call, ends);
  return holdings.decode(await collect(answer.body, holdings.maxBytes));
}

/** Owners whose statements this farmer has and that name the repairer. */
export async function askOwners(link: LogLink, farmer: FarmerAddress, signal: AbortSignal): Promise<PublicKey[]> {
  const owners: PublicKey[] = [];
  let after: PublicKey | '' = '';
  for (let page = 0; page < MAX_PAGES; page++) {
    const ends = link.runtime.deadline(link.answerTimeoutMs, signal);
    const head = encodeCallHead('roots.owners', { after, limit: MAX_OWNERS_PAGE });
    const answer = await link.network.call(farmer, { operation: 'roots.owners', head }, ends);
    const { owners: some, next } = ownerPage.decode(await collect(answer.body, ownerPage.maxBytes));
    owners.push(...some);
    if (next === '') break;
    after = next;
  }
  return owners;
}

/** Runs `work` over all items, some at a time. The first rejection ends it. */
export async function overAll<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
