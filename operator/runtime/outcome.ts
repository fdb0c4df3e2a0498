// What one reconcile came to, and what the queue makes of it: the one place where an error becomes
// "stop", "wait" or "try again".

/** Nothing to do until something changes, or look again after a while. */
export type Outcome = { requeueAfterMs?: number };

export const done: Outcome = Object.freeze({});

/** Looks again after `requeueAfterMs` even if nothing changes. */
export function requeueAfter(requeueAfterMs: number): Outcome {
  return { requeueAfterMs };
}

/**
 * Only a change of the world by somebody else helps: a wrong spec, a name that is taken. No retries; `recheckAfterMs`
 * is for what can't be watched. `reason` is the CamelCase reason of the condition, `message` names the remedy.
 */
export class StalledError extends Error {
  readonly code = 'Stalled';
  readonly reason: string;
  readonly recheckAfterMs: number | undefined;

  constructor(reason: string, message: string, options: { recheckAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'StalledError';
    this.reason = reason;
    this.recheckAfterMs = options.recheckAfterMs;
  }
}

/** Something else has to be ready first. Tried again after a steady time, without growing pauses and without alarm. */
export class WaitingError extends Error {
  readonly code = 'Waiting';
  readonly reason: string;
  readonly requeueAfterMs: number;

  constructor(reason: string, message: string, options: { requeueAfterMs: number; cause?: unknown }) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'WaitingError';
    this.reason = reason;
    this.requeueAfterMs = options.requeueAfterMs;
  }
}

/** The reconcile didn't end within its deadline; it was told to stop by its signal. */
export class DeadlineError extends Error {
  readonly code = 'Deadline';

  constructor(deadlineMs: number) {
    super(`The reconcile took longer than ${deadlineMs} ms and was stopped; it is tried again.`);
    this.name = 'DeadlineError';
  }
}

export type Verdict = {
  /** Label `result` of controller_runtime_reconcile_total. */
  result: 'success' | 'requeue_after' | 'error';
  kind: 'done' | 'stalled' | 'waiting' | 'deadline' | 'panic' | 'error';
  /** What happens to the key: forgotten until something changes, looked at later, or retried with growing pauses. */
  next: { type: 'forget' } | { type: 'after'; afterMs: number } | { type: 'backoff' };
};

export function judgeOutcome(outcome: Outcome): Verdict {
  if (outcome.requeueAfterMs === undefined) return { result: 'success', kind: 'done', next: { type: 'forget' } };
  return { result: 'requeue_after', kind: 'done', next: { type: 'after', afterMs: outcome.requeueAfterMs } };
}

export function judgeError(error: unknown): Verdict {
  if (error instanceof StalledError) {
    const { recheckAfterMs } = error;
    const next: Verdict['next'] = recheckAfterMs === undefined ? { type: 'forget' } : { type: 'after', afterMs: recheckAfterMs };
    return { result: 'error', kind: 'stalled', next };
  }
  if (error instanceof WaitingError) {
    return { result: 'requeue_after', kind: 'waiting', next: { type: 'after', afterMs: error.requeueAfterMs } };
  }
  if (error instanceof DeadlineError) return { result: 'error', kind: 'deadline', next: { type: 'backoff' } };
  return { result: 'error', kind: isBug(error) ? 'panic' : 'error', next: { type: 'backoff' } };
}

/** A mistake in our own code rather than in the world: what Go would call a panic. */
function isBug(error: unknown): boolean {
  return (
    !(error instanceof Error) || error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError
  );
}
