// What goes wrong in the store, in few words: the service makes call errors of them.

export type StoreErrorCode = 'Full' | 'Broken' | 'Moved' | 'Corrupt' | 'Busy' | 'Closed' | 'FolderInUse';

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** For reads that try again where the index says now. */
export function nullIfMoved(error: unknown): null {
  if (error instanceof StoreError && error.code === 'Moved') return null;
  throw error;
}

const SQLITE_FULL = 13;

/** A failed write as the store's own error: no space is another matter than a broken disk. */
export function diskError(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = cause instanceof Error && 'code' in cause ? cause.code : '';
  // The index lies on the same disk.
  const isFullIndex = code === 'ERR_SQLITE_ERROR' && (cause as { errcode?: number }).errcode === SQLITE_FULL;
  if (code === 'ENOSPC' || code === 'EDQUOT' || isFullIndex) return new StoreError('Full', 'The disk is full.', { cause });
  return new StoreError('Broken', `The disk failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}
