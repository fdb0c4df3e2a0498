// A whole world for the operator without processes: memory API server, played cluster, stub nodes, own time. Operators
// can be started anew in it at any moment, as after a SIGKILL.
import { createHash } from 'node:crypto';
import type { StorjBucketSpecInput, StorjFarmSpecInput } from '#crds/types.ts';
import type { Context } from '#operator/context.ts';
import type { Story } from '#operator/kube/events.ts';
import type { MemoryKube } from '#operator/kube/memory-kube.ts';
import type { ConfigMap, Live, PersistentVolumeClaim, Pod, ResourceType, StatefulSet } from '#operator/kube/resources.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { apiVersion, storjBuckets, storjFarms, type StorjBucket, type StorjFarm } from '#operator/api.ts';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { configMaps, persistentVolumeClaims, pods, statefulSets } from '#operator/kube/resources.ts';
import { farmConfigSchema } from '#node/interface/config.ts';
import { withDefaults } from './crd-defaults.ts';
import { playCluster, type ClusterPlay } from './play-cluster.ts';
import { createTestOperator } from './test-operator.ts';
import { createStubNodes, type StubNodes } from './stub-nodes.ts';

export const namespace = 'farm';
/** Of each farmer's volume. */
export const size = '100Gi';

export interface WorldOperator {
  context: Context;
  /** One reconcile of everything; errors that a controller would retry are swallowed, others thrown. */
  pass(): Promise<void>;
}

export interface FarmWorld {
  kube: MemoryKube;
  nodes: StubNodes;
  play: ClusterPlay;
  stories: Story[];
  nowMs(): number;
  advance(ms: number): void;
  startOperator(settings?: { installId?: string; nodeImage?: string }): WorldOperator;
  createFarm(spec: StorjFarmSpecInput, options?: { name?: string; annotations?: Record<string, string> }): Promise<void>;
  createBucket(
    name: string,
    spec: StorjBucketSpecInput,
    options?: { namespace?: string; annotations?: Record<string, string> },
  ): Promise<void>;
  patchFarm(patch: object, name?: string): Promise<void>;
  farm(name?: string): Live<StorjFarm>;
  bucket(name: string, inNamespace?: string): Live<StorjBucket>;
  condition(type: string, name?: string): { status: string; reason: string; message: string } | undefined;
  bucketCondition(type: string, name: string): { status: string; reason: string; message: string } | undefined;
  config(name?: string): FarmConfig | undefined;
  replicas(name?: string): Record<string, number>;
  claims(): Live<PersistentVolumeClaim>[];
  /** Operator, cluster and nodes in turn, until nothing is written any more; fails after too many rounds. */
  settle(operator: WorldOperator, options?: { rounds?: number; until?: () => boolean }): Promise<void>;
  /** One turn of each. */
  round(operator: WorldOperator): Promise<void>;
}

export function createFarmWorld(): FarmWorld {
  let now = Date.UTC(2026, 0, 1);
  let epochs = 0;
  let chance = 0;
  const kube = createMemoryKube({ nowMs: () => now });
  const play: ClusterPlay = { kube, broken: new Set() };
  const config = (name = 'demo'): FarmConfig | undefined => {
    const map = kube.peek<ConfigMap>(configMaps, { namespace, name: `${name}-config` });
    const parsed = farmConfigSchema.safeParse(JSON.parse(map?.data?.['farm.json'] ?? 'null'));
    return parsed.success ? parsed.data : undefined;
  };
  const nodes = createStubNodes({
    volumeUidOf: (pod) =>
      kube.peek<Pod>(pods, { namespace, name: pod }) &&
      kube.peek<PersistentVolumeClaim>(persistentVolumeClaims, { namespace, name: `data-${pod}` })?.metadata.uid,
    mountedConfig: () => config(),
    nowMs: () => now,
  });
  const stories: Story[] = [];
  const clock = { nowMs: () => now, monotonicMs: () => now, schedule: () => () => {} };

  const world: FarmWorld = {
    kube,
    nodes,
    play,
    stories,
    nowMs: () => now,
    advance: (ms) => void (now += ms),
    startOperator({ installId = 'ops/storj', nodeImage = 'localhost/storj-node:1' } = {}) {
      epochs += 1;
      const operator = createTestOperator({
        client: kube,
        nodes,
        clock,
        settings: { installId, operatorNamespace: 'ops', nodeImage, epoch: now + epochs },
        randomBytes(count) {
          chance += 1;
          return new Uint8Array(createHash('shake256', { outputLength: count }).update(String(chance)).digest());
        },
        tell: (story) => void stories.push(story),
      });
      const keys = (type: ResourceType): string[] =>
        kube.peekAll(type).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
      return { context: operator.context, pass: () => operator.pass(keys(storjFarms), keys(storjBuckets)) };
    },
    async createFarm(spec, { name = 'demo', annotations = {} } = {}) {
      await kube.create(
        storjFarms,
        withDefaults({ apiVersion, kind: 'StorjFarm', metadata: { name, namespace, annotations }, spec } as never),
      );
    },
    async createBucket(name, spec, { namespace: where = namespace, annotations = {} } = {}) {
      const metadata = { name, namespace: where, annotations };
      await kube.create(storjBuckets, withDefaults({ apiVersion, kind: 'StorjBucket', metadata, spec } as never));
    },
    async patchFarm(patch, name = 'demo') {
      await kube.mergePatch(storjFarms, { namespace, name }, patch);
    },
    farm: (name = 'demo') => kube.peek<StorjFarm>(storjFarms, { namespace, name })!,
    bucket: (name, where = namespace) => kube.peek<StorjBucket>(storjBuckets, { namespace: where, name })!,
    condition: (type, name = 'demo') => world.farm(name).status?.conditions?.find((one) => one.type === type),
    bucketCondition: (type, name) => world.bucket(name).status?.conditions?.find((one) => one.type === type),
    config,
    replicas: (name = 'demo') =>
      Object.fromEntries(
        kube
          .peekAll<StatefulSet>(statefulSets, namespace)
          .filter(
            ({ metadata }) =>
              metadata.labels?.['storjfarm.io/farm'] === name && metadata.labels['storjfarm.io/zone'] !== undefined,
          )
          .map(({ metadata, spec }) => [metadata.labels!['storjfarm.io/zone']!, spec?.replicas ?? 0]),
      ),
    claims: () => kube.peekAll<PersistentVolumeClaim>(persistentVolumeClaims, namespace),
    async round(operator) {
      await operator.pass();
      await playCluster(play);
      await nodes.tick();
      now += 6000;
    },
    async settle(operator, { rounds = 120, until = () => false } = {}) {
      for (let quiet = 0, round = 0; quiet < 6 && !until(); round += 1) {
        // What is only looked at once a minute must have been looked at.
        if (quiet >= 2) now += 30_000;
        if (round >= rounds)
          throw new Error(
            `not settled after ${rounds} rounds: ${JSON.stringify(
              kube
                .writes()
                .slice(-3)
                .map(({ verb, key, type }) => [verb, type.kind, key]),
            )}`,
          );
        const before = kube.writes().filter(({ changed }) => changed).length;
        const versions = JSON.stringify(kube.peekAll(pods).map(({ metadata }) => metadata.uid));
        await world.round(operator);
        const isQuiet =
          kube.writes().filter(({ changed }) => changed).length === before &&
          JSON.stringify(kube.peekAll(pods).map(({ metadata }) => metadata.uid)) === versions;
        quiet = isQuiet ? quiet + 1 : 0;
      }
    },
  };
  return world;
}

/** A farm that has come up. `more`: of its spec. */
export async function farmOf(replicas: number, more: object = {}): Promise<{ world: FarmWorld; operator: WorldOperator }> {
  const world = createFarmWorld();
  const operator = world.startOperator();
  await world.createFarm({ farmers: { replicas, storage: { size } }, ...more });
  await world.settle(operator);
  return { world, operator };
}
