// Which holders a segment gets where it is named anew: in a copy, or in a share.
import { expect, it } from 'vitest';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import { createHolderMoves } from '#node/bridge/holder-moves.ts';
import type { FarmMember } from '#node/client/farm-view.ts';
import { placement, placementEntry, ownerKey, rootBodies, sealedPlacement } from '../wire/samples.ts';

const { pieceNumber, farmer: newHolder } = placementEntry;
const oldHolder = 'a2'.repeat(32);
const placed = { ...placement, farmers: placement.farmers.with(pieceNumber, oldHolder) };

it.each<[old: FarmMember['state'] | null, moved: FarmMember['state'] | null, named: 'old' | 'new']>([
  ['Active', 'Active', 'old'],
  ['Leaving', 'Active', 'new'],
  ['Lost', 'Active', 'new'],
  [null, 'Active', 'new'],
  ['Leaving', 'Leaving', 'old'],
  ['Leaving', 'Lost', 'old'],
  ['Lost', 'Leaving', 'new'],
  ['Lost', null, 'old'],
])('placed with a farmer that is %s, moved to one that is %s: the %s one', (old, moved, named) => {
  const members = [
    { farmer: oldHolder, state: old },
    { farmer: newHolder, state: moved },
  ].flatMap(({ farmer, state }) => (state === null ? [] : [{ farmer, state }]));
  const moves = createHolderMoves({
    catalog: { ...createMemoryCatalog(), placement: () => placed, moves: () => [sealedPlacement] },
    warrantsOf: () => [rootBodies.warrant],
    members: () => members,
    catchUp: () => Promise.reject(new Error('nothing is asked')),
  });
  const bucket = { owner: ownerKey.publicKey, bucketId: 'b1'.repeat(16), name: 'b', createdMs: 0 };
  const { farmers } = moves.refreshed(bucket, placement.segmentId);
  expect(farmers[pieceNumber]).toBe(named === 'old' ? oldHolder : newHolder);
  expect(farmers.with(pieceNumber, oldHolder)).toEqual(placed.farmers);
});
