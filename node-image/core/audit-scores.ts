// What audits say of a farmer, with the numbers of Storj V3, so that operators' instincts carry over: two
// beta-like scores that forget slowly, and how much of the last 30 days it was there. Pure.

/**
 * Passed: the right leaf. Failed: wrong bytes, or no such piece. Unknown: it is there and answers neither way.
 * Offline: no contact.
 */
export type AuditOutcome = 'Passed' | 'Failed' | 'Unknown' | 'Offline';

export interface AuditScores {
  /** α and β of right and wrong answers. */
  audit: [number, number];
  /** α and β of answers and none. */
  unknown: [number, number];
  /** Contacts by window, oldest first. */
  windows: { startMs: number; online: number; total: number }[];
  audits: number;
  failed: number;
  /** Since when it answers neither way too often; null = it doesn't. */
  suspendedMs: number | null;
  /** When it was trusted no more: that doesn't come back. Null = never. */
  distrustedMs: number | null;
}

const AUDIT = { lambda: 0.999, least: 0.96 };
const UNKNOWN = { lambda: 0.95, least: 0.6 };
/** So long it may answer neither way. */
const GRACE_MS = 7 * 24 * 3_600_000;
const WINDOW_MS = 12 * 3_600_000;
/** 30 days. */
const WINDOWS = 60;
const LEAST_ONLINE = 0.6;

/** A new farmer starts with the full credit of both scores. */
export function newScores(): AuditScores {
  return {
    audit: [1 / (1 - AUDIT.lambda), 0],
    unknown: [1 / (1 - UNKNOWN.lambda), 0],
    windows: [],
    audits: 0,
    failed: 0,
    suspendedMs: null,
    distrustedMs: null,
  };
}

/** The scores after one more audit. */
export function scored(before: AuditScores, outcome: AuditOutcome, nowMs: number): AuditScores {
  const after: AuditScores = { ...before, windows: counted(before.windows, outcome !== 'Offline', nowMs) };
  if (outcome === 'Offline') return after;
  after.unknown = beta(before.unknown, outcome !== 'Unknown', UNKNOWN.lambda);
  after.suspendedMs = share(after.unknown) > UNKNOWN.least ? null : (before.suspendedMs ?? nowMs);
  // Who hasn't got a piece could refuse for ever.
  if (after.suspendedMs !== null && nowMs - after.suspendedMs >= GRACE_MS) after.distrustedMs ??= nowMs;
  if (outcome === 'Unknown') return after;
  after.audits++;
  if (outcome === 'Failed') after.failed++;
  after.audit = beta(before.audit, outcome === 'Passed', AUDIT.lambda);
  if (share(after.audit) <= AUDIT.least) after.distrustedMs ??= nowMs;
  return after;
}

function beta([alpha, betaBefore]: [number, number], good: boolean, lambda: number): [number, number] {
  return [lambda * alpha + (good ? 1 : 0), lambda * betaBefore + (good ? 0 : 1)];
}

function share([alpha, betaNow]: [number, number]): number {
  return alpha / (alpha + betaNow);
}

function counted(windows: AuditScores['windows'], isOnline: boolean, nowMs: number): AuditScores['windows'] {
  const startMs = nowMs - (nowMs % WINDOW_MS);
  const last = windows.at(-1);
  const current = last?.startMs === startMs ? last : { startMs, online: 0, total: 0 };
  const others = last?.startMs === startMs ? windows.slice(0, -1) : windows;
  const next = { startMs, online: current.online + (isOnline ? 1 : 0), total: current.total + 1 };
  return [...others, next].filter((window) => window.startMs > startMs - (WINDOWS + 1) * WINDOW_MS);
}

/** Suspended gets nothing new from repairs; Distrusted is treated like lost, though it may still be read from. */
type Trust = 'Trusted' | 'Suspended' | 'Distrusted';
export interface TrustFacts {
  trust: Trust;
  /** 1 = all good. */
  auditScore: number;
  suspensionScore: number;
  onlineScore: number;
  audits: number;
  failedAudits: number;
}

export function trustFacts(scores: AuditScores, nowMs: number): TrustFacts {
  const past = scores.windows.filter(({ startMs }) => startMs + WINDOW_MS <= nowMs);
  const onlineScore = past.length === 0 ? 1 : past.reduce((sum, { online, total }) => sum + online / total, 0) / past.length;
  const suspensionScore = share(scores.unknown);
  // Absence counts only once 30 days of it, or of presence, are known.
  const isAbsent = past.length >= WINDOWS && onlineScore < LEAST_ONLINE;
  const isSuspended = scores.suspendedMs !== null || isAbsent;
  return {
    trust: scores.distrustedMs !== null ? 'Distrusted' : isSuspended ? 'Suspended' : 'Trusted',
    auditScore: share(scores.audit),
    suspensionScore,
    onlineScore,
    audits: scores.audits,
    failedAudits: scores.failed,
  };
}
