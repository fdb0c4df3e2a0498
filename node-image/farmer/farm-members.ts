// The farm as a farmer tells it to whoever knows one address.
import { rosterForWriters, type FarmConfig } from '#node/interface/config.ts';
import type { FarmMembers } from '#node/wire/calls.ts';

/** null without a configuration. */
export function farmMembersOf(config: FarmConfig | null): FarmMembers | null {
  if (!config) return null;
  const { epoch, generation, controlKey, redundancy, repairers } = config;
  return {
    epoch,
    generation,
    controlKey,
    redundancy,
    members: rosterForWriters(config).map(({ farmer, url, multiaddr, domain, zone, state, membership }) => ({
      farmer,
      url,
      multiaddr,
      domain,
      zone,
      state,
      membership: new Uint8Array(Buffer.from(membership, 'base64')),
    })),
    repairers,
  };
}
