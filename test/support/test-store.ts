// A store on a disk that can fail, with pieces whose bytes follow from their number.
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { toHex } from '#node/core/ids.ts';
import { leafHashes, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { compaction, type CompactionSeen } from '#node/farmer/compaction.ts';
import { PieceStore } from '#node/farmer/piece-store.ts';
import type { RecordRef } from '#node/farmer/record.ts';
import { Store } from '#node/farmer/store.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { pieceFooter, pieceRange } from '#node/wire/calls.ts';
import { collect, footerBytes, readFirstPart } from '#node/wire/framing.ts';
import { faultyDisk, type FaultyDisk } from './faulty-disk.ts';

export const MIB = 1024 * 1024;
export const OWNER = 'aa'.repeat(32);
export const never = new AbortController().signal;
const MAX_BYTES = 64 * MIB;

export interface TestStore {
  readonly folder: string;
  readonly disk: FaultyDisk;
  segmentBytes: number;
  nowMs: number;
  open(): Promise<Store>;
  /** The index is gone; the next start makes it anew from the segment files. */
  loseIndex(): void;
  /** The index is as it was when it was last made durable: what a power cut leaves of it at least. */
  setIndexBack(): void;
  /** Works through every file that is due. */
  compact(store: Store): Promise<CompactionSeen[]>;
  /** An empty folder and disk. */
  clear(): void;
  /** Removes the folder. */
  end(): void;
}

export function testStore(): TestStore {
  let lives = 0n;
  const newFolder = () => mkdtempSync(join(tmpdir(), 'test-store-'));
  const state = { folder: newFolder(), disk: faultyDisk(), nowMs: 1_000_000, segmentBytes: 4 * MIB };
  const index = () => join(state.folder, 'index.sqlite');
  const durable = () => join(state.folder, 'durable.sqlite');
  const runtime = { ...systemRuntime, nowMs: () => state.nowMs, sleep: async () => {} };
  const loseIndex = () => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(index() + suffix, { force: true });
  };
  return Object.assign(state, {
    async open() {
      state.disk.powerOn();
      const { folder, disk, segmentBytes } = state;
      const options = { folder, disk, segmentBytes, nowMs: () => state.nowMs, randomLife: () => ++lives };
      return await Store.open({ ...options, checkpoint });
    },
    loseIndex,
    setIndexBack() {
      loseIndex();
      if (existsSync(durable())) copyFileSync(durable(), index());
    },
    async compact(store: Store) {
      const seen: CompactionSeen[] = [];
      const observe = (one: CompactionSeen) => seen.push(one);
      await compaction({ store, runtime, segmentBytes: state.segmentBytes, observe }).now(never);
      return seen;
    },
    end: () => rmSync(state.folder, { recursive: true, force: true }),
    clear() {
      rmSync(state.folder, { recursive: true, force: true });
      state.folder = newFolder();
      state.disk = faultyDisk();
    },
  });
}

async function checkpoint(path: string): Promise<void> {
  const db = new DatabaseSync(path, { timeout: 5000 });
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  copyFileSync(path, join(dirname(path), 'durable.sqlite'));
}

export const idOf = (n: number) => n.toString(16).padStart(64, '0');

/** Different bytes for each number, the same each time. */
export function pieceOf(n: number, sizeBytes: number): Uint8Array {
  const piece = new Uint8Array(sizeBytes).fill(n + 1);
  for (let at = 0; at < sizeBytes; at += 61) piece[at] = at / 61 + n;
  return piece;
}

export function bodyOf(piece: Uint8Array): AsyncIterable<Uint8Array> {
  const root = pieceRoot(leafHashes(piece));
  const footer = { segmentRoot: toHex(segmentRoot([root])), index: 0, total: 1, path: rootPath([root], 0) };
  return (async function* () {
    for (let at = 0; at < piece.length; at += 200_000) yield piece.subarray(at, at + 200_000);
    yield footerBytes(pieceFooter.encode(footer));
  })();
}

/** 'Ok' or the refusal's code. */
export async function put(store: Store, n: number, sizeBytes: number): Promise<string> {
  return await new PieceStore(store).put(OWNER, idOf(n), bodyOf(pieceOf(n, sizeBytes)), never).then(
    () => 'Ok',
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
}

/** Chunks are the store's again when the next one is asked for. */
async function* ownChunks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield Uint8Array.from(chunk);
}

export async function got(store: Store, n: number, pieces = new PieceStore(store)): Promise<Uint8Array> {
  const { body } = await pieces.get(OWNER, idOf(n), { firstLeaf: 0, leafCount: 0 });
  const { part, rest } = await readFirstPart(ownChunks(body), pieceRange.maxBytes);
  const piece = await collect(rest, MAX_BYTES);
  if (pieceRange.decode(part).pieceRoot !== toHex(pieceRoot(leafHashes(piece))))
    throw new Error('The proof is of another piece.');
  return piece;
}

/** The disk gives other bytes of bodies from now on. */
export function spoilReads(store: Store, spoil: (ref: RecordRef, position: number, bytes: Uint8Array) => void): void {
  const { log } = store;
  const reader = log.reader.bind(log);
  log.reader = (ref) => {
    const { body, ...rest } = reader(ref);
    const spoiled = async (position: number, into: Uint8Array) => {
      const bytes = await body(position, into);
      spoil(ref, position, bytes);
      return bytes;
    };
    return { ...rest, body: spoiled };
  };
}
