// AWS Signature Version 4: the arithmetic, without a request around it.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export const ALGORITHM = 'AWS4-HMAC-SHA256';
export const EMPTY_SHA256 = createHash('sha256').update('').digest('hex');

/** date/region/service/aws4_request */
export interface Scope {
  date: string;
  region: string;
}
const scopeText = ({ date, region }: Scope): string => `${date}/${region}/s3/aws4_request`;

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const MAX_CACHED_KEYS = 4096;

/** Signing keys are the same all day: kept, oldest out first. */
export function createSigningKeys(): (secret: string, scope: Scope) => Buffer {
  const cache = new Map<string, Buffer>();
  return (secret, { date, region }) => {
    const name = `${date}/${region}/${secret}`;
    const cached = cache.get(name);
    if (cached !== undefined) return cached;
    const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), 's3'), 'aws4_request');
    const oldest = cache.keys().next().value;
    if (cache.size >= MAX_CACHED_KEYS && oldest !== undefined) cache.delete(oldest);
    cache.set(name, key);
    return key;
  };
}

/** RFC 3986, as AWS wants it: everything but unreserved characters; `/` stays in paths. */
const encodeQueryPart = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
export const encodePath = (path: string): string => path.split('/').map(encodeQueryPart).join('/');

export interface Canonical {
  method: string;
  /** Decoded. */
  path: string;
  /** Decoded, without X-Amz-Signature. */
  query: readonly (readonly [string, string])[];
  /** Lower-case names in the order in which the client signed them. */
  signedHeaders: readonly string[];
  headerValue: (name: string) => string;
  payloadHash: string;
}

export function canonicalRequest({ method, path, query, signedHeaders, headerValue, payloadHash }: Canonical): string {
  const pairs = query
    .map(([name, value]) => [encodeQueryPart(name), encodeQueryPart(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const headers = signedHeaders.map((name) => `${name}:${headerValue(name).trim().replace(/\s+/g, ' ')}\n`).join('');
  return [method, encodePath(path), pairs, headers, signedHeaders.join(';'), payloadHash].join('\n');
}

export const requestStringToSign = (amzDate: string, scope: Scope, canonical: string): string =>
  [ALGORITHM, amzDate, scopeText(scope), sha256(canonical)].join('\n');

/** What each chunk's signature is made of: the one before it, and the chunk's hash. */
export const chunkStringToSign = (amzDate: string, scope: Scope, previous: string, chunkHash: string): string =>
  [`${ALGORITHM}-PAYLOAD`, amzDate, scopeText(scope), previous, EMPTY_SHA256, chunkHash].join('\n');
export const trailerStringToSign = (amzDate: string, scope: Scope, previous: string, trailer: string): string =>
  [`${ALGORITHM}-TRAILER`, amzDate, scopeText(scope), previous, sha256(trailer)].join('\n');

export const sign = (key: Buffer, stringToSign: string): string => hmac(key, stringToSign).toString('hex');

export function equalSignatures(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** `20260824T101112Z` → ms, or null. */
export function parseAmzDate(text: string): number | null {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second] = match.map(Number);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
}
