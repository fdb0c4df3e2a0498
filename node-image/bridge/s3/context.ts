// What a verb gets and what it gives back. Verbs are functions from one to the other; server.ts writes the reply.
import type { BucketRow } from '#node/catalog/catalog.ts';
import type { Account, IncomingBody, Objects } from '../objects.ts';
import type { Algorithm } from './checksums.ts';
import type { Query } from './request.ts';

export interface Context {
  objects: Objects;
  account: Account;
  region: string;
  query: Query;
  /** Lower-case name; of presigned requests also x-amz- parameters of the query. */
  header: (name: string) => string | null;
  headerNames: () => string[];
  /** Throws NoSuchBucket, AccessDenied. */
  bucket: () => BucketRow;
  bucketName: string;
  /** Empty for calls on a bucket. */
  key: string;
  /** Checked while it is read; see body.ts. */
  body: (defaultAlgorithm?: Algorithm) => Promise<IncomingBody>;
  /** Of calls that carry XML. */
  text: () => Promise<string>;
  nowMs: () => number;
  signal: AbortSignal;
}

export interface Reply {
  status: number;
  headers?: Record<string, string>;
  /** XML as a string; object bytes as they come (with content-length among the headers). */
  body?: string | AsyncIterable<Uint8Array>;
}

export type Verb = (context: Context) => Promise<Reply> | Reply;

export const xmlReply = (body: string, headers: Record<string, string> = {}): Reply => ({
  status: 200,
  headers: { 'content-type': 'application/xml', ...headers },
  body,
});
export const emptyReply = (status: number, headers: Record<string, string> = {}): Reply => ({ status, headers });
