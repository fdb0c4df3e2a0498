// A bucket for reading, without a catalog: the newest checkpoint and what was written since. Before each answer
// the heads are asked for; only where they have moved is more read.
import { openBucket, type Access } from '#node/client/account.ts';
import type { BucketReader } from '#node/client/bucket-reader.ts';
import type { Client } from '#node/client/client.ts';
import { readHeads, type BucketState } from '#node/log/log-reader.ts';
import type { BucketId } from '#node/wire/types.ts';

/** `asKnown`: by what this device read last, without asking for newer writes first. For many calls in a row. */
export interface Freshness {
  asKnown?: boolean;
}

/** Root statements are read again after this: who was revoked doesn't count any longer than that. */
const STATEMENTS_MS = 10_000;

export interface BucketView {
  /** Rejects with LogError. */
  reader(options?: Freshness): Promise<BucketReader>;
}

export function bucketView(input: {
  client: Client;
  access: Access;
  bucketId: BucketId;
  /** Of the whole view. */
  signal: AbortSignal;
}): BucketView {
  const { client, access, bucketId, signal } = input;
  const { link, runtime } = client;
  const { owner } = access;
  let last: { reader: BucketReader; statementsMs: number } | null = null;
  let asking: Promise<BucketReader> | null = null;

  const isCurrent = async ({ reader, statementsMs }: NonNullable<typeof last>): Promise<boolean> => {
    if (runtime.elapsedMs() - statementsMs > STATEMENTS_MS) return false;
    const heads = await readHeads(link, { owner, bucketId, view: reader.state.view, signal });
    return isSame(heads, reader.state);
  };
  const newest = async (): Promise<BucketReader> => {
    if (last !== null && (await isCurrent(last))) return last.reader;
    const statementsMs = runtime.elapsedMs();
    const reader = await openBucket(client, access, bucketId, signal);
    last = { reader, statementsMs };
    return reader;
  };

  return {
    async reader({ asKnown = false } = {}) {
      if (asKnown && last !== null) return last.reader;
      asking ??= newest().finally(() => {
        asking = null;
      });
      return await asking;
    },
  };
}

/** Nothing more is there, no log that the statements don't name, and nobody has ended one. */
function isSame(now: BucketState, before: BucketState): boolean {
  const known = new Map(before.logs.map((one) => [one.log.logId, one]));
  const isNamed = [...now.answers.values()].every(({ logs }) => logs.every(({ logId }) => known.has(logId)));
  return (
    isNamed &&
    now.view === before.view &&
    now.logs.every(({ log, seq, hash, sealed }) => {
      const was = known.get(log.logId);
      return was !== undefined && was.seq === seq && was.hash === hash && was.sealed === sealed;
    })
  );
}
