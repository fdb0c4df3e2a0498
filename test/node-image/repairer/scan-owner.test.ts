import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '#node/log/checkpoint-reader.ts';
import type { BucketState, LogState } from '#node/log/log-reader.ts';
import { behind } from '#node/repairer/scan-owner.ts';
import type { RootView } from '#node/wire/root-view.ts';

const view = { owner: 'owner', roles: [{ subject: 'bridge', role: 'keeper', bucketId: '*' }] } as unknown as RootView;
const log = (logId: string, seq: number, more: { writer?: string; openedMs?: number; isClosed?: boolean } = {}): LogState => {
  const { writer = 'bridge', openedMs = 1, isClosed = false } = more;
  const closed = isClosed ? { closed: { lastSeq: seq, lastHash: '', closedMs: 2 } } : {};
  const about = { logId, bucketId: 'photos', writer, kind: 'entries' as const, openedMs, ...closed };
  return { log: about, seq, hash: '', sealed: isClosed, holders: [], firstSeq: 1 };
};
const at = (logs: LogState[], vector: Record<string, number>) =>
  behind(
    { owner: 'owner', bucketId: 'photos', view, logs } as unknown as BucketState,
    { vector: new Map(Object.entries(vector).map(([logId, seq]) => [logId, { seq, hash: '' }])) } as unknown as Checkpoint,
  );

describe('where a checkpoint was told of', () => {
  it('is behind it in the log of its maker', () => {
    expect(at([log('one', 7)], { one: 5 })).toEqual({ logId: 'one', seq: 6 });
  });

  it('is the first batch of a log that the checkpoint knows nothing of', () => {
    expect(at([log('old', 5, { isClosed: true }), log('new', 1, { openedMs: 0 })], { old: 5 })).toEqual({ logId: 'new', seq: 1 });
  });

  it('is in no log that nobody will write any more, nor in one of a device', () => {
    const device = log('device', 9, { writer: 'device', openedMs: 8 });
    const logs = [log('old', 5, { isClosed: true }), log('maker', 3, { openedMs: 2, isClosed: true }), device];
    expect(at(logs, { old: 5, maker: 2, device: 9 })).toEqual({ logId: 'maker', seq: 3 });
  });
});
