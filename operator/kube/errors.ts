// What can go wrong at the API server, as classes with a `code`: made here, where the answer is read, and
// translated once more where a condition or an outcome is made of it.

/** Part of a Status answer that names a field. */
export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface KubeErrorDetails {
  /** HTTP status; 0 where there was no answer. */
  status?: number;
  /** `reason` of the Status answer, e.g. `AlreadyExists`. */
  reason?: string;
  causes?: StatusCause[];
  /** What the server asked for in Retry-After. */
  retryAfterMs?: number;
  cause?: unknown;
}

export type KubeErrorCode =
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Forbidden'
  | 'Unauthorized'
  | 'Invalid'
  | 'Gone'
  | 'Timeout'
  | 'Unavailable';

/** Any failed call. `message` says which call failed and why. */
export class KubeError extends Error {
  readonly code: KubeErrorCode;
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeErrorCode, message: string, details: KubeErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = `${code}Error`;
    this.code = code;
    this.status = details.status ?? 0;
    this.reason = details.reason ?? '';
    this.causes = details.causes ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }
}

export const isNotFound = (error: unknown): error is KubeError => hasCode(error, 'NotFound');
export const isAlreadyExists = (error: unknown): error is KubeError => hasCode(error, 'AlreadyExists');
/** A precondition failed (uid, resourceVersion) or another manager owns a field: read again and decide again. */
export const isConflict = (error: unknown): error is KubeError => hasCode(error, 'Conflict');
export const isForbidden = (error: unknown): error is KubeError => hasCode(error, 'Forbidden');
export const isInvalid = (error: unknown): error is KubeError => hasCode(error, 'Invalid');
/** The resourceVersion or the page is too old: list again. */
export const isGone = (error: unknown): error is KubeError => hasCode(error, 'Gone');

function hasCode(error: unknown, code: KubeErrorCode): boolean {
  return error instanceof KubeError && error.code === code;
}

/** The fields of a Status answer that matter here; anything may be missing. */
export interface StatusBody {
  message?: string;
  reason?: string;
  code?: number;
  details?: { causes?: StatusCause[]; retryAfterSeconds?: number };
}

/** Makes the error for an answer that isn't 2xx, or for an ERROR frame of a watch. `call` reads like `GET pods farm/a-0`. */
export function errorOf(call: string, status: number, body: StatusBody, retryAfterMs?: number): KubeError {
  const reason = body.reason ?? '';
  const causes = body.details?.causes ?? [];
  // Apply with the uid of an object that was replaced meanwhile: a precondition, whatever the server calls it.
  const code = status === 422 && causes.some(({ field }) => field === 'metadata.uid') ? 'Conflict' : codeOf(status, reason);
  const after =
    retryAfterMs ?? (body.details?.retryAfterSeconds === undefined ? undefined : body.details.retryAfterSeconds * 1000);
  return new KubeError(code, `${call}: ${body.message ?? (reason || `HTTP ${status}`)}`, {
    status,
    reason,
    causes,
    ...(after === undefined ? {} : { retryAfterMs: after }),
  });
}

function codeOf(status: number, reason: string): KubeErrorCode {
  if (status === 404) return 'NotFound';
  if (status === 409) return reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict';
  if (status === 403) return 'Forbidden';
  if (status === 401) return 'Unauthorized';
  if (status === 410) return 'Gone';
  if (status === 408 || status === 504) return 'Timeout';
  if (status === 429 || status >= 500) return 'Unavailable';
  return 'Invalid';
}
