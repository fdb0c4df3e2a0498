// A farm's configuration for tests that need only its roster.
import type { FarmConfig } from '#node/interface/config.ts';

export function farmConfig(options: {
  states: ('Active' | 'Leaving' | 'Lost')[];
  lostAfterMs?: number;
  generation?: number;
}): FarmConfig {
  return {
    farmUid: 'uid',
    farmName: 'test/farm',
    controlKey: 'c'.repeat(64),
    epoch: 1,
    generation: options.generation ?? 1,
    redundancy: { required: 4, repair: 5, optimal: 6, total: 6 },
    roster: options.states.map((state, index) => ({
      slot: `farmer-${index}`,
      farmer: String(index).padStart(64, '0'),
      peerId: `peer-${index}`,
      volumeUid: `volume-${index}`,
      zone: 'main',
      domain: `farmer-${index}`,
      state,
      url: `https://127.0.0.1:${4433 + index}`,
      multiaddr: `/ip4/127.0.0.1/tcp/${4001 + index}`,
      membership: '',
    })),
    bridges: [],
    repairers: [],
    lostAfterMs: options.lostAfterMs ?? 14_400_000,
    repairBytesPerSecond: 0,
  };
}
