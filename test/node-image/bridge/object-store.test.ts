// The bridge's own rules on a farm in memory: what is acknowledged is there for the next bridge too, what is
// not is not; quota and conditions are exact; what the repairer is told to keep alive is what is alive.
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareClocks } from '#node/core/log-merge.ts';
import type { ObjectsError } from '#node/bridge/objects.ts';
import type { BucketRow, Catalog } from '#node/catalog/catalog.ts';
import { bodyOf, memoryBridge, never, textOf, type MemoryBridge } from './memory-bridge.ts';

const put = (bridge: MemoryBridge, bucket: BucketRow, key: string, text: string | Uint8Array, conditions = {}) =>
  bridge.objects.put(bucket, { key, headers: {}, body: bodyOf(text), conditions }, never);
const get = (bridge: MemoryBridge, bucket: BucketRow, key: string) => {
  const version = bridge.objects.head(bucket, key);
  return textOf(bridge.objects.read(bucket, version, { offset: 0, length: version.sizeBytes }, never));
};
const codeOf = async (call: Promise<unknown> | (() => unknown)): Promise<string> => {
  try {
    await (typeof call === 'function' ? call() : call);
  } catch (error) {
    return (error as ObjectsError).code;
  }
  return 'none';
};
const all = { prefix: '', delimiter: '', after: '', limit: 1000 };
const content = (catalog: Catalog, bucketId: string) =>
  catalog
    .list(bucketId, all)
    .items.map((item) => (item.kind === 'object' ? [item.object.key, item.object.etag, item.object.sizeBytes] : []));

describe('objects', () => {
  it('are there for a new bridge with an empty disk', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    const large = randomBytes(250_000);
    await put(bridge, bucket, 'small', 'hello');
    await put(bridge, bucket, 'large', large);
    await put(bridge, bucket, 'gone', 'x');
    await bridge.objects.delete(bucket, 'gone', {}, never);
    const upload = await bridge.objects.createUpload(
      bucket,
      { key: 'parts', headers: { a: 'b' }, checksumAlgorithm: null, checksumType: null },
      never,
    );
    await bridge.objects.putPart(bucket, upload, 1, bodyOf('part one', 'p1'), never);
    const next = await memoryBridge({ farm: bridge.farm });
    const [found] = next.objects.listBuckets(next.account);
    expect(found).toEqual(bucket);
    expect(await get(next, bucket, 'small')).toBe('hello');
    expect(await get(next, bucket, 'large')).toBe(large.toString('latin1'));
    expect(await codeOf(() => next.objects.head(bucket, 'gone'))).toBe('NoSuchKey');
    const known = next.objects.upload(bucket, 'parts', upload.uploadId);
    const order = {
      upload: known,
      parts: [{ partNumber: 1, etag: 'p1' }],
      facts: { etag: 'm-1', checksums: [] },
      conditions: {},
    };
    await next.objects.completeUpload(bucket, order, never);
    expect(await get(next, bucket, 'parts')).toBe('part one');
  });

  it('come after what was read before them, however late the clock is, unless that lies far ahead', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    const clockOf = ({ catalog }: typeof bridge, key: string) => catalog.current(bucket.bucketId, key)!.clock;
    bridge.runtime.now += 200_000;
    await put(bridge, bucket, 'early', 'x');
    const next = await memoryBridge({ farm: bridge.farm });
    await put(next, bucket, 'late', 'x');
    expect(compareClocks(clockOf(next, 'late'), clockOf(next, 'early'))).toBeGreaterThan(0);
    bridge.runtime.now += 1_000_000;
    await put(bridge, bucket, 'mad', 'x');
    const last = await memoryBridge({ farm: bridge.farm });
    await put(last, bucket, 'sane', 'x');
    expect(compareClocks(clockOf(last, 'sane'), clockOf(last, 'mad'))).toBeLessThan(0);
    expect(compareClocks(clockOf(last, 'sane'), clockOf(last, 'late'))).toBeGreaterThan(0);
  });

  it('are not stored where the body turns out wrong, and the segments are not announced', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    async function* broken() {
      yield Buffer.alloc(150_000);
      throw new Error('the body ended early');
    }
    const body = { source: broken(), sizeBytes: 300_000, facts: () => ({ etag: '', checksums: [] }) };
    await expect(bridge.objects.put(bucket, { key: 'k', headers: {}, body, conditions: {} }, never)).rejects.toThrow(
      'ended early',
    );
    expect(bridge.farm.batches(bucket.bucketId)).toEqual([]);
    expect(await codeOf(() => bridge.objects.head(bucket, 'k'))).toBe('NoSuchKey');
  });

  it('are decided one at a time for each key', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, number) => codeOf(put(bridge, bucket, 'k', `${number}`, { onlyIfAbsent: true }))),
    );
    expect(codes.filter((code) => code === 'none')).toHaveLength(1);
    expect(codes.filter((code) => code === 'PreconditionFailed')).toHaveLength(19);
    await Promise.all(Array.from({ length: 20 }, (_, number) => put(bridge, bucket, 'k', `${number}`)));
    expect(bridge.catalog.liveVersions(bucket.bucketId, 'k')).toHaveLength(1);
    expect(bridge.catalog.usage(bucket.bucketId).objects).toBe(1);
  });

  it('count against the quota exactly, also while many are under way', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    bridge.quotas.set('photos', { maxBytes: 100, maxObjects: null });
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, number) => codeOf(put(bridge, bucket, `k${number}`, 'x'.repeat(30)))),
    );
    expect(codes.filter((code) => code === 'none')).toHaveLength(3);
    expect(codes.filter((code) => code === 'QuotaExceeded')).toHaveLength(17);
    expect(bridge.catalog.usage(bucket.bucketId).bytes).toBe(90);
    const [first] = content(bridge.catalog, bucket.bucketId);
    await put(bridge, bucket, String(first?.[0]), 'x'.repeat(40));
    const upload = await bridge.objects.createUpload(
      bucket,
      { key: 'u', headers: {}, checksumAlgorithm: null, checksumType: null },
      never,
    );
    expect(await codeOf(bridge.objects.putPart(bucket, upload, 1, bodyOf('1'), never))).toBe('QuotaExceeded');
    await bridge.objects.delete(bucket, String(first?.[0]), {}, never);
    await bridge.objects.putPart(bucket, upload, 1, bodyOf('x'.repeat(40)), never);
    // Completing moves no byte, so it needs no room.
    const order = { upload, parts: [{ partNumber: 1, etag: 'e' }], facts: { etag: 'm-1', checksums: [] }, conditions: {} };
    await bridge.objects.completeUpload(bucket, order, never);
    expect(bridge.catalog.usage(bucket.bucketId)).toMatchObject({ bytes: 100, uploadBytes: 0 });
  });
});

describe('a write whose end is not known', () => {
  it('is answered as failed, blocks its key until it is known, and may come true', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    await put(bridge, bucket, 'other', 'x');
    bridge.farm.stalled = true;
    expect(await codeOf(put(bridge, bucket, 'k', 'first', { onlyIfAbsent: true }))).toBe('SlowDown');
    expect(await codeOf(() => bridge.objects.head(bucket, 'k'))).toBe('NoSuchKey');
    let isDecided = false;
    const second = codeOf(put(bridge, bucket, 'k', 'second', { onlyIfAbsent: true })).finally(() => (isDecided = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isDecided).toBe(false);
    await bridge.farm.resume();
    expect(await second).toBe('PreconditionFailed');
    expect(await get(bridge, bucket, 'k')).toBe('first');
  });

  it.each(['lost', 'kept'] as const)('when its log ends (%s), the next log knows', async (pending) => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    await put(bridge, bucket, 'other', 'x');
    bridge.farm.stalled = true;
    expect(await codeOf(put(bridge, bucket, 'k', 'first', { onlyIfAbsent: true }))).toBe('SlowDown');
    bridge.farm.stalled = false;
    bridge.farm.endLog(bucket.bucketId, pending);
    const code = await codeOf(put(bridge, bucket, 'k', 'second', { onlyIfAbsent: true }));
    expect(code).toBe(pending === 'kept' ? 'PreconditionFailed' : 'none');
    expect(await get(bridge, bucket, 'k')).toBe(pending === 'kept' ? 'first' : 'second');
    expect(bridge.catalog.liveVersions(bucket.bucketId, 'k')).toHaveLength(1);
  });

  it('does not hold its key for ever where its log is closed', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    await put(bridge, bucket, 'other', 'x');
    bridge.farm.stalled = true;
    expect(await codeOf(put(bridge, bucket, 'k', 'first'))).toBe('SlowDown');
    bridge.farm.stalled = false;
    await bridge.writers
      .all()
      .find(({ bucketId }) => bucketId === bucket.bucketId)!
      .closeLog();
    await put(bridge, bucket, 'k', 'second');
    expect(await get(bridge, bucket, 'k')).toBe('second');
  });

  it('releases what it had reserved of the quota', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    bridge.quotas.set('photos', { maxBytes: 100, maxObjects: null });
    await put(bridge, bucket, 'other', 'x');
    bridge.farm.stalled = true;
    expect(await codeOf(put(bridge, bucket, 'k', 'y'.repeat(90)))).toBe('SlowDown');
    expect(await codeOf(put(bridge, bucket, 'z', 'y'.repeat(90)))).toBe('QuotaExceeded');
    bridge.farm.stalled = false;
    bridge.farm.endLog(bucket.bucketId, 'lost');
    await put(bridge, bucket, 'k', 'y'.repeat(90));
    expect(bridge.catalog.usage(bucket.bucketId).bytes).toBe(91);
  });

  it('on a farm that does not answer at all, nothing is written and nothing is lost', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    await put(bridge, bucket, 'k', 'before');
    bridge.farm.away = true;
    expect(await codeOf(put(bridge, bucket, 'k', randomBytes(100_001)))).toBe('SlowDown');
    bridge.farm.away = false;
    expect(await get(bridge, bucket, 'k')).toBe('before');
    await put(bridge, bucket, 'k', 'after');
    expect(await get(bridge, bucket, 'k')).toBe('after');
  });
});

describe('what the repairer is told', () => {
  it('is alive exactly as long as an object, a copy or an open part names it, whatever happens', async () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key, large: fc.boolean() }),
      fc.record({ kind: fc.constant('delete' as const), key }),
      fc.record({ kind: fc.constant('copy' as const), key, to: key }),
      fc.record({ kind: fc.constant('part' as const), number: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('complete' as const), key, skip: fc.boolean() }),
      fc.record({ kind: fc.constant('abort' as const) }),
      fc.record({ kind: fc.constant('end-log' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const bridge = await memoryBridge();
        const bucket = await bridge.bucket();
        const { objects, catalog } = bridge;
        const begin = (name: string) =>
          objects.createUpload(bucket, { key: name, headers: {}, checksumAlgorithm: null, checksumType: null }, never);
        let upload = await begin('a');
        for (const one of steps) {
          if (one.kind === 'put') await put(bridge, bucket, one.key, one.large ? randomBytes(150_000) : 'small');
          if (one.kind === 'delete') await objects.delete(bucket, one.key, {}, never);
          if (one.kind === 'end-log') bridge.farm.endLog(bucket.bucketId, 'kept');
          if (one.kind === 'part')
            await objects.putPart(bucket, upload, one.number, bodyOf(randomBytes(120_000), `e${one.number}`), never);
          if (one.kind === 'copy' && catalog.current(bucket.bucketId, one.key) !== null) {
            const source = objects.head(bucket, one.key);
            await objects.copy(bucket, { from: bucket, source, key: one.to, headers: {}, conditions: {} }, never);
          }
          if (one.kind === 'abort') {
            await objects.abortUpload(bucket, upload, never);
            upload = await begin('b');
          }
          if (one.kind === 'complete') {
            const parts = objects.parts(bucket, upload.uploadId, 0, 10).slice(one.skip ? 1 : 0);
            if (parts.length === 0) continue;
            await objects.completeUpload(bucket, { upload, parts, facts: { etag: 'm', checksums: [] }, conditions: {} }, never);
            upload = await begin(one.key);
          }
        }
        const named = new Set<string>();
        for (const item of catalog.list(bucket.bucketId, all).items) {
          if (item.kind !== 'object') continue;
          const name = item.object.key;
          const versionId = catalog.current(bucket.bucketId, name)?.versionId ?? '';
          for (const { segmentId } of catalog.content(bucket.bucketId, name, versionId)?.segments ?? []) named.add(segmentId);
        }
        for (const { partNumber } of objects.parts(bucket, upload.uploadId, 0, 10)) {
          for (const { segmentId } of catalog.part(bucket.bucketId, upload.uploadId, partNumber)?.segments ?? [])
            named.add(segmentId);
        }
        expect(new Set(bridge.farm.liveSegments(bucket.bucketId))).toEqual(named);
        for (const segmentId of named) expect(catalog.placement(bucket.bucketId, segmentId)).not.toBeNull();
        const next = await memoryBridge({ farm: bridge.farm });
        expect(content(next.catalog, bucket.bucketId)).toEqual(content(catalog, bucket.bucketId));
        expect(next.catalog.usage(bucket.bucketId)).toEqual(catalog.usage(bucket.bucketId));
      }),
      { numRuns: 40 },
    );
  });
});

describe('buckets', () => {
  it('of one name belong to the first', async () => {
    const bridge = await memoryBridge();
    await bridge.bucket('photos');
    const other = await memoryBridge({ farm: bridge.farm, owner: 'b2'.repeat(32), catalog: bridge.catalog });
    expect(await codeOf(other.objects.createBucket(other.account, 'photos', never))).toBe('BucketAlreadyExists');
    expect(await codeOf(() => other.objects.bucket(other.account, 'photos'))).toBe('AccessDenied');
    const scoped = { ...bridge.account, bucketName: 'photos' };
    await bridge.bucket('videos');
    expect(bridge.objects.listBuckets(scoped).map(({ name }) => name)).toEqual(['photos']);
    expect(await codeOf(() => bridge.objects.bucket(scoped, 'videos'))).toBe('AccessDenied');
    expect(await codeOf(bridge.objects.createBucket(scoped, 'third', never))).toBe('AccessDenied');
  });

  it('go with their open uploads, and not while an object comes', async () => {
    const bridge = await memoryBridge();
    const bucket = await bridge.bucket();
    const upload = await bridge.objects.createUpload(
      bucket,
      { key: 'u', headers: {}, checksumAlgorithm: null, checksumType: null },
      never,
    );
    await bridge.objects.putPart(bucket, upload, 1, bodyOf(randomBytes(120_000)), never);
    const [deleted, written] = await Promise.all([
      codeOf(bridge.objects.deleteBucket(bucket, never)),
      codeOf(put(bridge, bucket, 'k', 'x')),
    ]);
    // Exactly one of the two wins.
    expect([deleted, written].filter((code) => code === 'none')).toHaveLength(1);
    if (deleted !== 'none') {
      await bridge.objects.delete(bucket, 'k', {}, never);
      await bridge.objects.deleteBucket(bucket, never);
    }
    expect(bridge.farm.liveSegments(bucket.bucketId)).toEqual([]);
    expect(bridge.objects.listBuckets(bridge.account)).toEqual([]);
  });
});
