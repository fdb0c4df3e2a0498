// Bringing batches of one log from members that have them to one that lacks them.
import { frameAll } from '#node/wire/framing.ts';
import { decodeBatchHeader } from '#node/wire/batch.ts';
import { CallError } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { appendBatches, headOf, readLog, type LogName } from './log-calls.ts';
import { LogError, type LogLink } from './log-link.ts';
import { gather, reasons } from './quorum.ts';
import type { ReplicaSet } from '#node/wire/root-view.ts';

export interface CopyOrder {
  name: LogName;
  epoch: number;
  /** Members that have it up to `toSeq`. */
  sources: readonly PublicKey[];
  to: PublicKey;
  toSeq: number;
  signal: AbortSignal;
}

/** Resolves with how many batches were copied; `to` has all up to `toSeq` then. The receiver checks each. Rejects with CallError or LogError Damaged. */
export async function copyLog(link: LogLink, { name, epoch, sources, to, toSeq, signal }: CopyOrder): Promise<number> {
  let copied = 0;
  let head = await append([]);
  const left = sources.filter((source) => source !== to);
  let lastError: unknown = new Error('nobody has it');
  while (head.seq < toSeq) {
    const source = left[0];
    if (source === undefined) {
      throw new LogError('Damaged', `No replica gives batch ${head.seq + 1} of log ${name.logId}: ${String(lastError)}`, {
        cause: lastError,
      });
    }
    try {
      const found = await readLog(link, addressOf(source), { ...name, fromSeq: head.seq + 1 }, limited());
      const batches = found.filter((bytes) => decodeBatchHeader(bytes).seq <= toSeq);
      if (batches.length === 0) throw new Error('The replica has less than its head said.');
      const before = head.seq;
      head = await append(batches);
      if (head.seq <= before) throw new Error('The receiver holds other batches.');
      copied += head.seq - before;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CallError && ['Unreachable', 'WrongEpoch', 'Full', 'Leaving', 'Sealed'].includes(error.code))
        throw error;
      lastError = error;
      left.shift();
    }
  }
  return copied;

  function limited(): AbortSignal {
    return link.runtime.deadline(link.answerTimeoutMs, signal);
  }
  function addressOf(farmer: PublicKey) {
    const address = link.addressOf(farmer);
    if (!address) throw new CallError('Unreachable', `The farm doesn't know farmer ${farmer} (any more).`);
    return address;
  }
  async function append(batches: readonly Uint8Array[]) {
    try {
      return await appendBatches(
        link,
        addressOf(to),
        { ...name, epoch, firstSeq: batches[0] ? decodeBatchHeader(batches[0]).seq : 0 },
        batches.map((bytes) => frameAll([bytes])),
        limited(),
      );
    } catch (error) {
      // It took something meanwhile, from somebody else.
      const now = headOf(error);
      if (error instanceof CallError && error.code === 'Conflict' && now) return now;
      throw error;
    }
  }
}

export interface SpreadOrder extends Omit<CopyOrder, 'epoch' | 'to'> {
  set: ReplicaSet;
}

/** Resolves when more than f members have all up to `toSeq`; the others get it if they answer. Rejects with LogError NotEnoughReplicas. */
export async function spreadLog(link: LogLink, { set, ...order }: SpreadOrder): Promise<void> {
  const { answers, errors } = await gather(link, {
    farmers: set.members,
    needed: set.f + 1,
    ask: ({ farmer }, signal) => copyLog(link, { ...order, epoch: set.epoch, to: farmer, signal }),
    signal: order.signal,
    finish: true,
  });
  if (answers.size > set.f) return;
  throw new LogError(
    'NotEnoughReplicas',
    `The end of log ${order.name.logId} is on ${answers.size} of ${set.f + 1} needed replicas (${reasons(errors)}). Try again.`,
  );
}
