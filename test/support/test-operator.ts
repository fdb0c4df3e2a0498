// The operator's two reconciles without reflectors, queues and Lease: one pass over given keys at a time.
import { Registry } from 'prom-client';
import type { Context } from '#operator/context.ts';
import type { Settings } from '#operator/farm/observed.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Story } from '#operator/kube/events.ts';
import type { Nodes } from '#operator/nodes.ts';
import type { Clock } from '#operator/runtime/clock.ts';
import { createBucketReconcile } from '#operator/bucket/reconcile.ts';
import { createFarmMemories } from '#operator/farm/memory.ts';
import { createFarmReconcile } from '#operator/farm/reconcile.ts';
import { createApplier } from '#operator/kube/apply.ts';
import { isConflict, isNotFound } from '#operator/kube/errors.ts';
import { createOperatorMetrics } from '#operator/metrics.ts';
import { createReader } from '#operator/reader.ts';
import { silentLog } from '#operator/runtime/log.ts';
import { StalledError, WaitingError } from '#operator/runtime/outcome.ts';

export interface TestOperatorOptions {
  client: KubeClient;
  nodes: Nodes;
  clock: Clock;
  settings: Settings;
  randomBytes: (count: number) => Uint8Array;
  tell?: (story: Story) => void;
}

export interface TestOperator {
  context: Context;
  /** One reconcile of each; what a controller would quietly try again is swallowed, the rest thrown. */
  pass(farms: readonly string[], buckets: readonly string[]): Promise<void>;
}

export function createTestOperator({ client, nodes, clock, settings, randomBytes, tell }: TestOperatorOptions): TestOperator {
  const context: Context = {
    settings,
    client,
    reader: createReader(client),
    applier: createApplier({ client }),
    events: { record: (_regarding, story) => tell?.(story), flush: () => Promise.resolve() },
    nodes,
    clock,
    log: silentLog,
    metrics: createOperatorMetrics(new Registry(), { version: 'test' }),
    memories: createFarmMemories(),
    randomBytes,
  };
  const farm = createFarmReconcile(context);
  const bucket = createBucketReconcile(context);
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      const isPatient = error instanceof StalledError || error instanceof WaitingError || isConflict(error) || isNotFound(error);
      if (!isPatient) throw error;
    }
  };
  return {
    context,
    async pass(farms, buckets) {
      const signal = new AbortController().signal;
      for (const key of farms) await attempt(() => farm(key, signal));
      for (const key of buckets) await attempt(() => bucket(key, signal));
    },
  };
}
