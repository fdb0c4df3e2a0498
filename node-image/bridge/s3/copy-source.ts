// x-amz-copy-source: which object, and whether its conditions hold.
import type { BucketRow, VersionRow } from '#node/catalog/catalog.ts';
import { readCondition } from './conditions.ts';
import type { Context } from './context.ts';
import { S3Error } from './errors.ts';
import { checkKey, parseQuery } from './request.ts';
import { checkVersionId } from './version-id.ts';

export function copySource(context: Context): { bucket: BucketRow; version: VersionRow } {
  const text = context.header('x-amz-copy-source') ?? '';
  const at = text.indexOf('?');
  const path = decode(at < 0 ? text : text.slice(0, at)).replace(/^\//, '');
  checkVersionId(parseQuery(at < 0 ? '' : text.slice(at + 1)));
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1)
    throw new S3Error('InvalidArgument', 'x-amz-copy-source must be /BUCKET/KEY, percent-encoded');
  const bucket = context.objects.bucket(context.account, path.slice(0, slash));
  const version = context.objects.head(bucket, checkKey(path.slice(slash + 1)));
  if (readCondition(context.header, version, 'x-amz-copy-source-') !== 'proceed') throw new S3Error('PreconditionFailed');
  return { bucket, version };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new S3Error('InvalidArgument', 'x-amz-copy-source is not valid percent-encoded UTF-8', { cause });
  }
}
