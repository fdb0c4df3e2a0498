// Writes what was found: status, events, metrics. Status is written only where it differs.
import type { Context } from '#operator/context.ts';
import type { FarmMemory } from './memory.ts';
import type { Observed } from './observed.ts';
import type { Plan, Problem } from './plan.ts';
import { storjFarms } from '#operator/api.ts';
import { isNotFound } from '#operator/kube/errors.ts';
import { farmStatus, problemOf, workOf, type StatusInput } from './status.ts';
import { conditionStories } from './story.ts';

/** Numbers that move by themselves. */
const numbersEveryMs = 600_000;

export interface Findings {
  observed: Observed;
  plan: Plan | undefined;
  stalled: Problem | undefined;
  untold: readonly string[];
  memory: FarmMemory;
}

/** True while something is under way, so that the next look is soon. */
export async function reportFarm(context: Context, findings: Findings, signal: AbortSignal): Promise<boolean> {
  const { observed, plan, stalled, untold, memory } = findings;
  const { farm } = observed;
  const nowMs = context.clock.monotonicMs();
  const mayWriteNumbers = nowMs - memory.numbersMs >= numbersEveryMs;
  const input: StatusInput = { observed, plan, stalled, untold, refusedSizes: refusedSizes(observed, memory), mayWriteNumbers };
  const status = farmStatus(input);
  context.metrics.setFarm(observed, status);
  try {
    const { result } = await context.applier.applyStatus(storjFarms, farm, status, { signal });
    if (result !== 'unchanged') {
      if (status.summary?.capacity !== farm.status?.summary?.capacity) memory.numbersMs = nowMs;
      for (const story of conditionStories(farm.status?.conditions, status.conditions ?? [])) context.events.record(farm, story);
    }
  } catch (error) {
    // Deleted on the way: nothing is left to be told.
    if (!isNotFound(error)) throw error;
  }
  const isBehind = plan !== undefined && (observed.report?.generation ?? 0) < plan.config.generation;
  return workOf(input) !== undefined || (problemOf(input) === undefined && (isBehind || observed.report?.state !== 'Healthy'));
}

/** Refusals that still matter, by volume name. */
function refusedSizes({ volumes, farm }: Observed, memory: FarmMemory): Map<string, string> {
  const { size } = farm.spec.farmers.storage;
  for (const uid of memory.refusedSizes.keys())
    if (!volumes.some((volume) => volume.uid === uid)) memory.refusedSizes.delete(uid);
  return new Map(
    volumes.flatMap((volume): [string, string][] => {
      const refused = memory.refusedSizes.get(volume.uid);
      return refused?.size === size ? [[volume.name, refused.message]] : [];
    }),
  );
}
