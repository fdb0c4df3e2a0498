// Multipart uploads, from create to complete or abort. Parts and uploads are entries of the bucket's log, so
// they outlive the bridge.
import { createHash } from 'node:crypto';
import type { Checksum, PartRow, UploadRow, VersionRow } from '#node/catalog/catalog.ts';
import { ObjectsError, type BodyFacts } from '../objects.ts';
import { multipartEtag } from '../uploads.ts';
import { MAX_PUT_BYTES } from './body.ts';
import {
  ALGORITHMS,
  checkType,
  combineParts,
  createHasher,
  elementName,
  headerName,
  parseAlgorithm,
  type Algorithm,
  type ChecksumType,
} from './checksums.ts';
import { parseCopyRange, writeConditions } from './conditions.ts';
import { emptyReply, xmlReply, type Context, type Reply } from './context.ts';
import { copySource } from './copy-source.ts';
import { S3Error } from './errors.ts';
import { checksumHeaders, encryptionHeader, objectHeaders, resultHeaders } from './object-headers.ts';
import { ownerElement } from './owner.ts';
import { wholeNumber } from './request.ts';
import { encodePath } from './signature.ts';
import { childList, childText, document, element, isoTime, leaf, parseXml, type XmlNode } from './xml.ts';

const MAX_PARTS = 10_000;
const MAX_PAGE = 1000;
const MIN_PART_BYTES = 5 * 1024 * 1024;

export async function createMultipartUpload(context: Context): Promise<Reply> {
  const bucket = context.bucket();
  const headers = objectHeaders(context);
  const named = context.header('x-amz-checksum-algorithm');
  const algorithm = named === null ? null : parseAlgorithm(named);
  const asked = context.header('x-amz-checksum-type');
  if (algorithm === null && asked !== null)
    throw new S3Error('InvalidRequest', 'The x-amz-checksum-type header needs x-amz-checksum-algorithm beside it');
  const checksumType = algorithm === null ? null : checkType(algorithm, asked);
  const order = { key: context.key, headers, checksumAlgorithm: algorithm, checksumType };
  const upload = await context.objects.createUpload(bucket, order, context.signal);
  const body = document(
    'InitiateMultipartUploadResult',
    leaf('Bucket', context.bucketName),
    leaf('Key', context.key),
    leaf('UploadId', upload.uploadId),
  );
  const told: Record<string, string> =
    algorithm === null ? {} : { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': checksumType ?? '' };
  return xmlReply(body, { ...told, ...encryptionHeader(headers) });
}

function openUpload(context: Context): { bucket: ReturnType<Context['bucket']>; upload: UploadRow } {
  const bucket = context.bucket();
  return { bucket, upload: context.objects.upload(bucket, context.key, context.query.get('uploadId') ?? '') };
}

function partNumber(context: Context): number {
  const number = Number(context.query.get('partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) {
    throw new S3Error('InvalidArgument', `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`);
  }
  return number;
}

/** Parts of an upload without an algorithm get CRC64NVME, from which the whole object's can be had. */
const algorithmOf = (upload: UploadRow): Algorithm =>
  upload.checksumAlgorithm === null ? 'CRC64NVME' : parseAlgorithm(upload.checksumAlgorithm);

export async function uploadPart(context: Context): Promise<Reply> {
  const number = partNumber(context);
  const { bucket, upload } = openUpload(context);
  const body = await context.body(algorithmOf(upload));
  const expected = upload.checksumAlgorithm;
  // A client may send another algorithm than it announced only where it announced none.
  const facts = body.facts;
  const checked = {
    ...body,
    facts: (): BodyFacts => {
      const known = facts();
      const wrong = known.checksums.find((checksum) => expected !== null && checksum.algorithm !== expected);
      if (wrong !== undefined) {
        throw new S3Error(
          'InvalidRequest',
          `Checksum Type mismatch occurred, expected checksum Type: ${expected}, actual checksum Type: ${wrong.algorithm}`,
        );
      }
      return known;
    },
  };
  const part = await context.objects.putPart(bucket, upload, number, checked, context.signal);
  const told = resultHeaders({ ...part, headers: upload.headers });
  delete told['x-amz-checksum-type'];
  return emptyReply(200, told);
}

export async function uploadPartCopy(context: Context): Promise<Reply> {
  const number = partNumber(context);
  const { bucket, upload } = openUpload(context);
  const { bucket: from, version } = copySource(context);
  const range = parseCopyRange(context.header('x-amz-copy-source-range'), version.sizeBytes);
  if (range.length > MAX_PUT_BYTES)
    throw new S3Error('InvalidRequest', 'A part may have at most 5 GiB; copy a range of the source');
  const algorithm = algorithmOf(upload);
  const hasher = await createHasher(algorithm);
  const md5 = createHash('md5');
  let facts: BodyFacts | null = null;
  const { objects, signal } = context;
  async function* source(): AsyncGenerator<Uint8Array> {
    if (range.length > 0) {
      for await (const chunk of objects.read(from, version, range, signal)) {
        md5.update(chunk);
        hasher.update(chunk);
        yield chunk;
      }
    }
    facts = { etag: md5.digest('hex'), checksums: [{ algorithm, value: hasher.digest(), type: 'FULL_OBJECT' }] };
  }
  const body = {
    source: source(),
    sizeBytes: range.length,
    facts: () => {
      if (facts === null) throw new Error('the facts of a copied part are known only after it was read');
      return facts;
    },
  };
  const part = await objects.putPart(bucket, upload, number, body, signal);
  return xmlReply(
    document(
      'CopyPartResult',
      leaf('LastModified', isoTime(part.modifiedMs)),
      leaf('ETag', `"${part.etag}"`),
      checksumLeaves(part.checksums),
    ),
    encryptionHeader(upload.headers),
  );
}

const checksumLeaves = (checksums: readonly Checksum[]): string =>
  checksums.map(({ algorithm, value }) => leaf(elementName(algorithm), value)).join('');

interface NamedPart {
  partNumber: number;
  etag: string;
  checksums: Map<Algorithm, string>;
}

export async function completeMultipartUpload(context: Context): Promise<Reply> {
  const conditions = writeConditions(context.header);
  const root = parseXml(await context.text(), 'CompleteMultipartUpload');
  const named = childList(root, 'Part').map(readNamedPart);
  if (named.length === 0 || named.length > MAX_PARTS)
    throw new S3Error('MalformedXML', `Between 1 and ${MAX_PARTS} parts must be named`);
  const done = alreadyCompleted(context, named);
  if (done !== null) return completedReply(context, done);
  const { bucket, upload } = openUpload(context);
  const parts = matchParts(named, storedParts(context, bucket, upload.uploadId));
  const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  const announced = context.header('x-amz-mp-object-size');
  if (announced !== null && Number(announced) !== sizeBytes)
    throw new S3Error('InvalidRequest', 'The parts do not add up to x-amz-mp-object-size');
  const facts: BodyFacts = { etag: multipartEtag(parts), checksums: await wholeChecksum(context, upload, parts) };
  return completedReply(
    context,
    await context.objects.completeUpload(bucket, { upload, parts, facts, conditions }, context.signal),
  );
}

/** A client that lost the answer asks again: the object is there, so the answer is too. */
function alreadyCompleted(context: Context, named: readonly NamedPart[]): VersionRow | null {
  const bucket = context.bucket();
  try {
    context.objects.upload(bucket, context.key, context.query.get('uploadId') ?? '');
    return null;
  } catch (error) {
    if (!(error instanceof ObjectsError && error.code === 'NoSuchUpload')) throw error;
    const version = context.objects.find(bucket, context.key);
    if (version === null || version.etag !== multipartEtag(named)) throw error;
    return version;
  }
}

function completedReply(context: Context, version: VersionRow): Reply {
  return xmlReply(
    document(
      'CompleteMultipartUploadResult',
      leaf('Location', `/${context.bucketName}/${encodePath(context.key)}`),
      leaf('Bucket', context.bucketName),
      leaf('Key', context.key),
      leaf('ETag', `"${version.etag}"`),
      checksumLeaves(version.checksums),
      leaf('ChecksumType', version.checksums[0]?.type),
    ),
    encryptionHeader(version.headers),
  );
}

function readNamedPart(node: XmlNode): NamedPart {
  const number = Number(childText(node, 'PartNumber') ?? NaN);
  const etag = childText(node, 'ETag')?.trim().replace(/^"|"$/g, '');
  if (!Number.isInteger(number) || number < 1 || etag === undefined)
    throw new S3Error('MalformedXML', 'Each Part needs a PartNumber and an ETag');
  const checksums = new Map<Algorithm, string>();
  for (const algorithm of ALGORITHMS) {
    const value = childText(node, elementName(algorithm));
    if (value !== null) checksums.set(algorithm, value);
  }
  return { partNumber: number, etag, checksums };
}

function storedParts(context: Context, bucket: ReturnType<Context['bucket']>, uploadId: string): Map<number, PartRow> {
  return new Map(context.objects.parts(bucket, uploadId, 0, MAX_PARTS).map((part) => [part.partNumber, part]));
}

function matchParts(named: NamedPart[], stored: Map<number, PartRow>): PartRow[] {
  if (named.some((part, at) => part.partNumber <= (named[at - 1]?.partNumber ?? 0))) throw new S3Error('InvalidPartOrder');
  return named.map(({ partNumber: number, etag, checksums }, at) => {
    const part = stored.get(number);
    if (part === undefined || part.etag !== etag)
      throw new S3Error('InvalidPart', `Part ${number} was not uploaded, or its ETag is another`);
    for (const [algorithm, value] of checksums) {
      const known = part.checksums.find((checksum) => checksum.algorithm === algorithm);
      if (known !== undefined && known.value !== value)
        throw new S3Error('InvalidPart', `Part ${number} has another ${algorithm}`);
    }
    if (part.sizeBytes < MIN_PART_BYTES && at < named.length - 1) {
      throw new S3Error('EntityTooSmall', undefined, {
        details: {
          PartNumber: String(number),
          ProposedSize: String(part.sizeBytes),
          MinSizeAllowed: String(MIN_PART_BYTES),
          ETag: etag,
        },
      });
    }
    return part;
  });
}

async function wholeChecksum(context: Context, upload: UploadRow, parts: readonly PartRow[]): Promise<Checksum[]> {
  // Without an announced algorithm the parts decide, all of them by the same one.
  const algorithm = parseAlgorithm(upload.checksumAlgorithm ?? parts[0]?.checksums[0]?.algorithm ?? 'CRC64NVME');
  const type = (upload.checksumType ?? (algorithm.startsWith('CRC') ? 'FULL_OBJECT' : 'COMPOSITE')) as ChecksumType;
  const checksum = await combineParts(algorithm, type, parts);
  const told = context.header(headerName(algorithm));
  if (told !== null && checksum !== null && told !== checksum.value && `${told}-${parts.length}` !== checksum.value) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return checksum === null ? [] : [checksum];
}

export async function abortMultipartUpload(context: Context): Promise<Reply> {
  const { bucket, upload } = openUpload(context);
  await context.objects.abortUpload(bucket, upload, context.signal);
  return emptyReply(204);
}

export function listParts(context: Context): Reply {
  const { bucket, upload } = openUpload(context);
  const { query, account } = context;
  const maxParts = wholeNumber('max-parts', query.get('max-parts'), { min: 0, max: MAX_PAGE, absent: MAX_PAGE });
  const marker = wholeNumber('part-number-marker', query.get('part-number-marker'), { min: 0, max: MAX_PARTS, absent: 0 });
  const found = context.objects.parts(bucket, upload.uploadId, marker, maxParts + 1);
  const page = found.slice(0, maxParts);
  const isTruncated = maxParts > 0 && found.length > maxParts;
  return xmlReply(
    document(
      'ListPartsResult',
      leaf('Bucket', context.bucketName),
      leaf('Key', context.key),
      leaf('UploadId', upload.uploadId),
      ownerElement(account, 'Initiator'),
      ownerElement(account),
      leaf('StorageClass', 'STANDARD'),
      leaf('PartNumberMarker', marker),
      leaf('NextPartNumberMarker', page.at(-1)?.partNumber ?? marker),
      leaf('MaxParts', maxParts),
      leaf('IsTruncated', isTruncated),
      leaf('ChecksumAlgorithm', upload.checksumAlgorithm),
      leaf('ChecksumType', upload.checksumType),
      ...page.map((part) =>
        element(
          'Part',
          leaf('PartNumber', part.partNumber),
          leaf('LastModified', isoTime(part.modifiedMs)),
          leaf('ETag', `"${part.etag}"`),
          leaf('Size', part.sizeBytes),
          checksumLeaves(part.checksums),
        ),
      ),
    ),
    checksumHeaders([]),
  );
}

export function listMultipartUploads(context: Context): Reply {
  const { query, account } = context;
  const bucket = context.bucket();
  const maxUploads = wholeNumber('max-uploads', query.get('max-uploads'), { min: 0, max: MAX_PAGE, absent: MAX_PAGE });
  const [prefix, delimiter] = [query.get('prefix') ?? '', query.get('delimiter') ?? ''];
  const [keyMarker, idMarker] = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? ''];
  const page = context.objects.uploads(bucket, {
    prefix,
    delimiter,
    after: keyMarker,
    afterUploadId: idMarker,
    limit: maxUploads,
  });
  const encode = query.get('encoding-type') === 'url' ? encodePath : (text: string) => text;
  return xmlReply(
    document(
      'ListMultipartUploadsResult',
      leaf('Bucket', context.bucketName),
      leaf('KeyMarker', encode(keyMarker)),
      leaf('UploadIdMarker', idMarker),
      page.next === null ? '' : leaf('NextKeyMarker', encode(page.next.key)),
      page.next === null ? '' : leaf('NextUploadIdMarker', page.next.uploadId),
      leaf('Prefix', encode(prefix)),
      delimiter === '' ? '' : leaf('Delimiter', encode(delimiter)),
      leaf('EncodingType', query.get('encoding-type')),
      leaf('MaxUploads', maxUploads),
      leaf('IsTruncated', page.next !== null),
      ...page.items.map((item) =>
        item.kind === 'prefix'
          ? element('CommonPrefixes', leaf('Prefix', encode(item.prefix)))
          : element(
              'Upload',
              leaf('Key', encode(item.upload.key)),
              leaf('UploadId', item.upload.uploadId),
              ownerElement(account, 'Initiator'),
              ownerElement(account),
              leaf('StorageClass', 'STANDARD'),
              leaf('Initiated', isoTime(item.upload.createdMs)),
              leaf('ChecksumAlgorithm', item.upload.checksumAlgorithm),
              leaf('ChecksumType', item.upload.checksumType),
            ),
      ),
    ),
  );
}
