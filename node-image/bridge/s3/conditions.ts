// Preconditions and ranges, pure (RFC 9110 sections 13 and 14, as S3 reads them).
import type { VersionRow } from '#node/catalog/catalog.ts';
import type { Range, WriteConditions } from '../objects.ts';
import { S3Error } from './errors.ts';

type Header = (name: string) => string | null;
type State = Pick<VersionRow, 'etag' | 'modifiedMs'>;

const plainEtag = (text: string): string => text.trim().replace(/^W\//, '').replace(/^"|"$/g, '');

function listsEtag(list: string, etag: string): boolean {
  return list.split(',').some((one) => one.trim() === '*' || plainEtag(one) === etag);
}

/** Dates have whole seconds; what isn't a date is no condition. */
function dateOf(text: string | null): number | null {
  const ms = text === null ? NaN : Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}
const seconds = (ms: number): number => Math.floor(ms / 1000);

/** `prefix` is `x-amz-copy-source-` for the source of a copy. */
export function readCondition(header: Header, state: State, prefix = ''): 'proceed' | 'not-modified' | 'failed' {
  const match = header(`${prefix}if-match`);
  const noneMatch = header(`${prefix}if-none-match`);
  const since = dateOf(header(`${prefix}if-modified-since`));
  const unmodified = dateOf(header(`${prefix}if-unmodified-since`));
  if (match !== null && !listsEtag(match, state.etag)) return 'failed';
  if (match === null && unmodified !== null && seconds(state.modifiedMs) > seconds(unmodified)) return 'failed';
  if (noneMatch !== null) return listsEtag(noneMatch, state.etag) ? 'not-modified' : 'proceed';
  if (since !== null && seconds(state.modifiedMs) <= seconds(since)) return 'not-modified';
  return 'proceed';
}

export function writeConditions(header: Header): WriteConditions {
  const noneMatch = header('if-none-match');
  const match = header('if-match');
  if (noneMatch !== null && noneMatch.trim() !== '*')
    throw new S3Error('NotImplemented', 'If-None-Match on a write may only be *');
  return { ...(noneMatch === null ? {} : { onlyIfAbsent: true }), ...(match === null ? {} : { onlyIfEtag: plainEtag(match) }) };
}

/** Null = the whole object: no Range header, one that isn't understood, or several ranges (as AWS does). */
export function parseRange(text: string | null, sizeBytes: number): Range | null {
  const match = text === null ? null : /^bytes=(\d*)-(\d*)$/.exec(text.trim());
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  const offset = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return null;
  if (offset >= sizeBytes || (first === '' && Number(last) === 0)) throw unsatisfiable(text ?? '', sizeBytes);
  return { offset, length: end - offset };
}

const unsatisfiable = (asked: string, sizeBytes: number): S3Error =>
  new S3Error('InvalidRange', undefined, {
    details: { RangeRequested: asked, ActualObjectSize: String(sizeBytes) },
    headers: { 'content-range': `bytes */${sizeBytes}` },
  });

/** `first-last` of a copied part; must lie inside the source. */
export function parseCopyRange(text: string | null, sizeBytes: number): Range {
  if (text === null) return { offset: 0, length: sizeBytes };
  const match = /^bytes=(\d+)-(\d+)$/.exec(text);
  const [offset, last] = [Number(match?.[1] ?? NaN), Number(match?.[2] ?? NaN)];
  if (match === null || last < offset || last >= sizeBytes) {
    throw new S3Error(
      'InvalidArgument',
      `x-amz-copy-source-range must be bytes=FIRST-LAST inside the ${sizeBytes} bytes of the source`,
    );
  }
  return { offset, length: last - offset + 1 };
}
