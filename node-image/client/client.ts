// The library's one object: the farm, who answers, the threads that encrypt and encode, and the memory that
// all transfers together may use.
import type { LogLink } from '#node/log/log-link.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { Network } from '#node/net/net.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { FarmView } from './farm-view.ts';
import type { FarmerHealth } from './farmer-health.ts';
import type { StripePipeline } from './pipeline/stripe-pipeline.ts';

export interface ClientLimits {
  /** Bytes that uploads hold in memory together. */
  writeBytes: number;
  /** Bytes that downloads read ahead together. */
  readBytes: number;
  /** Threads that encrypt, encode and decode; 0 = on the calling thread. */
  threads: number;
  /** A farmer that doesn't take or give a byte for this long has failed. */
  stallMs: number;
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
  readonly limits: ClientLimits;
  /** Ends the threads; the network is the caller's. */
  close(): Promise<void>;
}

export declare function createClient(input: {
  network: Network;
  farm: FarmView;
  runtime?: Runtime;
  limits?: Partial<ClientLimits>;
}): Client;
