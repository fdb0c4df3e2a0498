// The body of an upload, checked while it is read: length, payload hash, chunk signatures, Content-MD5 and
// checksum. Whatever is wrong throws before the source ends, so a wrong body is never stored.
import { createHash } from 'node:crypto';
import type { Checksum } from '#node/catalog/catalog.ts';
import type { BodyFacts, IncomingBody } from '../objects.ts';
import type { Payload } from './authenticate.ts';
import { decodeChunked } from './aws-chunked.ts';
import {
  algorithmOfHeader,
  checkValue,
  createHasher,
  headerName,
  parseAlgorithm,
  type Algorithm,
  type Hasher,
} from './checksums.ts';
import { S3Error } from './errors.ts';

/** What AWS takes as well; larger objects come in parts. */
export const MAX_PUT_BYTES = 5 * 1024 ** 3;

export interface BodyRequest {
  /** As they came (an unread stream of the HTTP server). */
  bytes: AsyncIterable<Uint8Array>;
  /** Of the request; of presigned ones also those in the query. */
  header: (name: string) => string | null;
  payload: Payload;
  /** Computed where the client names none. */
  defaultAlgorithm: Algorithm;
  maxBytes: number;
}

export async function openBody(request: BodyRequest): Promise<IncomingBody> {
  const sizeBytes = announcedSize(request);
  const announced = announcedChecksum(request);
  const algorithm = announced?.algorithm ?? request.defaultAlgorithm;
  const contentMd5 = announcedMd5(request.header('content-md5'));
  const checks = {
    md5: createHash('md5'),
    sha256: request.payload.kind === 'hashed' ? createHash('sha256') : null,
    checksum: await createHasher(algorithm),
  };
  let facts: BodyFacts | null = null;
  const { data, trailers } =
    request.payload.kind === 'chunked'
      ? decodeChunked(request.bytes, request.payload)
      : { data: request.bytes, trailers: new Map<string, string>() };

  async function* source(): AsyncGenerator<Uint8Array> {
    let seenBytes = 0;
    for await (const chunk of whole(data)) {
      seenBytes += chunk.length;
      if (seenBytes > sizeBytes) throw new S3Error('InvalidRequest', 'The body is longer than announced');
      checks.md5.update(chunk);
      checks.sha256?.update(chunk);
      checks.checksum.update(chunk);
      yield chunk;
    }
    if (seenBytes < sizeBytes) throw incomplete(seenBytes, sizeBytes);
    facts = finish(request, checks, { algorithm, announced, contentMd5, trailers });
  }
  return {
    source: source(),
    sizeBytes,
    facts: () => {
      if (facts === null) throw new Error('the facts of a body are known only after it was read');
      return facts;
    },
  };
}

/** A small body as a whole, checked alike: XML of other calls. */
export async function readSmallBody(request: BodyRequest): Promise<Buffer> {
  const body = await openBody(request);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The connection broke: nobody reads the answer, but the log should say what happened. */
async function* whole(data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* data;
  } catch (error) {
    if (error instanceof S3Error) throw error;
    throw new S3Error('IncompleteBody', undefined, { cause: error });
  }
}

const incomplete = (seen: number, announced: number) =>
  new S3Error('IncompleteBody', `The body ended after ${seen} of ${announced} bytes; nothing was stored`);

function announcedSize({ header, payload, maxBytes }: BodyRequest): number {
  const text = payload.kind === 'chunked' ? header('x-amz-decoded-content-length') : header('content-length');
  if (text === null)
    throw new S3Error(
      'MissingContentLength',
      payload.kind === 'chunked' ? 'x-amz-decoded-content-length is required' : undefined,
    );
  const sizeBytes = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(sizeBytes))
    throw new S3Error('InvalidArgument', 'The length of the body must be a whole number');
  if (sizeBytes > maxBytes) throw new S3Error('EntityTooLarge', `This body may have at most ${maxBytes} bytes`);
  return sizeBytes;
}

interface Announced {
  algorithm: Algorithm;
  /** Null: comes in the trailer. */
  value: string | null;
}

function announcedChecksum(request: BodyRequest): Announced | null {
  const found: Announced[] = [];
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    const value = request.header(headerName(algorithm));
    if (value !== null) found.push({ algorithm, value: checkValue(algorithm, value) });
  }
  const trailer = request.header('x-amz-trailer');
  if (trailer !== null) {
    const algorithm = algorithmOfHeader(trailer.trim());
    if (algorithm === null)
      throw new S3Error('InvalidRequest', `The value specified in the x-amz-trailer header is not supported: ${trailer}`);
    if (request.payload.kind !== 'chunked' || !request.payload.trailer) {
      throw new S3Error('InvalidRequest', 'x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER');
    }
    found.push({ algorithm, value: null });
  }
  if (found.length > 1)
    throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.');
  const named = request.header('x-amz-sdk-checksum-algorithm');
  const announced = found[0] ?? null;
  if (named !== null && announced !== null && parseAlgorithm(named) !== announced.algorithm) {
    throw new S3Error('InvalidRequest', 'x-amz-sdk-checksum-algorithm names another algorithm than the checksum that was sent');
  }
  return announced;
}

function announcedMd5(text: string | null): string | null {
  if (text === null) return null;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== 16 || bytes.toString('base64') !== text) throw new S3Error('InvalidDigest');
  return bytes.toString('hex');
}

function finish(
  request: BodyRequest,
  checks: { md5: ReturnType<typeof createHash>; sha256: ReturnType<typeof createHash> | null; checksum: Hasher },
  expected: { algorithm: Algorithm; announced: Announced | null; contentMd5: string | null; trailers: Map<string, string> },
): BodyFacts {
  const { algorithm, announced, contentMd5, trailers } = expected;
  const etag = checks.md5.digest('hex');
  if (contentMd5 !== null && contentMd5 !== etag)
    throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
  if (request.payload.kind === 'hashed' && checks.sha256?.digest('hex') !== request.payload.sha256)
    throw new S3Error('XAmzContentSHA256Mismatch');
  for (const name of trailers.keys()) {
    if (name !== headerName(algorithm) || announced === null)
      throw new S3Error('InvalidRequest', `The trailer ${name} was not announced in x-amz-trailer`);
  }
  const value = checks.checksum.digest();
  const told = announced === null ? null : (announced.value ?? trailers.get(headerName(algorithm)));
  if (told === undefined)
    throw new S3Error('InvalidRequest', `The trailer ${headerName(algorithm)} was announced and did not come`);
  if (told !== null && told !== value)
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  const checksum: Checksum = { algorithm, value, type: 'FULL_OBJECT' };
  return { etag, checksums: [checksum] };
}
