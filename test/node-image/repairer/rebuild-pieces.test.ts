import { describe, expect, it } from 'vitest';
import { fromHex } from '#node/core/ids.ts';
import { leafHash, leafHashes, pieceRoot, verifyRootPath } from '#node/core/merkle.ts';
import type { PieceSource, PieceTask } from '#node/core/repair-plan.ts';
import { plainToCipherBytes } from '#node/core/segments.ts';
import { Benches, pieceMath } from '#node/repairer/piece-math.ts';
import { RebuildError, rebuildPieces, type PieceLink, type RebuildInput } from '#node/repairer/rebuild-pieces.ts';
import { pieceFooter } from '#node/wire/calls.ts';
import { FooterReader } from '#node/wire/framing.ts';
import { LEAF_BYTES, type Scheme } from '#node/wire/types.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { testSegment, type TestSegment } from '#test/node-image/repairer/support/test-segment.ts';

const SIX: Scheme = { required: 4, repair: 5, optimal: 6, total: 6 };
const SIZES = { small: plainToCipherBytes(10), one: LEAF_BYTES, several: plainToCipherBytes(1_500_000) };

interface Faults {
  /** Leaf at which reading this piece breaks, by farmer. */
  breaks?: Record<string, number>;
  hangs?: string[];
  /** At the first leaf that is read of them. */
  slow?: string[];
  refuses?: string[];
  stalls?: string[];
  lies?: string[];
}

/** Farmers that hold what they are given, in memory. */
function world(segment: TestSegment, faults: Faults = {}) {
  const stored = new Map<string, { piece: Uint8Array; footer: Uint8Array }>();
  const failed: string[] = [];
  const never = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  const link: PieceLink = {
    async *read({ pieceNumber, farmer }, firstLeaf, signal) {
      const piece = segment.pieces[pieceNumber]!;
      for (let leaf = firstLeaf; leaf * LEAF_BYTES < piece.length; leaf++) {
        if (faults.breaks?.[farmer] === leaf) throw new Error('broken');
        if (faults.hangs?.includes(farmer)) await never(signal);
        if (faults.slow?.includes(farmer) && leaf === 0) await never(signal);
        await Promise.resolve();
        yield piece.subarray(leaf * LEAF_BYTES, (leaf + 1) * LEAF_BYTES);
      }
    },
    async put({ pieceNumber, to }, expectedRoot, body, signal) {
      if (faults.refuses?.includes(to)) throw new Error('full');
      if (faults.stalls?.includes(to)) await never(signal);
      const reader = new FooterReader(pieceFooter.maxBytes);
      const parts: Uint8Array[] = [];
      for await (const chunk of body) parts.push(...reader.push(chunk));
      const { data, footer } = reader.end();
      const piece = Buffer.concat([...parts, data]);
      stored.set(to, { piece, footer });
      const root = faults.lies?.includes(to) ? leafHash(piece) : pieceRoot(leafHashes(piece));
      if (Buffer.from(root).toString('hex') !== expectedRoot()) throw new Error('a receipt for other bytes');
      return Buffer.from(`${to} has ${pieceNumber}`);
    },
  };
  const run = (tasks: PieceTask[], sources: PieceSource[], more: Partial<RebuildInput> = {}) =>
    rebuildPieces({
      scheme: segment.scheme,
      tasks,
      sources,
      link,
      math: pieceMath(new Benches(), segment),
      spend: () => Promise.resolve(),
      runtime: systemRuntime,
      stallMs: 100,
      lateMs: 100,
      signal: new AbortController().signal,
      onSourceFailed: ({ farmer }) => failed.push(`source ${farmer}`),
      onTargetFailed: ({ to }) => failed.push(`target ${to}`),
      ...more,
    });
  return { stored, failed, run };
}

const sourcesOf = (...numbers: number[]): PieceSource[] =>
  numbers.map((pieceNumber) => ({ pieceNumber, farmer: `f${pieceNumber}`, answers: true }));

function expectWhole(segment: TestSegment, pieceNumber: number, got: { piece: Uint8Array; footer: Uint8Array } | undefined) {
  expect(Buffer.compare(got!.piece, segment.pieces[pieceNumber]!)).toBe(0);
  const footer = pieceFooter.decode(got!.footer);
  expect(footer).toMatchObject({ segmentRoot: segment.root, index: pieceNumber, total: segment.scheme.total });
  const root = fromHex(segment.pieceRoots[pieceNumber]!);
  expect(verifyRootPath(fromHex(segment.root), segment.scheme.total, pieceNumber, root, footer.path)).toBe(true);
}

describe('rebuilding pieces', () => {
  it.each(Object.entries(SIZES))('gives back data and parity pieces of a %s segment, byte for byte', async (_, sizeBytes) => {
    const segment = testSegment(SIX, sizeBytes);
    const { run, stored } = world(segment);
    const done = await run(
      [
        { pieceNumber: 1, to: 'x' },
        { pieceNumber: 5, to: 'y' },
      ],
      sourcesOf(0, 2, 3, 4),
    );
    expect(done.map(({ pieceNumber, to, receipt }) => [pieceNumber, to, Buffer.from(receipt).toString()])).toEqual([
      [1, 'x', 'x has 1'],
      [5, 'y', 'y has 5'],
    ]);
    expectWhole(segment, 1, stored.get('x'));
    expectWhole(segment, 5, stored.get('y'));
  });

  it.each([
    [{ required: 1, repair: 1, optimal: 2, total: 2 }],
    [{ required: 2, repair: 2, optimal: 3, total: 3 }],
    [{ required: 29, repair: 35, optimal: 65, total: 80 }],
  ])('works for the scheme %j', async (scheme: Scheme) => {
    const segment = testSegment(scheme, SIZES.several);
    const { run, stored } = world(segment);
    const last = scheme.total - 1;
    await run([{ pieceNumber: 0, to: 'x' }], sourcesOf(...Array.from({ length: scheme.required }, (_, index) => last - index)));
    expectWhole(segment, 0, stored.get('x'));
  });

  it('goes on from another source, in the middle of a piece', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run, stored, failed } = world(segment, { breaks: { f0: 0, f2: 3 }, hangs: ['f3'] });
    const spare = { pieceNumber: 3, farmer: 'g3', answers: true };
    await run(
      [{ pieceNumber: 1, to: 'x' }],
      [...sourcesOf(0, 2, 3, 4, 5), spare, { pieceNumber: 2, farmer: 'g2', answers: true }],
    );
    expectWhole(segment, 1, stored.get('x'));
    expect(failed.sort()).toEqual(['source f0', 'source f2', 'source f3']);
  });

  it('asks another beside a source that is late, blames nobody, and comes back to it where others fail', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run, stored, failed } = world(segment, { hangs: ['f0', 'f2'] });
    const patient = { stallMs: 60_000, lateMs: 5 };
    let spent = 0;
    const spend = (bytes: number) => Promise.resolve(void (spent += bytes));
    await run([{ pieceNumber: 1, to: 'x' }], [...sourcesOf(0, 2, 3, 4, 5), ...sourcesOf(1)], { ...patient, spend });
    expectWhole(segment, 1, stored.get('x'));
    expect(failed).toEqual([]);
    expect(spent).toBe(5 * segment.pieces[0]!.length + 2 * LEAF_BYTES);
    const { run: again, failed: broken } = world(segment, { breaks: { f5: 1 }, slow: ['f0'] });
    await again([{ pieceNumber: 1, to: 'x' }], sourcesOf(0, 2, 3, 4, 5), patient);
    expect(broken).toEqual(['source f5']);
  });

  it('says so when too few pieces can be read, and nobody keeps half a piece', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run, stored } = world(segment, { breaks: { f2: 3, f3: 2 } });
    const error = await run([{ pieceNumber: 1, to: 'x' }], sourcesOf(0, 2, 3, 4, 5)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RebuildError);
    expect((error as RebuildError).code).toBe('TooFewSources');
    expect(stored.size).toBe(0);
  });

  it('drops new holders that refuse, stall or sign something else, and serves the others', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run, stored, failed } = world(segment, { refuses: ['x'], stalls: ['y'], lies: ['w'] });
    const scheme = { ...SIX, required: 2, total: 6 };
    const wide = testSegment(scheme, SIZES.several);
    const other = world(wide, { refuses: ['x'], stalls: ['y'], lies: ['w'] });
    const done = await other.run(
      ['x', 'y', 'w', 'z'].map((to, pieceNumber) => ({ pieceNumber, to })),
      sourcesOf(4, 5),
    );
    expect(done.map(({ to }) => to)).toEqual(['z']);
    expectWhole(wide, 3, other.stored.get('z'));
    expect(other.failed.sort()).toEqual(['target w', 'target x', 'target y']);
    await expect(run([{ pieceNumber: 1, to: 'y' }], sourcesOf(0, 2, 3, 4))).rejects.toMatchObject({ code: 'NoTargets' });
    expect(stored.size).toBe(0);
    expect(failed).toEqual(['target y']);
  });

  it('keeps nothing when the pieces don’t hash to what the writer signed', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run, stored } = world({ ...segment, root: 'ab'.repeat(32) });
    await expect(run([{ pieceNumber: 1, to: 'x' }], sourcesOf(0, 2, 3, 4))).rejects.toMatchObject({ code: 'NotACodeword' });
    expect(stored.size).toBe(0);
  });

  it('pays for every byte it moves, and ends at once when told to', async () => {
    const segment = testSegment(SIX, SIZES.several);
    const { run } = world(segment);
    let spent = 0;
    await run([{ pieceNumber: 1, to: 'x' }], sourcesOf(0, 2, 3, 4), {
      spend: (bytes) => {
        spent += bytes;
        return Promise.resolve();
      },
    });
    expect(spent).toBe(5 * segment.pieces[0]!.length);
    const abort = new AbortController();
    const ended = run([{ pieceNumber: 1, to: 'x' }], sourcesOf(0, 2, 3, 4), {
      signal: abort.signal,
      spend: () => {
        abort.abort(new Error('enough'));
        return Promise.resolve();
      },
    });
    await expect(ended).rejects.toThrow('enough');
  });
});
