// One stripe: encrypt, encode, hash in place on the codec's memory, and back. Runs on a thread or on the caller's.
import { copyInto } from '#node/core/bytes.ts';
import { decryptRecord, encryptRecord } from '#node/core/encryption.ts';
import { createCodec, createErasureMemory, type Codec } from '#node/core/erasure.ts';
import { leafHashInPlace } from '#node/core/merkle.ts';
import type { WasmMemory } from '#node/core/wasm.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import { slotShards } from './stripe-memory.ts';
import type { DecodeJob, EncodeJob } from './stripe-pipeline.ts';

/** Where one code is worked with. Not for two threads. */
export interface Workplace {
  readonly codec: Codec;
  readonly memory: WasmMemory;
  /** Room for one stripe that is being decoded. */
  readonly area: Uint8Array;
}

/** On memory from newStripeMemory. */
export function newWorkplace(required: number, total: number, memory: WasmMemory): Workplace {
  const lent = createErasureMemory({ memory });
  return { memory, area: lent.take(total * LEAF_BYTES), codec: createCodec(required, total, lent) };
}

/** The stripe lies in the slot then; answers the leaf hashes of all pieces, one after the other. */
export function encodeStripe({ codec, memory }: Workplace, slot: number, job: EncodeJob): Uint8Array<ArrayBuffer> {
  const { required, total, shardBytes } = job;
  const shards = slotShards(memory, slot, total, shardBytes);
  const data = new Uint8Array(memory.buffer, shards[0]!.byteOffset, required * shardBytes);
  let filled = 0;
  for (const [i, record] of job.records.entries()) {
    const last = job.last && i === job.records.length - 1;
    if (filled + record.length + 16 > data.length) throw new RangeError('The records of a stripe do not fit into its shards.');
    filled += encryptRecord(job.cipher, job.firstRecord + i, last, record, data.subarray(filled));
  }
  data.fill(0, filled);
  codec.encode(shards.slice(0, required), shards.slice(required));
  const hashes = new Uint8Array(32 * total);
  for (const [i, shard] of shards.entries()) hashes.set(leafHashInPlace(shard), 32 * i);
  return hashes;
}

/** The wanted records, each in memory of its own. */
export function decodeStripe({ codec, area }: Workplace, job: DecodeJob): Uint8Array<ArrayBuffer>[] {
  const { shards: have } = job;
  const shardBytes = have[0]!.shard.length;
  const ranges = recordRanges(job);
  // In a full stripe each record is one shard: those that are there need not be moved.
  const isFull = shardBytes === LEAF_BYTES;
  const direct = ranges.map(({ from }) => (isFull ? have.find(({ index }) => index === from / LEAF_BYTES)?.shard : undefined));
  if (direct.includes(undefined)) reconstruct(codec, area, job, ranges);
  return ranges.map(({ record, from, to, last }, i) =>
    decryptRecord(job.cipher, record, last, direct[i]?.subarray(0, to - from) ?? area.subarray(from, to)),
  );
}

/** The data shards under these records, in the area. */
function reconstruct(codec: Codec, area: Uint8Array, { required, total, shards: have }: DecodeJob, ranges: RecordRange[]): void {
  const shardBytes = have[0]!.shard.length;
  const places = Array.from({ length: total }, (_, i) => area.subarray(i * shardBytes, (i + 1) * shardBytes));
  for (const { index, shard } of have) copyInto(places[index]!, shard);
  const firstShard = Math.floor(ranges[0]!.from / shardBytes);
  const endShard = Math.ceil(ranges.at(-1)!.to / shardBytes);
  const lacking = Array.from({ length: endShard - firstShard }, (_, i) => firstShard + i).filter(
    (shard) => !have.some(({ index }) => index === shard),
  );
  if (lacking.length === 0) return;
  const known = have.slice(0, required).map(({ index }) => ({ index, shard: places[index]! }));
  codec.reconstruct(
    known,
    lacking,
    lacking.map((index) => places[index]!),
  );
}

interface RecordRange {
  record: number;
  from: number;
  to: number;
  last: boolean;
}
/** Where the wanted records lie in the stripe's ciphertext. */
function recordRanges(job: DecodeJob): RecordRange[] {
  return Array.from({ length: job.endRecord - job.firstRecord }, (_, i) => {
    const record = job.firstRecord + i;
    const from = (record - job.stripeFirstRecord) * LEAF_BYTES;
    const size = Math.min(LEAF_BYTES, job.cipherBytes - record * LEAF_BYTES);
    return { record, from, to: from + size, last: (record + 1) * LEAF_BYTES >= job.cipherBytes };
  });
}
