// Subresources that this bridge doesn't offer but clients ask for: an honest "there is none", or what is
// always so here. Whatever isn't in these tables is 501 NotImplemented.
import { emptyReply, xmlReply, type Verb } from './context.ts';
import { S3Error, type S3ErrorCode } from './errors.ts';
import { checkAcl } from './object-headers.ts';
import { ownerElement } from './owner.ts';
import { document, element, leaf } from './xml.ts';

const none =
  (code: S3ErrorCode): Verb =>
  (context) => {
    context.bucket();
    throw new S3Error(code);
  };
const always =
  (...xml: string[]): Verb =>
  (context) => {
    context.bucket();
    return xmlReply(document(...(xml as [string, ...string[]])));
  };
/** For objects: NoSuchKey first. */
const ofObject =
  (verb: Verb): Verb =>
  (context) => {
    context.objects.head(context.bucket(), context.key);
    return verb(context);
  };

const acl: Verb = (context) => {
  context.bucket();
  const { account } = context;
  const grantee = `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">${leaf('ID', account.owner)}${leaf('DisplayName', account.displayName)}</Grantee>`;
  const grant = element('Grant', grantee, leaf('Permission', 'FULL_CONTROL'));
  return xmlReply(document('AccessControlPolicy', ownerElement(account), element('AccessControlList', grant)));
};
/** Setting what is so anyway succeeds; everything else says that there are no access lists. */
const putAcl: Verb = (context) => {
  context.bucket();
  const canned = context.header('x-amz-acl');
  if (canned === null) throw new S3Error('AccessControlListNotSupported');
  checkAcl(canned);
  return emptyReply(200);
};

const encryption = element(
  'Rule',
  element('ApplyServerSideEncryptionByDefault', leaf('SSEAlgorithm', 'AES256')),
  leaf('BucketKeyEnabled', false),
);

export const BUCKET_GET: Record<string, Verb> = {
  accelerate: always('AccelerateConfiguration'),
  acl,
  cors: none('NoSuchCORSConfiguration'),
  encryption: always('ServerSideEncryptionConfiguration', encryption),
  lifecycle: none('NoSuchLifecycleConfiguration'),
  logging: always('BucketLoggingStatus'),
  notification: always('NotificationConfiguration'),
  'object-lock': none('ObjectLockConfigurationNotFoundError'),
  ownershipControls: none('OwnershipControlsNotFoundError'),
  policy: none('NoSuchBucketPolicy'),
  policyStatus: none('NoSuchBucketPolicy'),
  publicAccessBlock: none('NoSuchPublicAccessBlockConfiguration'),
  replication: none('ReplicationConfigurationNotFoundError'),
  requestPayment: always('RequestPaymentConfiguration', leaf('Payer', 'BucketOwner')),
  tagging: none('NoSuchTagSet'),
  versioning: always('VersioningConfiguration'),
  website: none('NoSuchWebsiteConfiguration'),
};
export const BUCKET_PUT: Record<string, Verb> = { acl: putAcl };

export const OBJECT_GET: Record<string, Verb> = {
  acl: ofObject(acl),
  'legal-hold': ofObject(none('NoSuchObjectLockConfiguration')),
  retention: ofObject(none('NoSuchObjectLockConfiguration')),
  tagging: ofObject(always('Tagging', element('TagSet'))),
};
export const OBJECT_PUT: Record<string, Verb> = { acl: ofObject(putAcl) };
