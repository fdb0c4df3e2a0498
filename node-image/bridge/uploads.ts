// Multipart uploads on the farm. Each part is stored and recorded when it comes; completing moves no byte.
import { createHash } from 'node:crypto';
import { toHex } from '#node/core/ids.ts';
import type { BucketRow, Content, PartRow, UploadRow } from '#node/catalog/catalog.ts';
import type { SegmentKey, UploadEntry } from '#node/wire/types.ts';
import type { BucketWriter } from './bucket-writer.ts';
import { asVersion, keyLock, required, uploadLock, type StoreTools } from './object-store.ts';
import { ObjectsError, type Objects } from './objects.ts';

export const MAX_PARTS = 10_000;
type UploadCalls = Pick<
  Objects,
  'createUpload' | 'upload' | 'putPart' | 'parts' | 'completeUpload' | 'abortUpload' | 'uploads' | 'closeUploads'
>;

const NO_GROWTH = { objects: 0, bytes: 0 };

export function uploadCalls(tools: StoreTools): UploadCalls {
  const { catalog, runtime } = tools;

  const openUpload = (bucket: BucketRow, uploadId: string): UploadRow => {
    const upload = catalog.upload(bucket.bucketId, uploadId);
    if (upload === null) throw new ObjectsError('NoSuchUpload', 'There is no such upload; it may have been completed or aborted');
    return upload;
  };

  const closed = (upload: UploadRow, to: BucketWriter): UploadEntry => ({
    kind: 'upload',
    uploadId: upload.uploadId,
    key: upload.key,
    clock: to.clock(),
    createdMs: upload.createdMs,
    headers: {},
    state: 'closed',
  });

  const stored = (bucket: BucketRow, uploadId: string, partNumber: number): PartRow & Content => {
    const part = catalog.part(bucket.bucketId, uploadId, partNumber);
    if (part === null) throw new ObjectsError('InvalidPart', `Part ${partNumber} was not uploaded`);
    return part;
  };
  const ids = (segments: readonly SegmentKey[]) => segments.map((segment) => segment.segmentId);

  const close = async (bucket: BucketRow, uploadId: string): Promise<void> => {
    const to = tools.writer(bucket);
    await to.commit([uploadLock(uploadId)], () => {
      const upload = catalog.upload(bucket.bucketId, uploadId);
      if (upload === null) return null;
      const parts = catalog.parts(bucket.bucketId, uploadId, 0, MAX_PARTS);
      const released = parts.flatMap((part) => ids(stored(bucket, uploadId, part.partNumber).segments));
      return {
        entries: [closed(upload, to)],
        repair: { added: [], released },
        growth: NO_GROWTH,
        result: null,
        isDone: () => catalog.upload(bucket.bucketId, uploadId) === null,
      };
    });
  };

  return {
    async createUpload(bucket, { key, headers, checksumAlgorithm, checksumType }) {
      const to = tools.writer(bucket);
      const uploadId = toHex(runtime.random(16));
      const createdMs = runtime.nowMs();
      const row: UploadRow = { uploadId, key, createdMs, headers, checksumAlgorithm, checksumType };
      const upload = await to.commit([uploadLock(uploadId)], () => {
        const entry: UploadEntry = {
          kind: 'upload',
          uploadId,
          key,
          clock: to.clock(),
          createdMs,
          headers,
          state: 'open',
          ...(checksumAlgorithm === null ? {} : { checksumAlgorithm }),
          ...(checksumType === null ? {} : { checksumType }),
        };
        const isDone = () => catalog.upload(bucket.bucketId, uploadId) !== null;
        return { entries: [entry], repair: { added: [], released: [] }, growth: NO_GROWTH, result: row, isDone };
      });
      return required(upload);
    },

    upload(bucket, key, uploadId) {
      tools.writer(bucket);
      const upload = openUpload(bucket, uploadId);
      if (upload.key !== key) throw new ObjectsError('NoSuchUpload', 'The upload is of another key');
      return upload;
    },

    async putPart(bucket, upload, partNumber, body, signal) {
      const to = tools.writer(bucket);
      const before = catalog.part(bucket.bucketId, upload.uploadId, partNumber);
      tools.admit(bucket, null, { objects: 0, bytes: body.sizeBytes - (before?.sizeBytes ?? 0) });
      return tools.farm.duringTransfer(async () => {
        // Parts are never inline: what is completed from them is a list of segments.
        const bytes = await tools.store(bucket, body.source, body.sizeBytes, false, signal);
        const { etag, checksums } = body.facts();
        const { content, added } = asVersion(bytes);
        const part = await to.commit([uploadLock(upload.uploadId)], () => {
          openUpload(bucket, upload.uploadId);
          const old = catalog.part(bucket.bucketId, upload.uploadId, partNumber);
          const growth = { objects: 0, bytes: body.sizeBytes - (old?.sizeBytes ?? 0) };
          tools.admit(bucket, to, growth);
          const clock = to.clock();
          const row: PartRow = { partNumber, sizeBytes: body.sizeBytes, etag, modifiedMs: runtime.nowMs(), checksums };
          const { inline, segments } = content;
          const isDone = () => catalog.part(bucket.bucketId, upload.uploadId, partNumber)?.modifiedMs === row.modifiedMs;
          return {
            entries: [
              { kind: 'part', uploadId: upload.uploadId, clock, ...row, ...(inline === null ? { segments } : { inline }) },
            ],
            repair: { added, released: ids(old?.segments ?? []) },
            growth,
            result: row,
            isDone,
          };
        });
        return required(part);
      });
    },

    parts(bucket, uploadId, afterPart, limit) {
      tools.writer(bucket);
      return catalog.parts(bucket.bucketId, uploadId, afterPart, limit);
    },

    async completeUpload(bucket, { upload, parts, facts, conditions }) {
      const to = tools.writer(bucket);
      const { key, uploadId, headers } = upload;
      const version = await to.commit([keyLock(key), uploadLock(uploadId)], () => {
        openUpload(bucket, uploadId);
        const chosen = parts.map(({ partNumber, etag }) => {
          const part = stored(bucket, uploadId, partNumber);
          if (part.etag !== etag) throw new ObjectsError('InvalidPart', `Part ${partNumber} was uploaded anew meanwhile`);
          return part;
        });
        const named = new Set(parts.map(({ partNumber }) => partNumber));
        const all = catalog.parts(bucket.bucketId, uploadId, 0, MAX_PARTS);
        const left = all.filter(({ partNumber }) => !named.has(partNumber));
        const segments = chosen.flatMap((part) => part.segments);
        const content = segments.length === 0 ? { inline: new Uint8Array(0), segments } : { inline: null, segments };
        return tools.putDecision(bucket, to, {
          key,
          headers,
          conditions,
          ...facts,
          sizeBytes: sum(chosen),
          partSizes: chosen.map((part) => part.sizeBytes),
          content,
          // The parts brought their segments in; of those that become the object nothing is let go.
          added: [],
          released: left.flatMap(({ partNumber }) => ids(stored(bucket, uploadId, partNumber).segments)),
          freedBytes: sum(all),
          more: [closed(upload, to)],
        });
      });
      return required(version);
    },

    abortUpload: (bucket, upload) => close(bucket, upload.uploadId),

    uploads(bucket, query) {
      tools.writer(bucket);
      return catalog.uploads(bucket.bucketId, query);
    },

    async closeUploads(bucket) {
      for (;;) {
        const { items } = catalog.uploads(bucket.bucketId, {
          prefix: '',
          delimiter: '',
          after: '',
          afterUploadId: '',
          limit: 100,
        });
        if (items.length === 0) return;
        for (const item of items) if (item.kind === 'upload') await close(bucket, item.upload.uploadId);
      }
    },
  };
}

const sum = (parts: readonly { sizeBytes: number }[]): number => parts.reduce((total, part) => total + part.sizeBytes, 0);

/** As S3 has it: over the parts' MD5 sums, with their number. */
export function multipartEtag(parts: readonly { etag: string }[]): string {
  const hash = createHash('md5');
  for (const part of parts) hash.update(Buffer.from(part.etag, 'hex'));
  return `${hash.digest('hex')}-${parts.length}`;
}
