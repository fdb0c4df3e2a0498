// How heads and refusals travel in HTTP headers, and what HTTP clients' failures mean as call errors.
import { fromBase64Url, toBase64Url } from './base64-url.ts';
import { CallError, type CallErrorCode } from './net.ts';

export const HEAD_HEADER = 'storj-head';
const ERROR_HEADER = 'storj-error';
const DETAIL_HEADER = 'storj-detail';
/** A refusal's text is for people and short. */
export const MAX_MESSAGE_BYTES = 2048;

const STATUS: Record<CallErrorCode, number> = {
  Unreachable: 502,
  WrongPeer: 401,
  Aborted: 499,
  BadRequest: 400,
  Forbidden: 403,
  NotFound: 404,
  Full: 507,
  Leaving: 503,
  Busy: 429,
  WrongRoot: 422,
  Conflict: 409,
  Sealed: 423,
  WrongEpoch: 412,
  Corrupt: 500,
  Unavailable: 503,
};

export function statusOf(code: CallErrorCode): number {
  return STATUS[code];
}

/** The refusal that an answer carries, or null for a good one. An HTTP error of somebody else is Unreachable. */
export function refusalOf(status: number, headers: Record<string, unknown>, message: string): CallError | null {
  const code = headers[ERROR_HEADER];
  if (typeof code === 'string' && code in STATUS) {
    const detail = headers[DETAIL_HEADER];
    return new CallError(code as CallErrorCode, message, typeof detail === 'string' ? { detail: fromBase64Url(detail) } : {});
  }
  return status === 200 ? null : new CallError('Unreachable', `The peer answered with HTTP status ${status}: ${message}`);
}

export function refusalHeaders(error: CallError): Record<string, string> {
  return {
    [ERROR_HEADER]: error.code,
    ...(error.detail.length > 0 ? { [DETAIL_HEADER]: toBase64Url(error.detail) } : {}),
  };
}

/** What a handler threw, as what the caller may know. */
export function asCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof Error && 'code' in error && error.code === 'Malformed') {
    return new CallError('BadRequest', error.message, { cause: error });
  }
  return new CallError('Unavailable', 'The farmer failed at this call; its log says why.', { cause: error });
}

/** What a failed exchange means to its caller. A timeout is the peer's silence, any other abort our own will. */
export function transportError(error: unknown, signal: AbortSignal, peer: string): CallError {
  const cause = error instanceof Error && error.cause instanceof CallError ? error.cause : error;
  if (cause instanceof CallError) return cause;
  if (signal.aborted && !isTimeout(signal.reason)) return new CallError('Aborted', 'The call was given up.', { cause: error });
  const why = signal.aborted ? 'no answer in time' : error instanceof Error ? error.message : String(error);
  return new CallError('Unreachable', `${peer}: ${why}`, { cause: error });
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}
