// GetObject and HeadObject: conditions, ranges, parts, response overrides.
import type { VersionRow } from '#node/catalog/catalog.ts';
import type { Range } from '../objects.ts';
import { parseRange, readCondition } from './conditions.ts';
import { emptyReply, type Context, type Reply } from './context.ts';
import { S3Error } from './errors.ts';
import { checksumHeaders, versionHeaders } from './object-headers.ts';
import { checkVersionId } from './version-id.ts';

const OVERRIDES = ['content-type', 'content-language', 'expires', 'cache-control', 'content-disposition', 'content-encoding'];

export function getObject(context: Context): Reply {
  const found = describe(context);
  if (found.range === null) return { ...found.reply, headers: { ...found.reply.headers } };
  const { bucket, version, range, reply } = found;
  if (range.length === 0) return { ...reply, body: '' };
  return { ...reply, body: context.objects.read(bucket, version, range, context.signal) };
}

export function headObject(context: Context): Reply {
  return describe(context).reply;
}

interface Found {
  bucket: ReturnType<Context['bucket']>;
  version: VersionRow;
  /** Null = not modified: no body. */
  range: Range | null;
  reply: Reply;
}

function describe(context: Context): Found {
  const bucket = context.bucket();
  checkVersionId(context.query);
  const version = context.objects.head(bucket, context.key);
  const headers = versionHeaders(version);
  const condition = readCondition(context.header, version);
  if (condition === 'failed') throw new S3Error('PreconditionFailed');
  if (condition === 'not-modified') {
    const { etag = '', 'last-modified': modified = '' } = headers;
    return { bucket, version, range: null, reply: emptyReply(304, { etag, 'last-modified': modified }) };
  }
  const { range, isPartial, more } = selectRange(context, version);
  for (const name of OVERRIDES) {
    const value = context.query.get(`response-${name}`);
    if (value !== null) headers[name] = value;
  }
  const wantsChecksum = context.header('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' && !isPartial;
  return {
    bucket,
    version,
    range,
    reply: {
      status: isPartial ? 206 : 200,
      headers: {
        ...headers,
        ...(wantsChecksum ? checksumHeaders(version.checksums) : {}),
        ...(isPartial
          ? { 'content-range': `bytes ${range.offset}-${range.offset + range.length - 1}/${version.sizeBytes}` }
          : {}),
        ...more,
        'content-length': String(range.length),
      },
    },
  };
}

function selectRange(context: Context, version: VersionRow): { range: Range; isPartial: boolean; more: Record<string, string> } {
  const partNumber = context.query.get('partNumber');
  if (partNumber !== null) {
    if (context.header('range') !== null)
      throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter');
    return partRange(Number(partNumber), version);
  }
  const ifRange = context.header('if-range');
  const isStale =
    ifRange !== null &&
    readCondition((name) => (name === 'if-match' ? ifRange : null), version) === 'failed' &&
    Number.isNaN(Date.parse(ifRange));
  const range = isStale ? null : parseRange(context.header('range'), version.sizeBytes);
  return { range: range ?? { offset: 0, length: version.sizeBytes }, isPartial: range !== null, more: {} };
}

function partRange(number: number, version: VersionRow): { range: Range; isPartial: boolean; more: Record<string, string> } {
  const sizes = version.partSizes ?? [version.sizeBytes];
  if (!Number.isInteger(number) || number < 1)
    throw new S3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive');
  const length = sizes[number - 1];
  if (length === undefined) throw new S3Error('InvalidPartNumber');
  const offset = sizes.slice(0, number - 1).reduce((sum, size) => sum + size, 0);
  const more: Record<string, string> = version.partSizes === null ? {} : { 'x-amz-mp-parts-count': String(sizes.length) };
  return { range: { offset, length }, isPartial: length > 0, more };
}
