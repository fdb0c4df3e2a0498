// Encrypt → encode → hash, and back, one stripe at a time: on threads, or on the calling one.
import type { SegmentCipher } from '#node/core/encryption.ts';

export interface EncodeJob {
  cipher: SegmentCipher;
  required: number;
  total: number;
  /** Number of the first record. */
  firstRecord: number;
  /** Plaintext of up to `required` records, each RECORD_PLAIN_BYTES but the segment's last. Shared memory isn't copied. */
  records: Uint8Array[];
  /** The last of these is the segment's last. */
  last: boolean;
  /** Bytes of each shard. */
  shardBytes: number;
  /** Piece numbers whose shards are wanted; hashes come for all. */
  want: number[];
}
export interface EncodedStripe {
  /** In the order of `want`, memory of their own. */
  shards: Uint8Array[];
  /** Leaf hashes of all pieces, 32 bytes each. */
  hashes: Uint8Array[];
}

export interface DecodeJob {
  cipher: SegmentCipher;
  required: number;
  total: number;
  /** Checked leaves of this stripe, all of one length; `required` of them, or just those that the records lie on. */
  shards: { index: number; shard: Uint8Array }[];
  /** Records of this stripe: number of its first, and which are wanted. */
  stripeFirstRecord: number;
  firstRecord: number;
  endRecord: number;
  /** Of the whole segment: says how long a record is and which is the last. */
  cipherBytes: number;
}

/** Both reject with OpenError where key and bytes don't belong together. */
export interface StripePipeline {
  encode(job: EncodeJob): Promise<EncodedStripe>;
  /** Plaintext of the wanted records, memory of its own. */
  decode(job: DecodeJob): Promise<Uint8Array>;
  close(): Promise<void>;
}

export declare function stripePipeline(threads: number): StripePipeline;
