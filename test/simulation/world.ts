// A whole farm in one process: real farmers on simulated disks, real bridges, real repairers, on a simulated
// network in virtual time. What happens to them is in life.ts, what must hold in checks.ts.
import { createHash } from 'node:crypto';
import { createFarmConfigStore, type FarmConfigStore } from '#node/admin/farm-config-store.ts';
import { assembleBridge, type Bridge } from '#node/bridge/assembly.ts';
import type { SavedLogs } from '#node/bridge/saved-logs.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { boxPublicKey, keyPairFromSeed, ownerFromEntropy, type KeyPair, type Owner } from '#node/core/keys.ts';
import { defaultScheme, promiseOf } from '#node/core/schemes.ts';
import { startFarmer, type Farmer } from '#node/farmer/farmer.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import type { SavedLog, WriterState } from '#node/log/log-writer.ts';
import type { Service } from '#node/net/net.ts';
import { FarmRepair } from '#node/repairer/farm-repair.ts';
import { WriterStates } from '#node/repairer/placement-logs.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { BucketId, CheckpointEntry, Hash, OwnerEntry, PublicKey } from '#node/wire/types.ts';
import type { DeviceHome } from './devices.ts';
import type { ShareHome } from './shares.ts';
import { Model } from './model.ts';
import { SimDisk } from './sim-disk.ts';
import { guarded, SimNetwork } from './sim-network.ts';
import { Dice, Process, VirtualTime } from './virtual-time.ts';

export const BUCKET_NAME = 'photos';
/** So small that compaction finds something to do. */
const SEGMENT_BYTES = 256 * 1024;
const COMPACT_EVERY_MS = 7000;
const DROP_EVERY_MS = 11_000;
const CHECKPOINT_LIMITS = { headBytes: 700, inlineBytes: 300 };
const CUT_TIMES = { busyMs: 2000, everyMs: 20_000, idleMs: 40_000 };

export interface FarmerHome {
  readonly name: string;
  readonly keyPair: KeyPair;
  readonly slot: number;
  disk: SimDisk;
  /** Null while it is down. */
  running: { process: Process; farmer: Farmer; service: Service } | null;
  /** How it lies, if it does. */
  lie: ((service: Service) => Service) | null;
}

export interface BridgeHome {
  readonly world: World;
  readonly name: string;
  readonly process: Process;
  readonly bridge: Bridge;
  readonly saved: SimSavedLogs;
  readonly catalog: Catalog;
  readonly startedMs: number;
  /** Rejects when it is killed. */
  readonly died: Promise<never>;
}

/** Keys that every seed shares: making them costs more than most of what a run does. */
const keys = new Map<string, KeyPair>();
export function simKey(name: string): KeyPair {
  const known = keys.get(name) ?? keyPairFromSeed(new Uint8Array(createHash('sha256').update(name).digest()));
  keys.set(name, known);
  return known;
}

/** What was broken, in one sentence. */
export class Violation extends Error {
  readonly code = 'Violation';
}

export class World {
  readonly seed: number;
  readonly dice: Dice;
  readonly time = new VirtualTime();
  readonly story: string[] = [];
  readonly model = new Model();
  readonly net: SimNetwork;
  readonly control = simKey('control');
  readonly bridgeKey = simKey('bridge');
  readonly repairerKey = simKey('repairer');
  readonly owner: Owner = ownerFromEntropy(new Uint8Array(32).fill(7));
  readonly config: FarmConfigStore;
  readonly farmers: FarmerHome[] = [];
  /** Disks that are no farmer's any more: nothing in clear may be on them either. */
  readonly oldDisks: SimDisk[] = [];
  readonly acknowledged = new Map<PublicKey, Map<number, Hash>>();
  /** Receipts that honest farmers gave: farmer and piece. */
  readonly receipts = new Set<string>();
  /** Entries of checkpoints that any catalog has taken, each once. */
  readonly checkpoints = new Map<string, { bucketId: BucketId; entry: CheckpointEntry }>();
  /** Writes by the etags of what devices wrote. */
  readonly contents = new Map<string, number>();
  readonly hasCheckpoints: boolean;
  readonly hasDevices: boolean;
  readonly hasShares: boolean;
  device: DeviceHome | null = null;
  share: ShareHome | null = null;
  readonly f: number;
  /** Nobody kills it: the clients, the operator, and fate. */
  readonly director: Process;
  bridge: BridgeHome | null = null;
  /** Still running, though another bridge has been started. */
  zombie: BridgeHome | null = null;
  /** How far apart the clocks of new processes may be. */
  clocksMs = 0;
  repairer: { process: Process; repair: FarmRepair; index: SegmentIndex; states: SimWriterStates } | null = null;
  /** While everything is switched off. */
  #off: PromiseWithResolvers<void> | null = null;
  readonly #starting = new Set<Promise<unknown>>();
  #hash = 0x811c9dc5;
  #bridges = 0;
  #repairers = 0;
  #farmerKeys = 0;

  constructor(seed: number, farmers: number) {
    this.seed = seed;
    this.hasCheckpoints = seed % 2 === 1;
    this.hasShares = seed % 7 === 5;
    this.hasDevices = seed % 3 === 0 || this.hasShares;
    this.dice = new Dice(seed);
    this.director = new Process('director', this.time, this.dice);
    this.net = new SimNetwork({
      time: this.time,
      dice: this.dice,
      note: (line) => this.note(line),
      nameOf: (peer) => this.nameOf(peer),
    });
    const redundancy = defaultScheme(farmers);
    this.f = promiseOf(redundancy);
    this.config = createFarmConfigStore(this.control.publicKey);
    this.config.offer({
      farmUid: 'sim',
      farmName: 'sim/farm',
      controlKey: this.control.publicKey,
      epoch: 1,
      generation: 1,
      redundancy,
      roster: [],
      bridges: [this.bridgeKey.publicKey],
      repairers: [{ repairer: this.repairerKey.publicKey, box: boxPublicKey(this.repairerKey.seed) }],
      lostAfterMs: 4 * 3_600_000,
      repairBytesPerSecond: 0,
    });
  }

  /** One line of the story; the hash over all of them is the run. */
  note(line: string): void {
    const told = `${(this.time.sinceStartMs / 1000).toFixed(3).padStart(9)}  ${line}`;
    this.story.push(told);
    for (let i = 0; i < told.length; i++) this.#hash = Math.imul(this.#hash ^ told.charCodeAt(i), 0x01000193);
  }
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }
  nameOf(farmer: PublicKey): string {
    return this.farmers.find(({ keyPair }) => keyPair.publicKey === farmer)?.name ?? farmer.slice(0, 8);
  }
  /** Frees what the run took. */
  end(): void {
    for (const { running } of this.farmers) running?.farmer.store.index.close();
    this.repairer?.index.close();
  }
  sleep(ms: number): Promise<void> {
    return this.director.runtime.sleep(ms);
  }

  // ---- all of it ----------------------------------------------------------------------------------

  get isOff(): boolean {
    return this.#off !== null;
  }
  /** Resolves when the farm is switched on. */
  async isOn(): Promise<void> {
    while (this.#off) await this.#off.promise;
  }

  /** Nothing runs for so long. What the farmers' disks, and whoever starts again, still have is all that is left. */
  async standStill(ms: number): Promise<void> {
    this.#off = Promise.withResolvers();
    await Promise.all(this.#starting);
    this.note(`everything is switched off for ${(ms / 3_600_000).toFixed(1)} hours`);
    for (const home of [this.bridge, this.zombie]) if (home) this.killBridge(home);
    this.killDevice();
    this.killRepairer();
    for (const home of this.farmers) this.killFarmer(home, { power: this.dice.chance(0.3) });
    await this.sleep(ms);
    await Promise.all(this.farmers.map((home) => this.startFarmer(home)));
    this.#off.resolve();
    this.#off = null;
  }

  // ---- the operator's part --------------------------------------------------------------------

  current(): FarmConfig {
    return this.config.current()!;
  }
  change(next: Partial<FarmConfig>): void {
    const now = this.current();
    this.config.offer({ ...now, ...next, generation: now.generation + 1 });
  }
  stateOf(farmer: PublicKey): RosterMember['state'] | undefined {
    return this.current().roster.find((member) => member.farmer === farmer)?.state;
  }
  setState(farmer: PublicKey, state: RosterMember['state']): void {
    this.note(`roster: ${this.farmers.find(({ keyPair }) => keyPair.publicKey === farmer)?.name} is ${state}`);
    this.change({ roster: this.current().roster.map((one) => (one.farmer === farmer ? { ...one, state } : one)) });
  }

  process(name: string): Process {
    const process = new Process(name, this.time, this.dice);
    process.skewMs = this.dice.between(-this.clocksMs, this.clocksMs);
    return process;
  }

  // ---- farmers ----------------------------------------------------------------------------------

  async addFarmer(): Promise<FarmerHome> {
    const slot = this.#farmerKeys++;
    const keyPair = simKey(`farmer ${slot}`);
    const home: FarmerHome = {
      name: `farmer-${slot}`,
      slot,
      keyPair,
      disk: new SimDisk(this.dice),
      running: null,
      lie: null,
    };
    this.farmers.push(home);
    this.change({ roster: [...this.current().roster, this.#member(home)] });
    await this.startFarmer(home);
    return home;
  }

  startFarmer(home: FarmerHome): Promise<void> {
    const started = this.#startFarmer(home).finally(() => this.#starting.delete(started));
    this.#starting.add(started);
    return started;
  }

  async #startFarmer(home: FarmerHome): Promise<void> {
    const process = this.process(home.name);
    const network = this.net.of(process, home.keyPair.publicKey);
    const farmer = await process.guard(
      startFarmer({
        keyPair: home.keyPair,
        folder: '.',
        lock: { release() {} },
        network,
        config: this.config,
        runtime: process.runtime,
        disk: home.disk.for(process),
        segmentBytes: SEGMENT_BYTES,
        compactEveryMs: COMPACT_EVERY_MS,
        dropEveryMs: DROP_EVERY_MS,
        indexPath: ':memory:',
      }),
    );
    this.note(`${home.name} has started`);
    const honest = this.#witnessed(home, process, farmer.service);
    home.running = { process, farmer, service: honest };
    this.net.attach(home.keyPair.publicKey, home.lie ? home.lie(honest) : honest);
  }

  /** At this very moment, whatever it is at. */
  killFarmer(home: FarmerHome, how: { power: boolean }): void {
    if (!home.running) return;
    this.note(`${home.name} ${how.power ? 'loses power' : 'is killed'}`);
    const { process, farmer } = home.running;
    home.running = null;
    process.kill();
    this.net.detach(home.keyPair.publicKey);
    farmer.store.index.close();
    if (how.power) home.disk.cutPower();
  }

  /** Notes what it gave receipts for. */
  #witnessed(home: FarmerHome, process: Process, service: Service): Service {
    return {
      handle: async (from, call, signal) => {
        const answer = await process.guard(service.handle(from, call, signal));
        if (call.operation === 'piece.put')
          this.receipts.add(`${home.keyPair.publicKey} ${Buffer.from(call.head).toString('hex')}`);
        return answer.body ? { ...answer, body: guarded(process, answer.body) } : answer;
      },
    };
  }

  #member({ keyPair, name, slot }: FarmerHome): RosterMember {
    const { publicKey } = keyPair;
    const membership = { kind: 'membership', farm: this.control.publicKey, farmer: publicKey, issuedMs: 1 } as const;
    return {
      slot: name,
      farmer: publicKey,
      peerId: peerIdOf(publicKey),
      volumeUid: `volume-${slot}`,
      zone: 'main',
      domain: publicKey,
      state: 'Active',
      url: `memory://${publicKey}`,
      multiaddr: `/memory/${slot}`,
      membership: Buffer.from(signStatement(this.control, membership).bytes).toString('base64'),
    };
  }

  // ---- bridges ----------------------------------------------------------------------------------

  /** A new process on this state; what isn't given starts empty. */
  startBridge(on: { saved?: SimSavedLogs; catalog?: Catalog } = {}): BridgeHome {
    const process = this.process(`bridge-${++this.#bridges}`);
    const saved = on.saved ?? new SimSavedLogs(this);
    saved.process = process;
    const catalog = on.catalog ?? createMemoryCatalog();
    const stopping = new AbortController();
    const bridge = assembleBridge({
      saved,
      self: this.bridgeKey,
      network: this.net.of(process, this.bridgeKey.publicKey),
      catalog: living(this, catalog, process),
      config: this.current(),
      runtime: process.runtime,
      limits: { threads: 0 },
      cutTimes: CUT_TIMES,
      checkpointLimits: CHECKPOINT_LIMITS,
      metrics: { started() {}, done() {}, batch() {}, trouble() {}, rewritten() {} },
      log: {
        debug: (facts: object) => this.note(`${process.name}: ${JSON.stringify(facts)}`),
        info: (facts: object) => this.note(`${process.name}: ${JSON.stringify(facts)}`),
        warn: (facts: object) => this.note(`${process.name}: ${JSON.stringify(facts)}`),
        error() {},
      },
      signal: stopping.signal,
    });
    process.onKill(this.config.follow(this.current(), (config) => bridge.configure(config)));
    const died = new Promise<never>((_, reject) => process.onKill(() => reject(new BridgeDied())));
    died.catch(() => {});
    void bridge.upkeep.run();
    if (this.hasCheckpoints) void bridge.checkpoints.run();
    if (this.hasDevices) void bridge.followers.run();
    this.note(`${process.name} has started`);
    return { world: this, name: process.name, process, bridge, saved, catalog, startedMs: this.time.nowMs, died };
  }

  killBridge(home: BridgeHome): void {
    this.note(`${home.name} is killed`);
    home.process.kill();
    if (this.bridge === home) this.bridge = null;
    if (this.zombie === home) this.zombie = null;
  }

  killDevice(): void {
    if (!this.device) return;
    this.note(`${this.device.name} is killed`);
    this.device.process.kill();
    this.device = null;
  }

  // ---- repairers --------------------------------------------------------------------------------

  startRepairer(on: { states?: SimWriterStates } = {}): void {
    const process = this.process(`repairer-${++this.#repairers}`);
    const stopping = new AbortController();
    const states = on.states ?? new SimWriterStates(this);
    const index = new SegmentIndex(':memory:');
    const repair = new FarmRepair({
      network: this.net.of(process, this.repairerKey.publicKey),
      self: this.repairerKey,
      index,
      states,
      config: this.current(),
      runtime: process.runtime,
      version: 'sim',
      limits: { askEveryMs: 5000, scanEveryMs: 5000, stallMs: 20_000, retryMs: 1000 },
      events: {
        repaired: (segmentId, { pieces, copied }) =>
          this.note(`${process.name} repaired ${segmentId.slice(0, 8)}: ${pieces} pieces, ${copied} copied`),
        repairFailed: (segmentId, error) =>
          this.note(`${process.name} couldn't repair ${segmentId.slice(0, 8)}: ${String(error)}`),
        compared: (farmer, _, { trashed, restored, missing, found }) =>
          this.note(
            `${process.name} compared ${this.nameOf(farmer)}: ${trashed} to the trash, ${restored} back, ${missing} missing, ${found} found`,
          ),
        compareFailed: (farmer, _, error) =>
          this.note(`${process.name} couldn't compare ${this.nameOf(farmer)}: ${String(error)}`),
        ownerFailed: (_, error) => this.note(`${process.name} couldn't read: ${String(error)}`),
      },
      signal: stopping.signal,
    });
    process.onKill(this.config.follow(this.current(), (config) => repair.configure(config)));
    this.note(`${process.name} has started`);
    this.repairer = { process, repair, index, states };
  }

  killRepairer(): void {
    if (!this.repairer) return;
    this.note(`${this.repairer.process.name} is killed`);
    this.repairer.process.kill();
    this.repairer.index.close();
    this.repairer = null;
  }

  /** A batch of a log is acknowledged: from now on nothing else may ever be in its place. */
  acknowledge(logId: PublicKey, seq: number, hash: Hash): void {
    const log = this.acknowledged.get(logId) ?? new Map<number, Hash>();
    this.acknowledged.set(logId, log);
    const before = log.get(seq);
    if (before !== undefined && before !== hash) throw new Violation(`log ${logId.slice(0, 8)} forks at ${seq}`);
    log.set(seq, hash);
  }
}

export class BridgeDied extends Error {
  readonly code = 'BridgeDied';
}

/** A dead process changes its catalog no more. Notes what checkpoints there are. */
export function living(world: World, catalog: Catalog, process: Process): Catalog {
  const note = (bucketId: BucketId, entry: OwnerEntry) => {
    if (entry.kind === 'checkpoint')
      world.checkpoints.set(`${bucketId} ${entry.number} ${entry.segments.join()}`, { bucketId, entry });
  };
  return {
    ...catalog,
    async apply(batch) {
      await process.guard(catalog.apply(batch));
      for (const entry of batch.entries) note(batch.bucketId, entry);
    },
    async restore(order) {
      await process.guard(catalog.restore(order));
      if (order.step.kind !== 'records') return;
      for (const record of order.step.ownerRecords) if (record.kind === 'entry') note(order.bucketId, record.entry);
    },
  };
}

/** Names of logs by the seed of their key. */
const logIds = new Map<string, PublicKey>();
function logIdOf(seed: Uint8Array): PublicKey {
  const name = Buffer.from(seed).toString('hex');
  const known = logIds.get(name) ?? keyPairFromSeed(seed).publicKey;
  if (logIds.size > 5000) logIds.clear();
  logIds.set(name, known);
  return known;
}

/** A bridge's volume, as far as it matters: the state of its logs. */
export class SimSavedLogs implements SavedLogs {
  readonly #world: World;
  readonly #saved = new Map<string, SavedLog>();
  process: Process | null = null;

  constructor(world: World) {
    this.#world = world;
  }
  copy(): SimSavedLogs {
    const copy = new SimSavedLogs(this.#world);
    for (const [name, saved] of this.#saved) copy.#saved.set(name, structuredClone(saved));
    return copy;
  }
  of(owner: PublicKey, bucketId: BucketId): WriterState {
    const name = `${owner} ${bucketId}`;
    const process = this.process!;
    const world = this.#world;
    return {
      load: async () => structuredClone(this.#saved.get(name) ?? null),
      save: async (saved) => {
        const value = structuredClone(saved);
        if (saved.seq > 0) world.acknowledge(logIdOf(saved.seed), saved.seq, saved.hash);
        // Killed in the middle, it may be on the medium or not.
        const beforeMs = world.dice.between(0, 3);
        await process.runtime.sleep(beforeMs);
        this.#saved.set(name, value);
        await process.runtime.sleep(world.dice.between(0, 3));
      },
    };
  }
  async close(): Promise<void> {}
}

/** The repairer's, with the same witness. */
export class SimWriterStates extends WriterStates {
  readonly #world: World;
  constructor(world: World) {
    super(':memory:');
    this.#world = world;
  }
  override of(owner: PublicKey, bucketId: BucketId): WriterState {
    const state = super.of(owner, bucketId);
    return {
      load: () => state.load(),
      save: async (saved) => {
        if (saved.seq > 0) this.#world.acknowledge(logIdOf(saved.seed), saved.seq, saved.hash);
        await state.save(saved);
      },
    };
  }
}
