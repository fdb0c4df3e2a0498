// What lets a log go on after a restart: its seed, its newest batch and the one that may have been sent. One
// file for each log, two slots written in turn, so that a save costs one write and one fdatasync and a torn
// one leaves the slot before it. Sealed: whoever steals the volume can't write in the owner's name. A pending
// batch is sealed and signed already: it lies behind the sealed part, which has its hash.
import { mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { blake3 } from '#node/core/hash.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { NONCE_BYTES, open as openSealed, OpenError, seal } from '#node/core/sealing.ts';
import type { SavedLog, WriterState } from '#node/log/log-writer.ts';
import { MAX_BATCH_BYTES, type BucketId, type PublicKey } from '#node/wire/types.ts';

/** Room for the largest pending batch. Files are sparse: an idle one takes a few KiB. */
const SLOT_BYTES = MAX_BATCH_BYTES + 64 * 1024;
/** u64 counter ‖ u32 sealed ‖ u32 pending; nonce, sealed part and pending batch follow. */
const HEADER_BYTES = 16;
/** Bound to what is sealed: a slot of another version is as good as empty. */
const SLOT_VERSION = 2;

export interface SavedLogs {
  of(owner: PublicKey, bucketId: BucketId): WriterState;
  close(): Promise<void>;
}

/** `secret`: from the bridge's Secret. `random`: 12 fresh bytes for each save. */
export function createSavedLogs({
  folder,
  secret,
  random,
}: {
  folder: string;
  secret: Uint8Array;
  random: (bytes: number) => Uint8Array;
}): SavedLogs {
  const key = hkdf(secret, 'storj/1 bridge saved logs', 32);
  const files = new Map<string, Promise<FileHandle>>();

  const fileOf = (name: string): Promise<FileHandle> => {
    const known = files.get(name);
    if (known !== undefined) return known;
    const opening = openFile(folder, name);
    files.set(name, opening);
    opening.catch(() => files.delete(name));
    return opening;
  };

  return {
    of(owner, bucketId) {
      const name = `${owner}-${bucketId}`;
      let counter = 0;
      return {
        async load() {
          const slots = await Promise.all([
            readSlot(await fileOf(name), 0, key, name),
            readSlot(await fileOf(name), 1, key, name),
          ]);
          const newest = slots.reduce(
            (best, slot) => (slot !== null && (best === null || slot.counter > best.counter) ? slot : best),
            null,
          );
          counter = newest?.counter ?? 0;
          return newest?.saved ?? null;
        },
        async save(saved) {
          counter += 1;
          await writeSlot(await fileOf(name), { counter, saved, key, name, nonce: random(NONCE_BYTES) });
        },
      };
    },
    async close() {
      for (const file of files.values()) await (await file).close();
      files.clear();
    },
  };
}

async function openFile(folder: string, name: string): Promise<FileHandle> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  // A new name in the folder has to be durable before anything in the file counts.
  const fresh = await open(`${path}.new`, 'w+', 0o600);
  await fresh.datasync();
  await rename(`${path}.new`, path);
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return fresh;
}

/** What is sealed of a saved log. */
interface Kept extends Omit<SavedLog, 'pending'> {
  /** BLAKE3 of the pending batch. */
  pendingHash: Uint8Array | null;
}

async function writeSlot(
  file: FileHandle,
  { counter, saved, key, name, nonce }: { counter: number; saved: SavedLog; key: Uint8Array; name: string; nonce: Uint8Array },
): Promise<void> {
  const { pending, ...position } = saved;
  const kept: Kept = { ...position, pendingHash: pending && blake3(pending) };
  const sealed = seal(key, nonce, serialize(kept), associated(name, counter));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64BE(BigInt(counter), 0);
  header.writeUInt32BE(sealed.length, 8);
  header.writeUInt32BE(pending?.length ?? 0, 12);
  const parts = [header, nonce, sealed, ...(pending ? [pending] : [])];
  const sizeBytes = parts.reduce((sum, { length }) => sum + length, 0);
  if (sizeBytes > SLOT_BYTES) throw new RangeError('a saved log is larger than its slot');
  const { bytesWritten } = await file.writev(parts, (counter % 2) * SLOT_BYTES);
  if (bytesWritten < sizeBytes) throw new Error('The volume of the saved logs took a part of the bytes only: it is full.');
  await file.datasync();
}

interface Slot {
  counter: number;
  saved: SavedLog;
}

/** Null for an empty slot and for a torn one. */
async function readSlot(file: FileHandle, slot: 0 | 1, key: Uint8Array, name: string): Promise<Slot | null> {
  const start = slot * SLOT_BYTES;
  const header = await readAt(file, start, HEADER_BYTES + NONCE_BYTES);
  if (!header) return null;
  const counter = Number(header.readBigUInt64BE(0));
  const [sealedBytes, pendingBytes] = [header.readUInt32BE(8), header.readUInt32BE(12)];
  if (counter === 0 || header.length + sealedBytes + pendingBytes > SLOT_BYTES) return null;
  const rest = await readAt(file, start + header.length, sealedBytes + pendingBytes);
  if (!rest) return null;
  try {
    const plain = openSealed(key, header.subarray(HEADER_BYTES), rest.subarray(0, sealedBytes), associated(name, counter));
    const { pendingHash, ...position } = deserialize(plain) as Kept;
    const pending = pendingHash && new Uint8Array(rest.subarray(sealedBytes));
    if (pending && Buffer.compare(blake3(pending), pendingHash) !== 0) return null;
    return { counter, saved: { ...position, pending } };
  } catch (error) {
    if (error instanceof OpenError) return null;
    throw error;
  }
}

/** Null where the file ends before. */
async function readAt(file: FileHandle, position: number, sizeBytes: number): Promise<Buffer | null> {
  const into = Buffer.alloc(sizeBytes);
  return (await file.read(into, 0, sizeBytes, position)).bytesRead < sizeBytes ? null : into;
}

const associated = (name: string, counter: number): Uint8Array => Buffer.from(`${SLOT_VERSION} ${name} ${counter}`);
