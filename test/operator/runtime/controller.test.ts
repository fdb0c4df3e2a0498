import { Registry } from 'prom-client';
import { afterEach, describe, expect, test } from 'vitest';
import type { ControllerOptions, Reconcile } from '#operator/runtime/controller.ts';
import { createController } from '#operator/runtime/controller.ts';
import { done, requeueAfter, StalledError, WaitingError } from '#operator/runtime/outcome.ts';
import { createRuntimeMetrics } from '#operator/runtime/runtime-metrics.ts';
import { createFakeClock, settle } from './fake-clock.ts';

const stops: AbortController[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop.abort()));

function given(reconcile: Reconcile, options: Partial<ControllerOptions> = {}) {
  const clock = createFakeClock();
  const registry = new Registry();
  const controller = createController({
    name: 'exam',
    clock,
    random: () => 0.5,
    backoff: { baseMs: 10, maxMs: 1000 },
    metrics: createRuntimeMetrics(registry, clock),
    reconcile,
    ...options,
  });
  const stop = new AbortController();
  stops.push(stop);
  const ended = controller.run(stop.signal);
  const metric = async (name: string, labels: Record<string, string> = {}): Promise<number | undefined> => {
    const found = (await registry.getMetricsAsJSON()).find((all) => all.name === name);
    const values = (found?.values ?? []) as { value: number; labels: Record<string, string> }[];
    return values.find((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))?.value;
  };
  return { clock, controller, stop, ended, metric, registry };
}

/** A reconcile that notes when it ran, and does what the script says, the last line for ever. */
function scripted(script: (() => Promise<object>)[]) {
  const runs: string[] = [];
  const reconcile: Reconcile = async (key) => {
    runs.push(key);
    return (script[Math.min(runs.length, script.length) - 1] ?? (() => Promise.resolve(done)))();
  };
  return { runs, reconcile };
}

function fail(error: Error) {
  return async (): Promise<never> => {
    throw error;
  };
}

describe('controller', () => {
  test('works on what is enqueued, and rests then', async () => {
    const { runs, reconcile } = scripted([]);
    const { controller, clock, metric } = given(reconcile);
    controller.enqueue('a');
    controller.enqueue('b');
    await clock.advance(60_000);
    expect(runs).toEqual(['a', 'b']);
    expect(controller.idle()).toBe(true);
    expect(await metric('controller_runtime_reconcile_total', { result: 'success' })).toBe(2);
  });

  test('works on as many keys at once as it has workers, and on none twice', async () => {
    const open: (() => void)[] = [];
    const running: string[] = [];
    const reconcile: Reconcile = async (key) => {
      running.push(key);
      await new Promise<void>((resolve) => open.push(resolve));
      running.splice(running.indexOf(key), 1);
      return done;
    };
    const { controller, metric } = given(reconcile, { workers: 2 });
    for (const key of ['a', 'b', 'c']) controller.enqueue(key);
    await settle();
    controller.enqueue('a');
    await settle();
    expect(running).toEqual(['a', 'b']);
    expect(await metric('controller_runtime_active_workers')).toBe(2);
    while (open.length > 0) {
      open.shift()?.();
      await settle();
      expect(new Set(running).size).toBe(running.length);
    }
    expect(controller.idle()).toBe(true);
  });

  test('a failure is retried with growing pauses until it goes well', async () => {
    const { runs, reconcile } = scripted([fail(new Error('no')), fail(new Error('no')), () => Promise.resolve(done)]);
    const { controller, clock, metric } = given(reconcile);
    controller.enqueue('a');
    await clock.advance(9);
    expect(runs).toHaveLength(1);
    await clock.advance(1);
    expect(runs).toHaveLength(2);
    await clock.advance(19);
    expect(runs).toHaveLength(2);
    await clock.advance(60_000);
    expect(runs).toHaveLength(3);
    expect(await metric('controller_runtime_reconcile_errors_total')).toBe(2);
    expect(await metric('workqueue_retries_total')).toBe(2);
  });

  test('once it went well, the next failure starts with the shortest pause again', async () => {
    const { runs, reconcile } = scripted([
      fail(new Error('no')),
      fail(new Error('no')),
      () => Promise.resolve(done),
      fail(new Error('no')),
      () => Promise.resolve(done),
    ]);
    const { controller, clock } = given(reconcile);
    controller.enqueue('a');
    await clock.advance(1000);
    expect(runs).toHaveLength(3);
    controller.enqueue('a');
    await clock.advance(10);
    expect(runs).toHaveLength(5);
  });

  test('what is stalled waits for a change; what waits looks again at a steady pace', async () => {
    const stalled = scripted([fail(new StalledError('Bad', 'fix it'))]);
    const first = given(stalled.reconcile);
    first.controller.enqueue('a');
    await first.clock.advance(3_600_000);
    expect(stalled.runs).toHaveLength(1);
    expect(await first.metric('controller_runtime_terminal_reconcile_errors_total')).toBe(1);
    first.controller.enqueue('a');
    await first.clock.advance(1);
    expect(stalled.runs).toHaveLength(2);

    const waiting = scripted([fail(new WaitingError('NotYet', 'soon', { requeueAfterMs: 1000 }))]);
    const second = given(waiting.reconcile);
    second.controller.enqueue('a');
    await second.clock.advance(10_000);
    expect(waiting.runs).toHaveLength(11);
    expect(await second.metric('controller_runtime_reconcile_errors_total')).toBe(0);
  });

  test('an outcome may ask for another look', async () => {
    const { runs, reconcile } = scripted([() => Promise.resolve(requeueAfter(500)), () => Promise.resolve(done)]);
    const { controller, clock, metric } = given(reconcile);
    controller.enqueue('a');
    await clock.advance(499);
    expect(runs).toHaveLength(1);
    await clock.advance(10_000);
    expect(runs).toHaveLength(2);
    expect(await metric('controller_runtime_reconcile_total', { result: 'requeue_after' })).toBe(1);
  });

  test('a bug in one key harms no other, even when it throws before it awaits', async () => {
    const runs: string[] = [];
    const reconcile = ((key: string) => {
      runs.push(key);
      if (key === 'bad') throw new TypeError('x is undefined');
      return Promise.resolve(done);
    }) as Reconcile;
    const { controller, clock, metric } = given(reconcile, { workers: 1 });
    controller.enqueue('bad');
    controller.enqueue('good');
    await clock.advance(1);
    expect(runs).toEqual(['bad', 'good']);
    expect(await metric('controller_runtime_reconcile_panics_total')).toBe(1);
  });

  test('at its deadline a reconcile is told to stop, and is retried', async () => {
    let runs = 0;
    const reconcile: Reconcile = (_key, signal) => {
      runs += 1;
      return runs > 1
        ? Promise.resolve(done)
        : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('cut'))));
    };
    const { controller, clock, metric } = given(reconcile, { deadlineMs: 1000 });
    controller.enqueue('a');
    await clock.advance(999);
    expect(runs).toBe(1);
    await clock.advance(100);
    expect(runs).toBe(2);
    expect(await metric('controller_runtime_reconcile_timeouts_total')).toBe(1);
  });

  test('one that ignores its signal costs neither its worker nor gets company', async () => {
    const runs: string[] = [];
    let release = (): void => {};
    const reconcile: Reconcile = async (key) => {
      runs.push(key);
      if (runs.length === 1) await new Promise<void>((resolve) => (release = resolve));
      return done;
    };
    const { controller, clock, metric } = given(reconcile, { workers: 1, deadlineMs: 1000, graceMs: 500 });
    controller.enqueue('hung');
    controller.enqueue('next');
    await clock.advance(1499);
    expect(runs).toEqual(['hung']);
    controller.enqueue('hung');
    await clock.advance(1);
    expect(runs).toEqual(['hung', 'next']);
    expect(await metric('workqueue_unfinished_work_seconds')).toBe(1.5);
    release();
    await clock.advance(1);
    expect(runs).toEqual(['hung', 'next', 'hung']);
  });

  test('stopped, it cuts what runs, starts nothing, and ends', async () => {
    const runs: string[] = [];
    const reconcile: Reconcile = (key, signal) => {
      runs.push(key);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    };
    const { controller, stop, ended, clock, metric } = given(reconcile, { workers: 1 });
    controller.enqueue('a');
    controller.enqueue('b');
    await settle();
    stop.abort();
    await ended;
    expect(runs).toEqual(['a']);
    expect(clock.timers).toBe(0);
    expect(await metric('controller_runtime_reconcile_errors_total')).toBe(0);
  });

  test('the metrics have the names and labels of controller-runtime', async () => {
    const { registry, controller, clock } = given(scripted([]).reconcile, { workers: 3 });
    controller.enqueue('a');
    await clock.advance(1);
    const text = await registry.metrics();
    for (const line of [
      'controller_runtime_reconcile_total{controller="exam",result="success"} 1',
      'controller_runtime_reconcile_total{controller="exam",result="error"} 0',
      'controller_runtime_max_concurrent_reconciles{controller="exam"} 3',
      'controller_runtime_reconcile_time_seconds_count{controller="exam"} 1',
      'workqueue_adds_total{name="exam",controller="exam"} 1',
      'workqueue_depth{name="exam",controller="exam"} 0',
      'workqueue_work_duration_seconds_count{name="exam",controller="exam"} 1',
      'workqueue_longest_running_processor_seconds{name="exam",controller="exam"} 0',
    ]) {
      expect(text).toContain(line);
    }
  });
});
