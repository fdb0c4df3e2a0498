// Pages of objects and of uploads, for every adapter alike.
import type { ListPage, ListQuery, ListRow, UploadPage, UploadQuery, UploadRow } from './catalog.ts';
import { keyBytes, uploadPosition } from './key-order.ts';
import { skipScan, type Seek } from './skip-scan.ts';

export function listPage(query: ListQuery, seek: Seek<ListRow>): ListPage {
  const { items, more } = skipScan(query, seek);
  const last = items.at(-1);
  return {
    items: items.map((item) => (item.kind === 'row' ? { kind: 'object', object: item.row } : item)),
    next: more && last !== undefined ? (last.kind === 'row' ? last.row.key : last.prefix) : null,
  };
}

/** `seek` walks uploads by `uploadPosition`. */
export function uploadPage(query: UploadQuery, seek: Seek<UploadRow>): UploadPage {
  const { items, more } = skipScan({ ...query, ...firstUpload(query) }, seek);
  const last = items.at(-1);
  const next = last === undefined ? null : last.kind === 'row' ? last.row : { key: last.prefix, uploadId: '' };
  return {
    items: items.map((item) => (item.kind === 'row' ? { kind: 'upload', upload: item.row } : item)),
    next: more && next !== null ? { key: next.key, uploadId: next.uploadId } : null,
  };
}

function firstUpload({ after, afterUploadId }: UploadQuery): { from?: Buffer } {
  if (after === '') return {};
  const from =
    afterUploadId === ''
      ? Buffer.concat([keyBytes(after), Buffer.of(1)])
      : Buffer.concat([uploadPosition(after, afterUploadId), Buffer.of(0)]);
  return { from };
}
