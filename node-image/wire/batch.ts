// A batch of a log: 01 ‖ u32 header ‖ u32 first part ‖ u32 second part ‖ signature. Farmers check header,
// hash and signature and read no part; parts are sealed under keys of their own, fresh for each batch.
import { ascii, concat } from '#node/core/bytes.ts';
import { blake3 } from '#node/core/hash.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { toHex } from '#node/core/ids.ts';
import { sign, verify, type KeyPair } from '#node/core/keys.ts';
import { open, OpenError, sealedParts, ZERO_NONCE } from '#node/core/sealing.ts';
import { bytes, decode, encode, hex32, oneOf, struct, uint, WireError } from './codec.ts';
import { ownerPart, repairPart, sealedPlacements, type KnownHead, type OwnerPart } from './entries.ts';
import { u32 } from './framing.ts';
import {
  FORMAT_VERSION,
  MAX_BATCH_BYTES,
  type BatchHeader,
  type Hash,
  type OwnerEntry,
  type PublicKey,
  type RepairPart,
  type SealedPlacement,
} from './types.ts';

export type { KnownHead, OwnerPart } from './entries.ts';

/** Hash before the first batch. */
export const NO_HASH: Hash = '0'.repeat(64);

const MAX_HEADER_BYTES = 256;
const SIGNATURE_BYTES = 64;
/** Its place while the rest is put together. */
const NO_SIGNATURE = new Uint8Array(SIGNATURE_BYTES);
const FRAME_BYTES = 4;
const SIGNATURE_LABEL = ascii('storj-batch/1\0');
const OWNER_PART = 'storj/1 batch owner part';
const REPAIR_PART = 'storj/1 batch repair part';

const header = struct<BatchHeader>({
  version: uint(FORMAT_VERSION, FORMAT_VERSION),
  kind: oneOf('entries', 'placements'),
  logId: hex32,
  seq: uint(Number.MAX_SAFE_INTEGER, 1),
  prevHash: hex32,
  timeMs: uint(),
  salt: bytes(32),
});

/** Where a batch stands in its log. */
export interface BatchPosition {
  seq: number;
  /** NO_HASH for the first. */
  prevHash: Hash;
  timeMs: number;
  /** 32 fresh random bytes. */
  salt: Uint8Array;
}
export interface EncodedBatch {
  header: BatchHeader;
  hash: Hash;
  bytes: Uint8Array;
  /** The same bytes behind their length, as they are sent: `bytes` is a part of this memory. */
  framed: Uint8Array;
}

/** Seals and signs a batch of a writer's log. Throws WireError where it would be larger than MAX_BATCH_BYTES. */
export function encodeBatch(input: {
  /** The log's own key. */
  logKey: KeyPair;
  position: BatchPosition;
  entries: readonly OwnerEntry[];
  /** Newest heads of the owner's other logs that the writer knows. */
  heads?: readonly KnownHead[];
  repair: RepairPart;
  ownerPartKey: Uint8Array;
  repairPartKey: Uint8Array;
}): EncodedBatch {
  const head = headerOf('entries', input.logKey, input.position);
  const owner = encode(ownerPart, { entries: [...input.entries], heads: [...(input.heads ?? [])] });
  const repair = encode(repairPart, input.repair);
  return signBatch(input.logKey, head, (headerBytes) => [
    sealedParts(partKey(OWNER_PART, input.ownerPartKey, head), ZERO_NONCE, owner, headerBytes),
    sealedParts(partKey(REPAIR_PART, input.repairPartKey, head), ZERO_NONCE, repair, headerBytes),
  ]);
}

/** Signs a batch of a repairer's log; its entries are sealed one by one already. */
export function encodePlacementsBatch(input: {
  logKey: KeyPair;
  position: BatchPosition;
  placements: readonly SealedPlacement[];
}): EncodedBatch {
  const head = headerOf('placements', input.logKey, input.position);
  return signBatch(input.logKey, head, () => [[encode(sealedPlacements, [...input.placements])], []]);
}

function headerOf(kind: BatchHeader['kind'], logKey: KeyPair, position: BatchPosition): BatchHeader {
  return { version: FORMAT_VERSION, kind, logId: logKey.publicKey, ...position };
}

/** Put together once, in the memory that is sent: a batch has up to 8 MiB. Each of its two parts may come in several. */
function signBatch(
  logKey: KeyPair,
  head: BatchHeader,
  sealParts: (headerBytes: Uint8Array) => [first: Uint8Array[], second: Uint8Array[]],
): EncodedBatch {
  const headerBytes = encode(header, head);
  const [first, second] = sealParts(headerBytes);
  const content = [
    Uint8Array.of(FORMAT_VERSION),
    ...[[headerBytes], first, second].flatMap((part) => [u32(sizeOf(part)), ...part]),
  ];
  const unsignedBytes = sizeOf(content);
  const sizeBytes = unsignedBytes + SIGNATURE_BYTES;
  if (sizeBytes > MAX_BATCH_BYTES) {
    throw new WireError(`A batch of ${unsignedBytes} bytes: at most ${MAX_BATCH_BYTES} go into one; split it.`);
  }
  const framed = concat(u32(sizeBytes), ...content, NO_SIGNATURE);
  const bytes = framed.subarray(FRAME_BYTES);
  const digest = blake3(bytes.subarray(0, unsignedBytes));
  bytes.set(sign(logKey, concat(SIGNATURE_LABEL, digest)), unsignedBytes);
  return { header: head, hash: toHex(digest), bytes, framed };
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

// ---- reading --------------------------------------------------------------------------------

interface Cut {
  header: BatchHeader;
  headerBytes: Uint8Array;
  first: Uint8Array;
  second: Uint8Array;
  unsigned: Uint8Array;
  signature: Uint8Array;
}

function cut(batch: Uint8Array): Cut {
  if (batch.length > MAX_BATCH_BYTES) throw new WireError(`A batch of ${batch.length} bytes; at most ${MAX_BATCH_BYTES}.`);
  if (batch[0] !== FORMAT_VERSION) throw new WireError(`A batch of version ${batch[0]}; this program knows ${FORMAT_VERSION}.`);
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  let offset = 1;
  const part = () => {
    const start = offset + 4;
    const end = start <= batch.length ? start + view.getUint32(offset) : Infinity;
    if (end > batch.length) throw new WireError('A batch is cut off.');
    offset = end;
    return batch.subarray(start, end);
  };
  const headerBytes = part();
  const [first, second] = [part(), part()];
  if (batch.length - offset !== SIGNATURE_BYTES) throw new WireError('A batch ends with a signature of 64 bytes.');
  const head = decode(header, headerBytes, MAX_HEADER_BYTES);
  return { header: head, headerBytes, first, second, unsigned: batch.subarray(0, offset), signature: batch.subarray(offset) };
}

/** The header alone; nothing is verified. Throws WireError. */
export function decodeBatchHeader(batch: Uint8Array): BatchHeader {
  return cut(batch).header;
}

/** BLAKE3 of everything before the signature: what the next batch names. Throws WireError. */
export function batchHash(batch: Uint8Array): Hash {
  return toHex(blake3(cut(batch).unsigned));
}

/** Checks the signature by the key that the header names, and returns what there is to know. Throws WireError. */
export function verifyBatch(batch: Uint8Array): { header: BatchHeader; hash: Hash } {
  const parts = cut(batch);
  const digest = blake3(parts.unsigned);
  if (!verify(parts.header.logId, concat(SIGNATURE_LABEL, digest), parts.signature)) {
    throw new WireError('The signature of a batch is wrong.');
  }
  return { header: parts.header, hash: toHex(digest) };
}

/** Entries and known heads. Throws WireError, also where the key is another's. */
export function openOwnerPart(batch: Uint8Array, ownerPartKey: Uint8Array): OwnerPart {
  const parts = cut(batch);
  const plain = openPart(OWNER_PART, ownerPartKey, parts, parts.first);
  return decode(ownerPart, plain, MAX_BATCH_BYTES);
}

/** Throws WireError, also where the key is another's (or of another repair epoch). */
export function openRepairPart(batch: Uint8Array, repairPartKey: Uint8Array): RepairPart {
  const parts = cut(batch);
  const plain = openPart(REPAIR_PART, repairPartKey, parts, parts.second);
  return decode(repairPart, plain, MAX_BATCH_BYTES);
}

/** The sealed entries of a batch of a repairer's log. Throws WireError. */
export function readPlacements(batch: Uint8Array): SealedPlacement[] {
  const parts = cut(batch);
  if (parts.header.kind !== 'placements' || parts.second.length > 0) throw new WireError('Not a batch of placements.');
  return decode(sealedPlacements, parts.first, MAX_BATCH_BYTES);
}

// The part's key is fresh for each batch (salt), so the nonce may be zero; the header as a whole is bound
// to the ciphertext: a part can't be moved to another log, place or time.
function partKey(label: string, keyOfLog: Uint8Array, head: BatchHeader): Uint8Array {
  return hkdf(keyOfLog, label, 32, head.salt);
}

function openPart(label: string, keyOfLog: Uint8Array, { header: head, headerBytes }: Cut, sealed: Uint8Array): Uint8Array {
  if (head.kind !== 'entries') throw new WireError('A batch of placements has no sealed parts.');
  try {
    return open(partKey(label, keyOfLog, head), ZERO_NONCE, sealed, headerBytes);
  } catch (cause) {
    if (cause instanceof OpenError) throw new WireError('This key does not open this part of the batch.', { cause });
    throw cause;
  }
}

/** Whether a batch comes right after that head of its log. */
export function follows(batch: { header: BatchHeader }, head: { logId: PublicKey; seq: number; hash: Hash }): boolean {
  const { logId, seq, prevHash } = batch.header;
  return logId === head.logId && seq === head.seq + 1 && prevHash === head.hash;
}
