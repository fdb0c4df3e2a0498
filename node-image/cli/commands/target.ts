// How objects and files are named on the command line.
import { UsageError } from './command.ts';

export interface Remote {
  bucket: string;
  key: string;
}

const SCHEME = /^(sj|s3):\/\//;

/** Where a file could be meant as well: only with sj:// (or s3://); null = a file. */
export function remoteOrNull(text: string): Remote | null {
  return SCHEME.test(text) ? remote(text) : null;
}

/** `sj://bucket/key`, `bucket/key` or `bucket`. */
export function remote(text: string): Remote {
  const path = text.replace(SCHEME, '');
  const at = path.indexOf('/');
  const bucket = at < 0 ? path : path.slice(0, at);
  if (bucket === '') throw new UsageError(`"${text}" names no bucket: write BUCKET/KEY.`);
  return { bucket, key: at < 0 ? '' : path.slice(at + 1) };
}

export function remoteObject(text: string): Remote {
  const target = remote(text);
  if (target.key === '') throw new UsageError(`"${text}" names a bucket and no object: write BUCKET/KEY.`);
  return target;
}

export const nameOf = ({ bucket, key }: Remote): string => `sj://${bucket}/${key}`;

/** The last part of a path or key. */
export const baseName = (path: string): string => path.replace(/\/+$/, '').split('/').at(-1) ?? '';

/** The key for a file that goes to `target`: a bucket or a key that ends with / means "into it". */
export const keyInto = (target: Remote, file: string): string =>
  target.key === '' || target.key.endsWith('/') ? `${target.key}${baseName(file)}` : target.key;
