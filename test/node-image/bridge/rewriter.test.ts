// Segments are brought to the farm's scheme on a farm in memory: the same versions, other segments, nothing lost
// and nothing kept alive that nobody names.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { GetError } from '#node/client/segment-reader.ts';
import { PutError } from '#node/client/segment-writer.ts';
import type { BucketRow } from '#node/catalog/catalog.ts';
import { emptyView, mergeEntries, resolve } from '#node/core/log-merge.ts';
import { bodyOf, memoryBridge, never, textOf, type MemoryBridge } from './memory-bridge.ts';

const smaller = { required: 1, repair: 2, optimal: 3, total: 3 };
const large = randomBytes(350_000);

async function bridgeWith(): Promise<{ bridge: MemoryBridge; bucket: BucketRow }> {
  const bridge = await memoryBridge();
  return { bridge, bucket: await bridge.bucket() };
}
const put = (bridge: MemoryBridge, bucket: BucketRow, key: string, bytes: Uint8Array | string, headers = {}) =>
  bridge.objects.put(bucket, { key, headers, body: bodyOf(bytes, `etag of ${key}`), conditions: {} }, never);
const get = (bridge: MemoryBridge, bucket: BucketRow, key: string) => {
  const version = bridge.objects.head(bucket, key);
  return textOf(bridge.objects.read(bucket, version, { offset: 0, length: version.sizeBytes }, never));
};
function want({ farm }: MemoryBridge): void {
  farm.scheme = smaller;
  farm.rewrites = true;
}
const named = ({ catalog }: MemoryBridge, { bucketId }: BucketRow): string[] =>
  catalog
    .segmented(bucketId, null, 1000)
    .flatMap(({ key, versionId }) => catalog.content(bucketId, key, versionId)!.segments.map(({ segmentId }) => segmentId));

describe('rewriting', () => {
  it('changes where the bytes are and nothing else', async () => {
    const { bridge, bucket } = await bridgeWith();
    await put(bridge, bucket, 'large', large, { 'content-type': 'image/png' });
    await put(bridge, bucket, 'small', 'inline');
    const before = bridge.objects.head(bucket, 'large');
    const segmentsBefore = named(bridge, bucket);
    const usage = bridge.catalog.usage(bucket.bucketId);
    want(bridge);
    const { bytes, troubles } = await bridge.rewrite(bucket);
    expect({ bytes, troubles }).toEqual({ bytes: large.length, troubles: [] });
    expect({ ...bridge.objects.head(bucket, 'large'), logId: '' }).toEqual({ ...before, logId: '' });
    expect(await get(bridge, bucket, 'large')).toBe(large.toString('latin1'));
    expect(bridge.catalog.usage(bucket.bucketId)).toEqual(usage);
    expect(named(bridge, bucket).some((id) => segmentsBefore.includes(id))).toBe(false);
    expect(bridge.catalog.schemes(bucket.bucketId)).toEqual([{ required: 1, optimal: 3 }]);
    // What the repairer keeps alive is what is named now.
    expect(bridge.farm.liveSegments(bucket.bucketId).sort()).toEqual(named(bridge, bucket).sort());
    // Everybody who merges the logs sees the same.
    const view = emptyView();
    for (const { logId, entries } of bridge.farm.batches(bucket.bucketId)) mergeEntries(view, logId, entries);
    expect(resolve(view.keys.get('large')!)?.entry.segments?.map(({ segmentId }) => segmentId)).toEqual(named(bridge, bucket));
  });

  it('is there for a new bridge with an empty disk, and done once', async () => {
    const { bridge, bucket } = await bridgeWith();
    await put(bridge, bucket, 'large', large);
    want(bridge);
    await bridge.rewrite(bucket);
    const batches = bridge.farm.batches(bucket.bucketId).length;
    const next = await memoryBridge({ farm: bridge.farm });
    expect(await get(next, bucket, 'large')).toBe(large.toString('latin1'));
    expect((await next.rewrite(bucket)).bytes).toBe(0);
    expect(bridge.farm.batches(bucket.bucketId)).toHaveLength(batches);
  });

  it('keeps the sizes of parts, and rewrites parts of open uploads', async () => {
    const { bridge, bucket } = await bridgeWith();
    const { objects } = bridge;
    const order = (key: string) => ({ key, headers: { a: 'b' }, checksumAlgorithm: null, checksumType: null });
    const whole = await objects.createUpload(bucket, order('whole'), never);
    const open = await objects.createUpload(bucket, order('open'), never);
    for (const upload of [whole, open]) {
      await objects.putPart(bucket, upload, 1, bodyOf(large, 'p1'), never);
      await objects.putPart(bucket, upload, 2, bodyOf('tail', 'p2'), never);
    }
    const parts = [1, 2].map((partNumber) => ({ partNumber, etag: `p${partNumber}` }));
    const facts = { etag: 'whole-2', checksums: [] };
    await objects.completeUpload(bucket, { upload: whole, parts, facts, conditions: {} }, never);
    want(bridge);
    await bridge.rewrite(bucket);
    expect(bridge.catalog.schemes(bucket.bucketId)).toEqual([{ required: 1, optimal: 3 }]);
    expect(objects.head(bucket, 'whole')).toMatchObject({ partSizes: [large.length, 4], etag: 'whole-2', headers: { a: 'b' } });
    expect(objects.parts(bucket, open.uploadId, 0, 10)).toMatchObject([{ etag: 'p1' }, { etag: 'p2' }]);
    await objects.completeUpload(bucket, { upload: open, parts, facts, conditions: {} }, never);
    for (const key of ['whole', 'open']) expect(await get(bridge, bucket, key)).toBe(`${large.toString('latin1')}tail`);
    expect(bridge.farm.liveSegments(bucket.bucketId).sort()).toEqual(named(bridge, bucket).sort());
    // Whoever merges the logs takes the newest entry of a version for the whole of it.
    const entries = bridge.farm.batches(bucket.bucketId).flatMap((batch) => batch.entries);
    const puts = entries.filter((entry) => entry.kind === 'put');
    for (const moved of puts.filter(({ rewritten }) => rewritten !== undefined)) {
      const first = puts.find(({ versionId, rewritten }) => versionId === moved.versionId && rewritten === undefined)!;
      const { segments: _, rewritten: __, replaces: ___, ...same } = moved;
      expect(first).toMatchObject(same);
      expect(Object.keys(same).sort()).toEqual(
        Object.keys(first)
          .filter((name) => name !== 'segments' && name !== 'replaces')
          .sort(),
      );
    }
    expect(puts.filter(({ rewritten }) => rewritten !== undefined).length).toBeGreaterThan(0);
  });

  it('moves what copies share once', async () => {
    const { bridge, bucket } = await bridgeWith();
    await put(bridge, bucket, 'one', large);
    const source = bridge.objects.head(bucket, 'one');
    await bridge.objects.copy(bucket, { from: bucket, source, key: 'two', headers: {}, conditions: {} }, never);
    want(bridge);
    expect((await bridge.rewrite(bucket)).bytes).toBe(large.length);
    await bridge.objects.delete(bucket, 'one', {}, never);
    expect(await get(bridge, bucket, 'two')).toBe(large.toString('latin1'));
    expect(bridge.farm.liveSegments(bucket.bucketId).sort()).toEqual([...new Set(named(bridge, bucket))].sort());
  });

  it('stops at what cannot be written, and looks again later and later', async () => {
    const { bridge, bucket } = await bridgeWith();
    for (const key of ['a', 'b', 'c']) await put(bridge, bucket, key, large);
    want(bridge);
    let attempts = 0;
    bridge.farm.putSegments = () => {
      attempts += 1;
      return Promise.reject(new PutError('NotEnoughFarmers', 'no space left'));
    };
    const { troubles, pausesMs } = await bridge.rewrite(bucket, 3);
    // One attempt for each look, not one for each object.
    expect([attempts, troubles.length]).toEqual([3, 3]);
    expect(pausesMs).toEqual([20_000, 40_000, 80_000]);
  });

  it('a put or a delete that comes in between wins', async () => {
    for (const change of ['put', 'delete'] as const) {
      const { bridge, bucket } = await bridgeWith();
      await put(bridge, bucket, 'k', large);
      want(bridge);
      const { putSegments } = bridge.farm;
      bridge.farm.putSegments = async (order) => {
        bridge.farm.putSegments = putSegments;
        const stored = await putSegments(order);
        if (change === 'put') await put(bridge, bucket, 'k', 'newer');
        else await bridge.objects.delete(bucket, 'k', {}, never);
        return stored;
      };
      await bridge.rewrite(bucket);
      if (change === 'put') expect(await get(bridge, bucket, 'k')).toBe('newer');
      else expect(() => bridge.objects.head(bucket, 'k')).toThrow('does not exist');
      expect(bridge.farm.liveSegments(bucket.bucketId)).toEqual([]);
    }
  });

  it('does nothing where the farm wants none, where a farmer failed on the way, and goes round what cannot be read', async () => {
    const { bridge, bucket } = await bridgeWith();
    // One segment each: each attempt could be recorded at once.
    const [a, b] = [large.subarray(0, 90_000), large.subarray(0, 80_000)];
    await put(bridge, bucket, 'a', a);
    await put(bridge, bucket, 'b', b);
    const batches = () => bridge.farm.batches(bucket.bucketId).length;
    const before = batches();
    bridge.farm.scheme = smaller;
    const { putSegments, getRange } = bridge.farm;
    bridge.farm.rewrites = true;
    let calls = 0;
    bridge.farm.putSegments = async (order) => {
      calls += 1;
      bridge.farm.scheme = { required: 1, repair: 1, optimal: 2, total: 2 };
      const stored = await putSegments(order);
      bridge.farm.scheme = smaller;
      if (calls === 3) bridge.farm.rewrites = false;
      return stored;
    };
    const rewriting = bridge.rewrite(bucket);
    await expect.poll(() => calls).toBe(3);
    bridge.farm.putSegments = putSegments;
    expect(batches()).toBe(before);
    const [unreadable] = bridge.catalog.content(bucket.bucketId, 'a', bridge.objects.head(bucket, 'a').versionId)!.segments;
    bridge.farm.getRange = async function* (order) {
      if (order.segments[0]?.key.segmentId === unreadable?.segmentId) throw new GetError('TooFewPieces', 'no piece answers');
      yield* getRange(order);
    };
    bridge.farm.rewrites = true;
    const { troubles } = await rewriting;
    expect(troubles).toMatchObject([{ message: 'no piece answers' }]);
    bridge.farm.getRange = getRange;
    expect(bridge.catalog.schemes(bucket.bucketId)).toHaveLength(2);
    await bridge.rewrite(bucket);
    expect(bridge.catalog.schemes(bucket.bucketId)).toEqual([{ required: 1, optimal: 3 }]);
  });
});
