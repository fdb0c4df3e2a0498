// One stripe: encrypt, encode, hash in place on the codec's memory, and back. Runs on a thread or on the caller's.
import { decryptRecord, encryptRecord } from '#node/core/encryption.ts';
import { createCodec, createErasureMemory, type Codec } from '#node/core/erasure.ts';
import { leafHash } from '#node/core/merkle.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import type { DecodeJob, EncodedStripe, EncodeJob } from './stripe-pipeline.ts';

/** One workplace for each code in use; a farm has one or two schemes, old segments a few more. */
const MAX_WORKPLACES = 8;
/** Tables of the codec, beside the stripe itself. */
const CODEC_BYTES = 8 * 1024 * 1024;

interface Workplace {
  codec: Codec;
  /** Room for one full stripe: data first, parity behind. */
  area: Uint8Array;
}

export interface StripeMath {
  encode(job: EncodeJob): EncodedStripe;
  decode(job: DecodeJob): Uint8Array;
}

/** Not for two threads: each makes its own. */
export function stripeMath(): StripeMath {
  const workplaces = new Map<string, Workplace>();
  const workplace = (required: number, total: number): Workplace => {
    const name = `${required}/${total}`;
    const known = workplaces.get(name) ?? newWorkplace(required, total);
    workplaces.delete(name);
    workplaces.set(name, known);
    if (workplaces.size > MAX_WORKPLACES) workplaces.delete(workplaces.keys().next().value ?? '');
    return known;
  };
  return {
    encode: (job) => encodeStripe(workplace(job.required, job.total), job),
    decode: (job) => decodeStripe(workplace(job.required, job.total), job),
  };
}

function newWorkplace(required: number, total: number): Workplace {
  const memory = createErasureMemory({ sizeBytes: total * LEAF_BYTES + CODEC_BYTES });
  return { area: memory.take(total * LEAF_BYTES), codec: createCodec(required, total, memory) };
}

function encodeStripe({ codec, area }: Workplace, job: EncodeJob): EncodedStripe {
  const { required, total, shardBytes } = job;
  let filled = 0;
  for (const [i, record] of job.records.entries()) {
    const last = job.last && i === job.records.length - 1;
    filled += encryptRecord(job.cipher, job.firstRecord + i, last, record, area.subarray(filled));
  }
  if (filled > required * shardBytes) throw new RangeError('The records of a stripe do not fit into its shards.');
  area.fill(0, filled, required * shardBytes);
  const shards = shardsOf(area, total, shardBytes);
  codec.encode(shards.slice(0, required), shards.slice(required));
  const copy = new Uint8Array(job.want.length * shardBytes);
  const wanted = job.want.map((index, i) => {
    const place = copy.subarray(i * shardBytes, (i + 1) * shardBytes);
    place.set(shards[index]!);
    return place;
  });
  return { shards: wanted, hashes: shards.map(leafHash) };
}

function decodeStripe({ codec, area }: Workplace, job: DecodeJob): Uint8Array {
  const { required, total, shards: have } = job;
  const shardBytes = have[0]!.shard.length;
  const places = shardsOf(area, total, shardBytes);
  for (const { index, shard } of have) places[index]!.set(shard);
  const ranges = recordRanges(job);
  const firstShard = Math.floor(ranges[0]!.from / shardBytes);
  const endShard = Math.ceil(ranges.at(-1)!.to / shardBytes);
  const lacking = Array.from({ length: endShard - firstShard }, (_, i) => firstShard + i).filter(
    (shard) => !have.some(({ index }) => index === shard),
  );
  if (lacking.length > 0) {
    const known = have.slice(0, required).map(({ index }) => ({ index, shard: places[index]! }));
    codec.reconstruct(
      known,
      lacking,
      lacking.map((index) => places[index]!),
    );
  }
  const plain = new Uint8Array(ranges.reduce((sum, { plainBytes }) => sum + plainBytes, 0));
  let filled = 0;
  for (const { record, from, to, last } of ranges) {
    filled += decryptRecord(job.cipher, record, last, area.subarray(from, to), plain.subarray(filled));
  }
  return plain;
}

function shardsOf(area: Uint8Array, total: number, shardBytes: number): Uint8Array[] {
  return Array.from({ length: total }, (_, i) => area.subarray(i * shardBytes, (i + 1) * shardBytes));
}

/** Where the wanted records lie in the stripe's ciphertext. */
function recordRanges(job: DecodeJob): { record: number; from: number; to: number; last: boolean; plainBytes: number }[] {
  return Array.from({ length: job.endRecord - job.firstRecord }, (_, i) => {
    const record = job.firstRecord + i;
    const from = (record - job.stripeFirstRecord) * LEAF_BYTES;
    const size = Math.min(LEAF_BYTES, job.cipherBytes - record * LEAF_BYTES);
    return { record, from, to: from + size, last: (record + 1) * LEAF_BYTES >= job.cipherBytes, plainBytes: size - 16 };
  });
}
