import { describe, expect, it } from 'vitest';
import { fromHex } from '#node/core/ids.ts';
import { rootPath } from '#node/core/merkle.ts';
import { plainToCipherBytes } from '#node/core/segments.ts';
import { CallError } from '#node/net/net.ts';
import { copyPiece, type CopyInput } from '#node/repairer/copy-piece.ts';
import { PieceError } from '#node/client/piece-calls.ts';
import { suspicionOf, type SegmentLink } from '#node/repairer/piece-link.ts';
import { pieceFooter } from '#node/wire/calls.ts';
import { FooterReader } from '#node/wire/framing.ts';
import { LEAF_BYTES, type Scheme } from '#node/wire/types.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { testSegment } from '#test/node-image/repairer/support/test-segment.ts';

const SCHEME: Scheme = { required: 4, repair: 5, optimal: 6, total: 6 };
const segment = testSegment(SCHEME, plainToCipherBytes(1_500_000));
const roots = segment.pieceRoots.map((root) => fromHex(root));

function world(
  faults: { source?: Record<string, 'missing' | 'wrong' | 'hangs' | 'breaks'>; target?: 'full' | 'hangs' | 'lies' | 'late' } = {},
) {
  const failed: string[] = [];
  let stored: { piece: Uint8Array; footer: Uint8Array } | null = null;
  const never = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  const link: SegmentLink = {
    async open({ pieceNumber, farmer }, signal) {
      const fault = faults.source?.[farmer];
      if (fault === 'missing') throw new CallError('NotFound', 'no such piece');
      const piece = segment.pieces[pieceNumber]!;
      async function* leaves(): AsyncGenerator<Uint8Array, void, undefined> {
        for (let at = 0; at < piece.length; at += LEAF_BYTES) {
          if (at > 0 && fault === 'wrong') throw new PieceError('WrongBytes', 'wrong');
          if (at > 0 && fault === 'breaks') throw new CallError('Unreachable', 'broken');
          if (at > 0 && fault === 'hangs') await never(signal);
          yield piece.subarray(at, at + LEAF_BYTES);
        }
      }
      const range = {
        sizeBytes: piece.length,
        pieceRoot: segment.pieceRoots[pieceNumber]!,
        segmentRoot: segment.root,
        index: pieceNumber,
        path: rootPath(roots, pieceNumber),
        firstLeaf: 0,
        leafHashes: new Uint8Array(0),
        proof: [],
      };
      return { range, leaves: leaves() };
    },
    read: () => {
      throw new Error('copying opens');
    },
    async put(task, pieceRoot, body, signal) {
      if (faults.target === 'full') throw new CallError('Full', 'full');
      if (faults.target === 'hangs') await never(signal);
      const reader = new FooterReader(pieceFooter.maxBytes);
      const parts: Uint8Array[] = [];
      for await (const chunk of body) parts.push(...reader.push(chunk));
      const { data, footer } = reader.end();
      stored = { piece: Buffer.concat([...parts, data]), footer };
      if (faults.target === 'late') await never(signal);
      const root = faults.target === 'lies' ? segment.pieceRoots[5]! : segment.pieceRoots[task.pieceNumber]!;
      if (root !== pieceRoot()) throw new PieceError('WrongReceipt', 'for other bytes');
      return Buffer.from(`receipt of ${task.to}`);
    },
  };
  const run = (from: string[], more: Partial<CopyInput> = {}) =>
    copyPiece({
      task: { pieceNumber: 2, to: 'x', from },
      total: SCHEME.total,
      link,
      spend: () => Promise.resolve(),
      runtime: systemRuntime,
      stallMs: 60,
      signal: new AbortController().signal,
      onSourceFailed: (farmer, error) => failed.push(`source ${farmer}${suspicionOf(error) === 'None' ? '' : ' gone'}`),
      onTargetFailed: () => failed.push('target'),
      ...more,
    });
  return { run, failed, stored: () => stored };
}

describe('copying a piece', () => {
  it('hands over bytes and footer as they are', async () => {
    const { run, stored, failed } = world();
    expect(await run(['a'])).toEqual({
      pieceNumber: 2,
      to: 'x',
      receipt: Buffer.from('receipt of x'),
      path: rootPath(roots, 2),
    });
    expect(Buffer.compare(stored()!.piece, segment.pieces[2]!)).toBe(0);
    expect(pieceFooter.decode(stored()!.footer)).toMatchObject({ segmentRoot: segment.root, index: 2, total: 6 });
    expect(failed).toEqual([]);
  });

  it('tries the next holder when one fails, and says which one has lost its piece', async () => {
    const { run, stored, failed } = world({ source: { a: 'missing', b: 'wrong', c: 'breaks', d: 'hangs' } });
    expect(await run(['a', 'b', 'c', 'd', 'e'])).toMatchObject({ to: 'x' });
    expect(failed).toEqual(['source a gone', 'source b gone', 'source c', 'source d']);
    expect(Buffer.compare(stored()!.piece, segment.pieces[2]!)).toBe(0);
  });

  it('gives up when no holder is left', async () => {
    const { run, stored } = world({ source: { a: 'breaks' } });
    expect(await run(['a'])).toBeNull();
    expect(stored()).toBeNull();
  });

  it.each(['full', 'hangs', 'lies', 'late'] as const)('blames the new holder, not the old one, when it is %s', async (target) => {
    const { run, failed } = world({ target });
    expect(await run(['a', 'b'])).toBeNull();
    expect(failed).toEqual(['target']);
  });

  it('ends when told to', async () => {
    const abort = new AbortController();
    const { run, failed } = world({ source: { a: 'hangs' } });
    const ended = run(['a', 'b'], { signal: abort.signal, stallMs: 10_000 });
    abort.abort(new Error('enough'));
    await expect(ended).rejects.toThrow('enough');
    expect(failed).toEqual([]);
  });
});
