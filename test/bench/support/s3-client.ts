// Signed S3 requests, nothing else: an SDK would take more of this machine than the bridge does.
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Pool } from 'undici';
import { canonicalRequest, createSigningKeys, requestStringToSign, sign } from '#node/bridge/s3/signature.ts';

interface S3Order {
  query?: [string, string][];
  body?: Buffer | Readable;
  /** Of a body that is a stream. */
  sizeBytes?: number;
}
export type S3 = (method: 'GET' | 'PUT' | 'POST', path: string, order?: S3Order) => Promise<{ etag: string; text: string }>;

export function s3Client(to: {
  endpoint: string;
  region: string;
  accessKey: string;
  secretKey: string;
  connections: number;
}): S3 {
  const pool = new Pool(to.endpoint, {
    connections: to.connections,
    pipelining: 1,
    headersTimeout: 600_000,
    bodyTimeout: 600_000,
  });
  const signingKey = createSigningKeys();
  const { host } = new URL(to.endpoint);
  return async (method, path, { query = [], body, sizeBytes } = {}) => {
    const amzDate = new Date().toISOString().replace(/[:-]|\.\d{3}/g, '');
    const scope = { date: amzDate.slice(0, 8), region: to.region };
    const payloadHash = body ? 'UNSIGNED-PAYLOAD' : createHash('sha256').update('').digest('hex');
    const headers: Record<string, string> = { host, 'x-amz-content-sha256': payloadHash, 'x-amz-date': amzDate };
    const signedHeaders = Object.keys(headers);
    const headerValue = (name: string) => headers[name]!;
    const canonical = canonicalRequest({ method, path, query, signedHeaders, headerValue, payloadHash });
    const signature = sign(signingKey(to.secretKey, scope), requestStringToSign(amzDate, scope, canonical));
    const credential = `${to.accessKey}/${scope.date}/${to.region}/s3/aws4_request`;
    headers['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`;
    if (sizeBytes !== undefined) headers['content-length'] = String(sizeBytes);
    const answer = await pool.request({ method, path, query: Object.fromEntries(query), headers, body: body ?? null });
    const isRead = method !== 'GET' || answer.statusCode >= 300;
    let text = '';
    for await (const chunk of answer.body) if (isRead) text += String(chunk);
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    return { etag: String(answer.headers['etag'] ?? ''), text };
  };
}
