// log.append, log.heads, log.read, log.seal.
import { CallError } from '#node/net/net.ts';
import { bucketHeads, decodeCallHead, encodeAnswerHead } from '#node/wire/calls.ts';
import { FrameReader, collect } from '#node/wire/framing.ts';
import { verifySealOrder, type LogView, type RootView } from '#node/wire/root-view.ts';
import { decodeSealOrder } from '#node/wire/statements.ts';
import { MAX_BATCH_BYTES, type BucketId, type PublicKey } from '#node/wire/types.ts';
import { mayAppend, mayReadLogs, maySeeHeads, type Asker } from './admission.ts';
import type { LogName } from './log-store.ts';
import { once } from './piece-calls.ts';
import { askerOf, type CallContext, type Handler } from './service.ts';

type LogOperation = 'log.append' | 'log.heads' | 'log.read' | 'log.seal';

/** Batches of one call that are held at once. */
const MAX_APPEND_BYTES = 2 * MAX_BATCH_BYTES;
const MAX_ORDER_BYTES = 4096;

export const logCalls: Record<LogOperation, Handler> = {
  async 'log.append'(context, head, body) {
    const name = decodeCallHead('log.append', head);
    const { view, log } = await openedLog(context, name);
    if (!mayAppend(askerOf(context, view), name.bucketId)) throw forbidden('append to logs of this bucket');
    checkEpoch(context, view, name);
    // Set back, it may have forgotten that the log was sealed: what it acknowledged then would count for nothing.
    if (context.isBehind(name.owner, name.bucketId)) throw notCaughtUp();
    const isHeld = context.logs.held(name.owner, name.logId) !== null;
    if (!isHeld && context.logs.logs(name.owner, name.bucketId).length === 0) context.duty.checkTakesNew();
    const end = context.duty.begin();
    try {
      const batches = await readBatches(body);
      const isSealed = context.isSealedElsewhere(name.logId);
      const answer = await context.logs.append({ ...name, kind: log.kind, closing: log.closed, isSealed }, batches);
      // Whoever was told these heads under a newer set relies on it that nothing more is acknowledged under this one.
      checkEpoch(context, context.owners.localView(name.owner), name);
      context.grants.charge(
        context.from,
        name.owner,
        batches.reduce((bytes, batch) => bytes + batch.length, 0),
      );
      return { head: encodeAnswerHead('log.append', answer) };
    } finally {
      end();
    }
  },

  async 'log.heads'(context, head) {
    const { owner, bucketId } = decodeCallHead('log.heads', head);
    const view = await readableView(context, owner, bucketId, maySeeHeads);
    const isFellow = view.sets.get(bucketId)?.members.includes(context.from) === true;
    // The others' questions are answered at once, or a farm that starts whole would wait for itself.
    if (!isFellow && !(await context.isCaughtUp(owner, bucketId))) throw notCaughtUp();
    const set = context.owners.localView(owner).sets.get(bucketId) ?? view.sets.get(bucketId);
    const logs = context.logs
      .logs(owner, bucketId)
      .map(({ logId, seq, hash, sealed, firstSeq }) => ({ logId, seq, hash, sealed, firstSeq }));
    const setMember = set?.members.includes(context.keyPair.publicKey) === true;
    const answer = bucketHeads.encode({ epoch: set?.epoch ?? 0, setMember, logs });
    return { head: encodeAnswerHead('log.heads', {}), body: once(answer) };
  },

  async 'log.read'(context, head) {
    const { owner, logId, fromSeq, maxBytes } = decodeCallHead('log.read', head);
    const log = context.logs.held(owner, logId);
    // Whoever may only write reads his own log, to end it where he lost its state.
    const isOwn = ({ view: known, from }: Asker) => known.logs.some((one) => one.logId === logId && one.writer === from);
    const may = (asker: Asker, bucketId: BucketId) =>
      mayReadLogs(asker, bucketId) || (isOwn(asker) && maySeeHeads(asker, bucketId));
    const view = await readableView(context, owner, log?.bucketId ?? '', may);
    if (!log) throw new CallError('NotFound', 'No batch of this log is here.');
    const epoch = view.sets.get(log.bucketId)?.epoch ?? 0;
    const answer = encodeAnswerHead('log.read', { seq: log.seq, hash: log.hash, epoch, firstSeq: log.firstSeq });
    return { head: answer, body: context.logs.read(log, fromSeq, maxBytes) };
  },

  async 'log.seal'(context, head, body) {
    const { owner } = decodeCallHead('log.seal', head);
    const order = decodeSealOrder(await collect(body, MAX_ORDER_BYTES));
    const { bucketId, logId } = order.body;
    const view = await context.owners.view(owner, context.signal);
    if (order.body.owner !== owner || !verifySealOrder(order, view)) throw forbidden('seal this log');
    // Where the log ends is told from the answers, as of any read: a head that was set back must not count.
    if (!(await context.isCaughtUp(owner, bucketId))) throw notCaughtUp();
    const name = { owner, bucketId, logId };
    const held = context.logs.held(owner, logId);
    if (held && held.bucketId !== bucketId) throw new CallError('BadRequest', 'The log belongs to another bucket.');
    const answer = await context.logs.seal(name, order.bytes, view.sets.get(bucketId)?.epoch ?? 0);
    return { head: encodeAnswerHead('log.seal', answer) };
  },
};

function forbidden(what: string): CallError {
  return new CallError('Forbidden', `This peer may not ${what} here.`);
}
function notCaughtUp(): CallError {
  return new CallError('Unavailable', 'The farmer has just started and still takes newer heads from the other replicas.');
}

/** The log as the statements have it. A replica must have them itself, or it could not tell who is a member. */
async function openedLog(context: CallContext, name: LogName): Promise<{ view: RootView; log: LogView }> {
  const view = context.owners.localView(name.owner);
  const log = view.logs.find(({ logId, bucketId }) => logId === name.logId && bucketId === name.bucketId);
  if (log) return { view, log };
  throw new CallError('NotFound', 'No root statement here opens this log. Send them with roots.put first.');
}

function checkEpoch({ keyPair }: CallContext, view: RootView, name: LogName & { epoch: number }): void {
  const set = view.sets.get(name.bucketId);
  if (!set) throw new CallError('WrongEpoch', 'No root statement here names replicas for this bucket. Send it first.');
  if (set.epoch !== name.epoch) {
    throw new CallError(
      'WrongEpoch',
      `The replica set has epoch ${set.epoch} here, not ${name.epoch}. Exchange root statements.`,
    );
  }
  if (!set.members.includes(keyPair.publicKey)) {
    throw new CallError('WrongEpoch', `This farmer is no replica of the bucket under epoch ${set.epoch}.`);
  }
}

async function readableView(
  context: CallContext,
  owner: PublicKey,
  bucketId: BucketId,
  may: (asker: Asker, bucketId: BucketId) => boolean,
): Promise<RootView> {
  const local = context.owners.localView(owner);
  if (may(askerOf(context, local), bucketId)) return local;
  const view = await context.owners.view(owner, context.signal);
  if (may(askerOf(context, view), bucketId)) return view;
  throw forbidden('read logs of this bucket');
}

async function readBatches(body: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const reader = new FrameReader(MAX_BATCH_BYTES);
  const batches: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_APPEND_BYTES) throw new CallError('BadRequest', `One call carries at most ${MAX_APPEND_BYTES} bytes.`);
    batches.push(...reader.push(chunk));
  }
  reader.end();
  return batches;
}
