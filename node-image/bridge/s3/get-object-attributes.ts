import { elementName } from './checksums.ts';
import { xmlReply, type Context, type Reply } from './context.ts';
import { S3Error } from './errors.ts';
import { wholeNumber } from './request.ts';
import { checkVersionId } from './version-id.ts';
import { document, element, leaf } from './xml.ts';

const KNOWN = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'];
const MAX_PAGE = 1000;

export function getObjectAttributes(context: Context): Reply {
  const bucket = context.bucket();
  checkVersionId(context.query);
  const version = context.objects.head(bucket, context.key);
  const asked = (context.header('x-amz-object-attributes') ?? '').split(',').map((name) => name.trim());
  if (asked.some((name) => !KNOWN.includes(name)))
    throw new S3Error('InvalidArgument', `x-amz-object-attributes must name some of ${KNOWN.join(', ')}`);
  const wants = (name: string, xml: string) => (asked.includes(name) ? xml : '');
  const checksums = version.checksums.map(
    ({ algorithm, value, type }) => `${leaf(elementName(algorithm), value)}${leaf('ChecksumType', type)}`,
  );
  return xmlReply(
    document(
      'GetObjectAttributesResponse',
      wants('ETag', leaf('ETag', version.etag)),
      wants('Checksum', checksums.length === 0 ? '' : element('Checksum', ...checksums)),
      wants('ObjectParts', objectParts(context, version.partSizes)),
      wants('StorageClass', leaf('StorageClass', 'STANDARD')),
      wants('ObjectSize', leaf('ObjectSize', version.sizeBytes)),
    ),
    { 'last-modified': new Date(version.modifiedMs).toUTCString() },
  );
}

function objectParts(context: Context, sizes: number[] | null): string {
  if (sizes === null) return '';
  const maxParts = wholeNumber('x-amz-max-parts', context.header('x-amz-max-parts'), { min: 0, max: MAX_PAGE, absent: MAX_PAGE });
  const marker = wholeNumber('x-amz-part-number-marker', context.header('x-amz-part-number-marker'), {
    min: 0,
    max: sizes.length,
    absent: 0,
  });
  const page = sizes.slice(marker, marker + maxParts);
  return element(
    'ObjectParts',
    leaf('IsTruncated', marker + page.length < sizes.length),
    leaf('MaxParts', maxParts),
    leaf('NextPartNumberMarker', marker + page.length),
    leaf('PartNumberMarker', marker),
    leaf('PartsCount', sizes.length),
    ...page.map((size, at) => element('Part', leaf('PartNumber', marker + at + 1), leaf('Size', size))),
  );
}
