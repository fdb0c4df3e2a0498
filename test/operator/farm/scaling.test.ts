import { describe, expect, it } from 'vitest';
import { persistentVolumeClaims, pods } from '#operator/kube/resources.ts';
import { farmOf, size } from '#test/support/farm-world.ts';

describe('growing and shrinking', () => {
  it('grows at once, and the new ones join', async () => {
    const { world, operator } = await farmOf(6);
    await world.patchFarm({ spec: { farmers: { replicas: 8 } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 8 });
    expect(world.config()!.roster).toHaveLength(8);
  });

  it('moves everything away before a pod goes, and keeps the volumes', async () => {
    const { world, operator } = await farmOf(8);
    for (let i = 0; i < 5; i += 1) world.nodes.put(4, 6);
    world.nodes.repairs = false;
    const gone: string[] = [];
    world.play.onScaledDown = ({ metadata }) => {
      gone.push(metadata.name);
      const active = new Set(
        world
          .config()!
          .roster.filter(({ state }) => state === 'Active')
          .map(({ farmer }) => farmer),
      );
      for (const segment of world.nodes.segments)
        expect([...segment.holders].filter((one) => active.has(one)).length).toBeGreaterThanOrEqual(6);
    };
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    for (let i = 0; i < 20; i += 1) await world.round(operator);
    expect(world.replicas()).toEqual({ main: 8 });
    expect(world.condition('Draining')?.message).toContain('pieces to get another holder');
    expect(world.farm().status?.farmers?.map(({ state }) => state)).toEqual(['Leaving', 'Leaving']);
    world.nodes.repairs = true;
    await world.settle(operator);
    expect(gone).toEqual(['demo-farmer-main-7', 'demo-farmer-main-6']);
    expect(world.replicas()).toEqual({ main: 6 });
    expect(world.config()!.roster).toHaveLength(6);
    expect(world.claims().filter(({ metadata }) => metadata.labels?.['storjfarm.io/drained'] === 'true')).toHaveLength(2);
    expect(world.condition('Draining')).toBeUndefined();
  });

  it('deletes volumes of farmers that left where the spec says so', async () => {
    const { world, operator } = await farmOf(8, { farmers: { replicas: 8, storage: { size, whenScaledDown: 'Delete' } } });
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    let deleted = 0;
    world.kube.intercept = ({ verb, type, key }) => {
      if (verb !== 'delete' || type.kind !== 'PersistentVolumeClaim') return;
      deleted += 1;
      // Nobody can be sent there any more.
      expect(world.config()!.roster.map(({ slot }) => `farm/data-${slot}`)).not.toContain(key);
    };
    await world.settle(operator);
    expect(deleted).toBe(2);
    expect(world.claims().filter(({ metadata }) => metadata.name.includes('-farmer-'))).toHaveLength(6);
  });

  it('waits for a bridge that still plans by the old roster', async () => {
    const { world, operator } = await farmOf(7);
    world.nodes.isBridgeStuck = true;
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    for (let i = 0; i < 20; i += 1) await world.round(operator);
    expect(world.condition('Draining')?.message).toContain('writes to end');
    expect(world.replicas()).toEqual({ main: 7 });
    world.nodes.isBridgeStuck = false;
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 6 });
  });

  it('cancels when the number goes back up', async () => {
    const { world, operator } = await farmOf(8);
    world.nodes.put(4, 6);
    world.nodes.repairs = false;
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.config()!.roster.filter(({ state }) => state === 'Leaving')).toHaveLength(2);
    await world.patchFarm({ spec: { farmers: { replicas: 8 } } });
    await world.settle(operator);
    expect(world.config()!.roster.every(({ state }) => state === 'Active')).toBe(true);
    expect(world.replicas()).toEqual({ main: 8 });
  });

  it('a farmer that left comes back to its volume', async () => {
    const { world, operator } = await farmOf(8);
    const before = world.config()!.roster.map(({ farmer }) => farmer);
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    await world.settle(operator);
    await world.patchFarm({ spec: { farmers: { replicas: 8 } } });
    await world.settle(operator);
    expect(world.config()!.roster.map(({ farmer }) => farmer)).toEqual(before);
    expect(world.claims().some(({ metadata }) => metadata.labels?.['storjfarm.io/drained'])).toBe(false);
  });

  it('waits until segments that need more farmers are under the scheme for fewer, and then goes on by itself', async () => {
    const { world, operator } = await farmOf(6);
    for (let i = 0; i < 3; i += 1) world.nodes.put(4, 6);
    await world.settle(operator);
    world.nodes.rewrites = false;
    world.play.onScaledDown = () => {
      for (const segment of world.nodes.segments) expect(segment.optimal).toBe(4);
    };
    await world.patchFarm({ spec: { farmers: { replicas: 4 } } });
    for (let i = 0; i < 10; i += 1) await world.round(operator);
    expect(world.config()).toMatchObject({ redundancy: { required: 2, optimal: 4 }, rewrite: true });
    expect(world.config()!.roster.every(({ state }) => state === 'Active')).toBe(true);
    expect(world.condition('Stalled')).toBeUndefined();
    expect(world.condition('Reconciling')?.message).toContain('3 segments keep pieces on 6 farmers');
    expect(world.condition('Rewriting')?.message).toContain('to 2/3/4/4: 3 under 4/5/6/6');
    world.nodes.rewrites = true;
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 4 });
    expect(world.config()!.roster).toHaveLength(4);
    for (const type of ['Rewriting', 'Reconciling', 'Draining', 'Stalled']) expect(world.condition(type)).toBeUndefined();
  });

  it('without a bridge nobody can bring segments to another scheme: the shrink is refused and says why', async () => {
    const { world, operator } = await farmOf(6);
    world.nodes.put(4, 6);
    await world.settle(operator);
    world.nodes.rewrites = false;
    await world.patchFarm({ spec: { farmers: { replicas: 4 }, bridge: { replicas: 0 } } });
    for (let i = 0; i < 10; i += 1) await world.round(operator);
    expect(world.condition('Stalled')).toMatchObject({ reason: 'ScaleDownBlocked' });
    expect(world.condition('Stalled')?.message).toContain('spec.bridge.replicas');
    expect(world.replicas()).toEqual({ main: 6 });
  });

  it('brings segments of a smaller farm to the scheme of a bigger one, but none to a stopgap', async () => {
    const { world, operator } = await farmOf(4);
    const segment = world.nodes.put(2, 4);
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    await world.settle(operator);
    expect(segment).toMatchObject({ required: 4, optimal: 6 });
    world.nodes.repairs = false;
    const [lost] = world.claims();
    await world.kube.delete(persistentVolumeClaims, lost!.metadata);
    world.play.broken.add('demo-farmer-main-0');
    await world.kube.delete(pods, { namespace: 'farm', name: 'demo-farmer-main-0' });
    for (let i = 0; i < 10; i += 1) await world.round(operator);
    expect(segment).toMatchObject({ required: 4, optimal: 6 });
  });

  it('refuses to lower the promise silently, but does it by spec.redundancy', async () => {
    const { world, operator } = await farmOf(6);
    await world.patchFarm({ spec: { farmers: { replicas: 3 } } });
    await world.settle(operator);
    expect(world.condition('Stalled')?.message).toContain('spec.redundancy');
    expect(world.replicas()).toEqual({ main: 6 });
    await world.patchFarm({ spec: { redundancy: { required: 2, repair: 2, optimal: 3, total: 3 } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 3 });
    expect(world.condition('Stalled')).toBeUndefined();
  });

  it('holds without a report', async () => {
    const { world, operator } = await farmOf(8);
    world.nodes.silent.add(
      [...world.kube.peekAll(pods)].find(({ metadata }) => metadata.name.includes('repairer'))!.metadata.name,
    );
    world.advance(600_000);
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    for (let i = 0; i < 20; i += 1) await world.round(operator);
    expect(world.replicas()).toEqual({ main: 8 });
    expect(world.config()!.roster.every(({ state }) => state === 'Active')).toBe(true);
    expect(world.condition('DataHealthy')).toMatchObject({ status: 'Unknown' });
  });

  it('says how many pieces of strangers block a shrink', async () => {
    const { world, operator } = await farmOf(8);
    world.nodes.unwarranted.set(world.config()!.roster[7]!.farmer, 12);
    await world.patchFarm({ spec: { farmers: { replicas: 7 } } });
    await world.settle(operator);
    expect(world.condition('Stalled')).toMatchObject({ reason: 'ScaleDownBlocked' });
    expect(world.condition('Stalled')?.message).toContain('12 pieces');
    expect(world.replicas()).toEqual({ main: 8 });
  });
});

describe('zones', () => {
  const zones = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];

  it('splits evenly, and a removed zone drains', async () => {
    const { world, operator } = await farmOf(6, { farmers: { replicas: 6, zones, storage: { size } } });
    expect(world.replicas()).toEqual({ a: 2, b: 2, c: 2 });
    for (let i = 0; i < 4; i += 1) world.nodes.put(4, 6);
    await world.patchFarm({ spec: { farmers: { zones: zones.slice(0, 2) } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ a: 3, b: 3 });
    const active = new Set(world.config()!.roster.map(({ farmer }) => farmer));
    for (const segment of world.nodes.segments) expect([...segment.holders].filter((one) => active.has(one))).toHaveLength(6);
  });

  it('adding a zone moves nothing', async () => {
    const { world, operator } = await farmOf(6, { farmers: { replicas: 6, zones: zones.slice(0, 2), storage: { size } } });
    await world.patchFarm({ spec: { farmers: { zones } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ a: 3, b: 3, c: 0 });
  });
});
