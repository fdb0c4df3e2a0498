// Checkpoints upon one that is there already, by the maker itself: those that follow, each of about as much new as makes
// one due, and one that writes everything anew. Logs lie on farmers in memory, runs where the caller keeps them.
import { bucketKeys, writerKeys } from '#node/client/account.ts';
import { makeCheckpoint, type CheckpointOrder } from '#node/log/checkpoint-maker.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import {
  encodeOwnerManifest,
  encodeRepairManifest,
  ownerManifestKey,
  repairManifestKey,
  sealReference,
  type KeptSegment,
  type Manifest,
  type OwnerManifest,
} from '#node/wire/checkpoints.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import { BUCKET, startLogWorld } from '#test/node-image/log/support/log-world.ts';
import type { FolderSegments } from './folder-segments.ts';
import { newObject } from './scale-bucket.ts';

/** With their places about 8 MiB: a checkpoint is due. */
const NEW_OBJECTS = 18_000;
const MAKINGS = 3;
const ENTRIES_AT_ONCE = 500;
const HOURS_MS = 4 * 3_600_000;

/** Seconds of CPU and bytes read and stored: of the following ones together and the dearest of them, and of the one anew. */
export async function nextCheckpoints(input: {
  checkpoint: { owner: OwnerManifest; repair: Manifest | null };
  store: FolderSegments;
  objects: number;
}): Promise<Record<string, number>> {
  const { store, objects } = input;
  const world = await startLogWorld({ farmers: 6 });
  const log = await world.open();
  const signal = AbortSignal.timeout(HOURS_MS);
  const { owner } = world.access;
  const link = world.link();
  const { view, statements: known } = await fetchRoots(link, owner, signal);
  const keys = writerKeys(world.access, view, BUCKET);
  const put = (bytes: Uint8Array) => store.put(once(bytes), signal);
  const name = { owner, bucketId: BUCKET, number: 1 };
  const seal = (key: Uint8Array, segments: KeptSegment[]) => sealReference(key, name, segments, link.runtime.random(12));
  const statement = signRootStatement(world.farm.bridge, {
    kind: 'checkpoint',
    ...name,
    horizonMs: 0,
    covers: [],
    ownerManifest: seal(ownerManifestKey(keys.bucketSecret), await put(encodeOwnerManifest(input.checkpoint.owner))),
    repairManifest: seal(repairManifestKey(keys.repairKey), await put(encodeRepairManifest(input.checkpoint.repair!))),
    issuedMs: link.runtime.nowMs(),
  });
  await publishRoots(link, { owner, statements: [statement], known, also: log.set().members, signal });
  const clock = () => ({ wallMs: link.runtime.nowMs(), counter: 0 });
  const make = async (more: Partial<CheckpointOrder> = {}) => {
    const before = { cpu: process.cpuUsage(), readBytes: store.readBytes, storedBytes: store.storedBytes };
    await makeCheckpoint({
      roots: await fetchRoots(link, owner, signal),
      link,
      store,
      owner,
      bucketId: BUCKET,
      keeper: world.farm.bridge,
      readKeys: bucketKeys(world.access, view, BUCKET),
      sealKeys: keys,
      record: async (entry, repair) => void (await log.append([{ ...entry, clock: clock() }], repair, signal)),
      follow: async () => {},
      isLive: () => true,
      keepsMoves: () => true,
      signal,
      ...more,
    });
    const { user, system } = process.cpuUsage(before.cpu);
    const bytes = store.readBytes - before.readBytes + store.storedBytes - before.storedBytes;
    return { cpuS: (user + system) / 1e6, bytes };
  };
  const made: { cpuS: number; bytes: number }[] = [];
  let next = objects;
  for (let i = 0; i < MAKINGS; i++) {
    for (let batch = 0; batch < NEW_OBJECTS / ENTRIES_AT_ONCE; batch++) {
      const some = Array.from({ length: ENTRIES_AT_ONCE }, () => newObject(next++));
      const added = some.flatMap(({ placement }) => placement ?? []);
      await log.append(
        some.map(({ entry }) => ({ ...entry, clock: clock() })),
        { added, released: [] },
        signal,
      );
    }
    made.push(await make());
  }
  const anew = await make({ mayStay: () => false, always: true });
  await log.close();
  await world.stop();
  return {
    newObjects: NEW_OBJECTS * MAKINGS,
    nextCpuS: made.reduce((sum, { cpuS }) => sum + cpuS, 0),
    nextBytes: made.reduce((sum, { bytes }) => sum + bytes, 0),
    dearestCpuS: Math.max(...made.map(({ cpuS }) => cpuS)),
    dearestBytes: Math.max(...made.map(({ bytes }) => bytes)),
    anewCpuS: anew.cpuS,
    anewBytes: anew.bytes,
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
