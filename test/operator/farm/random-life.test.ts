// A farm lives through a random life: scaled up and down, operators killed, farmers lost (never more than the promise
// allows before repair is done), repair on and off. Whatever comes, no segment falls below what the promise says, and
// in the end everything is as the spec wants it.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { persistentVolumeClaims, pods } from '#operator/kube/resources.ts';
import { createFarmWorld, namespace, type FarmWorld, type WorldOperator } from '#test/support/farm-world.ts';

type Deed =
  | { do: 'scale'; to: number }
  | { do: 'put' }
  | { do: 'lose'; slot: number }
  | { do: 'repair'; on: boolean }
  | { do: 'restart' }
  | { do: 'wait'; rounds: number };

const deed: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({ do: fc.constant('scale' as const), to: fc.integer({ min: 6, max: 10 }) }),
  fc.record({ do: fc.constant('put' as const) }),
  fc.record({ do: fc.constant('lose' as const), slot: fc.nat({ max: 9 }) }),
  fc.record({ do: fc.constant('repair' as const), on: fc.boolean() }),
  fc.record({ do: fc.constant('restart' as const) }),
  fc.record({ do: fc.constant('wait' as const), rounds: fc.integer({ min: 1, max: 8 }) }),
);

/** Farmers whose volumes exist. */
function standing(world: FarmWorld): Set<string> {
  return new Set(world.claims().map(({ metadata }) => world.nodes.farmerOn(metadata.uid)));
}

const left = (world: FarmWorld): number =>
  world.nodes.segments.reduce((least, { holders, required }) => {
    const alive = standing(world);
    return Math.min(least, [...holders].filter((one) => alive.has(one)).length - required);
  }, 2);

async function act(world: FarmWorld, operator: WorldOperator, one: Deed): Promise<WorldOperator> {
  if (one.do === 'scale') await world.patchFarm({ spec: { farmers: { replicas: one.to } } });
  if (one.do === 'put' && (world.config()?.roster.filter(({ state }) => state === 'Active').length ?? 0) >= 6)
    world.nodes.put(4, 6);
  if (one.do === 'repair') world.nodes.repairs = one.on;
  if (one.do === 'restart') return world.startOperator();
  if (one.do === 'wait') for (let i = 0; i < one.rounds; i += 1) await world.round(operator);
  // One loss at a time: the promise is about what comes before repair.
  if (one.do === 'lose' && left(world) >= 2 && world.nodes.repairs) {
    await world.settle(operator, { rounds: 400 });
    await world.kube.delete(pods, { namespace, name: `demo-farmer-main-${one.slot}` }).catch(() => {});
    await world.kube.delete(persistentVolumeClaims, { namespace, name: `data-demo-farmer-main-${one.slot}` }).catch(() => {});
  }
  return operator;
}

describe('a random life', () => {
  it('loses nothing, and ends as the spec says', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 3, maxLength: 14 }), async (deeds) => {
        const world = createFarmWorld();
        let operator = world.startOperator();
        await world.createFarm({ farmers: { replicas: 7, storage: { size: '1Gi', whenScaledDown: 'Delete' } } });
        await world.settle(operator);
        world.play.onScaledDown = ({ metadata }) => {
          const going = world.nodes.farmerOn(
            world.claims().find(({ metadata: { name } }) => name === `data-${metadata.name}`)?.metadata.uid ?? '',
          );
          const active = new Set(
            world
              .config()!
              .roster.filter(({ state }) => state === 'Active')
              .map(({ farmer }) => farmer),
          );
          for (const { holders, optimal } of world.nodes.segments) {
            if (holders.has(going)) expect([...holders].filter((one) => active.has(one)).length).toBeGreaterThanOrEqual(optimal);
          }
        };
        for (const one of deeds) {
          operator = await act(world, operator, one);
          await world.round(operator);
          expect(left(world)).toBeGreaterThanOrEqual(1);
        }
        world.nodes.repairs = true;
        await world.settle(operator, { rounds: 400 });
        const wanted = world.farm().spec.farmers.replicas;
        expect(world.replicas()).toEqual({ main: wanted });
        expect(world.config()!.roster.map(({ state }) => state)).toEqual(Array.from({ length: wanted }, () => 'Active'));
        expect(world.condition('Stalled')).toBeUndefined();
        expect(world.condition('Ready')).toMatchObject({ status: 'True' });
        expect(left(world)).toBe(2);
      }),
      { numRuns: 15 },
    );
  });
});
