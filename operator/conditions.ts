// Pure: lists of conditions. Times change only when the status of a condition does.
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  observedGeneration?: number;
  lastTransitionTime: string;
}

/** A condition as a table gives it: without times. */
export type Verdict = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

const messageLimit = 4000;

export function mergeConditions(
  verdicts: readonly Verdict[],
  before: readonly Partial<Condition>[] | undefined,
  observedGeneration: number,
  now: string,
): Condition[] {
  return verdicts.map((verdict) => {
    const old = before?.find(({ type }) => type === verdict.type);
    const message = verdict.message.length > messageLimit ? `${verdict.message.slice(0, messageLimit - 1)}…` : verdict.message;
    const isSame = old?.status === verdict.status && old.lastTransitionTime !== undefined;
    return { ...verdict, message, observedGeneration, lastTransitionTime: isSame ? (old.lastTransitionTime ?? now) : now };
  });
}

export function statusOf(conditions: readonly Partial<Condition>[] | undefined, type: string): string | undefined {
  return conditions?.find((one) => one.type === type)?.status;
}

/** Conditions whose status or reason is another one now; those that went have status `False`. */
export function transitions(before: readonly Partial<Condition>[] | undefined, after: readonly Partial<Condition>[]): Verdict[] {
  const changed = after.filter(({ type, status, reason }) => {
    const old = before?.find((one) => one.type === type);
    return old === undefined || old.status !== status || old.reason !== reason;
  });
  const full = ({ type = '', status = 'Unknown', reason = '', message = '' }: Partial<Condition>): Verdict => ({
    type,
    status,
    reason,
    message,
  });
  const gone = (before ?? []).filter(({ type, status }) => status === 'True' && !after.some((one) => one.type === type));
  return [
    ...changed.map(full),
    ...gone.map(({ type = '', reason = '' }): Verdict => ({ type, status: 'False', reason, message: `${type} is over.` })),
  ];
}

/** RFC 3339 in whole seconds, as the API has it. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
