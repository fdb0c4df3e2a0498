import { writeConditions } from './conditions.ts';
import { xmlReply, type Context, type Reply } from './context.ts';
import { elementName } from './checksums.ts';
import { copySource } from './copy-source.ts';
import { S3Error } from './errors.ts';
import { encryptionHeader, objectHeaders } from './object-headers.ts';
import { MAX_PUT_BYTES } from './body.ts';
import { document, isoTime, leaf } from './xml.ts';

export async function copyObject(context: Context): Promise<Reply> {
  const bucket = context.bucket();
  const { bucket: from, version: source } = copySource(context);
  const directive = context.header('x-amz-metadata-directive') ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw new S3Error('InvalidArgument', 'x-amz-metadata-directive must be COPY or REPLACE');
  const given = objectHeaders(context);
  const headers = directive === 'REPLACE' ? given : { ...source.headers, ...encryptionHeader(given) };
  const isSelf = from.bucketId === bucket.bucketId && source.key === context.key;
  if (
    isSelf &&
    directive === 'COPY' &&
    context.header('x-amz-storage-class') === null &&
    context.header('x-amz-server-side-encryption') === null
  ) {
    throw new S3Error(
      'InvalidRequest',
      'This copy request is illegal because it is trying to copy an object to itself without changing its metadata (x-amz-metadata-directive: REPLACE)',
    );
  }
  if (source.sizeBytes > MAX_PUT_BYTES)
    throw new S3Error('InvalidRequest', 'The source is larger than 5 GiB; copy it by UploadPartCopy');
  const order = { from, source, key: context.key, headers, conditions: writeConditions(context.header) };
  const version = await context.objects.copy(bucket, order, context.signal);
  return xmlReply(
    document(
      'CopyObjectResult',
      leaf('LastModified', isoTime(version.modifiedMs)),
      leaf('ETag', `"${version.etag}"`),
      ...version.checksums.flatMap(({ algorithm, value, type }) => [
        leaf(elementName(algorithm), value),
        leaf('ChecksumType', type),
      ]),
    ),
    encryptionHeader(version.headers),
  );
}
