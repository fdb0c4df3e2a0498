// Encrypt + encode + hash at 4+2 on threads, beside AES-256-GCM alone on as many threads.
import { Worker } from 'node:worker_threads';
import { newSegmentKey } from '#node/core/encryption.ts';
import { stripePipeline, type EncodeJob } from '#node/client/pipeline/stripe-pipeline.ts';
import { LEAF_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { countedRate, interleaved, MIB, type Benchmark } from './support/measure.ts';

const THREADS = 2;
const [REQUIRED, TOTAL] = [4, 6];
/** 1 GiB: shorter samples would show how threads warm up. */
const STRIPES = 4096;
const PLAIN_BYTES = STRIPES * REQUIRED * RECORD_PLAIN_BYTES;
/** Jobs that are given to the threads at once, as an upload of a few segments does. */
const IN_FLIGHT = 16;

export const pipeline: Benchmark = {
  name: 'pipeline',
  about: 'Pipeline 4+2 (encrypt, encode, hash) beside AES-256-GCM alone, two threads each',
  async run(report, { rounds }) {
    const stripes = stripePipeline(THREADS);
    const aes = Array.from({ length: THREADS }, () => new Worker(new URL('./support/aes-thread.ts', import.meta.url)));
    const cipher = newSegmentKey(new Uint8Array(32).fill(7));
    // Different for each stripe in flight, as from a socket: nothing comes from a cache that wouldn't.
    const plain = new Uint8Array(new SharedArrayBuffer(IN_FLIGHT * REQUIRED * RECORD_PLAIN_BYTES));
    const job = (stripe: number): EncodeJob => ({
      cipher,
      required: REQUIRED,
      total: TOTAL,
      firstRecord: (stripe % 256) * REQUIRED,
      records: Array.from({ length: REQUIRED }, (_, i) => {
        const at = ((stripe % IN_FLIGHT) * REQUIRED + i) * RECORD_PLAIN_BYTES;
        return plain.subarray(at, at + RECORD_PLAIN_BYTES);
      }),
      last: false,
      shardBytes: LEAF_BYTES,
    });
    const encodeAll = async () => {
      let next = 0;
      const one = async () => {
        for (let stripe = next++; stripe < STRIPES; stripe = next++) (await stripes.encode(job(stripe))).release();
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    };
    const encryptAll = () =>
      Promise.all(
        aes.map(
          (thread) =>
            new Promise((resolve) => {
              thread.once('message', resolve);
              thread.postMessage((STRIPES * REQUIRED) / THREADS, []);
            }),
        ),
      );
    const cpu = { pipeline: [] as number[], aes: [] as number[] };
    const seen = await interleaved(rounds, {
      pipeline: countedRate(PLAIN_BYTES / MIB, cpu.pipeline, encodeAll),
      aes: countedRate(PLAIN_BYTES / MIB, cpu.aes, encryptAll),
    });
    report.ratio({
      figure: 'encrypt + encode + hash',
      unit: 'MiB/s',
      values: seen.pipeline,
      bound: seen.aes,
      boundName: 'AES-256-GCM alone',
      target: 0.55,
    });
    // What others do on this machine meanwhile shows less here.
    report.ratio({
      figure: 'the same by CPU time',
      unit: 'MiB/CPU s',
      values: cpu.pipeline.slice(1),
      bound: cpu.aes.slice(1),
      boundName: 'AES-256-GCM alone',
      target: 0.55,
    });
    await Promise.all([stripes.close(), ...aes.map((thread) => thread.terminate())]);
  },
};
