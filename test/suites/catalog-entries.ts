// Entries and batches that catalogs are examined with.
import type { AppliedBatch, Catalog, ListPage } from '#node/catalog/catalog.ts';
import type { OwnerEntry, PartEntry, PutEntry, SegmentPlacement, UploadEntry } from '#node/wire/types.ts';

export const OWNER = 'aa'.repeat(32);
export const BUCKET = 'b0'.repeat(16);
export const LOG = 'c1'.repeat(32);
export const OTHER_LOG = 'd2'.repeat(32);

let counter = 0;
/** Later than all before. */
export const tick = () => ++counter;
const id = () => tick().toString(16).padStart(32, '0');

export function put(key: string, more: Partial<PutEntry> = {}): PutEntry {
  const versionId = more.versionId ?? id();
  const base = { kind: 'put' as const, key, versionId, clock: { wallMs: 1000, counter: counter }, replaces: [] };
  const about = { sizeBytes: 3, etag: versionId, modifiedMs: 5, headers: { 'content-type': 'text/plain' }, checksums: [] };
  const bytes = more.segments === undefined ? { inline: new Uint8Array([1, 2, 3]) } : {};
  return { ...base, ...about, ...bytes, ...more };
}
export const segmentKey = (segmentId: string) => ({
  segmentId,
  key: new Uint8Array(32).fill(7),
  commitment: new Uint8Array(16),
  plainBytes: 9,
});
export const placement = (segmentId: string): SegmentPlacement => ({
  segmentId,
  secret: new Uint8Array(32).fill(9),
  scheme: { required: 1, repair: 1, optimal: 2, total: 2 },
  sizeBytes: 25,
  root: 'ee'.repeat(32),
  farmers: [OWNER, null],
  createdMs: 4,
});
export const upload = (key: string, uploadId: string, state: 'open' | 'closed' = 'open'): UploadEntry => ({
  kind: 'upload',
  uploadId,
  key,
  clock: { wallMs: 1, counter: 0 },
  createdMs: 7,
  headers: { 'x-amz-meta-a': 'b' },
  state,
  checksumAlgorithm: 'CRC32',
  checksumType: 'COMPOSITE',
});
export const part = (uploadId: string, partNumber: number, more: Partial<PartEntry> = {}): PartEntry => ({
  kind: 'part',
  uploadId,
  partNumber,
  clock: { wallMs: 2, counter: tick() },
  sizeBytes: 9,
  etag: `part-${partNumber}`,
  modifiedMs: 8,
  checksums: [{ algorithm: 'CRC32', value: 'AAAAAA==', type: 'COMPOSITE' }],
  ...more,
});

export const batchOf = (seq: number, entries: OwnerEntry[], more: Partial<AppliedBatch> = {}): AppliedBatch => ({
  owner: OWNER,
  bucketId: BUCKET,
  logId: LOG,
  seq,
  hash: seq.toString(16).padStart(64, '0'),
  entries,
  repair: null,
  placements: [],
  ...more,
});
export const writer = (catalog: Catalog, logId = LOG) => {
  let seq = 0;
  return (entries: OwnerEntry[], more: Partial<AppliedBatch> = {}) => catalog.apply(batchOf(++seq, entries, { logId, ...more }));
};
export const names = (page: ListPage) => page.items.map((item) => (item.kind === 'object' ? item.object.key : `${item.prefix}*`));
export const all = { prefix: '', delimiter: '', after: '', limit: 1000 };

export const cutOf = (...dropped: string[]) => ({ statement: new Uint8Array(1), heads: [], dropped });
