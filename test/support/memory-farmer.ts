// Real farmers on the memory network, with their stores in temporary folders: for tests of everything that
// talks to farmers. `memoryFarm` makes a whole one, with roster and memberships signed by a control key.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFarmConfigStore, type FarmConfigStore } from '#node/admin/farm-config-store.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { boxPublicKey, keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import type { Disk } from '#node/farmer/disk.ts';
import { startFarmer, type Farmer } from '#node/farmer/farmer.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import { memoryNet, type MemoryNet } from '#node/net/memory-network.ts';
import type { FarmerAddress, Network, Service } from '#node/net/net.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** The same name always gives the same key. */
export function testKey(name: string): KeyPair {
  return keyPairFromSeed(new Uint8Array(createHash('sha256').update(`test key ${name}`).digest()));
}

interface MemoryFarmerOptions {
  net: MemoryNet;
  config: FarmConfigStore;
  keyPair: KeyPair;
  folder: string;
  runtime?: Runtime;
  disk?: Disk;
  segmentBytes?: number;
  /** Wraps what the farmer answers: liars and slow ones. */
  wrap?: (service: Service) => Service;
}
interface MemoryFarmer {
  readonly keyPair: KeyPair;
  readonly address: FarmerAddress;
  readonly farmer: Farmer;
  /** In order: cordon, transfers, store. */
  stop(): Promise<void>;
}

/** Starts one farmer at memory://<its key>. */
async function startMemoryFarmer(options: MemoryFarmerOptions): Promise<MemoryFarmer> {
  const { net, keyPair, wrap = (service) => service, ...rest } = options;
  const network = net.network(keyPair.publicKey);
  const farmer = await startFarmer({ ...rest, keyPair, network });
  const address = net.attach(keyPair.publicKey, wrap(farmer.service));
  return {
    keyPair,
    address,
    farmer,
    async stop() {
      net.detach(keyPair.publicKey);
      await network.close();
      await farmer.stop(AbortSignal.timeout(1000));
    },
  };
}

export interface MemoryFarmOptions {
  farmers: number;
  net?: MemoryNet;
  /** Failure domain of farmer i; its own key otherwise. */
  domainOf?: (i: number) => string;
  nowMs?: () => number;
  /** How the farmers wait. */
  sleep?: Runtime['sleep'];
  config?: Partial<FarmConfig>;
}
export interface MemoryFarm {
  readonly net: MemoryNet;
  readonly controlKey: KeyPair;
  readonly bridge: KeyPair;
  readonly repairer: KeyPair;
  /** Shared by all farmers here; `change` makes the next generation. */
  readonly config: FarmConfigStore;
  readonly farmers: MemoryFarmer[];
  current(): FarmConfig;
  change(next: Partial<FarmConfig>): void;
  /** The farmer's state in the roster. */
  setState(farmer: PublicKey, state: RosterMember['state']): void;
  /** One more farmer, in the roster at once. */
  add(): Promise<MemoryFarmer>;
  /** Stops farmer i and starts it again on its folder, or on an empty one: with a new key, or (set back to its first day) with the old one. */
  restart(i: number, how?: { empty: boolean; keyPair?: KeyPair }): Promise<MemoryFarmer>;
  /** What a bridge, a repairer or anybody else asks with. */
  networkOf(key: KeyPair): Network;
  stop(): Promise<void>;
}

/** Stop it at the end of the test: it removes its folders. */
export async function memoryFarm(options: MemoryFarmOptions): Promise<MemoryFarm> {
  const { nowMs = Date.now, sleep = systemRuntime.sleep, domainOf } = options;
  const net = options.net ?? memoryNet();
  const root = await mkdtemp(join(tmpdir(), 'memory-farm-'));
  const [controlKey, bridge, repairer] = [testKey('control'), testKey('bridge'), testKey('repairer')];
  const config = createFarmConfigStore(controlKey.publicKey);
  const farmers: MemoryFarmer[] = [];
  const folders: (string | undefined)[] = [];
  let keys = 0;
  const member = (i: number, { publicKey }: KeyPair): RosterMember => ({
    slot: `farmer-${i}`,
    farmer: publicKey,
    peerId: peerIdOf(publicKey),
    volumeUid: `volume-${publicKey.slice(0, 8)}`,
    zone: 'main',
    domain: domainOf?.(i) ?? publicKey,
    state: 'Active',
    url: `memory://${publicKey}`,
    multiaddr: `/memory/${publicKey}`,
    membership: Buffer.from(
      signStatement(controlKey, { kind: 'membership', farm: controlKey.publicKey, farmer: publicKey, issuedMs: 1 }).bytes,
    ).toString('base64'),
  });
  const start = async (i: number, keyPair: KeyPair) => {
    const folder = (folders[i] ??= await mkdtemp(join(root, `farmer-${i}-`)));
    return await startMemoryFarmer({
      net,
      config,
      keyPair,
      folder,
      runtime: { ...systemRuntime, nowMs, elapsedMs: nowMs, sleep },
    });
  };
  const farm: MemoryFarm = {
    net,
    controlKey,
    bridge,
    repairer,
    config,
    farmers,
    current: () => config.current()!,
    change(next) {
      const now = farm.current();
      config.offer({ ...now, ...next, generation: now.generation + 1 });
    },
    setState(farmer, state) {
      farm.change({ roster: farm.current().roster.map((one) => (one.farmer === farmer ? { ...one, state } : one)) });
    },
    async add() {
      const keyPair = testKey(`farmer ${keys++}`);
      const i = farmers.length;
      farm.change({ roster: [...farm.current().roster, member(i, keyPair)] });
      const added = await start(i, keyPair);
      farmers.push(added);
      return added;
    },
    async restart(i, how: { empty: boolean; keyPair?: KeyPair } = { empty: false }) {
      const before = farmers[i]!;
      await before.stop();
      const keyPair = how.empty ? (how.keyPair ?? testKey(`farmer ${keys++}`)) : before.keyPair;
      if (how.empty) {
        await rm(folders[i]!, { recursive: true });
        folders[i] = undefined;
        const others = farm.current().roster.filter(({ farmer }) => farmer !== before.keyPair.publicKey);
        farm.change({ roster: [...others, member(i, keyPair)] });
      }
      farmers[i] = await start(i, keyPair);
      return farmers[i];
    },
    networkOf: ({ publicKey }) => net.network(publicKey),
    async stop() {
      await Promise.all(farmers.map((one) => one.stop()));
      await rm(root, { recursive: true, force: true });
    },
  };
  config.offer({
    farmUid: 'test-farm',
    farmName: 'test/farm',
    controlKey: controlKey.publicKey,
    epoch: 1,
    generation: 1,
    redundancy: defaultScheme(options.farmers),
    roster: [],
    bridges: [bridge.publicKey],
    repairers: [{ repairer: repairer.publicKey, box: boxPublicKey(repairer.seed) }],
    lostAfterMs: 4 * 3_600_000,
    repairBytesPerSecond: 0,
    ...options.config,
  });
  for (let i = 0; i < options.farmers; i++) await farm.add();
  return farm;
}
