// DeleteObjects: up to 1,000 keys; what fails for one key is told for that key. The deletes share group commits.
import type { Context, Reply } from './context.ts';
import { xmlReply } from './context.ts';
import { S3Error, toS3Error } from './errors.ts';
import { MAX_KEY_BYTES } from './request.ts';
import { childList, childText, document, element, leaf, parseXml } from './xml.ts';

const MAX_KEYS = 1000;

interface Wanted {
  key: string;
  versionId: string | null;
  etag: string | null;
}

export async function deleteObjects(context: Context): Promise<Reply> {
  const bucket = context.bucket();
  const root = parseXml(await context.text(), 'Delete');
  const wanted = childList(root, 'Object').map((node): Wanted => ({
    key: childText(node, 'Key') ?? '',
    versionId: childText(node, 'VersionId'),
    etag: childText(node, 'ETag'),
  }));
  if (wanted.length === 0 || wanted.length > MAX_KEYS || wanted.some(({ key }) => key === '')) throw new S3Error('MalformedXML');
  const isQuiet = childText(root, 'Quiet') === 'true';
  const results = await Promise.all(
    wanted.map(async ({ key, versionId, etag }) => {
      try {
        if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLongError');
        if (versionId !== null && versionId !== 'null' && versionId !== '') throw new S3Error('NoSuchVersion');
        const conditions = etag === null ? {} : { onlyIfEtag: etag.replace(/^"|"$/g, '') };
        await context.objects.delete(bucket, key, conditions, context.signal);
        return isQuiet ? '' : element('Deleted', leaf('Key', key), leaf('VersionId', versionId));
      } catch (thrown) {
        const { code, message } = toS3Error(thrown);
        return element('Error', leaf('Key', key), leaf('Code', code), leaf('Message', message));
      }
    }),
  );
  return xmlReply(document('DeleteResult', ...results));
}
