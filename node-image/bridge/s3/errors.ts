// The one table of errors at the S3 edge: code → HTTP status and what it says when nobody says it better.
import { ObjectsError } from '../objects.ts';

const TABLE = {
  AccessControlListNotSupported: [400, 'This bucket has no access lists; leave x-amz-acl out or use private'],
  AccessDenied: [403, 'Access denied'],
  AuthorizationHeaderMalformed: [400, 'The Authorization header is malformed'],
  AuthorizationQueryParametersError: [400, 'The X-Amz-… query parameters are malformed'],
  BadDigest: [400, 'The Content-MD5 or checksum that was sent does not match the body'],
  BucketAlreadyExists: [409, 'Another account of this bridge has a bucket of that name; choose another name'],
  BucketAlreadyOwnedByYou: [409, 'You already have a bucket of that name'],
  BucketNotEmpty: [409, 'The bucket is not empty; delete its objects first'],
  EntityTooLarge: [400, 'The body is larger than one request may carry; use a multipart upload'],
  EntityTooSmall: [400, 'Every part but the last must have at least 5 MiB'],
  IncompleteBody: [400, 'The body ended before the announced number of bytes; nothing was stored'],
  InternalError: [500, 'The bridge failed; the request id leads to its log'],
  InvalidAccessKeyId: [403, 'This bridge does not know the access key id'],
  InvalidArgument: [400, 'Invalid argument'],
  InvalidBucketName: [400, 'A bucket name has 3 to 63 lower-case letters, digits, dots and hyphens'],
  InvalidDigest: [400, 'Content-MD5 is not the base64 of 16 bytes'],
  InvalidPart: [400, 'A part was not uploaded, or its ETag is another'],
  InvalidPartOrder: [400, 'The parts must come in ascending order'],
  InvalidPartNumber: [416, 'The object has no such part'],
  InvalidRange: [416, 'The range lies outside the object'],
  InvalidRequest: [400, 'Invalid request'],
  InvalidURI: [400, 'The path is not valid percent-encoded UTF-8'],
  KeyTooLongError: [400, 'A key has at most 1,024 bytes of UTF-8'],
  MalformedXML: [400, 'The XML is not well-formed or not what this call expects'],
  MaxMessageLengthExceeded: [400, 'The request body is too large'],
  MetadataTooLarge: [400, 'The x-amz-meta- headers together may have at most 2 KiB'],
  MethodNotAllowed: [405, 'The method is not allowed against this resource'],
  MissingContentLength: [411, 'Content-Length is required'],
  NoSuchBucket: [404, 'There is no such bucket'],
  NoSuchBucketPolicy: [404, 'The bucket has no policy'],
  NoSuchCORSConfiguration: [404, 'The bucket has no CORS configuration'],
  NoSuchKey: [404, 'There is no such key'],
  NoSuchLifecycleConfiguration: [404, 'The bucket has no lifecycle configuration'],
  NoSuchObjectLockConfiguration: [404, 'The object has no lock'],
  NoSuchPublicAccessBlockConfiguration: [404, 'The bucket has no public access block configuration'],
  NoSuchTagSet: [404, 'There are no tags'],
  NoSuchUpload: [404, 'There is no such upload; it may have been completed or aborted'],
  NoSuchVersion: [404, 'There is no such version'],
  NoSuchWebsiteConfiguration: [404, 'The bucket is no website'],
  NotImplemented: [501, 'This bridge does not implement that'],
  ObjectLockConfigurationNotFoundError: [404, 'The bucket has no object lock configuration'],
  OwnershipControlsNotFoundError: [404, 'The bucket has no ownership controls'],
  PreconditionFailed: [412, 'At least one of the preconditions did not hold'],
  QuotaExceeded: [403, 'The quota of the bucket is used up'],
  ReplicationConfigurationNotFoundError: [404, 'The bucket has no replication configuration'],
  RequestTimeTooSkewed: [403, "The clock of the client is more than 15 minutes off the bridge's; set it right"],
  RequestTimeout: [400, 'The body did not come in time'],
  SignatureDoesNotMatch: [403, 'The signature is wrong; check the secret access key and what signs the request'],
  SlowDown: [503, 'Too much at once; try again later'],
  XAmzContentSHA256Mismatch: [400, 'The body does not hash to x-amz-content-sha256'],
} as const satisfies Record<string, readonly [number, string]>;

export type S3ErrorCode = keyof typeof TABLE;

export class S3Error extends Error {
  readonly code: S3ErrorCode;
  readonly status: number;
  /** Further elements of the answer's XML. */
  readonly details: Record<string, string>;
  readonly headers: Record<string, string>;
  constructor(
    code: S3ErrorCode,
    message?: string,
    more: { details?: Record<string, string>; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message ?? TABLE[code][1], { cause: more.cause });
    this.name = 'S3Error';
    this.code = code;
    this.status = TABLE[code][0];
    this.details = more.details ?? {};
    this.headers = more.headers ?? {};
  }
}

/** Whatever was thrown, as what the client is told. Unknown errors become InternalError, with the cause kept. */
export function toS3Error(thrown: unknown): S3Error {
  if (thrown instanceof S3Error) return thrown;
  if (thrown instanceof ObjectsError) {
    if (thrown.code === 'Unreadable') return new S3Error('SlowDown', thrown.message, { cause: thrown });
    if (thrown.code === 'TooLarge') return new S3Error('EntityTooLarge', thrown.message, { cause: thrown });
    return new S3Error(thrown.code, thrown.message, { cause: thrown });
  }
  return new S3Error('InternalError', undefined, { cause: thrown });
}
