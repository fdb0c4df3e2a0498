// A store on a disk that can fail, with pieces whose bytes follow from their number.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toHex } from '#node/core/ids.ts';
import { leafHashes, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { PieceStore } from '#node/farmer/piece-store.ts';
import { Store } from '#node/farmer/store.ts';
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
  nowMs: number;
  open(): Promise<Store>;
  /** The index is gone; the next start makes it anew from the segment files. */
  loseIndex(): void;
  /** An empty folder and disk. */
  clear(): void;
  /** Removes the folder. */
  end(): void;
}

export function testStore(): TestStore {
  let lives = 0n;
  const newFolder = () => mkdtempSync(join(tmpdir(), 'test-store-'));
  const state = { folder: newFolder(), disk: faultyDisk(), nowMs: 1_000_000 };
  return Object.assign(state, {
    open: () =>
      Store.open({
        folder: state.folder,
        disk: state.disk,
        nowMs: () => state.nowMs,
        randomLife: () => ++lives,
        segmentBytes: 4 * MIB,
      }),
    loseIndex() {
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(state.folder, `index.sqlite${suffix}`), { force: true });
    },
    end: () => rmSync(state.folder, { recursive: true, force: true }),
    clear() {
      rmSync(state.folder, { recursive: true, force: true });
      state.folder = newFolder();
      state.disk = faultyDisk();
    },
  });
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

export async function got(store: Store, n: number): Promise<Uint8Array> {
  const { body } = await new PieceStore(store).get(OWNER, idOf(n), { firstLeaf: 0, leafCount: 0 });
  const { rest } = await readFirstPart(ownChunks(body), pieceRange.maxBytes);
  return await collect(rest, MAX_BYTES);
}
