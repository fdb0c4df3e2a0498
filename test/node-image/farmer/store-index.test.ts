import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { encodeMeta, type BatchMeta } from '#node/farmer/record-meta.ts';
import { StoreIndex } from '#node/farmer/store-index.ts';
import { NO_HASH } from '#node/wire/batch.ts';

const root = mkdtempSync(join(tmpdir(), 'store-index-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const path = join(root, 'index.sqlite');
const [owner, bucketId, logId] = ['aa'.repeat(32), 'bb'.repeat(16), 'cc'.repeat(32)];
const hashOf = (seq: number) => (seq === 0 ? NO_HASH : String(seq).padStart(2, '0').repeat(32));
const meta = (seq: number): BatchMeta => ({ owner, bucketId, logId, seq, hash: hashOf(seq), prevHash: hashOf(seq - 1) });
const place = (seq: number) => ({ segment: 1, offset: 1000 * seq, bodyBytes: 100, metaBytes: 100 });
const batch = (seq: number) => ({ kind: 'batch', ref: place(seq), stamp: seq, meta: encodeMeta('batch', meta(seq)) }) as const;
const drop = (firstSeq: number, stamp: number) => {
  const body = { owner, bucketId, logId, firstSeq, prevHash: hashOf(firstSeq - 1) };
  return { kind: 'drop', ref: place(stamp), stamp, meta: encodeMeta('drop', body) } as const;
};

it('says of a log what the last transaction left, and nothing of one that failed', () => {
  const index = StoreIndex.open(path);
  const after = () => {
    const log = index.logs.get(owner, logId);
    return log && [log.seq, log.hash, log.firstSeq, log.sealed];
  };
  const failing = (...records: Parameters<StoreIndex['apply']>[0][]) =>
    expect(() =>
      index.transaction(() => {
        for (const record of records) index.apply(record);
        throw new Error('the disk is full');
      }),
    ).toThrow('full');

  failing(batch(1));
  expect(after()).toBeNull();
  index.transaction(() => [1, 2, 3].forEach((seq) => index.apply({ ...batch(seq), about: meta(seq) })));
  expect(after()).toEqual([3, hashOf(3), 1, false]);
  failing(batch(4), drop(3, 5));
  expect(after()).toEqual([3, hashOf(3), 1, false]);
  index.transaction(() => index.apply(drop(3, 6)));
  expect(after()).toEqual([3, hashOf(3), 3, false]);
  index.transaction(() =>
    index.apply({ kind: 'seal', ref: place(7), stamp: 7, meta: encodeMeta('seal', { owner, bucketId, logId }) }),
  );
  expect(after()).toEqual([3, hashOf(3), 3, true]);
  const before = index.logs.get(owner, logId);
  index.close();

  const again = StoreIndex.open(path);
  expect(again.logs.get(owner, logId)).toEqual(before);
  again.close();
});
