// The spine of a farm: observe → desired → plan → apply → report. All branching is here; what is decided, is decided
// in the pure files, and whatever happens on the way, the status is written at the end.
import type { Context } from '#operator/context.ts';
import type { Outcome } from '#operator/runtime/outcome.ts';
import type { FarmMemory } from './memory.ts';
import type { Observed } from './observed.ts';
import type { Plan, Problem } from './plan.ts';
import { storjFarms } from '#operator/api.ts';
import { syncBridge } from '#operator/bucket/bridge-sync.ts';
import { refOfKey } from '#operator/kube/client.ts';
import { done, requeueAfter, StalledError } from '#operator/runtime/outcome.ts';
import { applyConfig, applyObjects, applyVolumes, createKeys, prune, type Applying } from './apply.ts';
import { buildOf } from './desired/index.ts';
import { foreignInstall, tellForeign } from './foreign.ts';
import { keysOf } from './keys.ts';
import { observeFarm } from './observe.ts';
import { busyMs, calmMs } from './observe-nodes.ts';
import { planFarm } from './plan.ts';
import { reportFarm } from './report.ts';
import { rosterStories } from './story.ts';
import { keepFinalizer, teardownFarm } from './teardown.ts';
import { tellNodes } from './tell-nodes.ts';

export function createFarmReconcile(context: Context): (key: string, signal: AbortSignal) => Promise<Outcome> {
  return async (key, signal) => {
    const farm = await context.reader.get(storjFarms, refOfKey(key), signal);
    if (!farm) {
      context.metrics.forgetFarm(key);
      return done;
    }
    if (farm.metadata.deletionTimestamp !== undefined) {
      context.memories.forget(farm.metadata.uid);
      return teardownFarm(context, farm, signal);
    }
    const memory = context.memories.of(farm.metadata.uid);
    const observed = await observeFarm(context, farm, memory, signal);
    const foreign = foreignInstall(observed);
    if (foreign !== undefined) return tellForeign(context, observed, memory, foreign, signal);
    if (await keepFinalizer(context, farm, signal)) return done;
    return bringAbout(context, observed, memory, signal);
  };
}

async function bringAbout(context: Context, observed: Observed, memory: FarmMemory, signal: AbortSignal): Promise<Outcome> {
  let plan: Plan | undefined;
  let stalled: Problem | undefined;
  let untold: string[] = [];
  let failure: unknown;
  try {
    const answer = keysOf(observed);
    if (answer.state === 'Create' && !observed.farm.spec.paused) {
      await createKeys(context, observed, answer.roles, signal);
      return requeueAfter(100);
    }
    if (answer.state === 'Stalled') stalled = answer.problem;
    if (answer.state === 'Ready') {
      const planned = planFarm(observed, answer.keys);
      if (planned.stalled) stalled = planned.stalled;
      else {
        plan = planned.plan;
        const build = buildOf(observed, plan.image, answer.keys.controlKey);
        if (!observed.farm.spec.paused) {
          untold = await act({ context, observed, build, plan, memory, signal }, answer.control);
        }
      }
    }
  } catch (error) {
    failure = error;
    if (error instanceof StalledError) {
      const { reason, message } = error;
      stalled = { reason, message };
      // What it waits for may be something that isn't watched.
      failure = new StalledError(reason, message, { recheckAfterMs: calmMs, cause: error });
    }
  }
  const isBusy = await reportFarm(context, { observed, plan, stalled, untold, memory }, signal);
  if (failure !== undefined) throw failure;
  return requeueAfter(isBusy ? busyMs : calmMs);
}

/** The order is what makes it safe to be cut off after any write. */
async function act(applying: Applying, control: Parameters<typeof tellNodes>[3]): Promise<string[]> {
  const { context, observed, plan, memory, signal } = applying;
  await applyVolumes(applying);
  await applyConfig(applying);
  for (const story of rosterStories(observed.config?.config.roster ?? [], plan.config.roster)) {
    context.events.record(observed.farm, story);
  }
  const untold = await tellNodes(context, observed, plan.config, control, memory, signal);
  await applyObjects(applying);
  await prune(applying);
  await syncBridge(context, observed, control, memory, signal);
  return untold;
}
