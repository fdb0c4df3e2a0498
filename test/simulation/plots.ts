// Misfortunes that come one after the other, as chance alone hardly ever brings them together: each is what some
// rule of the product is there for.
import { LogError } from '#node/log/log-link.ts';
import { cheat } from './cheating-repairer.ts';
import { checkFromWordsIfItAnswers } from './checks.ts';
import { putOne, removeKey, simAccount } from './clients.ts';
import { putDirectly, startVisitor, type DeviceHome } from './devices.ts';
import { BUCKET_NAME, type BridgeHome, type FarmerHome, type World } from './world.ts';

/** What a plot may do to the world beside looking at it. */
export interface Stage {
  world: World;
  /** A farmer that may lose what it has; null where that would be one too many. `forGood`: nobody notices. */
  breakable(options: { forGood: boolean }): FarmerHome | null;
  startBridge(home: BridgeHome): void;
  /** After a moment, on what `on` says is left. */
  restartBridge(on: () => Parameters<World['startBridge']>[0]): void;
  revive(home: FarmerHome): Promise<void>;
  /** Where that isn't one too many. */
  loseVolume(home: FarmerHome): Promise<void>;
  loseAny(): Promise<void>;
  /** Everything is switched off for so long. */
  standStill(ms: number): Promise<void>;
  /** One farmer, as soon as the operator lets it. */
  leave(): Promise<void>;
  isLeaving(): boolean;
}

export type Plot = (stage: Stage) => Promise<void>;

export const PLOTS: readonly Plot[] = [reachesOne, writesOn, movesApart, deletesOfMany, leavesUnrepaired, cheats];

/**
 * A bridge reaches one farmer alone and dies. Whoever comes after it, or beside it, may find there what nobody else
 * has; sooner or later that farmer is gone.
 */
async function reachesOne(stage: Stage): Promise<void> {
  const { world } = stage;
  const { dice, bridge } = world;
  const one = dice.pick(world.farmers);
  if (!bridge || world.zombie || !one.running) return;
  // Its log is open before.
  await putOne(world, 'before', bridge);
  const visitor = await visitorOf(world);
  world.note(`${bridge.name} reaches nobody but ${one.name}`);
  for (const { name } of world.farmers) if (name !== one.name) world.net.cut(bridge.name, name);
  const hurried = Promise.all([putOne(world, 'hurry-1', bridge), putOne(world, 'hurry-2', bridge)]);
  hurried.catch(() => {});
  // In the log of the account.
  const limit = bridge.process.runtime.deadline(30_000);
  void bridge.bridge.objects.createBucket(simAccount(world), `hurry-${world.time.nowMs}`, limit).catch(() => {});
  await world.sleep(dice.between(100, 3000));
  if (visitor) await putDirectly(world, visitor);
  const isLostFirst = dice.chance(0.5);
  if (isLostFirst) await stage.loseVolume(one);
  if (world.bridge === bridge) stage.restartBridge(() => (dice.chance(0.7) ? {} : { saved: bridge.saved }));
  world.net.heal();
  await world.sleep(dice.between(7000, 15_000));
  // Somebody writes, so that the log of the one before is brought to its end.
  if (world.bridge) await putOne(world, 'after', world.bridge);
  if (!isLostFirst) await stage.loseVolume(one);
  visitor?.process.kill();
  await hurried;
}

async function visitorOf(world: World): Promise<DeviceHome | null> {
  try {
    return await startVisitor(world);
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    world.note(`no visitor comes: ${error.message}`);
    return null;
  }
}

/** The old bridge goes on writing while a new one takes over. */
async function writesOn({ world, startBridge }: Stage): Promise<void> {
  const { dice, bridge: old } = world;
  if (!old || world.zombie) return;
  world.zombie = old;
  const now = world.startBridge();
  world.bridge = now;
  startBridge(now);
  const { owner } = simAccount(world);
  const isReady = () => {
    const bucket = now.bridge.catalog.bucketsNamed(BUCKET_NAME)[0];
    return bucket !== undefined && now.bridge.writers.isReady(owner, bucket.bucketId);
  };
  const over = new AbortController();
  const goOn = async (name: string) => {
    for (let left = 25; left > 0 && !over.signal.aborted && old.process.isAlive; left--) {
      await putOne(world, name, old);
      await world.sleep(dice.between(1, 20));
    }
  };
  const takeOver = async () => {
    for (let left = 40; left > 0 && !isReady(); left--) await world.sleep(50);
    await putOne(world, 'new', now);
    over.abort();
  };
  await Promise.all([goOn('old-1'), goOn('old-2'), takeOver()]);
}

/** A farmer is replaced, and a writer that hears nothing of it goes on under the set of before. */
async function movesApart(stage: Stage): Promise<void> {
  const { world } = stage;
  const { dice, bridge } = world;
  const [leaver, far, third] = world.farmers.toSorted(() => dice.share() - 0.5);
  const isWhole = world.farmers.every(({ running, keyPair }) => running && world.stateOf(keyPair.publicKey) === 'Active');
  const bucketId = bridge?.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]?.bucketId;
  if (!isWhole || !leaver || !far || !third || !bucketId || world.zombie) return;
  const visitor = await visitorOf(world);
  if (!visitor) return;
  const epoch = () => bridge.bridge.accounts.view(world.owner.keyPair.publicKey)?.sets.get(bucketId)?.epoch ?? 0;
  const key = `apart-${world.time.nowMs}`;
  await putDirectly(world, visitor, { key });
  world.net.cut(visitor.name, far.name);
  world.net.cut(bridge.name, leaver.name);
  const before = epoch();
  await world.addFarmer();
  // Where the bridge knew no set yet the writer goes on while the change is under way, else behind it, and the farmer that
  // is replaced hears no more of it than the writer.
  if (before > 0) for (const { name } of world.farmers) if (name !== leaver.name) world.net.cut(leaver.name, name);
  world.setState(leaver.keyPair.publicKey, 'Leaving');
  for (let left = 90; left > 0 && epoch() <= before && bridge.process.isAlive; left--) await world.sleep(1000);
  // What it knew is all that it needs: nobody else writes there.
  await putDirectly(world, visitor, { key, asKnown: true });
  world.note('the visitor is killed, and never comes back');
  visitor.process.kill();
  world.net.heal();
  if (world.stateOf(leaver.keyPair.publicKey) === 'Leaving') world.setState(leaver.keyPair.publicKey, 'Active');
  await stage.loseVolume(third);
}

/** So many objects that a checkpoint of a few deletes leaves the run that holds them as it is. */
async function deletesOfMany({ world }: Stage): Promise<void> {
  const { dice, bridge, hasCheckpoints } = world;
  if (!bridge || !hasCheckpoints) return;
  const alive = <T>(work: Promise<T>) => Promise.race([work, bridge.died]).catch(() => {});
  const keys = Array.from({ length: 16 }, (_, i) => `many-${i}`);
  await Promise.all(keys.map((key) => putOne(world, 'many', bridge, { key })));
  await alive(bridge.bridge.checkpoints.makeDue());
  for (const key of keys.filter(() => dice.chance(0.2))) await removeKey(world, 'few', bridge, key);
  await alive(bridge.bridge.checkpoints.makeDue());
}

/** A farmer leaves while the repairer sees what it has and finds no time to move it. When it is gone another is lost. */
async function leavesUnrepaired(stage: Stage): Promise<void> {
  const { world } = stage;
  if (world.bridge) await putOne(world, 'before', world.bridge, { sizeBytes: 70_000 });
  const there = new Set(world.farmers);
  let isOver = false;
  const leaving = stage.leave().finally(() => (isOver = true));
  for (let left = 8; left > 0 && world.repairer; left--) {
    const { repair, process } = world.repairer;
    const look = async () => {
      await repair.askFarmers();
      await repair.scan();
    };
    await Promise.race([look(), new Promise<void>((resolve) => process.onKill(resolve))]);
    await Promise.race([leaving, world.sleep(2500)]);
    if (isOver) break;
  }
  await leaving;
  const hasLeft = [...there].some((home) => !world.farmers.includes(home));
  if (hasLeft) await stage.loseVolume(world.dice.pick(world.farmers));
}

/** A repairer that lies, about something that is there. */
async function cheats({ world }: Stage): Promise<void> {
  if (world.bridge) await putOne(world, 'before', world.bridge, { sizeBytes: 70_000 });
  await cheat(world);
}

/**
 * A farmer is set back to before a write that only those far away have, and the rest has not heard of it yet. Nobody is
 * silent.
 */
export async function setBackInTheRush(stage: Stage): Promise<void> {
  const { world } = stage;
  const { dice, bridge, net } = world;
  if (!bridge) return;
  const home = stage.breakable({ forGood: true });
  if (!home?.running) return;
  const late = dice.pick(world.farmers.filter((one) => one !== home));
  const snapshot = home.disk.copy();
  net.cut(bridge.name, late.name);
  await putOne(world, 'rush', bridge);
  for (const one of world.farmers) if (one !== home && one !== late) net.far.add(one.name);
  world.killFarmer(home, { power: false });
  world.note(`${home.name} is set back to its snapshot, ${late.name} is late, and the others are far away`);
  home.disk = snapshot;
  await stage.revive(home);
  for (let left = 2; left > 0; left--) await checkFromWordsIfItAnswers(world, 'somebody with the words');
  net.far.clear();
  net.heal();
}
