// The farm as the operator (or `npm run farm`) tells of it, for clients.
import { rosterForWriters, type FarmConfig } from '#node/interface/config.ts';
import type { FarmSnapshot } from './farm-view.ts';

export function farmSnapshot(config: FarmConfig): FarmSnapshot {
  return {
    epoch: config.epoch,
    generation: config.generation,
    scheme: config.redundancy,
    rewrite: config.rewrite ?? false,
    controlKey: config.controlKey,
    repairers: config.repairers,
    members: rosterForWriters(config).map(({ farmer, url, domain, zone, state, membership }) => ({
      farmer,
      url,
      domain,
      zone,
      state,
      membership: new Uint8Array(Buffer.from(membership, 'base64')),
    })),
  };
}
