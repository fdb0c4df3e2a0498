// Headers that belong to an object: taken from a PUT, kept in its entry, told by GET and HEAD.
import type { VersionRow } from '#node/catalog/catalog.ts';
import type { Context } from './context.ts';
import { headerName } from './checksums.ts';
import { S3Error } from './errors.ts';

const KEPT = ['content-type', 'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'expires'];
const META = 'x-amz-meta-';
const MAX_METADATA_BYTES = 2048;
const DEFAULT_TYPE = 'binary/octet-stream';

/** Headers of requests that would change what is stored in a way that this bridge doesn't do: said, not ignored. */
const REFUSED: Record<string, string> = {
  'x-amz-server-side-encryption-customer-algorithm':
    'Keys of the caller (SSE-C) are not supported; everything is encrypted on the bridge already',
  'x-amz-object-lock-mode': 'Object lock is not supported',
  'x-amz-object-lock-retain-until-date': 'Object lock is not supported',
  'x-amz-object-lock-legal-hold': 'Object lock is not supported',
  'x-amz-website-redirect-location': 'Website redirects are not supported',
};

/** From a request; throws for what can't be kept. */
export function objectHeaders(context: Context): Record<string, string> {
  for (const [name, message] of Object.entries(REFUSED))
    if (context.header(name) !== null) throw new S3Error('NotImplemented', message);
  if ((context.header('x-amz-tagging') ?? '') !== '')
    throw new S3Error('NotImplemented', 'Tags are not supported; leave x-amz-tagging out');
  checkAcl(context.header('x-amz-acl'));
  const headers: Record<string, string> = {};
  for (const name of KEPT) {
    const value = name === 'content-encoding' ? withoutAwsChunked(context.header(name)) : context.header(name);
    if (value !== null && value !== '') headers[name] = value;
  }
  headers['content-type'] ??= DEFAULT_TYPE;
  let metadataBytes = 0;
  for (const name of context.headerNames().filter((one) => one.startsWith(META))) {
    const value = context.header(name) ?? '';
    metadataBytes += Buffer.byteLength(name) - META.length + Buffer.byteLength(value);
    headers[name] = value;
  }
  if (metadataBytes > MAX_METADATA_BYTES) throw new S3Error('MetadataTooLarge');
  const encryption = context.header('x-amz-server-side-encryption');
  if (encryption !== null && encryption !== 'AES256')
    throw new S3Error('NotImplemented', 'x-amz-server-side-encryption may only be AES256');
  if (encryption !== null) headers['x-amz-server-side-encryption'] = encryption;
  return headers;
}

export function checkAcl(acl: string | null): void {
  if (acl !== null && !['private', 'bucket-owner-full-control', 'bucket-owner-read'].includes(acl))
    throw new S3Error('AccessControlListNotSupported');
}

/** `aws-chunked` is how the body travelled, not what it is. */
function withoutAwsChunked(value: string | null): string | null {
  if (value === null) return null;
  return value
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '' && one.toLowerCase() !== 'aws-chunked')
    .join(', ');
}

export const encryptionHeader = (headers: Record<string, string>): Record<string, string> =>
  headers['x-amz-server-side-encryption'] === undefined
    ? {}
    : { 'x-amz-server-side-encryption': headers['x-amz-server-side-encryption'] };

/** What PUT-like answers tell of the result. */
export function resultHeaders({
  etag,
  checksums,
  headers,
}: Pick<VersionRow, 'etag' | 'checksums' | 'headers'>): Record<string, string> {
  return { etag: `"${etag}"`, ...checksumHeaders(checksums), ...encryptionHeader(headers) };
}

export function checksumHeaders(checksums: VersionRow['checksums']): Record<string, string> {
  const [checksum] = checksums;
  return checksum === undefined ? {} : { [headerName(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };
}

/** What GET and HEAD tell, without length, range and checksums. */
export function versionHeaders(version: VersionRow): Record<string, string> {
  return {
    ...version.headers,
    etag: `"${version.etag}"`,
    'last-modified': new Date(version.modifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
}
