// What an account and its farm look like from here: who answers, what is stored, who may write.
import type { Client } from '#node/client/client.ts';
import type { BucketRow } from '#node/catalog/catalog.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { fetchHeads } from '#node/log/log-calls.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import type { BucketId, PublicKey } from '#node/wire/types.ts';

export interface AccountStatus {
  owner: PublicKey;
  farm: {
    controlKey: PublicKey;
    /** How many farmers may vanish right after an acknowledgement. */
    f: number;
    members: { farmer: PublicKey; peerId: string; url: string; state: string; answersMs: number | null }[];
  };
  buckets: {
    name: string;
    objects: number;
    sizeBytes: number;
    /** Of its logs: replicas, those that answer, and how many more of them may go before reading stops. */
    logs: { replicas: number; answering: number; margin: number };
  }[];
  /** Keys that the owner's key gave a role. */
  devices: { key: PublicKey; role: string; isThis: boolean; sinceMs: number }[];
}

/** A bucket with what is in it. */
export type StatusBucket = Pick<BucketRow, 'bucketId' | 'name'> & { objects: number; sizeBytes: number };

const ANSWER_MS = 5_000;

export async function accountStatus(input: {
  client: Client;
  owner: PublicKey;
  writer: PublicKey;
  buckets: readonly StatusBucket[];
  signal: AbortSignal;
}): Promise<AccountStatus> {
  const { client, owner, writer, buckets, signal } = input;
  const { link, farm } = client;
  const { controlKey, members } = farm.current();
  const { view } = await fetchRoots(link, owner, signal);
  const answering = await Promise.all(
    members.map(async (member) => ({ ...member, answersMs: await ping(client, member, signal) })),
  );
  const logsOf = async (bucketId: BucketId) => {
    const set = view.sets.get(bucketId);
    const up = await Promise.all((set?.members ?? []).map((member) => holdsLogs(client, member, { owner, bucketId }, signal)));
    const there = up.filter(Boolean).length;
    const replicas = up.length;
    return { replicas, answering: there, margin: there - (replicas - (set?.f ?? 0)) };
  };
  return {
    owner,
    farm: {
      controlKey,
      f: link.promise(),
      members: answering.map(({ farmer, url, state, answersMs }) => ({
        farmer,
        peerId: peerIdOf(farmer),
        url,
        state,
        answersMs,
      })),
    },
    buckets: await Promise.all(
      buckets.map(async ({ bucketId, name, objects, sizeBytes }) => ({ name, objects, sizeBytes, logs: await logsOf(bucketId) })),
    ),
    devices: view.roles.map(({ subject, role, issuedMs }) => ({
      key: subject,
      role,
      isThis: subject === writer,
      sinceMs: issuedMs,
    })),
  };
}

/** Null = no answer. */
async function ping(
  { network, runtime }: Client,
  { farmer, url }: { farmer: PublicKey; url: string },
  signal: AbortSignal,
): Promise<number | null> {
  const startMs = runtime.elapsedMs();
  try {
    const call = { operation: 'farm.members', head: encodeCallHead('farm.members', {}) } as const;
    const { body } = await network.call({ farmer, url }, call, runtime.deadline(ANSWER_MS, signal));
    for await (const _ of body ?? []);
    return runtime.elapsedMs() - startMs;
  } catch {
    return null;
  }
}

async function holdsLogs(
  { link, runtime }: Client,
  member: PublicKey,
  bucket: { owner: PublicKey; bucketId: BucketId },
  signal: AbortSignal,
): Promise<boolean> {
  const to = link.addressOf(member);
  if (to === null) return false;
  return await fetchHeads(link, to, bucket, runtime.deadline(ANSWER_MS, signal)).then(
    () => true,
    () => false,
  );
}
