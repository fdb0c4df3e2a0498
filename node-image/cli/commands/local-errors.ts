// What this machine's file system says, in words for people: which path, and what is wrong with it.
import { UsageError } from './command.ts';

/** Behind the path. */
const WHAT: Readonly<Record<string, string>> = {
  ENOENT: "isn't there",
  EACCES: "may not be read or written by you: look at its permissions, and at its folder's",
  EPERM: "may not be changed by you: look at its permissions, and at its folder's",
  EROFS: 'is on a file system that takes no writes',
  EISDIR: 'is a folder: name a file',
  ENOTDIR: 'leads through a file as if it were a folder',
  EEXIST: 'is there already',
  ENAMETOOLONG: 'is too long a name for this file system: give the file another',
  EMFILE: "can't be opened: too many files are open (ulimit -n)",
};
const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** Null where it is no error of a file. */
export function localMessage(error: unknown): string | null {
  const { code = '', path } = error as NodeJS.ErrnoException;
  if (FULL.has(code)) {
    const where = path === undefined ? '' : ` for ${path}`;
    return `No space is left on this machine${where}: make room and say it again, it goes on from there.`;
  }
  const what = WHAT[code];
  return what === undefined || path === undefined ? null : `${path} ${what}.`;
}

/** A file that the command line names and that isn't there makes the command line wrong. */
export async function namedFile<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const message = localMessage(error);
    if (message === null) throw error;
    throw new UsageError(message);
  }
}
