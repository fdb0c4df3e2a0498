// The aws-chunked encoding: `size[;chunk-signature=…]\r\n data \r\n` …, a chunk of size 0, then trailers.
// Data is passed on as it comes and hashed on the way; a wrong signature throws at the end of its chunk,
// and what has been passed on by then must not be stored.
import { createHash } from 'node:crypto';
import type { ChunkSigning } from './authenticate.ts';
import { S3Error } from './errors.ts';
import { chunkStringToSign, equalSignatures, sign, trailerStringToSign } from './signature.ts';

const MAX_LINE_BYTES = 4096;
const MAX_TRAILERS = 16;
const CRLF = Buffer.from('\r\n');

export interface ChunkedOptions {
  signing: ChunkSigning | null;
  trailer: boolean;
}

/** Decoded bytes; `trailers` (lower-case names) is complete when the iteration has ended. */
export function decodeChunked(
  body: AsyncIterable<Uint8Array>,
  { signing, trailer }: ChunkedOptions,
): { data: AsyncIterable<Uint8Array>; trailers: Map<string, string> } {
  const trailers = new Map<string, string>();
  return { data: decode(new Reader(body), signing, trailer, trailers), trailers };
}

async function* decode(
  reader: Reader,
  signing: ChunkSigning | null,
  trailer: boolean,
  trailers: Map<string, string>,
): AsyncGenerator<Uint8Array> {
  let previous = signing?.seed ?? '';
  for (;;) {
    const { sizeBytes, signature } = parseChunkLine(await reader.line(), signing !== null);
    const hash = signing === null ? null : createHash('sha256');
    let left = sizeBytes;
    while (left > 0) {
      const piece = await reader.some(left);
      left -= piece.length;
      hash?.update(piece);
      yield piece;
    }
    if (sizeBytes > 0) await reader.expectCrlf();
    if (signing !== null && hash !== null) {
      const { key, amzDate, scope } = signing;
      const expected = sign(key, chunkStringToSign(amzDate, scope, previous, hash.digest('hex')));
      if (!equalSignatures(expected, signature))
        throw new S3Error('SignatureDoesNotMatch', 'The signature of a chunk of the body is wrong');
      previous = signature;
    }
    if (sizeBytes === 0) break;
  }
  await readTrailers(reader, trailers);
  if (trailer && signing !== null) checkTrailer(signing, previous, trailers);
  if (!trailer && trailers.size > 0)
    throw new S3Error('InvalidRequest', 'The body has trailers that x-amz-content-sha256 did not announce');
}

function parseChunkLine(line: string, signed: boolean): { sizeBytes: number; signature: string } {
  const match = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
  if (match === null || (signed && match[2] === undefined))
    throw new S3Error('InvalidRequest', 'The body is not aws-chunked as announced');
  return { sizeBytes: Number.parseInt(match[1] ?? '', 16), signature: match[2] ?? '' };
}

async function readTrailers(reader: Reader, trailers: Map<string, string>): Promise<void> {
  for (;;) {
    const line = await reader.lineOrEnd();
    // Some clients leave out the last empty line.
    if (line === null || line === '') return;
    const at = line.indexOf(':');
    if (at < 1 || trailers.size >= MAX_TRAILERS) throw new S3Error('InvalidRequest', 'The trailer of the body is malformed');
    trailers.set(line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim());
  }
}

function checkTrailer({ key, amzDate, scope }: ChunkSigning, previous: string, trailers: Map<string, string>): void {
  const signature = trailers.get('x-amz-trailer-signature') ?? '';
  trailers.delete('x-amz-trailer-signature');
  const text = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('');
  const expected = sign(key, trailerStringToSign(amzDate, scope, previous, text));
  if (!equalSignatures(expected, signature))
    throw new S3Error('SignatureDoesNotMatch', "The signature of the body's trailer is wrong");
}

/** Lines and runs of bytes out of a stream, holding one incoming buffer and the start of a line at most. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #fill(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    const bytes = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    return true;
  }

  /** Null where the stream ends instead of a line. */
  async lineOrEnd(): Promise<string | null> {
    for (;;) {
      const at = this.#held.indexOf(CRLF);
      if (at >= 0) {
        const line = this.#held.subarray(0, at).toString('latin1');
        this.#held = this.#held.subarray(at + 2);
        return line;
      }
      if (this.#held.length > MAX_LINE_BYTES) throw new S3Error('InvalidRequest', 'The body is not aws-chunked as announced');
      if (await this.#fill()) continue;
      if (this.#held.length === 0) return null;
      throw new S3Error('IncompleteBody');
    }
  }
  async line(): Promise<string> {
    const line = await this.lineOrEnd();
    if (line === null) throw new S3Error('IncompleteBody');
    return line;
  }
  /** From 1 to `max` bytes. */
  async some(max: number): Promise<Buffer> {
    if (this.#held.length === 0 && !(await this.#fill())) throw new S3Error('IncompleteBody');
    const piece = this.#held.subarray(0, max);
    this.#held = this.#held.subarray(piece.length);
    return piece;
  }
  async expectCrlf(): Promise<void> {
    while (this.#held.length < 2) if (!(await this.#fill())) throw new S3Error('IncompleteBody');
    if (this.#held[0] !== 13 || this.#held[1] !== 10)
      throw new S3Error('InvalidRequest', 'The body is not aws-chunked as announced');
    this.#held = this.#held.subarray(2);
  }
}
