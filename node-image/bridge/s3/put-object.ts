import { writeConditions } from './conditions.ts';
import { emptyReply, type Context, type Reply } from './context.ts';
import { objectHeaders, resultHeaders } from './object-headers.ts';

export async function putObject(context: Context): Promise<Reply> {
  const bucket = context.bucket();
  const headers = objectHeaders(context);
  const conditions = writeConditions(context.header);
  const body = await context.body();
  const version = await context.objects.put(bucket, { key: context.key, headers, body, conditions }, context.signal);
  return emptyReply(200, resultHeaders(version));
}
