import { writeConditions } from './conditions.ts';
import { emptyReply, type Context, type Reply } from './context.ts';
import { checkVersionId } from './version-id.ts';

export async function deleteObject(context: Context): Promise<Reply> {
  const bucket = context.bucket();
  checkVersionId(context.query);
  await context.objects.delete(bucket, context.key, writeConditions(context.header), context.signal);
  return emptyReply(204);
}
