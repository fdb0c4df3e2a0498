// Versioning isn't offered: the only version id is `null`, the current object.
import type { Query } from './request.ts';
import { S3Error } from './errors.ts';

export function checkVersionId(query: Query): void {
  const versionId = query.get('versionId');
  if (versionId !== null && versionId !== 'null' && versionId !== '') throw new S3Error('NoSuchVersion');
}
