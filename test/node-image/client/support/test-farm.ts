// A farm of real farmers on the memory network as clients see it, with what can go wrong: farmers that die,
// come back, hang, lie or are slow.
import { createClient, type Client, type ClientLimits } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView, type SettableFarmView } from '#node/client/farm-view.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { memoryNet, type MemoryFault } from '#node/net/memory-network.ts';
import type { Operation } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { memoryFarm, type MemoryFarm } from '#test/support/memory-farmer.ts';

export interface TestFarm {
  readonly farm: MemoryFarm;
  readonly view: SettableFarmView;
  /** Farmer i by its key. */
  name(i: number): PublicKey;
  /** A client of its own each time: own health, own budgets. */
  client(limits?: Partial<ClientLimits>, self?: PublicKey): Client;
  /** Unreachable from now on; calls in flight break. */
  kill(farmer: PublicKey): void;
  revive(farmer: PublicKey): void;
  /** What happens to calls to that farmer; undefined = nothing. */
  fault(farmer: PublicKey, of: ((operation: Operation) => MemoryFault | undefined) | undefined): void;
  /** Calls that each farmer got, by operation. */
  calls: { to: PublicKey; operation: Operation }[];
  stop(): Promise<void>;
}

export async function startTestFarm(options: {
  farmers: number;
  domainOf?: (i: number) => string;
  config?: Partial<FarmConfig>;
}): Promise<TestFarm> {
  const faults = new Map<PublicKey, (operation: Operation) => MemoryFault | undefined>();
  const calls: TestFarm['calls'] = [];
  const net = memoryNet({
    sleep: (ms, signal) => systemRuntime.sleep(ms, signal),
    faultOf({ to, operation }) {
      calls.push({ to, operation });
      return faults.get(to)?.(operation);
    },
  });
  const farm = await memoryFarm({ ...options, net });
  const view = settableFarmView(farmSnapshot(farm.current()));
  farm.config.follow(null, (config) => view.set(farmSnapshot(config)));
  const clients: Client[] = [];
  const member = (name: PublicKey) => farm.farmers.find(({ keyPair }) => keyPair.publicKey === name)!;
  return {
    farm,
    view,
    calls,
    name: (i) => farm.farmers[i]!.keyPair.publicKey,
    client(limits, self = farm.bridge.publicKey) {
      const client = createClient({
        network: net.network(self),
        farm: view,
        limits: { threads: 0, stallMs: 2000, hedgeMs: 100, ...limits },
      });
      clients.push(client);
      return client;
    },
    kill: (name) => net.detach(name),
    revive: (name) => void net.attach(name, member(name).farmer.service),
    fault(name, of) {
      if (of) faults.set(name, of);
      else faults.delete(name);
    },
    async stop() {
      await Promise.all(clients.map((client) => client.close()));
      await farm.stop();
    },
  };
}

/** Bytes that differ for each seed, the same each time. */
export function seededBytes(sizeBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < sizeBytes; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** In chunks of odd sizes. `between` runs before each. */
export async function* chunked(
  bytes: Uint8Array,
  chunkBytes = 50_001,
  between?: (at: number) => void | Promise<void>,
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    await between?.(at);
    yield bytes.subarray(at, at + chunkBytes);
  }
}

export async function readAll(
  source: AsyncIterable<Uint8Array>,
  each?: (readBytes: number) => void | Promise<void>,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let readBytes = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    readBytes += chunk.length;
    await each?.(readBytes);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
