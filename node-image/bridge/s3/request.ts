// A request as the verbs see it: where it points, its query and headers, its body still unread.
import type { IncomingHttpHeaders } from 'node:http';
import { S3Error } from './errors.ts';

export interface RawRequest {
  method: string;
  /** Path and query as they came. */
  url: string;
  headers: IncomingHttpHeaders;
}

export class Query {
  readonly pairs: readonly (readonly [string, string])[];
  constructor(pairs: readonly (readonly [string, string])[]) {
    this.pairs = pairs;
  }
  get(name: string): string | null {
    return this.pairs.find(([one]) => one === name)?.[1] ?? null;
  }
  has(name: string): boolean {
    return this.pairs.some(([one]) => one === name);
  }
}

export interface Target {
  /** Decoded path, before the bucket is split off: what the signature covers. */
  path: string;
  query: Query;
  bucket: string | null;
  key: string | null;
}

/** `domains`: under each of them `bucket.domain` names a bucket. */
export function parseTarget(request: RawRequest, domains: readonly string[]): Target {
  const at = request.url.indexOf('?');
  const path = decodePath(at < 0 ? request.url : request.url.slice(0, at));
  const query = parseQuery(at < 0 ? '' : request.url.slice(at + 1));
  const bucketOfHost = virtualHostBucket(request.headers.host ?? '', domains);
  if (bucketOfHost !== null) return { path, query, bucket: bucketOfHost, key: path.slice(1) || null };
  const slash = path.indexOf('/', 1);
  const bucket = (slash < 0 ? path.slice(1) : path.slice(1, slash)) || null;
  return { path, query, bucket, key: slash < 0 ? null : path.slice(slash + 1) || null };
}

function decodePath(raw: string): string {
  // A proxy's absolute form (`GET http://host/path`) is allowed by HTTP.
  const path = raw.startsWith('/') ? raw : raw.replace(/^https?:\/\/[^/]*/, '') || '/';
  return decode(path);
}

export function parseQuery(raw: string): Query {
  if (raw === '') return new Query([]);
  const pairs = raw
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const at = part.indexOf('=');
      const [name, value] = at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
      return [decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))] as const;
    });
  return new Query(pairs);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new S3Error('InvalidURI', undefined, { cause });
  }
}

function virtualHostBucket(host: string, domains: readonly string[]): string | null {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  for (const domain of domains) {
    if (name.endsWith(`.${domain}`)) return name.slice(0, -domain.length - 1);
  }
  return null;
}

/** One value, as HTTP joins repeated headers. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? null);
}

const BUCKET_NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
export function checkBucketName(name: string): string {
  if (!BUCKET_NAME.test(name) || name.includes('..') || /^\d+\.\d+\.\d+\.\d+$/.test(name)) throw new S3Error('InvalidBucketName');
  return name;
}

export const MAX_KEY_BYTES = 1024;
export function checkKey(key: string): string {
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLongError');
  return key;
}

/** A whole number within bounds, or InvalidArgument naming the parameter. */
export function wholeNumber(
  name: string,
  text: string | null,
  { min, max, absent }: { min: number; max: number; absent: number },
): number {
  if (text === null || text === '') return absent;
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < min)
    throw new S3Error('InvalidArgument', `${name} must be a whole number of at least ${min}`);
  return Math.min(value, max);
}
