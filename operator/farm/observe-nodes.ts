// What the nodes themselves say: who answers in a slot, the bridge's status, the repairer's report, the status of
// farmers that leave. A node that doesn't answer is no error, but something that isn't known.
import type { Context } from '#operator/context.ts';
import type { NodeAddress } from '#operator/nodes.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import type { FarmMemory } from './memory.ts';
import type { Observed, PodFact, ServerFact } from './observed.ts';
import type { ObservedBase } from './observe.ts';
import { isQuiet } from './drain.ts';
import { withKnownLosses } from './known-losses.ts';

/** For one question. */
const nodeTimeoutMs = 5000;
/** Nodes asked at the same time. */
const parallel = 16;
/** A report older than this says nothing. */
const reportStaleMs = 180_000;
/** Between reports while something changes, and while nothing does. */
export const busyMs = 5000;
export const calmMs = 60_000;

type NodeFacts = Pick<Observed, 'contacts' | 'bridgeStatus' | 'report' | 'leaving' | 'leavingSince' | 'drainFloors'>;

export async function observeNodes(
  context: Context,
  base: ObservedBase,
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<NodeFacts> {
  const control = base.keys.control.state === 'Ours' ? base.keys.control.key : undefined;
  await meet(context, base, memory, signal);
  const members = base.config?.config.roster.filter(({ state }) => state === 'Leaving') ?? [];
  trackLeaving(base, memory, members);
  if (control) {
    memory.leaving = await askLeaving(context, base, control, members, signal);
    await askBridge(context, base, memory, control, signal);
    await askReport(context, base, memory, control, members.length > 0, signal);
  }
  const fresh = freshReport(context, base, memory);
  const report = fresh && base.config ? withKnownLosses(fresh, base.config.config.roster) : fresh;
  const bridgeStatus = memory.bridge?.status;
  trackQuiet(base, memory, members, report);
  return {
    contacts: memory.contacts,
    bridgeStatus,
    report,
    leaving: memory.leaving,
    leavingSince: memory.leavingSince,
    drainFloors: memory.drainFloors,
  };
}

/** First contact: once for each pod, because the identity behind a slot only changes with its pod. */
async function meet({ nodes, log }: Context, base: ObservedBase, memory: FarmMemory, signal: AbortSignal): Promise<void> {
  const alive = new Set(base.pods.map(({ uid }) => uid));
  for (const uid of memory.contacts.keys()) if (!alive.has(uid)) memory.contacts.delete(uid);
  const unmet = base.pods.filter((pod) => pod.isReady && !pod.isTerminating && pod.ip !== '' && !memory.contacts.has(pod.uid));
  await inParallel(unmet, async (pod) => {
    try {
      memory.contacts.set(pod.uid, await nodes.firstContact({ pod: pod.name, host: pod.ip }, bounded(signal)));
    } catch (error) {
      signal.throwIfAborted();
      log.info({ pod: pod.name }, `A farmer is ready but doesn't say who it is yet: ${(error as Error).message}`);
    }
  });
}

function trackLeaving(base: ObservedBase, memory: FarmMemory, members: readonly RosterMember[]): void {
  const generation = base.config?.config.generation ?? 0;
  const leaving = new Set(members.map(({ farmer }) => farmer));
  for (const farmer of leaving) if (!memory.leavingSince.has(farmer)) memory.leavingSince.set(farmer, generation);
  for (const map of [memory.leavingSince, memory.quietSince, memory.drainFloors]) {
    for (const farmer of map.keys()) if (!leaving.has(farmer)) map.delete(farmer);
  }
}

async function askLeaving(
  { nodes }: Context,
  base: ObservedBase,
  control: KeyPair,
  members: readonly RosterMember[],
  signal: AbortSignal,
): Promise<FarmMemory['leaving']> {
  const answers: FarmMemory['leaving'] = new Map();
  await inParallel(members, async ({ slot, farmer }) => {
    const pod = base.pods.find(({ name }) => name === slot);
    if (!pod || pod.ip === '') return;
    try {
      answers.set(farmer, await nodes.farmerStatus(addressOf(pod, farmer), control, bounded(signal)));
    } catch {
      signal.throwIfAborted();
    }
  });
  return answers;
}

async function askBridge(
  { nodes, clock, log }: Context,
  base: ObservedBase,
  memory: FarmMemory,
  control: KeyPair,
  signal: AbortSignal,
): Promise<void> {
  const address = serverAddress(base.bridge, base.keys.bridge);
  if (!address) {
    memory.bridge = undefined;
    return;
  }
  try {
    const status = await nodes.bridgeStatus(address, control, bounded(signal));
    memory.bridge = { status, askedMs: clock.monotonicMs() };
  } catch (error) {
    signal.throwIfAborted();
    memory.bridge = undefined;
    log.debug({ pod: address.pod }, `The bridge doesn't answer: ${(error as Error).message}`);
  }
}

async function askReport(
  { nodes, clock, log }: Context,
  base: ObservedBase,
  memory: FarmMemory,
  control: KeyPair,
  isDraining: boolean,
  signal: AbortSignal,
): Promise<void> {
  const address = serverAddress(base.repairers[0], base.keys.repairer);
  const nowMs = clock.monotonicMs();
  const known = memory.report;
  const isBehind = known !== undefined && known.report.generation < (base.config?.config.generation ?? 0);
  const isBusy = isDraining || isBehind || known === undefined || known.report.state !== 'Healthy';
  if (!address || (known && nowMs - known.askedMs < (isBusy ? busyMs / 2 : calmMs / 2))) return;
  try {
    const report = await nodes.farmReport(address, control, bounded(signal));
    const isNew = known?.report.atMs !== report.atMs || known.report.startedMs !== report.startedMs;
    memory.report = { report, askedMs: nowMs, changedMs: isNew ? nowMs : known.changedMs };
  } catch (error) {
    signal.throwIfAborted();
    log.debug({ pod: address.pod }, `The repairer gives no report: ${(error as Error).message}`);
  }
}

/** Stale by our own clock: a repairer that hangs gives the same report again and again. */
function freshReport({ clock }: Context, base: ObservedBase, memory: FarmMemory): FarmReport | undefined {
  const known = memory.report;
  if (!known || clock.monotonicMs() - known.changedMs > reportStaleMs) return undefined;
  const isOurs = known.report.farmUid === base.farm.metadata.uid && known.report.state !== 'Unknown';
  return isOurs ? known.report : undefined;
}

/**
 * A proof must rest on what was read after everything had become quiet, by the repairer's own clock. The report that is
 * there when that is first seen may be older, so the first one that differs from it gives the moment.
 */
function trackQuiet(
  base: ObservedBase,
  memory: FarmMemory,
  members: readonly RosterMember[],
  report: FarmReport | undefined,
): void {
  for (const { farmer, slot } of members) {
    const quiet = isQuiet(farmer, {
      leavingSince: memory.leavingSince.get(farmer),
      hasBridge: base.farm.spec.bridge.replicas > 0 || base.bridge !== undefined,
      bridge: memory.bridge?.status,
      farmer: memory.leaving.get(farmer),
      isReady: base.pods.some((pod) => pod.name === slot && pod.isReady),
      report,
    });
    if (!quiet.done || !report) {
      memory.quietSince.delete(farmer);
      memory.drainFloors.delete(farmer);
      continue;
    }
    const sinceMs = memory.quietSince.get(farmer);
    if (sinceMs === undefined) memory.quietSince.set(farmer, report.atMs);
    else if (!memory.drainFloors.has(farmer) && report.atMs > sinceMs) memory.drainFloors.set(farmer, report.atMs);
  }
}

export function serverAddress(server: ServerFact | undefined, key: Observed['keys']['bridge']): NodeAddress | undefined {
  return serverAt(server, key.state === 'Ours' ? key.key.publicKey : undefined);
}
export function serverAt(server: ServerFact | undefined, identity: string | undefined): NodeAddress | undefined {
  if (!server || server.ip === '' || identity === undefined) return undefined;
  return { pod: server.podName, host: server.ip, identity };
}

export function addressOf(pod: PodFact, identity: string): NodeAddress {
  return { pod: pod.name, host: pod.ip, identity };
}

export function bounded(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(nodeTimeoutMs)]);
}

export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker));
}
