// Stripes on threads and on the caller's: the same bytes, and any `required` shards give the records back.
import { afterAll, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { newSegmentKey } from '#node/core/encryption.ts';
import { leafHash } from '#node/core/merkle.ts';
import { plainToCipherBytes, segmentGeometry, shardBytes, type SegmentGeometry } from '#node/core/segments.ts';
import { stripePipeline, type EncodeJob, type StripePipeline } from '#node/client/pipeline/stripe-pipeline.ts';
import { RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { seededBytes } from './support/test-farm.ts';

const inline = stripePipeline(0);
const threads = stripePipeline(2);
afterAll(() => Promise.all([inline.close(), threads.close()]));

/** The jobs of one segment that has so many plaintext bytes. */
function jobsOf(plain: Uint8Array, required: number, total: number): { jobs: EncodeJob[]; geometry: SegmentGeometry } {
  const geometry = segmentGeometry(plainToCipherBytes(plain.length), required);
  const cipher = newSegmentKey(new Uint8Array(32).fill(required));
  const jobs = Array.from({ length: geometry.stripes }, (_, stripe) => {
    const first = stripe * required;
    const end = Math.min(geometry.records, first + required);
    const records = Array.from({ length: end - first }, (_record, i) =>
      plain.subarray((first + i) * RECORD_PLAIN_BYTES, (first + i + 1) * RECORD_PLAIN_BYTES),
    );
    return {
      cipher,
      required,
      total,
      firstRecord: first,
      records,
      last: end === geometry.records,
      shardBytes: shardBytes(geometry, stripe),
    };
  });
  return { jobs, geometry };
}

async function decodeAll(
  pipeline: StripePipeline,
  jobs: EncodeJob[],
  geometry: SegmentGeometry,
  pieces: number[],
): Promise<Uint8Array> {
  const plains = await Promise.all(
    jobs.map(async (job) => {
      const { shards } = await inline.encode(job);
      return await pipeline.decode({
        cipher: job.cipher,
        required: job.required,
        total: job.total,
        shards: pieces.map((index) => ({ index, shard: shards[index]! })),
        stripeFirstRecord: job.firstRecord,
        firstRecord: job.firstRecord,
        endRecord: job.firstRecord + job.records.length,
        cipherBytes: geometry.cipherBytes,
      });
    }),
  );
  return new Uint8Array(Buffer.concat(plains.flat()));
}

describe('stripes', () => {
  it('come back from any required pieces', async () => {
    const cases = fc.record({
      code: fc.constantFrom([1, 1], [1, 3], [2, 3], [4, 6], [6, 10]),
      sizeBytes: fc.integer({ min: 1, max: 9 * RECORD_PLAIN_BYTES }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ code: [required, total], sizeBytes, seed }) => {
        const plain = seededBytes(sizeBytes, seed);
        const { jobs, geometry } = jobsOf(plain, required, total);
        const pieces = Array.from({ length: total }, (_, i) => (i * 7 + seed) % total);
        const distinct = [...new Set([...pieces, ...pieces.map((_, i) => i)])].slice(0, required);
        expect(Buffer.compare(await decodeAll(inline, jobs, geometry, distinct), plain)).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  it('are the same on threads, many at once', async () => {
    const plain = seededBytes(30 * RECORD_PLAIN_BYTES + 5, 1);
    const { jobs, geometry } = jobsOf(plain, 4, 6);
    const [here, there] = await Promise.all([inline, threads].map((one) => Promise.all(jobs.map((job) => one.encode(job)))));
    expect(there!.flatMap(({ hashes }) => hashes.map((hash) => Buffer.from(hash).toString('hex')))).toEqual(
      here!.flatMap(({ shards }) => shards.map((shard) => Buffer.from(leafHash(shard)).toString('hex'))),
    );
    expect(Buffer.compare(await decodeAll(threads, jobs, geometry, [5, 4, 1, 0]), plain)).toBe(0);
  });

  it('keep their bytes until they are released, and hold up the next ones when nobody releases them', async () => {
    const one = stripePipeline(1);
    const { jobs } = jobsOf(seededBytes(2 * RECORD_PLAIN_BYTES, 1), 1, 60);
    const held = [];
    for (let i = 0; i < 12; i++) held.push(await one.encode(jobs[i % 2]!));
    const thirteenth = one.encode(jobs[0]!);
    const decoded = decodeAll(one, jobs, segmentGeometry(plainToCipherBytes(2 * RECORD_PLAIN_BYTES), 1), [3]);
    expect((await decoded).length).toBe(2 * RECORD_PLAIN_BYTES);
    const [even, odd] = [held[0]!, held[1]!];
    for (const [i, { shards, hashes }] of held.entries()) {
      expect(leafHash(shards[59]!)).toEqual((i % 2 === 0 ? even : odd).hashes[59]);
      expect(leafHash(shards[59]!)).toEqual(hashes[59]);
    }
    let isThere = false;
    void thirteenth.then(() => (isThere = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isThere).toBe(false);
    odd.release();
    odd.release();
    const last = await thirteenth;
    expect(last.shards[0]!.byteOffset).toBe(odd.shards[0]!.byteOffset);
    await one.close();
  });

  it('give their memory back where a job fails', async () => {
    const one = stripePipeline(1);
    const { jobs } = jobsOf(seededBytes(100, 1), 1, 60);
    for (let i = 0; i < 13; i++) await expect(one.encode({ ...jobs[0]!, shardBytes: 16 })).rejects.toThrow('do not fit');
    (await one.encode(jobs[0]!)).release();
    await one.close();
  });

  it('do not open when a byte is wrong or the key is another', async () => {
    const { jobs, geometry } = jobsOf(seededBytes(1000, 1), 2, 3);
    const { shards } = await inline.encode(jobs[0]!);
    const job = {
      cipher: jobs[0]!.cipher,
      required: 2,
      total: 3,
      shards: [0, 2].map((index) => ({ index, shard: shards[index]! })),
      stripeFirstRecord: 0,
      firstRecord: 0,
      endRecord: 1,
      cipherBytes: geometry.cipherBytes,
    };
    await expect(threads.decode({ ...job, cipher: newSegmentKey(new Uint8Array(32).fill(9)) })).rejects.toThrow('does not open');
    shards[2]![3]! ^= 1;
    await expect(threads.decode(job)).rejects.toThrow('does not open');
  });

  it('end with the pipeline', async () => {
    const closing = stripePipeline(1);
    const { jobs } = jobsOf(seededBytes(1000, 1), 1, 1);
    const under = closing.encode(jobs[0]!);
    const refused = expect(under).rejects.toThrow('closed');
    await closing.close();
    await refused;
    await expect(closing.encode(jobs[0]!)).rejects.toThrow('closed');
  });
});
