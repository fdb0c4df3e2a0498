// An object from whatever the caller has: bytes, a stream of unknown length, or something that can be read
// again, like a file. What is larger than one segment goes up in parts, each recorded on the farm as soon as
// it is stored, so that a put that was broken off goes on with the next part.
import { createHash } from 'node:crypto';
import type { IncomingBody, Objects } from '#node/bridge/objects.ts';
import { MAX_PARTS, multipartEtag } from '#node/bridge/uploads.ts';
import type { BucketRow, PartRow, UploadRow, VersionRow } from '#node/catalog/catalog.ts';
import { LEAF_BYTES, MAX_SEGMENT_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { StorjError } from './storj-error.ts';

/** Something that can be read from any place, again and again. */
export interface ReadableAgain {
  sizeBytes: number;
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}
export type PutSource = Uint8Array | ReadableAgain | AsyncIterable<Uint8Array>;

/** Names of uploads that may go on after this process has ended. */
export interface UnfinishedUploads {
  load(name: string): Promise<string | null>;
  save(name: string, uploadId: string): Promise<void>;
  remove(name: string): Promise<void>;
}

/** The plaintext of one full segment. */
const SEGMENT_PLAIN_BYTES = (MAX_SEGMENT_BYTES / LEAF_BYTES) * RECORD_PLAIN_BYTES;
/** One is being read while the one before waits for its last receipts. */
const PARTS_AT_ONCE = 2;

export interface PutObjectOrder {
  row: BucketRow;
  key: string;
  source: PutSource;
  headers?: Record<string, string>;
  resumeAs?: string;
  onProgress?: (doneBytes: number) => void;
  signal: AbortSignal;
}
interface Tools {
  objects: Objects;
  uploads: UnfinishedUploads;
}

export async function putObject(tools: Tools, order: PutObjectOrder): Promise<VersionRow> {
  const { source } = order;
  if (source instanceof Uint8Array) return await putWhole(tools, order, inMemory(source));
  if ('read' in source) {
    return source.sizeBytes <= SEGMENT_PLAIN_BYTES ? await putWhole(tools, order, source) : await putParts(tools, order, source);
  }
  return await putStream(tools, order, source);
}

const headersOf = ({ headers }: PutObjectOrder) => ({ 'content-type': 'binary/octet-stream', ...headers });

async function putWhole({ objects }: Tools, order: PutObjectOrder, source: ReadableAgain): Promise<VersionRow> {
  const { row, key, signal } = order;
  const body = bodyOf(source.read(0, source.sizeBytes), source.sizeBytes, counter(order));
  return await objects.put(row, { key, headers: headersOf(order), body, conditions: {} }, signal);
}

/** Of unknown length: a segment at a time in memory. */
async function putStream(tools: Tools, order: PutObjectOrder, source: AsyncIterable<Uint8Array>): Promise<VersionRow> {
  const pieces = inPieces(source, SEGMENT_PLAIN_BYTES);
  const first = await pieces.next();
  const bytes = first.done ? new Uint8Array(0) : first.value;
  if (bytes.length < SEGMENT_PLAIN_BYTES) return await putWhole(tools, order, inMemory(bytes));
  const upload = await begin(tools, order);
  const count = counter(order);
  const parts: PartRow[] = [];
  for (let piece: Uint8Array | null = bytes; piece !== null;) {
    if (parts.length === MAX_PARTS) {
      throw new StorjError('TooLarge', 'A stream of unknown length may have 10,000 segments; put it as a file.');
    }
    const body = bodyOf(inMemory(piece).read(0, piece.length), piece.length, count);
    parts.push(await tools.objects.putPart(order.row, upload, parts.length + 1, body, order.signal));
    const next: IteratorResult<Uint8Array, void> = await pieces.next();
    piece = next.done === true ? null : next.value;
  }
  return await complete(tools, order, upload, parts);
}

/** In parts, two at once; those that an earlier attempt stored are compared and left as they are. */
async function putParts(tools: Tools, order: PutObjectOrder, source: ReadableAgain): Promise<VersionRow> {
  const { row, signal } = order;
  const name = resumeName(order, source);
  const upload = await resumed(tools, order, name);
  const partBytes = SEGMENT_PLAIN_BYTES * Math.ceil(source.sizeBytes / (SEGMENT_PLAIN_BYTES * MAX_PARTS));
  const count = counter(order);
  const stored = new Map(tools.objects.parts(row, upload.uploadId, 0, MAX_PARTS).map((part) => [part.partNumber, part]));
  const partCount = Math.ceil(source.sizeBytes / partBytes);
  const parts: PartRow[] = [];
  let next = 1;
  const work = async (): Promise<void> => {
    while (next <= partCount) {
      const number = next++;
      const offset = (number - 1) * partBytes;
      const sizeBytes = Math.min(partBytes, source.sizeBytes - offset);
      const before = stored.get(number);
      const isThere = before?.sizeBytes === sizeBytes && before.etag === (await md5Of(source.read(offset, sizeBytes)));
      if (isThere) count(sizeBytes);
      parts[number - 1] = isThere
        ? before
        : await tools.objects.putPart(row, upload, number, bodyOf(source.read(offset, sizeBytes), sizeBytes, count), signal);
    }
  };
  const stop = (error: unknown) => {
    // What is on its way ends before the caller hears of it: the next attempt goes on behind it.
    next = Infinity;
    throw error;
  };
  const ends = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, () => work().catch(stop)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  const version = await complete(tools, order, upload, parts);
  await tools.uploads.remove(name);
  return version;
}

async function begin({ objects }: Tools, order: PutObjectOrder): Promise<UploadRow> {
  const { row, key, signal } = order;
  return await objects.createUpload(row, { key, headers: headersOf(order), checksumAlgorithm: null, checksumType: null }, signal);
}

async function resumed(tools: Tools, order: PutObjectOrder, name: string): Promise<UploadRow> {
  const known = order.resumeAs === undefined ? null : await tools.uploads.load(name);
  if (known !== null) {
    try {
      return tools.objects.upload(order.row, order.key, known);
    } catch {
      // Somebody ended it meanwhile: from the start, then.
    }
  }
  const upload = await begin(tools, order);
  if (order.resumeAs !== undefined) await tools.uploads.save(name, upload.uploadId);
  return upload;
}

const resumeName = ({ row, key, resumeAs = '' }: PutObjectOrder, { sizeBytes }: ReadableAgain): string =>
  createHash('sha256')
    .update(JSON.stringify([row.bucketId, key, resumeAs, sizeBytes]))
    .digest('hex')
    .slice(0, 32);

async function complete(
  { objects }: Tools,
  { row, signal }: PutObjectOrder,
  upload: UploadRow,
  rows: readonly PartRow[],
): Promise<VersionRow> {
  const parts = rows.map(({ partNumber, etag }) => ({ partNumber, etag }));
  const facts = { etag: multipartEtag(parts), checksums: [] };
  return await objects.completeUpload(row, { upload, parts, facts, conditions: {} }, signal);
}

const inMemory = (bytes: Uint8Array): ReadableAgain => ({
  sizeBytes: bytes.length,
  async *read(offset, length) {
    yield bytes.subarray(offset, offset + length);
  },
});

function bodyOf(source: AsyncIterable<Uint8Array>, sizeBytes: number, count: (bytes: number) => void): IncomingBody {
  const md5 = createHash('md5');
  async function* counted(): AsyncGenerator<Uint8Array> {
    let readBytes = 0;
    for await (const chunk of source) {
      md5.update(chunk);
      readBytes += chunk.length;
      yield chunk;
      count(chunk.length);
    }
    if (readBytes !== sizeBytes) {
      throw new StorjError(
        'Changed',
        `The source had ${readBytes} bytes instead of ${sizeBytes}: it changed meanwhile. Try again.`,
      );
    }
  }
  return { source: counted(), sizeBytes, facts: () => ({ etag: md5.digest('hex'), checksums: [] }) };
}

async function md5Of(source: AsyncIterable<Uint8Array>): Promise<string> {
  const md5 = createHash('md5');
  for await (const chunk of source) md5.update(chunk);
  return md5.digest('hex');
}

function counter({ onProgress }: PutObjectOrder): (bytes: number) => void {
  let doneBytes = 0;
  return (bytes) => onProgress?.((doneBytes += bytes));
}

/** Each but the last has exactly so many bytes, in memory of its own. */
async function* inPieces(source: AsyncIterable<Uint8Array>, pieceBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  let chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (let chunk of source) {
    while (bytes + chunk.length >= pieceBytes) {
      chunks.push(chunk.subarray(0, pieceBytes - bytes));
      chunk = chunk.subarray(pieceBytes - bytes);
      yield Buffer.concat(chunks);
      chunks = [];
      bytes = 0;
    }
    if (chunk.length > 0) chunks.push(Uint8Array.from(chunk));
    bytes += chunk.length;
  }
  if (bytes > 0) yield Buffer.concat(chunks);
}
