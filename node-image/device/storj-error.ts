// What can go wrong for who uses the library or the command, with what to do about it in the message.
import { ObjectsError, type ObjectsErrorCode } from '#node/bridge/objects.ts';
import { GetError } from '#node/client/segment-reader.ts';
import { PutError } from '#node/client/segment-writer.ts';
import { GrantError } from '#node/core/grants.ts';
import { LogError } from '#node/log/log-link.ts';
import { CallError } from '#node/net/net.ts';
import { WireError } from '#node/wire/codec.ts';

export type StorjErrorCode =
  | 'BadAddress' // a farmer's address, a holder or a grant that is none
  | 'NoAccess' // neither words nor a grant nor a device key
  | 'NoFarmer' // none of the named farmers answers, or none belongs to the farm
  | 'UnknownAccount' // the farmers know nothing of this owner
  | 'NotAllowed' // the key at hand may not do this
  | 'NoSuchBucket'
  | 'NoSuchKey' // no such object, or share
  | 'AlreadyExists' // a bucket of that name, or objects in one that should go
  | 'BadRange'
  | 'TooLarge' // more than one object may have
  | 'Changed' // the source changed while it was being read
  | 'Unavailable'; // too few farmers answer: try again

export class StorjError extends Error {
  readonly code: StorjErrorCode;
  constructor(code: StorjErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StorjError';
    this.code = code;
  }
}

const CODES: Record<ObjectsErrorCode, StorjErrorCode> = {
  AccessDenied: 'NotAllowed',
  BucketAlreadyExists: 'AlreadyExists',
  BucketAlreadyOwnedByYou: 'AlreadyExists',
  BucketNotEmpty: 'AlreadyExists',
  InvalidPart: 'Changed',
  NoSuchBucket: 'NoSuchBucket',
  NoSuchKey: 'NoSuchKey',
  NoSuchUpload: 'Changed',
  PreconditionFailed: 'Changed',
  QuotaExceeded: 'TooLarge',
  TooLarge: 'TooLarge',
  SlowDown: 'Unavailable',
  Unreadable: 'Unavailable',
};

/** The library's own error for what its parts throw; anything else is a bug, or the caller's, and stays as it is. */
export function translated(error: unknown, missing?: string): unknown {
  const refusal = refusalIn(error);
  if (refusal !== null) return refusal;
  if (error instanceof ObjectsError) {
    const code = CODES[error.code];
    const isMissing = code === 'NoSuchBucket' || code === 'NoSuchKey';
    return new StorjError(code, isMissing ? (missing ?? error.message) : error.message, { cause: error });
  }
  if (error instanceof PutError) {
    const code = error.code === 'WrongLength' ? 'Changed' : 'Unavailable';
    return new StorjError(code, error.message, { cause: error });
  }
  if (error instanceof WireError) return new StorjError('BadAddress', error.message, { cause: error });
  if (error instanceof GrantError) return new StorjError('NotAllowed', error.message, { cause: error });
  if (error instanceof LogError || error instanceof GetError || error instanceof CallError) {
    return new StorjError('Unavailable', error.message, { cause: error });
  }
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new StorjError('Unavailable', 'Too few farmers answered in time: try again.', { cause: error });
  }
  return error;
}

/** Farmers or the owner's statements don't let this key do it: trying again changes nothing. */
function refusalIn(error: unknown): StorjError | null {
  if (error instanceof ObjectsError && error.cause instanceof LogError) return refusalIn(error.cause);
  if (!(error instanceof LogError && error.code === 'NotAllowed')) return null;
  return new StorjError('NotAllowed', error.message, { cause: error });
}
