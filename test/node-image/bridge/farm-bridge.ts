// A whole bridge on a farm of real farmers over the memory network, as a process would put it together: on a folder of
// its own, which another one may be started on later. What runs beside it is the test's choice.
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { assembleBridge, type Bridge } from '#node/bridge/assembly.ts';
import { bridgeMetrics } from '#node/bridge/metrics.ts';
import type { Account } from '#node/bridge/objects.ts';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { ownerFromEntropy, wordsFromEntropy, type Owner } from '#node/core/keys.ts';
import type { CheckpointLimits } from '#node/log/checkpoint-maker.ts';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import type { Network } from '#node/net/net.ts';
import type { MemoryFarm } from '#test/support/memory-farmer.ts';
import { never } from './memory-bridge.ts';

export interface FarmBridge {
  bridge: Bridge;
  /** What it has warned of. */
  troubles: unknown[];
  stop(): Promise<void>;
}

export function startFarmBridge(options: {
  farm: MemoryFarm;
  catalog: Catalog;
  /** For the saved logs: a new one is an empty disk. */
  folder: string;
  checkpointLimits?: CheckpointLimits;
  network?: Network;
  runtime?: Runtime;
  /** Loops that go on until it is stopped. */
  running?: (bridge: Bridge) => Promise<void>[];
}): FarmBridge {
  const { farm, catalog, folder, checkpointLimits, runtime = systemRuntime, running = () => [] } = options;
  const { bridge: self } = farm;
  const stopping = new AbortController();
  const troubles: unknown[] = [];
  const facts = {
    owners: 0,
    buckets: 0,
    objects: 0,
    bytes: 0,
    uploadBytes: 0,
    farmersAnswering: 0,
    farmersSlow: 0,
    isWritable: true,
    openLogs: 0,
  };
  const bridge = assembleBridge({
    saved: createSavedLogs({
      folder: join(folder, 'logs'),
      secret: self.seed,
      random: (bytes) => systemRuntime.random(bytes),
    }),
    self,
    network: options.network ?? farm.networkOf(self),
    catalog,
    config: farm.current(),
    runtime,
    metrics: bridgeMetrics(new Registry(), () => facts),
    log: { debug() {}, info() {}, error() {}, warn: (what: unknown) => void troubles.push(what) },
    ...(checkpointLimits ? { checkpointLimits } : {}),
    signal: stopping.signal,
  });
  const forget = farm.config.follow(farm.current(), (config) => bridge.configure(config));
  bridge.desired.restore();
  const loops = Promise.all(running(bridge));
  return {
    bridge,
    troubles,
    async stop() {
      forget();
      stopping.abort(new Error('the test stops this bridge'));
      await loops;
      await bridge.close();
    },
  };
}

/** The same number is always the same owner. */
export async function introduceOwner(bridge: Bridge, number: number): Promise<string> {
  const { owner } = await bridge.accounts.introduce(wordsFromEntropy(entropyOf(number)), never);
  await bridge.desired.serveAccount(owner);
  return owner;
}
export const ownerOf = (number: number): Owner => ownerFromEntropy(entropyOf(number));
const entropyOf = (number: number): Uint8Array => new Uint8Array(32).fill(number);
export const accountOf = (owner: string): Account => ({ accessKeyId: 'test', owner, bucketName: null, displayName: 'test' });
