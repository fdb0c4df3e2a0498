// The operator is killed right after its k-th write, for every k of a farm's whole life, and another one goes on. The
// world must come out the same, and on the way no volume may go that is still needed.
import { describe, expect, it } from 'vitest';
import { createFarmWorld, type FarmWorld, type WorldOperator } from '#test/support/farm-world.ts';

const farmRef = { name: 'demo' };

/** The steps of the demo, each until all is quiet. */
const steps: ((world: FarmWorld) => Promise<void>)[] = [
  async (world) => {
    await world.createFarm({ farmers: { replicas: 6, storage: { size: '10Gi', whenScaledDown: 'Delete' } } });
    await world.createBucket('photos', { farmRef });
  },
  async (world) => {
    for (let i = 0; i < 3; i += 1) world.nodes.put(4, 6);
    await world.patchFarm({ spec: { farmers: { replicas: 8 } } });
  },
  async (world) => {
    world.nodes.put(4, 6);
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
  },
  async (world) => {
    await world.patchFarm({ spec: { image: 'localhost/storj-node:2' } });
  },
];

class Killed extends Error {}

/** Runs all steps. After `killAfter` writes the first operator never does anything again and a second one starts. */
async function live(killAfter: number): Promise<{ world: FarmWorld; writes: number }> {
  const world = createFarmWorld();
  let writes = 0;
  let isDead = false;
  let isWatched = true;
  const operator = world.startOperator();
  world.play.onScaledDown = () => {
    for (const segment of world.nodes.segments)
      expect(activeHolders(world, segment.holders)).toBeGreaterThanOrEqual(segment.optimal);
  };
  world.kube.intercept = (call) => {
    if (!isWatched) return undefined;
    if (isDead) throw new Killed();
    const isWrite = call.verb !== 'get' && call.verb !== 'list' && call.verb !== 'watch';
    if (!isWrite) return undefined;
    writes += 1;
    if (writes !== killAfter) return undefined;
    isDead = true;
    // The write reached the server, but its answer reached nobody.
    return 'lose-answer';
  };
  const first: WorldOperator = {
    ...operator,
    async pass() {
      try {
        await operator.pass();
      } catch (error) {
        if (!isDead) throw error;
      }
    },
  };
  let current: WorldOperator = first;
  for (const step of steps) {
    // What people do isn't what the operator does.
    isWatched = false;
    await step(world);
    isWatched = true;
    for (;;) {
      await world.settle(current, { rounds: 400, until: () => isDead && current === first });
      if (!isDead || current !== first) break;
      world.kube.intercept = undefined;
      current = world.startOperator();
    }
  }
  return { world, writes };
}

function activeHolders(world: FarmWorld, holders: ReadonlySet<string>): number {
  const active = new Set(
    world
      .config()!
      .roster.filter(({ state }) => state === 'Active')
      .map(({ farmer }) => farmer),
  );
  return [...holders].filter((one) => active.has(one)).length;
}

/** What must come out, without what chance and time decide. */
function outcome(world: FarmWorld): object {
  return {
    replicas: world.replicas(),
    slots: world.config()!.roster.map(({ slot, state }) => [slot, state]),
    claims: world.claims().map(({ metadata }) => metadata.name),
    ready: world.condition('Ready')?.status,
    stalled: world.condition('Stalled'),
    reconciling: world.condition('Reconciling'),
    bucket: world.bucketCondition('Ready', 'photos')?.status,
    keys: world.nodes.bridge.desired?.accessKeys.length,
    image: world.farm().status?.image,
    held: world.nodes.segments.every(({ holders }) => activeHolders(world, holders) >= 6),
  };
}

describe('killed after its k-th write', () => {
  it('converges for every k', { timeout: 600_000 }, async () => {
    const undisturbed = await live(Number.POSITIVE_INFINITY);
    const wanted = outcome(undisturbed.world);
    expect(wanted).toMatchObject({
      replicas: { main: 6 },
      ready: 'True',
      bucket: 'True',
      held: true,
      image: 'localhost/storj-node:2',
    });
    expect(undisturbed.writes).toBeGreaterThan(40);
    for (let k = 1; k <= undisturbed.writes; k += 1) {
      const { world } = await live(k);
      expect(outcome(world), `killed after write ${k}`).toEqual(wanted);
    }
  });
});
