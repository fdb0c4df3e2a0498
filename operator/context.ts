// What a reconcile works with; made once by main.ts, or by a test.
import type { Applier } from './kube/apply.ts';
import type { KubeClient } from './kube/client.ts';
import type { EventRecorder } from './kube/events.ts';
import type { Clock } from './runtime/clock.ts';
import type { Log } from './runtime/log.ts';
import type { Nodes } from './nodes.ts';
import type { Reader } from './reader.ts';
import type { Settings } from './farm/observed.ts';
import type { FarmMemories } from './farm/memory.ts';
import type { OperatorMetrics } from './metrics.ts';

export interface Context {
  settings: Settings;
  client: KubeClient;
  reader: Reader;
  applier: Applier;
  events: EventRecorder;
  nodes: Nodes;
  clock: Clock;
  log: Log;
  metrics: OperatorMetrics;
  memories: FarmMemories;
  /** Cryptographic chance. */
  randomBytes: (count: number) => Uint8Array;
}
