// A farmer's store: pieces of 64 KiB as they come from the wire (hashed, proven, indexed, durable), beside
// plain appends of 64 KiB with an fdatasync behind every 16; and the start on what was stored.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { toHex } from '#node/core/ids.ts';
import { leafHash, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { PieceStore } from '#node/farmer/piece-store.ts';
import { Store } from '#node/farmer/store.ts';
import { pieceFooter } from '#node/wire/calls.ts';
import { footerBytes } from '#node/wire/framing.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';
import { interleaved, MIB, rateOf, type Benchmark } from './support/measure.ts';
import { startRawPeers } from './support/raw-peers.ts';

const PIECES = 2048;
/** As many producers as a farmer takes at once. */
const IN_FLIGHT = 32;

export const store: Benchmark = {
  name: 'store',
  about: 'The store of a farmer: pieces of 64 KiB beside appends with an fdatasync per 16',
  async run(report, { rounds, folder }) {
    const options = { folder: join(folder, 'store'), nowMs: Date.now, randomLife: () => randomBytes(8).readBigUInt64LE() };
    const opened = await Store.open(options);
    const pieces = new PieceStore(opened);
    const raw = await startRawPeers(folder, 1);
    const leaf = new Uint8Array(randomBytes(LEAF_BYTES));
    const root = pieceRoot([leafHash(leaf)]);
    const footer = footerBytes(
      pieceFooter.encode({ segmentRoot: toHex(segmentRoot([root])), index: 0, total: 1, path: rootPath([root], 0) }),
    );
    const put = async () => {
      const body = (async function* () {
        yield leaf;
        yield footer;
      })();
      await pieces.put('ab'.repeat(32), randomBytes(32).toString('hex'), body, AbortSignal.timeout(60_000));
    };
    const seen = await interleaved(rounds, {
      store: () => rateOf((PIECES * LEAF_BYTES) / MIB, () => many(PIECES, IN_FLIGHT, put)),
      append: () => rateOf((PIECES * LEAF_BYTES) / MIB, () => raw.append(1, { writes: PIECES, bytes: LEAF_BYTES, perSync: 16 })),
    });
    report.ratio({
      figure: 'pieces of 64 KiB',
      unit: 'MiB/s',
      values: seen.store,
      bound: seen.append,
      boundName: 'append + fdatasync per 16',
      target: 0.7,
    });
    await opened.close();
    const starts: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const startMs = performance.now();
      const again = await Store.open(options);
      starts.push(performance.now() - startMs);
      await again.close();
    }
    report.value({ figure: `opened with ${(rounds + 1) * PIECES} pieces`, unit: 'ms', values: starts });
    await raw.stop();
  },
};

/** `work` so often, so many at a time. */
export async function many(count: number, inFlight: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const one = async () => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: inFlight }, one));
}
