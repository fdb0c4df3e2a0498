// The vectors of AWS' own documentation ("Signature Calculations for the Authorization Header", "Authenticating
// Requests: Using Query Parameters", "Transferring Payload in Multiple Chunks").
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { authenticate, type Authenticator, type Credentials } from '#node/bridge/s3/authenticate.ts';
import { S3Error } from '#node/bridge/s3/errors.ts';
import { parseTarget } from '#node/bridge/s3/request.ts';
import { chunkStringToSign, createSigningKeys, EMPTY_SHA256, parseAmzDate, sign } from '#node/bridge/s3/signature.ts';

const ID = 'AKIAIOSFODNN7EXAMPLE';
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const NOW = Date.UTC(2013, 4, 24);
const host = 'examplebucket.s3.amazonaws.com';
const key: Credentials = { accessKeyId: ID, secretAccessKey: SECRET, owner: 'aa', bucketName: null, displayName: 'x' };
const by: Authenticator = { findKey: (id) => (id === ID ? key : null), signingKey: createSigningKeys(), nowMs: () => NOW };

const ask = (method: string, url: string, headers: Record<string, string>, more: Partial<Authenticator> = {}) => {
  const request = { method, url, headers: { host, ...headers } };
  return authenticate(request, parseTarget(request, ['s3.amazonaws.com']), { ...by, ...more });
};
const signed = (names: string, signature: string, hash = EMPTY_SHA256) => ({
  'x-amz-date': '20130524T000000Z',
  'x-amz-content-sha256': hash,
  authorization: `AWS4-HMAC-SHA256 Credential=${ID}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${names},Signature=${signature}`,
});
const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'none';
};

const GET = signed(
  'host;range;x-amz-content-sha256;x-amz-date',
  'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
);

describe('SigV4 in the header', () => {
  it('accepts what AWS documents', () => {
    expect(ask('GET', '/test.txt', { range: 'bytes=0-9', ...GET })).toMatchObject({
      account: { accessKeyId: ID },
      presigned: false,
    });
    const body = createHash('sha256').update('Welcome to Amazon S3.').digest('hex');
    const names = 'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class';
    const headers = { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' };
    const put = signed(names, '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd', body);
    expect(ask('PUT', '/test%24file.text', { ...headers, ...put }).payload).toEqual({ kind: 'hashed', sha256: body });
    const plain = 'host;x-amz-content-sha256;x-amz-date';
    const lifecycle = signed(plain, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543');
    expect(ask('GET', '/?lifecycle', lifecycle).account.owner).toBe('aa');
    const list = signed(plain, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7');
    expect(ask('GET', '/?max-keys=2&prefix=J', list).account.owner).toBe('aa');
  });

  it('refuses anything that was changed on the way', () => {
    const wrong = 'SignatureDoesNotMatch';
    expect(code(() => ask('GET', '/test.txt', { range: 'bytes=0-8', ...GET }))).toBe(wrong);
    expect(code(() => ask('GET', '/test2.txt', { range: 'bytes=0-9', ...GET }))).toBe(wrong);
    expect(code(() => ask('HEAD', '/test.txt', { range: 'bytes=0-9', ...GET }))).toBe(wrong);
    expect(code(() => ask('GET', '/test.txt?a', { range: 'bytes=0-9', ...GET }))).toBe(wrong);
    expect(code(() => ask('GET', '/test.txt', { range: 'bytes=0-9', ...GET, host: 'other.s3.amazonaws.com' }))).toBe(wrong);
    expect(code(() => ask('GET', '/test.txt', { range: 'bytes=0-9', ...GET, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }))).toBe(
      wrong,
    );
  });

  it('refuses headers that could have been added, wrong clocks, unknown keys and old signatures', () => {
    const added = { range: 'bytes=0-9', ...GET, 'x-amz-acl': 'public-read' };
    expect(code(() => ask('GET', '/test.txt', added))).toBe('AccessDenied');
    const late = { nowMs: () => NOW + 16 * 60_000 };
    expect(code(() => ask('GET', '/test.txt', { range: 'bytes=0-9', ...GET }, late))).toBe('RequestTimeTooSkewed');
    expect(code(() => ask('GET', '/test.txt', { range: 'bytes=0-9', ...GET }, { findKey: () => null }))).toBe(
      'InvalidAccessKeyId',
    );
    expect(code(() => ask('GET', '/test.txt', { authorization: 'AWS AKID:sig' }))).toBe('InvalidRequest');
    expect(code(() => ask('GET', '/test.txt', {}))).toBe('AccessDenied');
    const elsewhere = { ...GET, authorization: GET.authorization.replace('/s3/', '/ec2/') };
    expect(code(() => ask('GET', '/test.txt', elsewhere))).toBe('AuthorizationHeaderMalformed');
    const yesterday = { ...GET, authorization: GET.authorization.replace('/20130524/', '/20130523/') };
    expect(code(() => ask('GET', '/test.txt', yesterday))).toBe('AuthorizationHeaderMalformed');
  });
});

describe('SigV4 in the query', () => {
  const url = (expires = '86400', signature = 'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404') =>
    `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${ID}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request` +
    `&X-Amz-Date=20130524T000000Z&X-Amz-Expires=${expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=${signature}`;

  it('accepts what AWS documents until it expires', () => {
    expect(ask('GET', url(), {})).toMatchObject({ payload: { kind: 'unsigned' }, presigned: true });
    expect(code(() => ask('GET', url(), {}, { nowMs: () => NOW + 86_400_000 }))).toBe('none');
    expect(code(() => ask('GET', url(), {}, { nowMs: () => NOW + 86_400_001 }))).toBe('AccessDenied');
    expect(code(() => ask('GET', url(), {}, { nowMs: () => NOW - 16 * 60_000 }))).toBe('AccessDenied');
  });

  it('refuses a longer life than was signed, and one of more than a week', () => {
    expect(code(() => ask('GET', url('86401'), {}))).toBe('SignatureDoesNotMatch');
    expect(code(() => ask('GET', url('604801'), {}))).toBe('AuthorizationQueryParametersError');
    expect(code(() => ask('DELETE', url(), {}))).toBe('SignatureDoesNotMatch');
    expect(code(() => ask('GET', `${url()}&response-content-type=a`, {}))).toBe('SignatureDoesNotMatch');
  });
});

describe('signatures of chunks', () => {
  it('are those that AWS documents', () => {
    const scope = { date: '20130524', region: 'us-east-1' };
    const signingKey = createSigningKeys()(SECRET, scope);
    let previous = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9';
    const chunks = ['a'.repeat(65_536), 'a'.repeat(1024), ''];
    const signatures = chunks.map((chunk) => {
      const hash = createHash('sha256').update(chunk).digest('hex');
      previous = sign(signingKey, chunkStringToSign('20130524T000000Z', scope, previous, hash));
      return previous;
    });
    expect(signatures).toEqual([
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ]);
  });
  it('stand on dates in one form only', () => {
    expect(parseAmzDate('20130524T000000Z')).toBe(NOW);
    expect(parseAmzDate('2013-05-24T00:00:00Z')).toBeNull();
  });
});
