// Another install of the operator manages the farm: hands off, and say so without quarrelling over the status.
import type { Context } from '#operator/context.ts';
import type { Outcome } from '#operator/runtime/outcome.ts';
import type { FarmMemory } from './memory.ts';
import type { Observed } from './observed.ts';
import { marks, storjFarms } from '#operator/api.ts';
import { mergeConditions, timeText } from '#operator/conditions.ts';
import { requeueAfter } from '#operator/runtime/outcome.ts';
import { calmMs } from './observe-nodes.ts';

/** The other install's id, unless the farm's annotation hands it to us. */
export function foreignInstall({ farm, config, settings }: Observed): string | undefined {
  if (!config || config.installId === settings.installId) return undefined;
  return farm.metadata.annotations?.[marks.takeOver] === settings.installId ? undefined : config.installId;
}

export async function tellForeign(
  context: Context,
  observed: Observed,
  memory: FarmMemory,
  other: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const { farm, nowMs, settings } = observed;
  const { name, namespace, generation = 0 } = farm.metadata;
  const message =
    `The install ${other} manages this farm, so ${settings.installId} doesn't touch it. To hand it over: ` +
    `kubectl -n ${namespace} annotate storjfarm ${name} --overwrite ${marks.takeOver}=${settings.installId}`;
  if (!memory.isForeignTold) {
    context.events.record(farm, { type: 'Warning', reason: 'ManagedByAnother', action: 'TakeOver', note: message });
    memory.isForeignTold = true;
  }
  // An install that is alive has already spoken for this generation; then its word stands.
  if (farm.status?.observedGeneration !== generation) {
    const verdict = { type: 'Stalled', status: 'True' as const, reason: 'ManagedByAnother', message };
    const kept = (farm.status?.conditions ?? []).filter(({ type }) => type !== 'Stalled');
    const conditions = [...kept, ...mergeConditions([verdict], farm.status?.conditions, generation, timeText(nowMs))];
    await context.applier.applyStatus(
      storjFarms,
      farm,
      { ...farm.status, observedGeneration: generation, conditions },
      { signal },
    );
  }
  return requeueAfter(calmMs);
}
