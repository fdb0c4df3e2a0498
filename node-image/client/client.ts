// The library's one object: the farm, who answers, the threads that encrypt and encode, and the memory that
// all transfers together may use.
import { availableParallelism } from 'node:os';
import type { LogLink } from '#node/log/log-link.ts';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import type { Network } from '#node/net/net.ts';
import { blockPool, type BlockPool } from './block-pool.ts';
import { byteBudget, type ByteBudget } from './byte-budget.ts';
import { logLink, type FarmView } from './farm-view.ts';
import { farmerHealth, type FarmerHealth } from './farmer-health.ts';
import { stripePipeline, type StripePipeline } from './pipeline/stripe-pipeline.ts';

export interface ClientLimits {
  /** Bytes that uploads hold in memory together. */
  writeBytes: number;
  /** Bytes that downloads read ahead together. */
  readBytes: number;
  /** Threads that encrypt, encode and decode; 0 = on the calling thread. */
  threads: number;
  /** A farmer that doesn't take or give a byte for this long has failed. */
  stallMs: number;
  /** A read is helped out by another farmer after this, as long as it isn't known how long reads take here. */
  hedgeMs: number;
}

export interface Client {
  readonly network: Network;
  readonly farm: FarmView;
  readonly runtime: Runtime;
  readonly health: FarmerHealth;
  /** For everything in log/. */
  readonly link: LogLink;
  readonly stripes: StripePipeline;
  readonly writeBudget: ByteBudget;
  readonly readBudget: ByteBudget;
  readonly blocks: BlockPool;
  readonly limits: ClientLimits;
  /** Ends the threads; the network is the caller's. */
  close(): Promise<void>;
}

const MIB = 1024 * 1024;
/**
 * Memory kept for the next transfer: a segment's. While one runs, what its next segments will need. The collector
 * doesn't count shared memory, so what is let go of stays long.
 */
const IDLE_FREE_BYTES = 72 * MIB;
const BUSY_FREE_BYTES = 160 * MIB;
const DEFAULTS = { writeBytes: 256 * MIB, readBytes: 128 * MIB, stallMs: 10_000, hedgeMs: 400 };

export function createClient(input: {
  network: Network;
  farm: FarmView;
  runtime?: Runtime;
  limits?: Partial<ClientLimits>;
}): Client {
  const { network, farm } = input;
  const runtime = input.runtime ?? systemRuntime;
  const limits: ClientLimits = { ...DEFAULTS, threads: Math.min(2, availableParallelism()), ...input.limits };
  const health = farmerHealth(() => runtime.elapsedMs());
  const stripes = stripePipeline(limits.threads);
  const unwatch = farm.changed(({ members }) => {
    const named = new Set(members.map(({ farmer }) => farmer));
    for (const { farmer } of health.snapshot()) if (!named.has(farmer)) health.forget(farmer);
  });
  const writeBudget = byteBudget(limits.writeBytes);
  const readBudget = byteBudget(limits.readBytes);
  const isBusy = () => writeBudget.usedBytes + readBudget.usedBytes > 0;
  return {
    network,
    farm,
    runtime,
    health,
    stripes,
    limits,
    link: logLink({ network, farm, runtime }),
    writeBudget,
    readBudget,
    blocks: blockPool(() => (isBusy() ? BUSY_FREE_BYTES : IDLE_FREE_BYTES)),
    async close() {
      unwatch();
      await stripes.close();
    },
  };
}
