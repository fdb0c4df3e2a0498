// The operator is killed right after its k-th write on a real API server, along the demo's steps, and another one goes
// on. Every life has a namespace of its own, and several run side by side. Which ks: every one of them in lives where
// all operators die young, and a few alone; STORJ_TEST_EVERY_K=1 takes every k alone, which needs some ten minutes.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FarmConfig } from '#node/interface/config.ts';
import { apiVersion, storjBuckets, storjFarms } from '#operator/api.ts';
import { listAll } from '#operator/kube/client.ts';
import { persistentVolumeClaims, pods, statefulSets } from '#operator/kube/resources.ts';
import { sleep, systemClock } from '#operator/runtime/clock.ts';
import { killAfter, type KillSwitch } from '#test/support/kill-switch.ts';
import { playKubelet } from '#test/support/play-kubelet.ts';
import type { StubNodes } from '#test/support/stub-nodes.ts';
import { createTestOperator, type TestOperator } from '#test/support/test-operator.ts';
import { openTestPlane, stubbedNodes, type TestPlane } from './test-plane.ts';

let plane: TestPlane;
beforeAll(async () => {
  plane = await openTestPlane();
});
afterAll(() => plane.close());

/** Lives at the same time. */
const parallel = 8;
const roundLimit = 300;
/** Operators that die in one life. */
const maxOperators = 60;
/** Every how manieth k is taken alone. */
const sampled = 16;

interface Life {
  namespace: string;
  nodes: StubNodes;
  config(): Promise<FarmConfig | undefined>;
  /** Volumes were taken away and their pieces aren't made anew yet. */
  isBereft: boolean;
}

async function begin(): Promise<Life> {
  const namespace = await plane.namespace();
  const { nodes, config } = stubbedNodes(plane, namespace);
  return { namespace, nodes, config, isBereft: false };
}

const scale = async ({ namespace }: Life, replicas: number): Promise<void> =>
  void (await plane.client.mergePatch(storjFarms, { namespace, name: 'demo' }, { spec: { farmers: { replicas } } }));

/** The demo's steps, and when each is done. */
const steps: { act(life: Life): Promise<void>; isDone(life: Life): Promise<boolean> }[] = [
  {
    async act({ namespace }) {
      const spec = { farmers: { replicas: 6, storage: { size: '1Gi', whenScaledDown: 'Delete' } } };
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
    isDone: async (life) => (await summary(life)).includes('6/6') && (await isReady(life, 'photos')),
  },
  {
    async act(life) {
      life.nodes.put(4, 6);
      life.nodes.put(4, 6);
      life.isBereft = true;
      const { namespace } = life;
      for (const pod of ['demo-farmer-main-1', 'demo-farmer-main-4']) {
        await plane.client.delete(persistentVolumeClaims, { namespace, name: `data-${pod}` });
        await plane.client.delete(pods, { namespace, name: pod });
      }
    },
    async isDone(life) {
      const roster = (await life.config())?.roster ?? [];
      if (roster.length !== 6 || roster.some(({ state }) => state !== 'Active')) return false;
      if (!(await summary(life)).includes('6/6') || (await fewestPieces(life)) < 6) return false;
      life.isBereft = false;
      return true;
    },
  },
  {
    act: (life) => scale(life, 8),
    isDone: async (life) => (await summary(life)).includes('8/8'),
  },
  {
    async act(life) {
      life.nodes.put(4, 6);
      await scale(life, 6);
    },
    isDone: async (life) => {
      const claims = await listAll(plane.client, persistentVolumeClaims, { namespace: life.namespace });
      return claims.items.length === 7 && (await life.config())?.roster.length === 6 && (await summary(life)).includes('6/6');
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

interface Death {
  /** Writes of all operators together. */
  writes: number;
  operators: number;
}

/** Lives through all steps. The operators die after so many writes each; who comes after the last of them lives on. */
async function live(limits: Iterable<number>): Promise<Death> {
  const life = await begin();
  const { namespace, nodes } = life;
  const keys = { farms: [`${namespace}/demo`], buckets: [`${namespace}/photos`] };
  const { clock, tick } = fastClock();
  const lives = limits[Symbol.iterator]();
  const past: Death = { writes: 0, operators: 0 };
  let epoch = Date.now();
  let kill: KillSwitch;
  let operator: TestOperator;
  const start = (): void => {
    epoch += 1;
    past.operators += 1;
    kill = killAfter(plane.client, lives.next().value ?? Number.POSITIVE_INFINITY);
    operator = createTestOperator({
      client: kill.client,
      nodes,
      clock,
      settings: { installId: 'ops/storj', operatorNamespace: 'ops', nodeImage: 'localhost/storj-node:1', epoch },
      randomBytes: (count) => new Uint8Array(randomBytes(count)),
    });
  };
  start();
  const round = async (): Promise<void> => {
    try {
      await operator.pass(keys.farms, keys.buckets);
    } catch (error) {
      if (!kill.isDead()) throw error;
    }
    if (kill.isDead()) {
      past.writes += kill.writes();
      start();
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
      if (rounds > roundLimit) throw new Error(`step ${index} never ends`);
      await sleep(systemClock, 50);
    }
  }
  const set = await plane.client.get(statefulSets, { namespace, name: 'demo-farmer-main' });
  expect(set.spec?.replicas).toBe(6);
  expect(nodes.bridge.desired?.accessKeys).toHaveLength(1);
  await plane.client.delete(storjFarms, { namespace, name: 'demo' });
  return { ...past, writes: past.writes + kill!.writes() };
}

/** No segment has ever fewer pieces on farmers whose volumes exist than it should: while two are lost, than it needs. */
async function mustHold(life: Life): Promise<void> {
  expect(await fewestPieces(life)).toBeGreaterThanOrEqual(life.isBereft ? 4 : 6);
}

async function fewestPieces({ namespace, nodes }: Life): Promise<number> {
  const claims = await listAll(plane.client, persistentVolumeClaims, { namespace });
  const farmers = new Set(claims.items.map(({ metadata }) => nodes.farmerOn(metadata.uid)));
  return Math.min(
    ...nodes.segments.map(({ holders }) => [...holders].filter((one) => farmers.has(one)).length),
    Number.POSITIVE_INFINITY,
  );
}

/** First life after `first` writes, all others after `others`: so that each k is met by some. */
function* dying(first: number, others: number): Generator<number> {
  yield first;
  for (let operators = 0; operators < maxOperators; operators += 1) yield others;
}

/** Runs the lives side by side; answers with what went wrong. */
async function liveAll(cases: { name: string; limits: Iterable<number> }[]): Promise<string[]> {
  const failures: string[] = [];
  const open = [...cases];
  const worker = async (): Promise<void> => {
    for (let next = open.shift(); next; next = open.shift()) {
      const { name, limits } = next;
      await live(limits).catch((error: Error) => failures.push(`${name}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return failures;
}

describe('killed after its k-th write, on a real API server', () => {
  it('converges', { timeout: 1_800_000 }, async () => {
    const { writes } = await live([]);
    expect(writes).toBeGreaterThan(60);
    const every = Array.from({ length: writes }, (_, i) => i + 1);
    const alone = process.env['STORJ_TEST_EVERY_K'] === '1' ? every : every.filter((k) => k % sampled === sampled >> 1);
    const failures = await liveAll([
      ...[1, 2, 3].map((first) => ({ name: `after ${first}, then after 3 each`, limits: dying(first, 3) })),
      ...alone.map((k) => ({ name: `k = ${k}`, limits: [k] })),
    ]);
    expect(failures).toEqual([]);
  });
});
