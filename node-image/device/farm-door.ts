// From one farmer's address to the farm: who it is, who else is there, and staying up to date.
import { lookup } from 'node:dns/promises';
import { connectFarm } from '#node/client/account.ts';
import type { FarmSnapshot } from '#node/client/farm-view.ts';
import { IdError, publicKeyOf } from '#node/core/ids.ts';
import { firstContact } from '#node/net/first-contact.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { PORTS } from '#node/interface/ports.ts';
import { StorjError } from './storj-error.ts';

/** A farmer as people write it: `https://host:port#PEER_ID`. Without the id whoever answers there is taken for it. */
export interface FarmerHint {
  url: string;
  farmer: PublicKey | null;
}

/** Throws StorjError BadAddress. */
export function parseFarmer(text: string): FarmerHint {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['https:', 'memory:'].includes(url.protocol) || url.host === '') {
    throw new StorjError('BadAddress', `A farmer's address looks like https://host:${PORTS.pieces}#PEER_ID, not "${text}".`);
  }
  const id = url.hash.slice(1);
  const port = url.port === '' && url.protocol === 'https:' ? `:${PORTS.pieces}` : '';
  return { url: `${url.protocol}//${url.host}${port}`, farmer: id === '' ? null : keyOf(id) };
}

function keyOf(id: string): PublicKey {
  try {
    return /^[0-9a-f]{64}$/.test(id) ? id : publicKeyOf(id);
  } catch (cause) {
    if (cause instanceof IdError) throw new StorjError('BadAddress', `"${id}" is no farmer's peer id.`, { cause });
    throw cause;
  }
}

/**
 * The farm as the first farmer that answers tells it. `expected` = the farm's control key where it is known:
 * another farm is not taken for it. Rejects with StorjError NoFarmer or WrongFarm.
 */
export async function findFarm(
  network: Network,
  hints: readonly FarmerHint[],
  { expected, signal }: { expected?: PublicKey | undefined; signal: AbortSignal },
): Promise<FarmSnapshot> {
  const failures: string[] = [];
  for (const hint of hints) {
    for await (const address of addressesOf(hint, signal)) {
      try {
        const farm = await connectFarm(network, await address(), signal);
        if (expected === undefined || farm.controlKey === expected) return farm;
        failures.push(`${hint.url} belongs to another farm`);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        signal.throwIfAborted();
        failures.push(`${hint.url}: ${error.message}`);
      }
    }
  }
  throw new StorjError(
    'NoFarmer',
    `No farmer answers (${failures.join('; ') || 'none is named'}). Name one that runs: --farmer https://host:${PORTS.pieces}#PEER_ID.`,
  );
}

/** A name may stand for many farmers (a headless Service): each of its addresses, and who answers there. */
async function* addressesOf(
  { url, farmer }: FarmerHint,
  signal: AbortSignal,
): AsyncGenerator<() => Promise<FarmerAddress>, void, undefined> {
  if (farmer !== null) {
    yield async () => ({ farmer, url });
    return;
  }
  const { hostname, port } = new URL(url);
  const name = hostname.replaceAll(/^\[|\]$/g, '');
  const found = await lookup(name, { all: true }).catch(() => [{ address: name, family: 4 }]);
  for (const { address, family } of found) {
    yield async () => {
      const { publicKey } = await firstContact({ host: address, port: Number(port) }, signal);
      return { farmer: publicKey, url: `https://${family === 6 ? `[${address}]` : address}:${port}` };
    };
  }
}
