// Tells the story of an object where people look: `kubectl describe` and `kubectl events`. Repetitions become one
// event with a count; no object and no outage can flood the API server; nobody waits for an event.
import type { Clock, Random } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { RateBucket } from '../runtime/rate-bucket.ts';
import type { KubeClient } from './client.ts';
import type { KubeMetrics } from './kube-metrics.ts';
import type { KubeEvent, KubeObject, Live } from './resources.ts';
import { silentLog } from '../runtime/log.ts';
import { createRateBucket } from '../runtime/rate-bucket.ts';
import { isNotFound } from './errors.ts';
import { microTime } from './lease.ts';
import { events } from './resources.ts';

export interface Story {
  type: 'Normal' | 'Warning';
  /** CamelCase and stable; people filter by it. */
  reason: string;
  /** What was done or decided, CamelCase: `ScaleDown`. */
  action: string;
  /** For people. Cut at 1024 bytes. */
  note: string;
}

export interface EventRecorder {
  /** Queues the event; never fails. One per transition, not per reconcile. */
  record(regarding: Live, story: Story): void;
  /** Resolves when everything that was recorded is sent or given up, counts of repetitions included. */
  flush(): Promise<void>;
}

export interface EventRecorderOptions {
  client: KubeClient;
  /** E.g. `storjfarm.io/operator`. */
  controller: string;
  /** This process: the pod's name. */
  instance: string;
  clock: Clock;
  random: Random;
  metrics?: KubeMetrics;
  log?: Log;
}

/** Events that may wait to be sent. */
const queueLimit = 500;
/** For one object, as in client-go. */
const objectRate = { burst: 25, perSecond: 1 / 300 };
/** Objects whose rate, and events whose repetitions, are remembered. */
const rememberedLimit = 4096;
/** The same thing again within this time is a repetition. */
const seriesMs = 6 * 60_000;
/** Counts are sent at most so often. */
const countEveryMs = 60_000;
/** Limits of the API. */
const noteLimitBytes = 1024;
const nameLimit = 253;

interface Series {
  event: KubeEvent;
  count: number;
  lastMs: number;
  lastObserved: string;
  created: boolean;
  /** Cancels the sending of the count that is planned. */
  cancel: (() => void) | undefined;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, clock, metrics, log = silentLog } = options;
  const rates = new Map<string, RateBucket>();
  const all = new Map<string, Series>();
  const planned = new Set<Series>();
  let queued = 0;
  let tail: Promise<void> = Promise.resolve();

  const send = (what: () => Promise<unknown>): void => {
    if (queued >= queueLimit) {
      metrics?.event('dropped');
      return;
    }
    queued += 1;
    tail = tail.then(what).then(
      () => {
        queued -= 1;
        metrics?.event('sent');
      },
      (error: unknown) => {
        queued -= 1;
        metrics?.event('failed');
        log.debug({}, `An event couldn't be sent: ${(error as Error).message}`);
      },
    );
  };
  const create = (series: Series): void =>
    send(async () => {
      await client.create(events, series.event);
      series.created = true;
    });
  const sendCount = (series: Series): void => {
    series.cancel?.();
    series.cancel = undefined;
    planned.delete(series);
    send(async () => {
      const { namespace, name } = series.event.metadata;
      const patch = { series: { count: series.count, lastObservedTime: series.lastObserved } };
      try {
        if (!series.created) throw new Error('the first event of the series was never sent');
        await client.mergePatch(events, { ...(namespace ? { namespace } : {}), name }, patch);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        await client.create(events, { ...series.event, series: patch.series });
      }
    });
  };
  const allowed = (uid: string): boolean => {
    const bucket = rates.get(uid) ?? createRateBucket(objectRate, clock);
    rates.delete(uid);
    rates.set(uid, bucket);
    if (rates.size > rememberedLimit) rates.delete(rates.keys().next().value ?? '');
    return bucket.take();
  };
  const repeat = (series: Series): void => {
    series.count += 1;
    series.lastMs = clock.monotonicMs();
    series.lastObserved = microTime(clock.nowMs());
    if (series.cancel !== undefined) return;
    planned.add(series);
    series.cancel = clock.schedule(countEveryMs, () => sendCount(series));
  };

  return {
    record(regarding, story) {
      const { uid } = regarding.metadata;
      const key = [uid, story.type, story.reason, story.action, story.note].join('\n');
      const known = all.get(key);
      if (known !== undefined && clock.monotonicMs() - known.lastMs < seriesMs) {
        repeat(known);
        return;
      }
      if (!allowed(uid)) {
        metrics?.event('dropped');
        return;
      }
      const event = eventOf(options, regarding, story);
      const lastMs = clock.monotonicMs();
      const series: Series = { event, count: 1, lastMs, lastObserved: '', created: false, cancel: undefined };
      all.delete(key);
      all.set(key, series);
      if (all.size > rememberedLimit) all.delete(all.keys().next().value ?? '');
      create(series);
    },
    async flush() {
      for (const series of planned) sendCount(series);
      await tail;
    },
  };
}

function eventOf(options: EventRecorderOptions, regarding: KubeObject, story: Story): KubeEvent {
  const { clock, random, controller, instance } = options;
  const { name, uid = '', namespace, resourceVersion } = regarding.metadata;
  const suffix = `.${clock.nowMs().toString(16)}${Math.floor(random() * 2 ** 32)
    .toString(16)
    .padStart(8, '0')}`;
  return {
    apiVersion: events.apiVersion,
    kind: events.kind,
    metadata: { name: name.slice(0, nameLimit - suffix.length) + suffix, namespace: namespace ?? 'default' },
    eventTime: microTime(clock.nowMs()),
    reportingController: controller,
    reportingInstance: instance.slice(0, 128),
    type: story.type,
    reason: story.reason,
    action: story.action,
    note: cut(story.note),
    regarding: {
      apiVersion: regarding.apiVersion,
      kind: regarding.kind,
      name,
      uid,
      ...(namespace === undefined ? {} : { namespace }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}

function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= noteLimitBytes) return note;
  return `${bytes
    .subarray(0, noteLimitBytes - 6)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}…`;
}
