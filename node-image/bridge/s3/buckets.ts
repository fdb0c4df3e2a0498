// The calls on buckets themselves.
import { emptyReply, xmlReply, type Context, type Reply } from './context.ts';
import { checkAcl } from './object-headers.ts';
import { ownerElement } from './owner.ts';
import { S3Error } from './errors.ts';
import { checkBucketName } from './request.ts';
import { document, element, isoTime, leaf, parseXml } from './xml.ts';

export function listBuckets(context: Context): Reply {
  const { query, account, objects, region } = context;
  const prefix = query.get('prefix') ?? '';
  const rows = objects
    .listBuckets(account)
    .filter((row) => row.name.startsWith(prefix))
    .map((row) =>
      element('Bucket', leaf('Name', row.name), leaf('CreationDate', isoTime(row.createdMs)), leaf('BucketRegion', region)),
    );
  return xmlReply(document('ListAllMyBucketsResult', ownerElement(account), element('Buckets', ...rows)));
}

export async function createBucket(context: Context): Promise<Reply> {
  const name = checkBucketName(context.bucketName);
  checkAcl(context.header('x-amz-acl'));
  if (context.header('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true')
    throw new S3Error('NotImplemented', 'Object lock is not supported');
  const text = await context.text();
  // The place that it names doesn't matter: there is one farm behind this bridge.
  if (text.trim() !== '') parseXml(text, 'CreateBucketConfiguration');
  await context.objects.createBucket(context.account, name, context.signal);
  return emptyReply(200, { location: `/${name}` });
}

export async function deleteBucket(context: Context): Promise<Reply> {
  await context.objects.deleteBucket(context.bucket(), context.signal);
  return emptyReply(204);
}

export function headBucket(context: Context): Reply {
  context.bucket();
  return emptyReply(200, { 'x-amz-bucket-region': context.region });
}

export function getBucketLocation(context: Context): Reply {
  context.bucket();
  // AWS's own way of saying us-east-1 is an empty element.
  const isDefault = context.region === 'us-east-1';
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${isDefault ? '' : context.region}</LocationConstraint>`;
  return xmlReply(body);
}
