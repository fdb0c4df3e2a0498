// The calls about logs and statements, typed, one farmer at a time. All reject with CallError.
import { concat } from '#node/core/bytes.ts';
import { CallError, WholeBody, type FarmerAddress } from '#node/net/net.ts';
import {
  bucketHeads,
  decodeAnswerHead,
  decodeLogHead,
  encodeCallHead,
  type BucketHeads,
  type Heads,
  type LogHead,
  type Referral,
} from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { collect, frameAll, unframeAll } from '#node/wire/framing.ts';
import { decodeRootStatement, MAX_STATEMENT_BYTES } from '#node/wire/statements.ts';
import {
  MAX_BATCH_BYTES,
  type BucketId,
  type PublicKey,
  type RootStatement,
  type SealOrder,
  type Signed,
} from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';

/** All statements of one owner. */
const MAX_STATEMENTS_BYTES = 16 * 1024 * 1024;
/** Framed batches of one answer: at least one is sent even where it alone is the most that was asked for. */
const MAX_READ_BYTES = 2 * MAX_BATCH_BYTES;

export interface LogName {
  owner: PublicKey;
  bucketId: BucketId;
  logId: PublicKey;
}

/** Consecutive batches, each framed already (several replicas get the same bytes); none just asks for the head. `firstSeq`: see Heads. Conflict and Sealed: see `headOf`. */
export async function appendBatches(
  link: LogLink,
  to: FarmerAddress,
  name: LogName & { epoch: number; firstSeq: number },
  framed: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<LogHead> {
  const { head } = await ask(link, to, 'log.append', name, framed, signal);
  return head;
}

/** The replica's head in a Conflict or Sealed; null in other errors. */
export function headOf(error: unknown): LogHead | null {
  if (!(error instanceof CallError) || (error.code !== 'Conflict' && error.code !== 'Sealed')) return null;
  try {
    return decodeLogHead(error.detail);
  } catch {
    return null;
  }
}

export async function fetchHeads(
  link: LogLink,
  to: FarmerAddress,
  bucket: { owner: PublicKey; bucketId: BucketId },
  signal: AbortSignal,
): Promise<BucketHeads> {
  const { body } = await ask(link, to, 'log.heads', bucket, null, signal);
  return await checked(async () => bucketHeads.decode(await collect(body, bucketHeads.maxBytes)));
}

/** Batches from `fromSeq` on, as many as fit into one answer. Not verified. */
export async function readLog(
  link: LogLink,
  from: FarmerAddress,
  input: { owner: PublicKey; logId: PublicKey; fromSeq: number },
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const { body } = await ask(link, from, 'log.read', { ...input, maxBytes: MAX_BATCH_BYTES }, null, signal);
  return await checked(async () => unframeAll(await collect(body, MAX_READ_BYTES), MAX_BATCH_BYTES));
}

export async function sealLog(link: LogLink, to: FarmerAddress, order: Signed<SealOrder>, signal: AbortSignal): Promise<LogHead> {
  const { head } = await ask(link, to, 'log.seal', { owner: order.body.owner }, [order.bytes], signal);
  return head;
}

/** How many of them count there now. */
export async function putStatements(
  link: LogLink,
  to: FarmerAddress,
  owner: PublicKey,
  statements: readonly Signed<RootStatement>[],
  signal: AbortSignal,
): Promise<number> {
  const framed = frameAll(statements.map(({ bytes }) => bytes));
  const { head } = await ask(link, to, 'roots.put', { owner }, [framed], signal);
  return head.kept;
}

export async function getStatements(
  link: LogLink,
  from: FarmerAddress,
  owner: PublicKey,
  signal: AbortSignal,
  /** Another way where many farmers say the same. */
  decoded: (bytes: Uint8Array) => Signed<RootStatement> = decodeRootStatement,
): Promise<{ statements: Signed<RootStatement>[]; nearest: Referral[] }> {
  const { head, body } = await ask(link, from, 'roots.get', { owner }, null, signal);
  return await checked(async () => ({
    statements: unframeAll(await collect(body, MAX_STATEMENTS_BYTES), MAX_STATEMENT_BYTES).map((bytes) => decoded(bytes)),
    nearest: head.nearest,
  }));
}

async function ask<O extends keyof Heads>(
  link: LogLink,
  to: FarmerAddress,
  operation: O,
  head: Heads[O]['call'],
  body: readonly Uint8Array[] | null,
  signal: AbortSignal,
): Promise<{ head: Heads[O]['answer']; body: AsyncIterable<Uint8Array> | undefined }> {
  const call = {
    operation,
    head: encodeCallHead(operation, head),
    ...(body ? { body: new WholeBody(body.length === 1 ? body[0]! : concat(...body)) } : {}),
  };
  const answer = await link.network.call(to, call, signal);
  return await checked(async () => ({ head: decodeAnswerHead(operation, answer.head), body: answer.body }));
}

/** A farmer that answers nonsense is as good as one that doesn't answer. */
async function checked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof WireError) throw new CallError('Corrupt', `A malformed answer: ${cause.message}`, { cause });
    throw cause;
  }
}
