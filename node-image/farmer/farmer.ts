// A farmer put together, whatever the network: store, service and what runs beside it. Processes are wired
// in run-farmer.ts, tests in test/support/memory-farmer.ts.
import { join } from 'node:path';
import type { KeyPair } from '#node/core/keys.ts';
import { promiseOf } from '#node/core/schemes.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { pause, systemRuntime, type Runtime } from '#node/log/runtime.ts';
import type { Network, Service } from '#node/net/net.ts';
import { compaction, type CompactionSeen } from './compaction.ts';
import { DROP_EVERY_MS, dropCoveredForEver } from './covered-batches.ts';
import { folderDisk, type Disk } from './disk.ts';
import { diskProbe, type DiskProbe } from './disk-probe.ts';
import { duty as newDuty, type Duty } from './duty.ts';
import { lockFolder, type FolderLock } from './folder-lock.ts';
import { catchUp } from './log-catch-up.ts';
import { LogStore } from './log-store.ts';
import { ownerLookup } from './owner-lookup.ts';
import { PieceStore } from './piece-store.ts';
import { presentedGrants } from './presented-grants.ts';
import { rootsHandover } from './roots-handover.ts';
import { RootsStore } from './roots-store.ts';
import { SEGMENT_BYTES } from './segment-set.ts';
import { farmerService, type CallObserver } from './service.ts';
import { Store } from './store.ts';

const PROBE_EVERY_MS = 10_000;
const PROBE_DEADLINE_MS = 8000;
/** Of a farm that hasn't told us yet. */
const NO_SCHEME = { required: 1, repair: 1, optimal: 1, total: 1 };

export interface FarmerOptions {
  keyPair: KeyPair;
  folder: string;
  /** Taken here where the caller hasn't; released when the farmer stops. */
  lock?: FolderLock;
  network: Network;
  config: {
    current(): FarmConfig | null;
    follow(applied: FarmConfig | null, callback: (config: FarmConfig) => void): () => void;
  };
  runtime?: Runtime;
  /** Instead of the folder's `segments`. */
  disk?: Disk;
  segmentBytes?: number;
  indexPath?: string;
  /** For tests: how long the work beside the calls rests. */
  compactEveryMs?: number;
  dropEveryMs?: number;
  observe?: CallObserver;
  observeCompaction?: (seen: CompactionSeen) => void;
  onError?: (error: unknown) => void;
}

export interface Farmer {
  readonly service: Service;
  readonly store: Store;
  readonly duty: Duty;
  readonly probe: DiskProbe;
  /** Takes nothing new, lets transfers end until the signal fires, closes the store. */
  stop(signal: AbortSignal): Promise<void>;
}

/** Rejects with StoreError 'FolderInUse' where another process runs on the folder. */
export async function startFarmer(options: FarmerOptions): Promise<Farmer> {
  const { keyPair, folder, network, config } = options;
  const runtime = options.runtime ?? systemRuntime;
  const nowMs = () => runtime.nowMs();
  const onError = options.onError ?? (() => {});
  const disk = options.disk ?? (await folderDisk(join(folder, 'segments')));
  const randomLife = () => Buffer.from(runtime.random(8)).readBigUInt64LE();
  const { segmentBytes, indexPath } = options;
  const forTests = { ...(segmentBytes === undefined ? {} : { segmentBytes }), ...(indexPath === undefined ? {} : { indexPath }) };
  const lock = options.lock ?? lockFolder(folder, join(folder, 'lock'));
  const store = await Store.open({ folder, disk, nowMs, randomLife, ...forTests }).catch((error: unknown) => {
    lock.release();
    throw error;
  });
  const [roots, logs, pieces] = [new RootsStore(store), new LogStore(store), new PieceStore(store)];
  const duty = newDuty(keyPair.publicKey, nowMs);
  const stopped = new AbortController();
  const farmers = () => (config.current()?.roster ?? []).filter(({ state }) => state !== 'Lost');
  const promise = () => promiseOf(config.current()?.redundancy ?? NO_SCHEME);
  const namesNow = () =>
    farmers()
      .map(({ farmer }) => farmer)
      .toSorted()
      .join(' ');
  let roster = { names: namesNow(), sinceMs: runtime.elapsedMs() };
  const owners = ownerLookup({
    roots,
    farmers,
    generation: () => config.current()?.generation ?? 0,
    rosterSinceMs: () => roster.sinceMs,
    promise,
    network,
    runtime,
  });
  const grants = presentedGrants({ owners, runtime });
  const addressOf = (farmer: string) => farmers().find((member) => member.farmer === farmer) ?? null;
  const behind = catchUp({ store, roots, logs, owners, network, addressOf, runtime });
  const handover = rootsHandover({ store, roots, owners, network, runtime });
  const probe = diskProbe({
    disk,
    runtime,
    deadlineMs: PROBE_DEADLINE_MS,
    onChange: (reason) => duty.setUnfit(reason),
  });
  const parts = {
    keyPair,
    store,
    pieces,
    logs,
    roots,
    duty,
    owners,
    grants,
    nowMs,
    runtime,
    config: config.current,
    isCaughtUp: behind.isCaughtUp,
    isBehind: behind.isBehind,
    isSealedElsewhere: behind.isSealedElsewhere,
  };
  const service = farmerService({ ...parts, ...(options.observe ? { observe: options.observe } : {}) });

  roots.onChange((owner) => handover.request(owner));
  // Nobody's statements move because of what was in force before the start.
  const known = config.current();
  if (known) duty.follow(known);
  const forget = config.follow(known, (next) => {
    duty.follow(next);
    const names = namesNow();
    if (names !== roster.names) roster = { names, sinceMs: runtime.elapsedMs() };
    handover.request(null);
  });
  await probe.probe();
  const compacting = compaction({
    store,
    runtime,
    segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
    onError,
    ...(options.compactEveryMs === undefined ? {} : { everyMs: options.compactEveryMs }),
    ...(options.observeCompaction ? { observe: options.observeCompaction } : {}),
  });
  const beside = [
    compacting.forEver(stopped.signal),
    behind.run(stopped.signal),
    handover.run(stopped.signal),
    probeForEver(probe, runtime, stopped.signal),
    grants.run(stopped.signal),
    dropCoveredForEver(
      { store, logs, roots },
      { runtime, everyMs: options.dropEveryMs ?? DROP_EVERY_MS, onError, signal: stopped.signal },
    ),
  ];
  for (const work of beside) work.catch(onError);
  return {
    service,
    store,
    duty,
    probe,
    async stop(signal) {
      duty.cordonForGood();
      await duty.idle(signal);
      forget();
      stopped.abort();
      await Promise.allSettled(beside);
      await store.close();
      lock.release();
    },
  };
}

async function probeForEver(probe: DiskProbe, runtime: Runtime, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(runtime, PROBE_EVERY_MS, signal);
    if (!signal.aborted) await probe.probe();
  }
}
