// At most one operator acts: it holds a Lease, renews it, and stops being the one when it can't renew in time.
// Whether another holder is still alive is judged by when we saw its Lease change, never by its clock.
import type { Clock, Random } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient, ObjectRef } from './client.ts';
import type { KubeMetrics } from './kube-metrics.ts';
import type { Lease, Live } from './resources.ts';
import { sleep } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { find } from './client.ts';
import { isAlreadyExists, isConflict, isNotFound } from './errors.ts';
import { leases } from './resources.ts';

export interface LeaseOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Of this process, never used by another: the pod's name with something random. */
  identity: string;
  clock: Clock;
  random: Random;
  /** After which others may take an unrenewed Lease; default 15 s. */
  durationMs?: number;
  /** After which a holder that can't renew gives up; default 10 s. Must be shorter. */
  renewDeadlineMs?: number;
  /** Between attempts; default 2 s. */
  retryMs?: number;
  metrics?: KubeMetrics;
  log?: Log;
}

/** The time as the holder. */
export interface Term {
  /** When it began: above that of all terms before. */
  readonly acquireTimeMs: number;
  /** Aborted with LeaseLostError when it is over; whoever acts must stop at once, so the process exits. */
  readonly lost: AbortSignal;
  /** Gives the Lease back, so that the next one needn't wait. */
  release(): Promise<void>;
}

export class LeaseLostError extends Error {
  readonly code = 'LeaseLost';

  constructor(name: string, why: string) {
    super(`The Lease ${name} is lost: ${why}. This process must not act any more.`);
    this.name = 'LeaseLostError';
  }
}

interface Settings extends LeaseOptions {
  durationMs: number;
  renewDeadlineMs: number;
  retryMs: number;
  log: Log;
  ref: ObjectRef;
}

/** Waits until the Lease is ours. Rejects with the signal's reason. */
export async function acquireLease(options: LeaseOptions, signal: AbortSignal): Promise<Term> {
  const settings: Settings = {
    durationMs: 15_000,
    renewDeadlineMs: 10_000,
    retryMs: 2000,
    log: silentLog,
    ...options,
    ref: { namespace: options.namespace, name: options.name },
  };
  const { clock, random, retryMs, log, metrics, name } = settings;
  metrics?.leading(name, false);
  const observe = createObserver(clock);
  for (;;) {
    const startMs = clock.monotonicMs();
    try {
      const held = await tryToTake(settings, observe, signal);
      if (held !== undefined) {
        metrics?.leading(name, true);
        log.info({ lease: name, identity: settings.identity }, 'The Lease is ours.');
        return startTerm(settings, held, startMs);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isConflict(error) && !isAlreadyExists(error)) {
        log.warn({ lease: name }, `The Lease can't be taken: ${(error as Error).message}`);
      }
    }
    await sleep(clock, retryMs * (1 + 0.2 * random()), signal);
  }
}

/** Tells for how long we have seen a Lease unchanged. */
function createObserver(clock: Clock): (lease: Live<Lease>) => number {
  let seen: { what: string; atMs: number } | undefined;
  return ({ metadata, spec }) => {
    const what = `${metadata.uid} ${spec?.holderIdentity} ${spec?.renewTime}`;
    if (seen?.what !== what) seen = { what, atMs: clock.monotonicMs() };
    return clock.monotonicMs() - seen.atMs;
  };
}

async function tryToTake(
  settings: Settings,
  unchangedMs: (lease: Live<Lease>) => number,
  signal: AbortSignal,
): Promise<Live<Lease> | undefined> {
  const { client, clock, ref, identity } = settings;
  const callOptions = { signal, deadlineMs: settings.renewDeadlineMs };
  const lease = await find(client, leases, ref, callOptions);
  const nowMs = clock.nowMs();
  if (lease === undefined)
    return client.create(leases, leaseOf(settings, { acquireMs: nowMs, renewMs: nowMs, transitions: 0 }), callOptions);
  const {
    holderIdentity = '',
    leaseDurationSeconds = settings.durationMs / 1000,
    leaseTransitions = 0,
    acquireTime,
  } = lease.spec ?? {};
  const age = unchangedMs(lease);
  if (holderIdentity !== '' && holderIdentity !== identity && age < leaseDurationSeconds * 1000) return undefined;
  const acquireMs = Math.max(nowMs, acquireTime === undefined ? 0 : Date.parse(acquireTime) + 1);
  const next = leaseOf(settings, { acquireMs, renewMs: nowMs, transitions: leaseTransitions + 1 });
  return client.replace(leases, { ...lease, spec: next.spec ?? {} }, callOptions);
}

function leaseOf(settings: Settings, times: { acquireMs: number; renewMs: number; transitions: number }): Lease {
  const { namespace, name, identity, durationMs } = settings;
  return {
    apiVersion: leases.apiVersion,
    kind: leases.kind,
    metadata: { namespace, name },
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: microTime(times.acquireMs),
      renewTime: microTime(times.renewMs),
      leaseTransitions: times.transitions,
    },
  };
}

function startTerm(settings: Settings, taken: Live<Lease>, takenMs: number): Term {
  const { client, clock, renewDeadlineMs, retryMs, ref, name, identity, log, metrics } = settings;
  const lost = new AbortController();
  const released = new AbortController();
  const over = AbortSignal.any([lost.signal, released.signal]);
  let held = taken;
  let cancelGuard = (): void => {};

  const lose = (why: string): void => {
    if (over.aborted) return;
    cancelGuard();
    metrics?.leading(name, false);
    log.error({ lease: name, identity }, `The Lease is lost: ${why}.`);
    lost.abort(new LeaseLostError(name, why));
  };
  // A timer of its own: a call that hangs must not keep us from noticing.
  const guard = (renewedMs: number): void => {
    cancelGuard();
    const leftMs = renewedMs + renewDeadlineMs - clock.monotonicMs();
    cancelGuard = clock.schedule(Math.max(0, leftMs), () => lose(`it couldn't be renewed for ${renewDeadlineMs} ms`));
  };
  const renew = async (): Promise<void> => {
    const startMs = clock.monotonicMs();
    const next = { ...held, spec: { ...held.spec, renewTime: microTime(clock.nowMs()) } };
    try {
      held = await client.replace(leases, next, { signal: over, deadlineMs: renewDeadlineMs });
      guard(startMs);
    } catch (error) {
      if (over.aborted || !(isConflict(error) || isNotFound(error))) throw error;
      const found = await find(client, leases, ref, { signal: over, deadlineMs: renewDeadlineMs });
      if (found?.spec?.holderIdentity !== identity) lose(`${found?.spec?.holderIdentity || 'nobody'} holds it`);
      else held = found;
    }
  };
  const keep = async (): Promise<void> => {
    while (!over.aborted) {
      try {
        await sleep(clock, retryMs, over);
        await renew();
      } catch (error) {
        if (!over.aborted) log.warn({ lease: name }, `The Lease can't be renewed yet: ${(error as Error).message}`);
      }
    }
  };

  guard(takenMs);
  const kept = keep();
  return {
    acquireTimeMs: Date.parse(taken.spec?.acquireTime ?? ''),
    lost: lost.signal,
    async release() {
      if (over.aborted) return;
      cancelGuard();
      released.abort(new LeaseLostError(name, 'it was released'));
      metrics?.leading(name, false);
      await kept;
      try {
        await giveBack(settings);
      } catch (error) {
        log.warn({ lease: name }, `The Lease can't be given back; it runs out by itself: ${(error as Error).message}`);
      }
    },
  };
}

/** Read anew: a renewal that was under way may have arrived. */
async function giveBack({ client, clock, ref, identity, retryMs }: Settings): Promise<void> {
  const held = await find(client, leases, ref, { deadlineMs: retryMs });
  if (held?.spec?.holderIdentity !== identity) return;
  const spec = { ...held.spec, holderIdentity: '', renewTime: microTime(clock.nowMs()) };
  await client.replace(leases, { ...held, spec }, { deadlineMs: retryMs });
}

/** RFC 3339 with microseconds, which the API asks for. */
export function microTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000Z');
}
