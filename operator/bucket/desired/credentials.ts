// The Secret that applications take by envFrom: S3 keys, and STORJ_GRANT (once the bucket is served), which opens the
// bucket to the storj command and library straight at the farmers. The grant has its holder's key in it: whoever reads
// the Secret has the access, as with the S3 keys.
// The Secret that applications take by envFrom. One set of keys under the names of all that read it: AWS SDKs and
// tools, rclone (remote `storj:`), object bucket claims (BUCKET_*), COSI v1alpha2 (COSI_*). The endpoint is an
// address: an IP makes SDKs use path style, a name would become `bucket.name`.
import type { LiveBucket } from '#operator/api.ts';
import type { Live, Secret } from '#operator/kube/resources.ts';
import { apiVersion, marks } from '#operator/api.ts';
import { PORTS } from '#node/interface/ports.ts';
import { bucketNameOf, credentialsNameOf } from '../admission.ts';

/** The bridge's region. */
const region = 'storj-1';

export interface AccessKeys {
  accessKeyId: string;
  secretAccessKey: string;
}

/** As it lies in the Secret. */
export interface KeptGrant {
  text: string;
  issuedMs: number;
  renewMs: number;
}

export function bucketLabels(bucket: LiveBucket): Record<string, string> {
  return {
    'app.kubernetes.io/part-of': 'storj',
    'app.kubernetes.io/managed-by': 'storj-operator',
    [marks.bucket]: bucket.metadata.name,
  };
}

export interface S3Place {
  /** Cluster IP of the bridge's Service. */
  address: string;
  endpoint: string;
  /** PEM of the authority behind the endpoint's certificate; empty = none that clients don't know. */
  ca: string;
}

export function credentialsSecret(
  bucket: LiveBucket,
  { accessKeyId, secretAccessKey }: AccessKeys,
  { address, endpoint, ca }: S3Place,
  grant: KeptGrant | undefined,
): Secret {
  const { name, namespace = '', uid } = bucket.metadata;
  const bucketName = bucketNameOf(bucket);
  const text: Record<string, string> = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ENDPOINT_URL_S3: endpoint,
    BUCKET_NAME: bucketName,
    BUCKET_HOST: address,
    BUCKET_PORT: String(PORTS.s3),
    BUCKET_REGION: region,
    COSI_PROTOCOL: 'S3',
    COSI_S3_BUCKET_ID: bucketName,
    COSI_S3_ENDPOINT: endpoint,
    COSI_S3_REGION: region,
    COSI_S3_ADDRESSING_STYLE: 'path',
    COSI_S3_ACCESS_KEY_ID: accessKeyId,
    COSI_S3_ACCESS_SECRET_KEY: secretAccessKey,
    RCLONE_CONFIG_STORJ_TYPE: 's3',
    RCLONE_CONFIG_STORJ_PROVIDER: 'Other',
    RCLONE_CONFIG_STORJ_ACCESS_KEY_ID: accessKeyId,
    RCLONE_CONFIG_STORJ_SECRET_ACCESS_KEY: secretAccessKey,
    RCLONE_CONFIG_STORJ_ENDPOINT: endpoint,
    RCLONE_CONFIG_STORJ_REGION: region,
    RCLONE_CONFIG_STORJ_FORCE_PATH_STYLE: 'true',
    // The key opens one bucket that exists; it may not create any.
    RCLONE_CONFIG_STORJ_NO_CHECK_BUCKET: 'true',
    ...(grant ? { STORJ_GRANT: grant.text } : {}),
    // To be mounted as a file: AWS_CA_BUNDLE, NODE_EXTRA_CA_CERTS and rclone's --ca-cert take paths.
    ...(ca === '' ? {} : { CA_CRT: ca }),
  };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {
      name: credentialsNameOf(bucket),
      namespace,
      labels: bucketLabels(bucket),
      ...(grant ? { annotations: { [marks.grant]: interval(grant) } } : {}),
      ownerReferences: [{ apiVersion, kind: 'StorjBucket', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    data: Object.fromEntries(Object.entries(text).map(([field, value]) => [field, Buffer.from(value).toString('base64')])),
  };
}

/** The bucket's own Secret; another's, or one of an earlier bucket of this name, is not. */
export function isOwn(secret: Live<Secret>, bucket: LiveBucket): boolean {
  if (secret.metadata.labels?.[marks.bucket] !== bucket.metadata.name) return false;
  const owners = secret.metadata.ownerReferences ?? [];
  return owners.length === 0 || owners.some(({ uid }) => uid === bucket.metadata.uid);
}

export function keysInSecret(secret: Live<Secret>, bucket: LiveBucket): AccessKeys | undefined {
  if (!isOwn(secret, bucket)) return undefined;
  const read = (field: string): string => Buffer.from(secret.data?.[field] ?? '', 'base64').toString('utf8');
  const accessKeyId = read('AWS_ACCESS_KEY_ID');
  const secretAccessKey = read('AWS_SECRET_ACCESS_KEY');
  return accessKeyId.length >= 3 && secretAccessKey.length >= 8 ? { accessKeyId, secretAccessKey } : undefined;
}

/** Undefined where there is none, or nobody can tell when it was issued. */
export function grantInSecret(secret: Live<Secret>, bucket: LiveBucket): KeptGrant | undefined {
  if (!isOwn(secret, bucket)) return undefined;
  const text = Buffer.from(secret.data?.['STORJ_GRANT'] ?? '', 'base64').toString('utf8');
  const [issuedMs = Number.NaN, renewMs = Number.NaN] = (secret.metadata.annotations?.[marks.grant] ?? '')
    .split('/')
    .map((time) => Date.parse(time));
  return text === '' || Number.isNaN(issuedMs) || Number.isNaN(renewMs) ? undefined : { text, issuedMs, renewMs };
}

const interval = ({ issuedMs, renewMs }: KeptGrant): string =>
  [issuedMs, renewMs].map((ms) => new Date(ms).toISOString()).join('/');

/** 128 and 256 bits of chance in letters that need no escaping anywhere. */
export function newAccessKeys(randomBytes: (count: number) => Uint8Array): AccessKeys {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const id = [...randomBytes(26)].map((byte) => alphabet[byte % alphabet.length]).join('');
  return { accessKeyId: id, secretAccessKey: Buffer.from(randomBytes(32)).toString('base64url') };
}
