// What goes wrong in a world, one thing at a time.
import { cheat } from './cheating-repairer.ts';
import { trashEverything } from './garbage.ts';
import { liars } from './liars.ts';
import type { Stage } from './plots.ts';
import type { SimSavedLogs } from './world.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** By name. Each strikes once; what follows from it goes on by itself. */
export function misfortunes(stage: Stage): Record<string, () => void | Promise<void>> {
  const { world } = stage;
  const { dice } = world;
  /** What a back-up of the bridge's volume would have. */
  let backup: SimSavedLogs | null = null;
  const up = () => world.farmers.filter(({ running }) => running);
  return {
    crash: () => {
      const home = dice.pick(world.farmers);
      world.killFarmer(home, { power: dice.chance(0.7) });
      world.time.after(dice.between(50, 15_000), () => void stage.revive(home));
    },
    blackout: () => {
      for (const home of up()) {
        world.killFarmer(home, { power: true });
        world.time.after(dice.between(50, 8000), () => void stage.revive(home));
      }
    },
    partition: () => {
      const names = [...world.farmers.map(({ name }) => name), world.bridge?.name ?? '', world.zombie?.name ?? ''];
      const some = new Set(names.filter(() => dice.chance(0.4)));
      world.note(`cut off from the others: ${[...some].join(', ')}`);
      for (const a of names) for (const b of names) if (some.has(a) && !some.has(b)) world.net.cut(a, b);
      world.time.after(dice.between(500, 25_000), () => {
        world.note('the network is whole again');
        world.net.heal();
      });
    },
    skew: () => {
      const processes = [...up().map(({ running }) => running!.process), ...(world.bridge ? [world.bridge.process] : [])];
      if (processes.length === 0) return;
      const process = dice.pick(processes);
      process.skewMs = dice.between(-120_000, 120_000);
      world.note(`the clock of ${process.name} is off by ${process.skewMs} ms`);
    },
    bridgeCrash: () =>
      stage.restartBridge(() => ({
        saved: world.bridge!.saved,
        ...(dice.chance(0.5) ? { catalog: world.bridge!.catalog } : {}),
      })),
    bridgeLoss: () => stage.restartBridge(() => ({})),
    bridgeBackup: () => {
      if (!backup || dice.chance(0.4)) backup = world.bridge?.saved.copy() ?? null;
      else stage.restartBridge(() => ({ saved: backup!.copy() }));
    },
    zombie: () => {
      if (!world.bridge || stage.isLeaving()) return;
      if (world.zombie) world.killBridge(world.zombie);
      world.zombie = world.bridge;
      const saved = dice.chance(0.5) ? world.bridge.saved.copy() : undefined;
      world.bridge = world.startBridge(saved ? { saved } : {});
      stage.startBridge(world.bridge);
    },
    repairerCrash: () => {
      const repairer = world.repairer;
      world.killRepairer();
      world.startRepairer(repairer && dice.chance(0.5) ? { states: repairer.states } : {});
    },
    cheat: () => cheat(world),
    trash: async () => {
      const home = stage.breakable({ forGood: true });
      if (home) await trashEverything(world, home);
    },
    lose: () => stage.loseAny(),
    setBack: () => setBack(stage),
    rot: () => {
      const home = stage.breakable({ forGood: true });
      if (!home) return;
      world.note(`the disk of ${home.name} rots`);
      home.disk.rot(dice.between(1, 4));
    },
    lie: () => beginToLie(stage, dice.pick(['wrong bytes', 'has nothing', 'false receipts'])),
    forget: () => beginToLie(stage, 'old heads'),
    standStill: () => stage.standStill(dice.pick([3 * HOUR_MS, 50 * HOUR_MS, 9 * DAY_MS, 9 * DAY_MS])),
    cut: () => {
      const home = dice.chance(0.3) ? world.zombie : world.bridge;
      home?.bridge.upkeep.nudge();
    },
    leave: () => void stage.leave(),
  };
}

function beginToLie(stage: Stage, how: string): void {
  const { world } = stage;
  const home = stage.breakable({ forGood: true });
  if (!home?.running) return;
  world.note(`${home.name} begins to lie: ${how}`);
  home.lie = liars(world, home)[how]!;
  world.net.attach(home.keyPair.publicKey, home.lie(home.running.service));
}

/** A snapshot of the volume is put back. */
async function setBack(stage: Stage): Promise<void> {
  const { world } = stage;
  // Nobody notices yet which pieces it lacks.
  const home = stage.breakable({ forGood: true });
  if (!home) return;
  const snapshot = home.disk.copy();
  await world.sleep(world.dice.between(1000, 30_000));
  if (!world.farmers.includes(home)) return;
  world.killFarmer(home, { power: false });
  world.note(`${home.name} is set back to its snapshot`);
  home.disk = snapshot;
  await stage.revive(home);
}
