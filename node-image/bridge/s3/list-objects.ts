// ListObjects, ListObjectsV2 and ListObjectVersions: one page of the catalog in three dresses.
import type { ListPage, ListRow } from '#node/catalog/catalog.ts';
import { xmlReply, type Context, type Reply } from './context.ts';
import { S3Error } from './errors.ts';
import { ownerElement } from './owner.ts';
import { wholeNumber } from './request.ts';
import { encodePath } from './signature.ts';
import { document, element, escapeXml, isoTime, leaf } from './xml.ts';

const MAX_KEYS = 1000;

interface Listing {
  prefix: string;
  delimiter: string;
  maxKeys: number;
  page: ListPage;
  /** As the client wants keys: plain or percent-encoded. */
  encode: (text: string) => string;
  encoding: string;
}

function readListing(context: Context, after: string): Listing {
  const { query } = context;
  const bucket = context.bucket();
  const encodingType = query.get('encoding-type');
  if (encodingType !== null && encodingType !== 'url')
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request: only url is known');
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const maxKeys = wholeNumber('max-keys', query.get('max-keys'), { min: 0, max: MAX_KEYS, absent: MAX_KEYS });
  const page = context.objects.list(bucket, { prefix, delimiter, after, limit: maxKeys });
  const encode = encodingType === 'url' ? encodePath : (text: string) => text;
  return { prefix, delimiter, maxKeys, page, encode, encoding: leaf('EncodingType', encodingType) };
}

const optional = (name: string, value: string, encode: (text: string) => string): string =>
  value === '' ? '' : leaf(name, encode(value));

function rows({ page, encode }: Listing, owner: string, name = 'Contents', extra = ''): string[] {
  return page.items.map((item) =>
    item.kind === 'prefix'
      ? element('CommonPrefixes', leaf('Prefix', encode(item.prefix)))
      : `<${name}>${leaf('Key', encode(item.object.key))}${extra}${facts(item.object)}${owner}</${name}>`,
  );
}

/** In one go, without a call for each element: a page has a thousand of these. */
function facts({ modifiedMs, etag, checksum, sizeBytes }: ListRow): string {
  const sum = checksum === null ? '' : leaf('ChecksumAlgorithm', checksum.algorithm) + leaf('ChecksumType', checksum.type);
  const modified = `<LastModified>${isoTime(modifiedMs)}</LastModified>`;
  return `${modified}<ETag>&quot;${escapeXml(etag)}&quot;</ETag>${sum}<Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass>`;
}

export function listObjects(context: Context): Reply {
  const marker = context.query.get('marker') ?? '';
  const listing = readListing(context, marker);
  const { page, prefix, delimiter, maxKeys, encode, encoding } = listing;
  return xmlReply(
    document(
      'ListBucketResult',
      leaf('Name', context.bucketName),
      leaf('Prefix', encode(prefix)),
      leaf('Marker', encode(marker)),
      page.next === null ? '' : leaf('NextMarker', encode(page.next)),
      leaf('MaxKeys', maxKeys),
      optional('Delimiter', delimiter, encode),
      encoding,
      leaf('IsTruncated', page.next !== null),
      ...rows(listing, ownerElement(context.account)),
    ),
  );
}

export function listObjectsV2(context: Context): Reply {
  const { query } = context;
  const token = query.get('continuation-token');
  const startAfter = query.get('start-after') ?? '';
  const listing = readListing(context, token === null ? startAfter : readToken(token));
  const { page, prefix, delimiter, maxKeys, encode, encoding } = listing;
  const owner = query.get('fetch-owner') === 'true' ? ownerElement(context.account) : '';
  return xmlReply(
    document(
      'ListBucketResult',
      leaf('Name', context.bucketName),
      leaf('Prefix', encode(prefix)),
      leaf('ContinuationToken', token),
      page.next === null ? '' : leaf('NextContinuationToken', writeToken(page.next)),
      leaf('KeyCount', page.items.length),
      leaf('MaxKeys', maxKeys),
      optional('Delimiter', delimiter, encode),
      optional('StartAfter', startAfter, encode),
      encoding,
      leaf('IsTruncated', page.next !== null),
      ...rows(listing, owner),
    ),
  );
}

/** Each object has one version, `null`: enough for clients that empty a bucket by versions. */
export function listObjectVersions(context: Context): Reply {
  const marker = context.query.get('key-marker') ?? '';
  const listing = readListing(context, marker);
  const { page, prefix, delimiter, maxKeys, encode, encoding } = listing;
  const version = `${leaf('VersionId', 'null')}${leaf('IsLatest', true)}`;
  return xmlReply(
    document(
      'ListVersionsResult',
      leaf('Name', context.bucketName),
      leaf('Prefix', encode(prefix)),
      leaf('KeyMarker', encode(marker)),
      leaf('VersionIdMarker', context.query.get('version-id-marker') ?? ''),
      page.next === null ? '' : leaf('NextKeyMarker', encode(page.next)),
      page.next === null ? '' : leaf('NextVersionIdMarker', 'null'),
      leaf('MaxKeys', maxKeys),
      optional('Delimiter', delimiter, encode),
      encoding,
      leaf('IsTruncated', page.next !== null),
      ...rows(listing, ownerElement(context.account), 'Version', version),
    ),
  );
}

// Tokens are opaque to clients; the leading digit lets the format change.
const writeToken = (after: string): string => `1${Buffer.from(after).toString('base64url')}`;
function readToken(token: string): string {
  const after = Buffer.from(token.slice(1), 'base64url').toString('utf8');
  if (!token.startsWith('1') || writeToken(after) !== token)
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect');
  return after;
}
