import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeChunked } from '#node/bridge/s3/aws-chunked.ts';
import { S3Error } from '#node/bridge/s3/errors.ts';
import { chunkStringToSign, createSigningKeys, sign, trailerStringToSign } from '#node/bridge/s3/signature.ts';

const scope = { date: '20260101', region: 'storj-1' };
const signing = { key: createSigningKeys()('secret-secret', scope), amzDate: '20260101T000000Z', scope, seed: 'ab'.repeat(32) };

/** As a client encodes it. */
function encode(chunks: Uint8Array[], { signed, trailer }: { signed: boolean; trailer: string | null }): Buffer {
  let previous = signing.seed;
  const parts: Buffer[] = [];
  for (const chunk of [...chunks.filter((one) => one.length > 0), new Uint8Array(0)]) {
    const hash = createHash('sha256').update(chunk).digest('hex');
    previous = sign(signing.key, chunkStringToSign(signing.amzDate, scope, previous, hash));
    parts.push(
      Buffer.from(`${chunk.length.toString(16)}${signed ? `;chunk-signature=${previous}` : ''}\r\n`),
      Buffer.from(chunk),
    );
    if (chunk.length > 0) parts.push(Buffer.from('\r\n'));
  }
  if (trailer !== null) parts.push(Buffer.from(`${trailer}\r\n`));
  if (trailer !== null && signed) {
    const signature = sign(signing.key, trailerStringToSign(signing.amzDate, scope, previous, `${trailer}\n`));
    parts.push(Buffer.from(`x-amz-trailer-signature:${signature}\r\n`));
  }
  return Buffer.concat([...parts, Buffer.from('\r\n')]);
}

async function decode(bytes: Buffer, cuts: number[], options: { signed: boolean; trailer: boolean }) {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  async function* body() {
    for (const [index, from] of at.slice(0, -1).entries()) yield bytes.subarray(from, at[index + 1]);
  }
  const { data, trailers } = decodeChunked(body(), { signing: options.signed ? signing : null, trailer: options.trailer });
  const out: Uint8Array[] = [];
  for await (const piece of data) out.push(piece);
  return { bytes: Buffer.concat(out), trailers };
}

const chunks = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 });
const cuts = fc.array(fc.nat(2000), { maxLength: 12 });

describe('aws-chunked', () => {
  it('gives back what was encoded, however the network cuts it', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, cuts, fc.boolean(), fc.boolean(), async (list, where, signed, withTrailer) => {
        const trailer = withTrailer ? 'x-amz-checksum-crc32:AAAAAA==' : null;
        const decoded = await decode(encode(list, { signed, trailer }), where, { signed, trailer: withTrailer });
        expect(Buffer.compare(decoded.bytes, Buffer.concat(list))).toBe(0);
        expect([...decoded.trailers]).toEqual(withTrailer ? [['x-amz-checksum-crc32', 'AAAAAA==']] : []);
      }),
      { numRuns: 200 },
    );
  });

  it('never takes a signed body of which one bit was changed', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, cuts, fc.nat(), fc.integer({ min: 0, max: 7 }), async (list, where, position, bit) => {
        const trailer = 'x-amz-checksum-crc32:AAAAAA==';
        const bytes = encode(list, { signed: true, trailer });
        const at = position % (bytes.length - 2);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const result = await decode(bytes, where, { signed: true, trailer: true }).then(
          ({ bytes: got, trailers }) => ({ got, trailers }),
          (error: unknown) => error,
        );
        if (result instanceof S3Error) return;
        // A letter's case in a chunk's size or a trailer's name says the same.
        const { got, trailers } = result as { got: Buffer; trailers: Map<string, string> };
        expect(Buffer.compare(got, Buffer.concat(list))).toBe(0);
        expect([...trailers]).toEqual([['x-amz-checksum-crc32', 'AAAAAA==']]);
      }),
      { numRuns: 300 },
    );
  });

  it('says that a body is cut off, wherever', async () => {
    const bytes = encode([Buffer.alloc(100, 1), Buffer.alloc(50, 2)], { signed: true, trailer: null });
    for (let length = 0; length < bytes.length - 4; length += 7) {
      const error: unknown = await decode(bytes.subarray(0, length), [], { signed: true, trailer: false }).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(S3Error);
    }
  });

  it('takes no trailer that was not announced, and no endless line', async () => {
    const bytes = encode([], { signed: false, trailer: 'x-amz-checksum-crc32:AAAAAA==' });
    await expect(decode(bytes, [], { signed: false, trailer: false })).rejects.toMatchObject({ code: 'InvalidRequest' });
    await expect(decode(Buffer.alloc(10_000, 65), [5000], { signed: false, trailer: true })).rejects.toMatchObject({
      code: 'InvalidRequest',
    });
  });
});
