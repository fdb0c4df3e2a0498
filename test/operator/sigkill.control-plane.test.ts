// The operator is killed right after its k-th write on a real API server, for every k of a small farm's life, and
// another one goes on. Each k has a namespace of its own, and several run side by side.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FarmConfig } from '#node/interface/config.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { apiVersion, storjBuckets, storjFarms } from '#operator/api.ts';
import { find, listAll } from '#operator/kube/client.ts';
import { configMaps, persistentVolumeClaims, statefulSets } from '#operator/kube/resources.ts';
import { sleep, systemClock } from '#operator/runtime/clock.ts';
import { farmConfigSchema } from '#node/interface/config.ts';
import { killAfter } from '#test/support/kill-switch.ts';
import { playKubelet } from '#test/support/play-kubelet.ts';
import { createStubNodes, type StubNodes } from '#test/support/stub-nodes.ts';
import { createTestOperator, type TestOperator } from '#test/support/test-operator.ts';
import { openTestPlane, type TestPlane } from './test-plane.ts';

let plane: TestPlane;
beforeAll(async () => {
  plane = await openTestPlane();
});
afterAll(() => plane.close());

/** Lives at the same time. */
const parallel = 8;
const roundLimit = 150;

interface Life {
  namespace: string;
  nodes: StubNodes;
  config(): Promise<FarmConfig | undefined>;
}

async function begin(): Promise<Life> {
  const { client } = plane;
  const namespace = await plane.namespace();
  const config = async (): Promise<FarmConfig | undefined> => {
    const map = await find(client, configMaps, { namespace, name: 'demo-config' });
    const parsed = farmConfigSchema.safeParse(JSON.parse(map?.data?.['farm.json'] ?? 'null'));
    return parsed.success ? parsed.data : undefined;
  };
  const nodes = createStubNodes({
    volumeUidOf: async (pod) => (await find(client, persistentVolumeClaims, { namespace, name: `data-${pod}` }))?.metadata.uid,
    mountedConfig: config,
    nowMs: () => Date.now(),
  });
  return { namespace, nodes, config };
}

const scale = async ({ namespace }: Life, replicas: number): Promise<void> =>
  void (await plane.client.mergePatch(storjFarms, { namespace, name: 'demo' }, { spec: { farmers: { replicas } } }));

/** Each step, and when it is done. */
const steps: { act(life: Life): Promise<void>; isDone(life: Life): Promise<boolean> }[] = [
  {
    async act({ namespace }) {
      const spec = { farmers: { replicas: 3, storage: { size: '1Gi', whenScaledDown: 'Delete' } } };
      const metadata = { name: 'demo', namespace };
      await plane.client.create(storjFarms, { apiVersion, kind: 'StorjFarm', metadata, spec } as never);
      const bucket = {
        apiVersion,
        kind: 'StorjBucket',
        metadata: { name: 'photos', namespace },
        spec: { farmRef: { name: 'demo' } },
      };
      await plane.client.create(storjBuckets, bucket as never);
    },
    isDone: async (life) => (await summary(life)).includes('3/3') && (await isReady(life, 'photos')),
  },
  {
    async act(life) {
      life.nodes.put(2, 3);
      await scale(life, 4);
    },
    isDone: async (life) => (await summary(life)).includes('4/4'),
  },
  {
    async act(life) {
      await plane.client.mergePatch(
        storjFarms,
        { namespace: life.namespace, name: 'demo' },
        { spec: { redundancy: { required: 2, repair: 2, optimal: 3, total: 3 } } },
      );
      await scale(life, 3);
    },
    isDone: async (life) => {
      const claims = await listAll(plane.client, persistentVolumeClaims, { namespace: life.namespace });
      return claims.items.length === 4 && (await life.config())?.roster.length === 3 && (await summary(life)).includes('3/3');
    },
  },
];

async function summary({ namespace }: Life): Promise<string> {
  const farm = await plane.client.get(storjFarms, { namespace, name: 'demo' });
  const isReconciling = farm.status?.conditions?.some(({ type }) => type === 'Reconciling');
  return isReconciling ? '' : (farm.status?.summary?.farmers ?? '');
}

async function isReady({ namespace }: Life, bucket: string): Promise<boolean> {
  const live = await plane.client.get(storjBuckets, { namespace, name: bucket });
  return live.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

/** Time runs faster than ours, so that nobody waits for the next look. */
function fastClock() {
  let ms = 0;
  return {
    tick: () => void (ms += 4000),
    clock: { nowMs: () => Date.now(), monotonicMs: () => ms, schedule: () => () => {} },
  };
}

/** Lives through all steps; the first operator dies after `limit` writes. Answers with its writes. */
async function live(limit: number): Promise<number> {
  const life = await begin();
  const { namespace, nodes } = life;
  const keys = { farms: [`${namespace}/demo`], buckets: [`${namespace}/photos`] };
  const { clock, tick } = fastClock();
  let epoch = Date.now();
  const start = (client: KubeClient): TestOperator => {
    epoch += 1;
    return createTestOperator({
      client,
      nodes,
      clock,
      settings: { installId: 'ops/storj', operatorNamespace: 'ops', nodeImage: 'localhost/storj-node:1', epoch },
      randomBytes: (count) => new Uint8Array(randomBytes(count)),
    });
  };
  const first = killAfter(plane.client, limit);
  let operator = start(first.client);
  let hasDied = false;
  const round = async (): Promise<void> => {
    try {
      await operator.pass(keys.farms, keys.buckets);
    } catch (error) {
      if (!first.isDead() || hasDied) throw error;
    }
    if (first.isDead() && !hasDied) {
      hasDied = true;
      operator = start(plane.client);
    }
    await playKubelet(plane.client, namespace);
    await nodes.tick();
    tick();
  };
  for (const [index, step] of steps.entries()) {
    await step.act(life);
    for (let rounds = 0; ; rounds += 1) {
      await round();
      await mustHold(life);
      if (await step.isDone(life)) break;
      if (rounds > roundLimit) throw new Error(`killed after ${limit} writes, step ${index} never ends`);
      await sleep(systemClock, 50);
    }
  }
  const set = await plane.client.get(statefulSets, { namespace, name: 'demo-farmer-main' });
  expect(set.spec?.replicas).toBe(3);
  expect(nodes.bridge.desired?.accessKeys).toHaveLength(1);
  await plane.client.delete(storjFarms, { namespace, name: 'demo' });
  return first.writes();
}

/** No segment has ever fewer pieces on farmers whose volumes exist than it needs. */
async function mustHold({ namespace, nodes }: Life): Promise<void> {
  const claims = await listAll(plane.client, persistentVolumeClaims, { namespace });
  const farmers = new Set(claims.items.map(({ metadata }) => nodes.farmerOn(metadata.uid)));
  for (const { holders, optimal } of nodes.segments) {
    expect([...holders].filter((one) => farmers.has(one)).length).toBeGreaterThanOrEqual(optimal);
  }
}

describe('killed after its k-th write, on a real API server', () => {
  it('converges for every k', { timeout: 900_000 }, async () => {
    const writes = await live(Number.POSITIVE_INFINITY);
    expect(writes).toBeGreaterThan(40);
    const ks = Array.from({ length: writes }, (_, i) => i + 1);
    const failures: string[] = [];
    const worker = async (): Promise<void> => {
      for (let k = ks.shift(); k !== undefined; k = ks.shift()) {
        await live(k).catch((error: Error) => failures.push(`k = ${k}: ${error.message}`));
      }
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    expect(failures).toEqual([]);
  });
});
