// A whole farm in this process: real farmer code on temp folders, one memory network, one bridge identity
// that the farm admits. Farmers can be stopped, started again and given faults.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type Client, type ClientLimits } from '#node/client/client.ts';
import { farmSnapshot, settableFarmView, type SettableFarmView } from '#node/client/farm-view.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { boxPublicKey, keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import { startFarmer, type Farmer } from '#node/farmer/farmer.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { memoryNet, type MemoryNet } from '#node/net/memory-network.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { PublicKey, Scheme } from '#node/wire/types.ts';

export interface TestFarm {
  readonly net: MemoryNet;
  readonly bridge: KeyPair;
  readonly repairer: KeyPair;
  readonly controlKey: KeyPair;
  readonly farmers: TestFarmer[];
  readonly view: SettableFarmView;
  config(): FarmConfig;
  /** A client of its own for each caller: own health, own budgets. */
  client(limits?: Partial<ClientLimits>, self?: PublicKey): Client;
  /** Gone at once: calls in flight break. Its folder stays. */
  kill(farmer: PublicKey): Promise<void>;
  /** Comes back with its folder. */
  revive(farmer: PublicKey): Promise<void>;
  setState(farmer: PublicKey, state: RosterMember['state']): void;
  setScheme(scheme: Scheme): void;
  /** One more farmer with an empty folder. */
  add(): Promise<PublicKey>;
  close(): Promise<void>;
}
export interface TestFarmer {
  key: KeyPair;
  folder: string;
  running: Farmer | null;
}

const seedOf = (label: string) => new Uint8Array(Buffer.alloc(32, label));

export async function startTestFarm(options: { farmers: number; scheme?: Scheme; zones?: number }): Promise<TestFarm> {
  const folder = mkdtempSync(join(tmpdir(), 'storj-farm-'));
  const net = memoryNet({ sleep: (ms, signal) => systemRuntime.sleep(ms, signal) });
  const controlKey = keyPairFromSeed(seedOf('control'));
  const bridge = keyPairFromSeed(seedOf('bridge'));
  const repairer = keyPairFromSeed(seedOf('repairer'));
  const farmers: TestFarmer[] = [];
  const listeners = new Set<(config: FarmConfig) => void>();
  const clients: Client[] = [];
  let config: FarmConfig = {
    farmUid: 'test',
    farmName: 'test/farm',
    controlKey: controlKey.publicKey,
    epoch: 1,
    generation: 1,
    redundancy: options.scheme ?? defaultScheme(options.farmers),
    roster: [],
    bridges: [bridge.publicKey],
    repairers: [{ repairer: repairer.publicKey, box: boxPublicKey(repairer.seed) }],
    lostAfterMs: 3_600_000,
    repairBytesPerSecond: 0,
  };
  const view = settableFarmView(farmSnapshot(config));
  const apply = (change: Partial<FarmConfig>) => {
    config = { ...config, ...change, generation: config.generation + 1 };
    for (const listener of listeners) listener(config);
    view.set(farmSnapshot(config));
  };
  const start = async (farmer: TestFarmer) => {
    const running = await startFarmer({
      keyPair: farmer.key,
      folder: farmer.folder,
      network: net.network(farmer.key.publicKey),
      config: {
        current: () => config,
        onChange(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      segmentBytes: 16 * 1024 * 1024,
    });
    farmer.running = running;
    net.attach(farmer.key.publicKey, running.service);
  };
  const memberOf = (number: number, key: KeyPair): RosterMember => {
    const zone = `zone-${number % (options.zones ?? options.farmers)}`;
    const membership = { kind: 'membership', farm: controlKey.publicKey, farmer: key.publicKey, issuedMs: 1 } as const;
    return {
      slot: `farmer-${number}`,
      farmer: key.publicKey,
      peerId: peerIdOf(key.publicKey),
      volumeUid: `volume-${number}`,
      zone,
      domain: options.zones ? zone : key.publicKey,
      state: 'Active',
      url: `memory://${key.publicKey}`,
      multiaddr: `/memory/${number}`,
      membership: Buffer.from(signStatement(controlKey, membership).bytes).toString('base64'),
    };
  };
  const add = async () => {
    const number = farmers.length;
    const farmer: TestFarmer = {
      key: keyPairFromSeed(seedOf(`farmer ${number}`)),
      folder: join(folder, `farmer-${number}`),
      running: null,
    };
    farmers.push(farmer);
    apply({ roster: [...config.roster, memberOf(number, farmer.key)] });
    await start(farmer);
    return farmer.key.publicKey;
  };
  const find = (name: PublicKey) => farmers.find(({ key }) => key.publicKey === name)!;
  for (let i = 0; i < options.farmers; i++) await add();

  return {
    net,
    bridge,
    repairer,
    controlKey,
    farmers,
    view,
    config: () => config,
    client(limits, self = bridge.publicKey) {
      const client = createClient({
        network: net.network(self),
        farm: view,
        limits: { threads: 0, stallMs: 500, hedgeMs: 100, ...limits },
      });
      clients.push(client);
      return client;
    },
    async kill(name) {
      net.detach(name);
      const farmer = find(name);
      await farmer.running?.stop(AbortSignal.timeout(2000));
      farmer.running = null;
    },
    revive: (name) => start(find(name)),
    setState: (name, state) => apply({ roster: config.roster.map((one) => (one.farmer === name ? { ...one, state } : one)) }),
    setScheme: (scheme) => apply({ redundancy: scheme }),
    add,
    async close() {
      await Promise.all(clients.map((client) => client.close()));
      for (const { key } of farmers) net.detach(key.publicKey);
      await Promise.all(farmers.map(({ running }) => running?.stop(AbortSignal.timeout(1000))));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Seeded bytes, different for each seed. */
export function seededBytes(sizeBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = (seed * 2654435761) >>> 0 || 1;
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(sizeBytes / 4));
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state >>> 0;
  }
  for (let i = words.length * 4; i < sizeBytes; i++) bytes[i] = i & 0xff;
  return bytes;
}

/** In chunks of odd sizes. */
export async function* chunked(bytes: Uint8Array, chunkBytes = 50_001): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

export async function readAll(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
