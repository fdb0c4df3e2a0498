// A checkpoint of the world's bucket, as its bridge makes one.
import { bucketKeys, writerKeys } from '#node/client/account.ts';
import { segmentStore } from '#node/client/segment-store.ts';
import { makeCheckpoint, type CheckpointOrder } from '#node/log/checkpoint-maker.ts';
import type { BucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { BUCKET, within, type LogWorld } from './log-world.ts';

export async function checkpointOf(world: LogWorld, log: BucketLog, more: Partial<CheckpointOrder> = {}) {
  const roots = await fetchRoots(world.link(), world.access.owner, within());
  const { view } = roots;
  return await makeCheckpoint({
    roots,
    link: world.link(),
    store: segmentStore(world.client(), world.access.owner),
    owner: world.access.owner,
    bucketId: BUCKET,
    keeper: world.farm.bridge,
    readKeys: bucketKeys(world.access, view, BUCKET),
    sealKeys: writerKeys(world.access, view, BUCKET),
    record: async (entry, repair) => void (await log.append([{ ...entry, clock: { wallMs: Date.now(), counter: 0 } }], repair)),
    follow: async () => {},
    isLive: () => true,
    keepsMoves: () => true,
    signal: within(),
    ...more,
  });
}
