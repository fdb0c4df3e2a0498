// Which verb a request means: by method, by what it points at, and by the subresource in its query.
import * as buckets from './buckets.ts';
import { copyObject } from './copy-object.ts';
import type { Verb } from './context.ts';
import { deleteObject } from './delete-object.ts';
import { deleteObjects } from './delete-objects.ts';
import { S3Error } from './errors.ts';
import { BUCKET_GET, BUCKET_PUT, OBJECT_GET, OBJECT_PUT } from './fixed-answers.ts';
import { getObjectAttributes } from './get-object-attributes.ts';
import { getObject, headObject } from './get-object.ts';
import { listObjects, listObjectsV2, listObjectVersions } from './list-objects.ts';
import * as multipart from './multipart.ts';
import { putObject } from './put-object.ts';
import type { Query } from './request.ts';

export interface Route {
  /** S3's name of the operation: for logs and metrics. */
  operation: string;
  verb: Verb;
}
export interface RouteRequest {
  method: string;
  bucket: string | null;
  key: string | null;
  query: Query;
  isCopy: boolean;
}

/** Query parameters that choose another operation; unknown ones among them must never fall through to PUT or DELETE. */
const SUBRESOURCES = new Set([
  ...Object.keys(BUCKET_GET),
  ...Object.keys(OBJECT_GET),
  'analytics',
  'attributes',
  'delete',
  'intelligent-tiering',
  'inventory',
  'location',
  'metrics',
  'metadataTable',
  'restore',
  'select',
  'session',
  'torrent',
  'uploadId',
  'uploads',
  'versions',
  'renameObject',
  'annotations',
]);

export function route(request: RouteRequest): Route {
  const { method, bucket, key, query } = request;
  const subresource = query.pairs.map(([name]) => name).find((name) => SUBRESOURCES.has(name)) ?? '';
  const found =
    bucket === null
      ? serviceRoute(method)
      : key === null
        ? bucketRoute(method, subresource, query)
        : objectRoute(request, subresource);
  if (found !== null) return found;
  if (!['GET', 'HEAD', 'PUT', 'POST', 'DELETE'].includes(method)) throw new S3Error('MethodNotAllowed');
  const what = subresource === '' ? `${method} here` : `${method} with ?${subresource}`;
  throw new S3Error('NotImplemented', `This bridge does not implement ${what}`);
}

const to = (operation: string, verb: Verb): Route => ({ operation, verb });
const fixed = (operation: string, table: Record<string, Verb>, subresource: string): Route | null => {
  const verb = Object.hasOwn(table, subresource) ? table[subresource] : undefined;
  return verb === undefined ? null : to(`${operation}:${subresource}`, verb);
};

function serviceRoute(method: string): Route | null {
  return method === 'GET' || method === 'HEAD' ? to('ListBuckets', buckets.listBuckets) : null;
}

function bucketRoute(method: string, subresource: string, query: Query): Route | null {
  if (method === 'GET' && subresource === '') {
    return query.get('list-type') === '2' ? to('ListObjectsV2', listObjectsV2) : to('ListObjects', listObjects);
  }
  switch (`${method} ${subresource}`) {
    case 'HEAD ':
      return to('HeadBucket', buckets.headBucket);
    case 'PUT ':
      return to('CreateBucket', buckets.createBucket);
    case 'DELETE ':
      return to('DeleteBucket', buckets.deleteBucket);
    case 'POST delete':
      return to('DeleteObjects', deleteObjects);
    case 'GET location':
      return to('GetBucketLocation', buckets.getBucketLocation);
    case 'GET uploads':
      return to('ListMultipartUploads', multipart.listMultipartUploads);
    case 'GET versions':
      return to('ListObjectVersions', listObjectVersions);
    default:
      if (method === 'GET') return fixed('GetBucket', BUCKET_GET, subresource);
      return method === 'PUT' ? fixed('PutBucket', BUCKET_PUT, subresource) : null;
  }
}

function objectRoute({ method, query, isCopy }: RouteRequest, subresource: string): Route | null {
  if (method === 'PUT' && (subresource === 'uploadId' || query.has('partNumber'))) {
    return isCopy ? to('UploadPartCopy', multipart.uploadPartCopy) : to('UploadPart', multipart.uploadPart);
  }
  switch (`${method} ${subresource}`) {
    case 'GET ':
      return to('GetObject', getObject);
    case 'HEAD ':
      return to('HeadObject', headObject);
    case 'PUT ':
      return isCopy ? to('CopyObject', copyObject) : to('PutObject', putObject);
    case 'DELETE ':
      return to('DeleteObject', deleteObject);
    case 'GET attributes':
      return to('GetObjectAttributes', getObjectAttributes);
    case 'POST uploads':
      return to('CreateMultipartUpload', multipart.createMultipartUpload);
    case 'POST uploadId':
      return to('CompleteMultipartUpload', multipart.completeMultipartUpload);
    case 'DELETE uploadId':
      return to('AbortMultipartUpload', multipart.abortMultipartUpload);
    case 'GET uploadId':
      return to('ListParts', multipart.listParts);
    default:
      if (method === 'GET') return fixed('GetObject', OBJECT_GET, subresource);
      return method === 'PUT' ? fixed('PutObject', OBJECT_PUT, subresource) : null;
  }
}
