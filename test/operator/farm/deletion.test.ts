import { describe, expect, it } from 'vitest';
import { storjFarms } from '#operator/api.ts';
import { pods, secrets } from '#operator/kube/resources.ts';
import { farmOf, namespace, size } from '#test/support/farm-world.ts';

describe('deletion and adoption', () => {
  it('keeps volumes and keys, and takes all of them back even with fewer replicas', async () => {
    const { world, operator } = await farmOf(8);
    for (let i = 0; i < 4; i += 1) world.nodes.put(4, 6);
    const before = world.config()!;
    await world.kube.delete(storjFarms, { namespace, name: 'demo' });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    expect(world.kube.peekAll(pods)).toEqual([]);
    expect(world.claims()).toHaveLength(9);
    expect(world.kube.peek(secrets, { namespace, name: 'demo-control' })).toBeDefined();
    await world.createFarm({ farmers: { replicas: 6, storage: { size } } });
    await world.round(operator);
    await world.round(operator);
    await world.round(operator);
    expect(world.replicas()).toEqual({ main: 8 });
    expect(world.config()!.roster.map(({ farmer }) => farmer)).toEqual(before.roster.map(({ farmer }) => farmer));
    await world.settle(operator);
    expect(world.replicas()).toEqual({ main: 6 });
    expect(world.config()!.controlKey).toBe(before.controlKey);
    const active = new Set(world.config()!.roster.map(({ farmer }) => farmer));
    for (const segment of world.nodes.segments) expect([...segment.holders].filter((one) => active.has(one))).toHaveLength(6);
  });

  it('leaves volumes alone that were left with proof', async () => {
    const { world, operator } = await farmOf(8);
    await world.patchFarm({ spec: { farmers: { replicas: 6 } } });
    await world.settle(operator);
    await world.kube.delete(storjFarms, { namespace, name: 'demo' });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    await world.createFarm({ farmers: { replicas: 6, storage: { size } } });
    for (let i = 0; i < 10; i += 1) {
      await world.round(operator);
      expect(world.replicas()['main'] ?? 6).toBe(6);
    }
    expect(world.claims()).toHaveLength(9);
  });

  it('stalls on volumes of another zone, with both commands, and goes on by either', async () => {
    const { world, operator } = await farmOf(4, {
      farmers: { replicas: 4, zones: [{ name: 'a' }, { name: 'b' }], storage: { size } },
    });
    await world.kube.delete(storjFarms, { namespace, name: 'demo' });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    await world.createFarm({ farmers: { replicas: 4, zones: [{ name: 'a' }], storage: { size } } });
    for (let i = 0; i < 4; i += 1) await world.round(operator);
    const message = world.condition('Stalled')?.message ?? '';
    expect(world.condition('Stalled')).toMatchObject({ reason: 'RetainedVolumesMismatch' });
    expect(message).toContain('delete pvc data-demo-farmer-b-0 data-demo-farmer-b-1');
    expect(world.replicas()).toEqual({});
    const adopt = /adopt-volumes=(\S+?)\. /.exec(message)![1]!;
    await world.patchFarm({ metadata: { annotations: { 'storjfarm.io/adopt-volumes': adopt } } });
    await world.settle(operator);
    expect(world.replicas()).toEqual({ a: 4 });
    expect(world.condition('Stalled')).toBeUndefined();
  });

  it('deletes everything only with the name repeated', async () => {
    const { world, operator } = await farmOf(3, { deletionPolicy: 'Delete' });
    expect(world.farm().metadata.finalizers ?? []).toEqual([]);
    await world.patchFarm({ metadata: { annotations: { 'storjfarm.io/confirm-delete': 'demo' } } });
    await world.settle(operator);
    expect(world.farm().metadata.finalizers).toEqual(['storjfarm.io/farm-protection']);
    world.kube.intercept = ({ verb, type }) => {
      // Never under a running farmer.
      if (verb === 'delete' && type.kind === 'PersistentVolumeClaim') expect(world.kube.peekAll(pods)).toEqual([]);
      return undefined;
    };
    await world.kube.delete(storjFarms, { namespace, name: 'demo' });
    for (let i = 0; i < 6; i += 1) await world.round(operator);
    expect(world.farm()).toBeUndefined();
    expect(world.claims()).toEqual([]);
    expect(world.kube.peekAll(secrets)).toEqual([]);
  });
});
