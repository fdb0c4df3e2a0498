// The life of one world, from its seed: clients that write, read and delete, and everything that goes wrong
// meanwhile. Never more than f farmers lose what they had, or lie, within one repair window; beside that anything
// may die at any moment, be cut off, come back, or come twice.
import { wordsFromEntropy } from '#node/core/keys.ts';
import { checkDisks, checkFromWords, checkLogs, insist, readThroughBridge } from './checks.ts';
import { isDrained } from './draining.ts';
import { actOnce, mustWrite, simAccount } from './clients.ts';
import { actDirectly, allowDevice, revokeDevice, startDevice } from './devices.ts';
import { checkGarbage } from './garbage.ts';
import { misfortunes } from './misfortunes.ts';
import { checkOver } from './refusals.ts';
import { checkFed, checkShown, endShare, liveWithShare } from './shares.ts';
import { PLOTS, setBackInTheRush, type Plot, type Stage } from './plots.ts';
import { BUCKET_NAME, Violation, World, type BridgeHome, type FarmerHome } from './world.ts';

/** A run that has fired so many timers isn't one. */
const MAX_TIMERS = 400_000;
/** Tries, 5 s apart. A farmer that has just started waits a minute for fellows that are away before it answers. */
const PAST_A_MINUTE = 15;
/** Misfortunes that quiet worlds don't know, and those that only they know. */
const LOUD = ['crash', 'blackout', 'partition', 'lose', 'leave', 'lie'];
const QUIET = ['setBack', 'forget'];
/** Sizes of farms, by seed. Small ones are cheap and have all the promises. */
const FARMERS = [3, 4, 3, 5, 3, 4, 3, 6];

export interface Outcome {
  seed: number;
  hash: string;
  violation: string | null;
  story: readonly string[];
  acknowledged: number;
  virtualMs: number;
}

/** The whole life of the world of this seed. */
export async function runSeed(seed: number): Promise<Outcome> {
  const world = new World(seed, FARMERS[seed % FARMERS.length]!);
  const life = new Life(world);
  let violation: string | null = null;
  try {
    await world.time.drive(life.live(), MAX_TIMERS);
  } catch (error) {
    violation =
      error instanceof Violation
        ? error.message
        : `the simulation failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    world.note(`BROKEN: ${violation}`);
  } finally {
    world.end();
  }
  return {
    seed,
    hash: world.hash,
    violation,
    story: world.story,
    acknowledged: world.model.writes.filter(({ ackMs }) => ackMs !== null).length,
    virtualMs: world.time.sinceStartMs,
  };
}

class Life {
  readonly #world: World;
  /** Farmers that have lost or falsified something since the last repair. */
  readonly #faulty = new Set<FarmerHome>();
  /** Farmers that nothing repairs: liars, and those whose disk rots unnoticed. */
  readonly #hopeless = new Set<FarmerHome>();
  #isCalm = false;
  /**
   * In some worlds farmers forget, or lie about what they know, and nothing else hides the truth: nobody is cut
   * off or away, because the promise there is that one honest farmer that knows more is heard.
   */
  readonly #isQuiet: boolean;
  /** In some of those a farmer is set back, and the others are slow. */
  readonly #isSlow: boolean;
  /** In some worlds most misfortunes follow a plot, in each the same. */
  readonly #plot: Plot | null;
  /** In some worlds time goes on at the end, until all garbage has to be gone. */
  readonly #hasGarbage: boolean;
  #leaving: Promise<void> | null = null;

  constructor(world: World) {
    this.#world = world;
    this.#hasGarbage = world.seed % 4 === 1;
    this.#isQuiet = world.seed % 5 === 2;
    this.#isSlow = this.#isQuiet && world.seed % 3 === 1;
    const isPlotted = !this.#isQuiet && world.seed % 7 === 2;
    this.#plot = isPlotted ? PLOTS[Math.floor(world.seed / 7) % PLOTS.length]! : null;
  }

  async live(): Promise<void> {
    const world = this.#world;
    await this.#begin();
    const { dice } = world;
    world.clocksMs = dice.pick([0, 0, 100, 100_000]);
    world.net.weather = this.#isQuiet
      ? { lost: 0, slow: 0, replayed: 0 }
      : { lost: dice.pick([0, 0.01, 0.05]), slow: dice.pick([0, 0.02, 0.15]), replayed: dice.pick([0, 0, 0.05]) };
    const clients = Array.from({ length: dice.between(1, 3) }, (_, i) => this.#client(`client-${i}`, dice.between(3, 8)));
    const fate = this.#fate();
    const repairing = this.#repairRounds();
    const direct = this.#direct();
    const showing = world.hasShares ? liveWithShare(world, () => this.#isCalm) : Promise.resolve();
    // What they find is told when their turn comes.
    for (const one of [fate, repairing, direct, showing]) one.catch(() => {});
    await Promise.all(clients);
    this.#isCalm = true;
    await fate;
    await direct;
    await showing;
    await this.#settle();
    await repairing;
    await this.#judge();
  }

  async #begin(): Promise<void> {
    const world = this.#world;
    for (let i = 0; i < FARMERS[world.seed % FARMERS.length]!; i++) await world.addFarmer();
    world.bridge = world.startBridge();
    const { accounts, desired, objects } = world.bridge.bridge;
    const { owner } = await accounts.introduce(
      wordsFromEntropy(new Uint8Array(32).fill(7)),
      world.bridge.process.runtime.deadline(60_000),
    );
    await desired.serveAccount(owner);
    await objects.createBucket(simAccount(world), BUCKET_NAME, world.bridge.process.runtime.deadline(60_000));
    if (world.dice.chance(0.8)) world.startRepairer();
  }

  // ---- clients ----------------------------------------------------------------------------------

  async #client(name: string, calls: number): Promise<void> {
    const world = this.#world;
    const { dice } = world;
    for (let i = 0; i < calls; i++) {
      await world.sleep(dice.chance(0.2) ? dice.between(2000, 20_000) : dice.between(1, 800));
      if (world.isOff) {
        await world.isOn();
        await world.sleep(dice.between(500, 8000));
      }
      await actOnce(world, name);
    }
  }

  /** A device writes beside the bridge. It may be killed and go on, with its state or without. */
  async #direct(): Promise<void> {
    const world = this.#world;
    const { dice } = world;
    if (!world.hasDevices) return;
    const kept = await allowDevice(world).catch((error: unknown) => world.note(`no device is allowed: ${String(error)}`));
    if (!kept) return;
    for (let left = dice.between(4, 10); left > 0 && !this.#isCalm; left--) {
      await world.sleep(dice.between(100, 6000));
      await world.isOn();
      if (dice.chance(0.15)) world.killDevice();
      world.device ??= startDevice(world, kept);
      if (dice.chance(world.hasShares ? 0.02 : 0.1)) await revokeDevice(world, world.device);
      else await actDirectly(world, world.device);
    }
    if (world.device && dice.chance(0.3)) {
      await revokeDevice(world, world.device);
      await actDirectly(world, world.device);
    }
    world.killDevice();
  }

  // ---- what goes wrong --------------------------------------------------------------------------

  async #fate(): Promise<void> {
    const { dice } = this.#world;
    const kinds = Object.entries(misfortunes(this.#stage())).filter(([name]) => !this.#hidden().includes(name));
    // Some worlds know few misfortunes, so that each gets room.
    const known = kinds.filter(() => dice.chance(0.5));
    for (let left = dice.between(1, 9); left > 0 && !this.#isCalm; left--) {
      await this.#world.sleep(dice.chance(0.3) ? dice.between(1, 300) : dice.between(300, 8000));
      if (this.#isCalm) return;
      if (this.#plot && dice.chance(0.6)) await this.#plot(this.#stage());
      else if (this.#isSlow && dice.chance(0.7)) await setBackInTheRush(this.#stage());
      else await dice.pick(known.length > 0 ? known : kinds)[1]();
    }
  }

  /** Misfortunes that this world doesn't know. */
  #hidden(): string[] {
    // Where others are slow, one that lies about what it knows may be all that is heard in time.
    return this.#isQuiet ? [...LOUD, ...(this.#isSlow ? ['forget'] : [])] : QUIET;
  }

  #stage(): Stage {
    return {
      world: this.#world,
      breakable: (options) => this.#breakable(options),
      startBridge: (home) => this.#serve(home),
      restartBridge: (on) => this.#restartBridge(on),
      revive: (home) => this.#revive(home),
      standStill: (ms) => this.#standStill(ms),
      loseAny: () => this.#loseVolume(),
      loseVolume: async (home) => {
        const isThere = this.#world.stateOf(home.keyPair.publicKey) === 'Active' && this.#world.farmers.includes(home);
        if (isThere && this.#mayBreak(home)) await this.#loseVolume(home);
      },
      leave: () => this.#leaveOnce(),
      isLeaving: () => this.#leaving !== null,
    };
  }

  /** One at a time. */
  #leaveOnce(): Promise<void> {
    return (this.#leaving ??= this.#leave().finally(() => (this.#leaving = null)));
  }

  /** A farmer that may lose what it has: never more than f at once. */
  #breakable({ forGood = false } = {}): FarmerHome | null {
    const world = this.#world;
    const candidates = world.farmers.filter((home) => world.stateOf(home.keyPair.publicKey) === 'Active');
    return this.#mayBreak(world.dice.pick(candidates), { forGood });
  }

  #mayBreak(home: FarmerHome, { forGood = false } = {}): FarmerHome | null {
    const world = this.#world;
    if (!this.#faulty.has(home) && this.#faulty.size >= world.f) return null;
    this.#faulty.add(home);
    if (forGood) this.#hopeless.add(home);
    return home;
  }

  async #revive(home: FarmerHome): Promise<void> {
    const world = this.#world;
    if (world.isOff || home.running || !world.farmers.includes(home)) return;
    await world.startFarmer(home);
  }

  /** A business that closes for a while. */
  async #standStill(ms: number, { whole = false } = {}): Promise<void> {
    const world = this.#world;
    const { dice } = world;
    const { bridge, repairer } = world;
    await world.standStill(ms);
    world.bridge = world.startBridge(
      bridge && dice.chance(0.8) ? { saved: bridge.saved, ...(dice.chance(0.6) ? { catalog: bridge.catalog } : {}) } : {},
    );
    this.#serve(world.bridge);
    if (whole || repairer || dice.chance(0.5))
      world.startRepairer(repairer && dice.chance(0.5) ? { states: repairer.states } : {});
    await world.sleep(dice.between(0, 10_000));
  }

  #restartBridge(on: () => Parameters<World['startBridge']>[0]): void {
    const world = this.#world;
    if (!world.bridge) return;
    const next = on();
    world.killBridge(world.bridge);
    world.time.after(world.dice.between(1, 6000), () => {
      if (world.bridge || world.isOff) return;
      world.bridge = world.startBridge(next);
      this.#serve(world.bridge);
    });
  }

  #serve({ bridge, died }: BridgeHome): void {
    Promise.race([bridge.desired.serveAccount(this.#world.owner.keyPair.publicKey), died]).catch(() => {});
  }

  /** A volume is gone; a new farmer takes the slot. */
  async #loseVolume(home = this.#breakable()): Promise<void> {
    const world = this.#world;
    if (!home || world.farmers.some((one) => world.stateOf(one.keyPair.publicKey) === 'Lost')) return;
    world.killFarmer(home, { power: false });
    world.note(`the volume of ${home.name} is gone`);
    this.#remove(home, 'Lost');
    if (world.dice.chance(0.9)) {
      await world.sleep(world.dice.between(10, 5000));
      await world.addFarmer();
    }
  }

  #remove(home: FarmerHome, how: 'Lost' | 'drained'): void {
    const world = this.#world;
    world.farmers.splice(world.farmers.indexOf(home), 1);
    world.oldDisks.push(home.disk);
    if (how === 'Lost') world.setState(home.keyPair.publicKey, 'Lost');
    else world.change({ roster: world.current().roster.filter(({ farmer }) => farmer !== home.keyPair.publicKey) });
  }

  /** The operator drains a farmer, by its own rules, and takes its volume away when they let it. */
  async #leave(): Promise<void> {
    const world = this.#world;
    const home = world.dice.pick(world.farmers);
    const farmer = home.keyPair.publicKey;
    if (world.zombie || world.stateOf(farmer) !== 'Active') return;
    await world.addFarmer();
    if (world.stateOf(farmer) !== 'Active') return;
    world.setState(farmer, 'Leaving');
    if (await isDrained(world, home)) {
      world.note(`${home.name} is drained, and its volume goes`);
      world.killFarmer(home, { power: false });
      this.#remove(home, 'drained');
      this.#faulty.delete(home);
      this.#hopeless.delete(home);
    } else if (world.farmers.includes(home)) world.setState(farmer, 'Active');
  }

  // ---- repair -----------------------------------------------------------------------------------

  async #repairRounds(): Promise<void> {
    const world = this.#world;
    while (!this.#isCalm) {
      await world.sleep(world.dice.between(5000, 30_000));
      await world.isOn();
      await this.#repairRound();
    }
  }

  async #repairRound(): Promise<void> {
    const world = this.#world;
    const { repairer } = world;
    if (!repairer) return;
    const { repair, process } = repairer;
    const died = new Promise<void>((resolve) => process.onKill(resolve));
    const round = async () => {
      await repair.askFarmers();
      await repair.scan();
      await repair.repairAllDue();
      if (world.dice.chance(0.6)) await repair.compare();
    };
    await Promise.race([round(), died]);
    if (process.isAlive && this.#isRepaired()) {
      this.#faulty.clear();
      for (const home of this.#hopeless) this.#faulty.add(home);
    }
  }

  /** Nothing is missing any more of what is known to be missing: a repair window ends. */
  #isRepaired(): boolean {
    const world = this.#world;
    const report = world.repairer?.repair.report();
    const roster = world.current().roster;
    const isWhole = roster.every(({ state }) => state === 'Active') && world.farmers.every(({ running }) => running);
    return isWhole && report?.state === 'Healthy' && report.margin >= world.f && report.atMs - report.readThroughMs < 30_000;
  }

  // ---- the end ----------------------------------------------------------------------------------

  /** The weather clears, everybody who still has a disk comes back. */
  async #settle(): Promise<void> {
    const world = this.#world;
    world.note('everything calms down');
    await this.#leaving;
    world.net.weather = { lost: 0, slow: 0, replayed: 0 };
    world.net.heal();
    for (const home of world.farmers) {
      if (home.running) home.running.process.skewMs = 0;
      await this.#revive(home);
    }
    if (world.zombie) world.killBridge(world.zombie);
    if (world.bridge) world.bridge.process.skewMs = 0;
    await world.sleep(3000);
  }

  async #judge(): Promise<void> {
    const world = this.#world;
    await checkFromWords(world, 'the words', 6);
    await this.#throughBridge();
    if (this.#hasGarbage) {
      await checkGarbage(world, (ms) => this.#standStill(ms, { whole: true }));
      if (world.bridge) world.killBridge(world.bridge);
      await this.#throughBridge();
    } else if (world.dice.chance(0.4)) await this.#repairRound();
    const { share } = world;
    const counts = share && (await checkFed(world, share, PAST_A_MINUTE));
    if (share && (share.isEnding || world.dice.chance(0.4)))
      await insist(world, PAST_A_MINUTE, 'the share can’t be ended', () => endShare(world, share));
    // The promise: as many more farmers as it leaves, and bridge and repairer, may be gone.
    if (world.bridge) world.killBridge(world.bridge);
    world.killRepairer();
    for (const home of world.farmers.toSorted(() => world.dice.share() - 0.5)) {
      if (this.#faulty.size >= world.f || this.#faulty.has(home)) continue;
      this.#faulty.add(home);
      world.killFarmer(home, { power: false });
    }
    await checkFromWords(world, 'the words alone, at the end', PAST_A_MINUTE);
    await checkLogs(world, PAST_A_MINUTE);
    if (share && counts && !share.isEnded) await checkShown(world, share, counts, PAST_A_MINUTE);
    if (share) await checkOver(world, share, PAST_A_MINUTE);
    checkDisks(world);
    if (world.net.mostInFlight > 600) throw new Violation(`${world.net.mostInFlight} calls were under way at once`);
  }

  async #throughBridge(): Promise<void> {
    const world = this.#world;
    if (!world.bridge) {
      world.bridge = world.startBridge();
      this.#serve(world.bridge);
    }
    const home = world.bridge;
    for (const key of world.model.keys()) {
      for (let tries = 12; ; tries--) {
        try {
          world.note(`at the end ${key} through ${home.name}: ${await readThroughBridge(world, key, home)}`);
          break;
        } catch (error) {
          if (error instanceof Violation) throw error;
          if (tries === 1) throw new Violation(`${home.name}: ${key} can't be read: ${String(error)}`, { cause: error });
          await world.sleep(10_000);
        }
      }
    }
    await mustWrite(world, home);
    if (!this.#plot) return;
    await insist(world, 6, `${home.name} can't follow the logs any more`, async () => {
      const { writers, signal } = home.bridge;
      const { owner } = simAccount(world);
      for (const { access, catchUp } of writers.all()) if (access.owner === owner) await catchUp(signal);
    });
  }
}
