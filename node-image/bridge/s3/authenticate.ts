// Who asks? SigV4 in the Authorization header or in the query (presigned), and what it says of the body.
import type { IncomingHttpHeaders } from 'node:http';
import type { Account } from '../objects.ts';
import { S3Error } from './errors.ts';
import { headerOf, type RawRequest, type Target } from './request.ts';
import {
  ALGORITHM,
  canonicalRequest,
  equalSignatures,
  parseAmzDate,
  requestStringToSign,
  sign,
  type Scope,
} from './signature.ts';

const MAX_SKEW_MS = 15 * 60_000;
const MAX_EXPIRES_S = 7 * 24 * 3600;
const UNSIGNED = 'UNSIGNED-PAYLOAD';

export interface Credentials extends Account {
  secretAccessKey: string;
}
export interface Authenticator {
  findKey: (accessKeyId: string) => Credentials | null;
  signingKey: (secret: string, scope: Scope) => Buffer;
  nowMs: () => number;
}

/** How the body is vouched for. */
export type Payload =
  | { kind: 'unsigned' }
  | { kind: 'hashed'; sha256: string }
  | { kind: 'chunked'; trailer: boolean; signing: ChunkSigning | null };
/** Each chunk's signature continues the one before; the first continues the request's. */
export interface ChunkSigning {
  key: Buffer;
  amzDate: string;
  scope: Scope;
  seed: string;
}
export interface Authenticated {
  account: Account;
  payload: Payload;
  /** Presigned requests carry x-amz- headers in the query too. */
  presigned: boolean;
}

export function authenticate(request: RawRequest, target: Target, by: Authenticator): Authenticated {
  const claim = readClaim(request, target, by.nowMs());
  const credentials = by.findKey(claim.accessKeyId);
  if (credentials === null)
    throw new S3Error('InvalidAccessKeyId', undefined, { details: { AWSAccessKeyId: claim.accessKeyId } });
  const payloadHash = claim.presigned
    ? (target.query.get('X-Amz-Content-Sha256') ?? headerOf(request.headers, 'x-amz-content-sha256') ?? UNSIGNED)
    : requiredPayloadHash(request.headers);
  const canonical = canonicalRequest({
    method: request.method,
    path: target.path,
    query: target.query.pairs.filter(([name]) => !(claim.presigned && name === 'X-Amz-Signature')),
    signedHeaders: claim.signedHeaders,
    headerValue: (name) => headerOf(request.headers, name) ?? '',
    payloadHash,
  });
  const key = by.signingKey(credentials.secretAccessKey, claim.scope);
  const expected = sign(key, requestStringToSign(claim.amzDate, claim.scope, canonical));
  if (!equalSignatures(expected, claim.signature)) {
    throw new S3Error('SignatureDoesNotMatch', undefined, {
      details: { AWSAccessKeyId: claim.accessKeyId, CanonicalRequest: canonical },
    });
  }
  checkSignedHeaders(request.headers, claim);
  const { secretAccessKey: _, ...account } = credentials;
  const signing = { key, amzDate: claim.amzDate, scope: claim.scope, seed: claim.signature };
  return { account, payload: readPayload(payloadHash, signing), presigned: claim.presigned };
}

interface Claim {
  accessKeyId: string;
  scope: Scope;
  amzDate: string;
  signedHeaders: string[];
  signature: string;
  presigned: boolean;
}

function readClaim(request: RawRequest, target: Target, nowMs: number): Claim {
  const authorization = headerOf(request.headers, 'authorization');
  if (authorization !== null) return headerClaim(request, authorization, nowMs);
  if (target.query.has('X-Amz-Signature') || target.query.has('X-Amz-Algorithm')) return queryClaim(target, nowMs);
  if (target.query.has('Signature') || target.query.has('AWSAccessKeyId')) throw oldSignature();
  throw new S3Error('AccessDenied', 'The request is not signed; this bridge serves nobody anonymously');
}

const oldSignature = () =>
  new S3Error('InvalidRequest', `Signature version 2 is not supported; please use ${ALGORITHM} (signature version 4)`);

function headerClaim(request: RawRequest, authorization: string, nowMs: number): Claim {
  if (!authorization.startsWith(ALGORITHM)) {
    if (authorization.startsWith('AWS ')) throw oldSignature();
    throw new S3Error('InvalidRequest', `Only ${ALGORITHM} is supported in Authorization`);
  }
  const fields = new Map(
    authorization
      .slice(ALGORITHM.length)
      .split(',')
      .map((field) => {
        const at = field.indexOf('=');
        return [field.slice(0, at).trim(), field.slice(at + 1).trim()];
      }),
  );
  const amzDate = headerOf(request.headers, 'x-amz-date') ?? fromHttpDate(headerOf(request.headers, 'date'));
  const atMs = amzDate === null ? null : parseAmzDate(amzDate);
  if (amzDate === null || atMs === null)
    throw new S3Error('AccessDenied', 'A signed request needs a valid x-amz-date or date header');
  const { accessKeyId, scope } = readCredential(fields.get('Credential') ?? '', amzDate, 'AuthorizationHeaderMalformed');
  if (Math.abs(nowMs - atMs) > MAX_SKEW_MS) {
    throw new S3Error('RequestTimeTooSkewed', undefined, {
      details: {
        RequestTime: amzDate,
        ServerTime: new Date(nowMs).toISOString(),
        MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
      },
    });
  }
  const signedHeaders = (fields.get('SignedHeaders') ?? '').split(';').filter((name) => name !== '');
  return { accessKeyId, scope, amzDate, signedHeaders, signature: fields.get('Signature') ?? '', presigned: false };
}

function queryClaim({ query }: Target, nowMs: number): Claim {
  const malformed = (message: string) => new S3Error('AuthorizationQueryParametersError', message);
  if (query.get('X-Amz-Algorithm') !== ALGORITHM) throw malformed(`X-Amz-Algorithm must be ${ALGORITHM}`);
  const amzDate = query.get('X-Amz-Date') ?? '';
  const atMs = parseAmzDate(amzDate);
  if (atMs === null) throw malformed('X-Amz-Date must be in the ISO 8601 form 20260102T030405Z');
  const expires = query.get('X-Amz-Expires') ?? '';
  const expiresS = Number(expires);
  if (!/^\d+$/.test(expires) || expiresS < 1 || expiresS > MAX_EXPIRES_S)
    throw malformed(`X-Amz-Expires must be from 1 to ${MAX_EXPIRES_S} seconds`);
  const { accessKeyId, scope } = readCredential(
    query.get('X-Amz-Credential') ?? '',
    amzDate,
    'AuthorizationQueryParametersError',
  );
  if (atMs - nowMs > MAX_SKEW_MS) throw new S3Error('AccessDenied', 'The request is not valid yet; is the clock right?');
  if (nowMs > atMs + expiresS * 1000) {
    throw new S3Error('AccessDenied', 'Request has expired', {
      details: { Expires: new Date(atMs + expiresS * 1000).toISOString(), ServerTime: new Date(nowMs).toISOString() },
    });
  }
  const signedHeaders = (query.get('X-Amz-SignedHeaders') ?? '').split(';').filter((name) => name !== '');
  return { accessKeyId, scope, amzDate, signedHeaders, signature: query.get('X-Amz-Signature') ?? '', presigned: true };
}

/** Any region is taken: it is part of the signature, and clients without one send us-east-1. */
function readCredential(
  text: string,
  amzDate: string,
  code: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError',
): { accessKeyId: string; scope: Scope } {
  const parts = text.split('/');
  const [date, region, service, terminator] = parts.slice(-4);
  const accessKeyId = parts.slice(0, -4).join('/');
  if (accessKeyId === '' || date === undefined || region === undefined)
    throw new S3Error(code, 'The credential must be KEY/DATE/REGION/s3/aws4_request');
  if (service !== 's3' || terminator !== 'aws4_request') throw new S3Error(code, 'The credential must end in /s3/aws4_request');
  if (!amzDate.startsWith(date) || date.length !== 8)
    throw new S3Error(code, 'The date of the credential must be that of the request');
  return { accessKeyId, scope: { date, region } };
}

function fromHttpDate(text: string | null): string | null {
  if (text === null) return null;
  if (parseAmzDate(text) !== null) return text;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
}

function requiredPayloadHash(headers: IncomingHttpHeaders): string {
  const hash = headerOf(headers, 'x-amz-content-sha256');
  if (hash === null) throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  return hash;
}

/** What a signature doesn't cover somebody on the way could have added. */
function checkSignedHeaders(headers: IncomingHttpHeaders, { signedHeaders, presigned }: Claim): void {
  const signed = new Set(signedHeaders);
  const unsigned = Object.keys(headers).filter(
    (name) =>
      (name === 'host' || name.startsWith('x-amz-')) && !signed.has(name) && !(presigned && name === 'x-amz-content-sha256'),
  );
  if (unsigned.length === 0) return;
  throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
    details: { HeadersNotSigned: unsigned.join(', ') },
  });
}

function readPayload(hash: string, signing: ChunkSigning): Payload {
  if (hash === UNSIGNED) return { kind: 'unsigned' };
  if (/^[0-9a-f]{64}$/.test(hash)) return { kind: 'hashed', sha256: hash };
  const prefix = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
  if (hash === prefix) return { kind: 'chunked', trailer: false, signing };
  if (hash === `${prefix}-TRAILER`) return { kind: 'chunked', trailer: true, signing };
  if (hash === 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') return { kind: 'chunked', trailer: true, signing: null };
  throw new S3Error(
    'InvalidRequest',
    `x-amz-content-sha256 must be ${UNSIGNED}, a SHA-256 in hex or a STREAMING-… value that this bridge knows`,
  );
}
